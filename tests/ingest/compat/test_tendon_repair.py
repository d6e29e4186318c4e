import os

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx

from jacdb.ingest.compat.mjx import com_pos, kinematics, tendon

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not os.environ.get("MENAGERIE_ROOT"), reason="needs robot models: set MENAGERIE_ROOT")
@pytest.mark.thorough
def test_a_tendon_that_only_touches_has_the_derivative_of_the_c_engine(system):
    loaded = system("AeroCubeRotateZAxis")
    model = loaded.mj_model
    template = mjx.make_data(model, impl="jax")
    fingers, eps = np.arange(16), 1e-6

    def length(q):
        data = kinematics(loaded.mjx_model, template.replace(qpos=jnp.asarray(home).at[fingers].set(q)))
        return tendon(loaded.mjx_model, com_pos(loaded.mjx_model, data)).ten_length

    def c_length(q):
        data.qpos[:], data.qpos[fingers] = home, q
        mujoco.mj_fwdPosition(model, data)
        return data.ten_length.copy()

    home, data = model.key_qpos[0], mujoco.MjData(model)
    derivative = jax.jit(jax.jacfwd(length))(home[fingers])
    sides = [(c_length(home[fingers] + e) - c_length(home[fingers] - e)) / (2 * eps) for e in eps * np.eye(16)]
    np.testing.assert_allclose(derivative, np.stack(sides, axis=1), atol=1e-8)
