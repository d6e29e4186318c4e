import jax
import mujoco
import numpy as np
import pytest
from machine import EVERY_CONSTRAINT
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.dynamics import forward

pytestmark = pytest.mark.slow


@pytest.mark.thorough
@pytest.mark.parametrize(("iterations", "searches"), [(1, 4), (6, 8)])
def test_it_goes_where_mjx_goes_converged_or_stopped_early(iterations, searches):
    mj = mujoco.MjModel.from_xml_string(
        EVERY_CONSTRAINT.format(iterations=iterations, searches=searches, integrator="Euler")
    )
    model, template = mjx.put_model(mj, impl="jax"), mjx.make_data(mj, impl="jax")

    def both(qpos, qvel, warm):
        data = template.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warm)
        return [(d.qacc, d.qfrc_constraint, impl(d).efc_force) for d in (
            forward.forward(model, data), mjx.forward(model, data)
        )]  # fmt: skip

    rng, samples = np.random.default_rng(0), 40
    qpos = np.tile(mj.qpos0, (samples, 1)) + 0.2 * rng.normal(size=(samples, mj.nq))
    for sample in qpos:
        mujoco.mj_normalizeQuat(mj, sample)
    qvel, warm = rng.normal(size=(samples, mj.nv)), 10 * rng.normal(size=(samples, mj.nv))
    ours, theirs = runtime.compiled_quickly(jax.vmap(both), qpos, qvel, warm)(qpos, qvel, warm)
    assert (np.abs(theirs[2][:, 4:]) > 0).any(
        axis=1
    ).mean() > 0.3  # contacts push; equality, friction and limit come first
    for mine, mjxs in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, mjxs, atol=1e-8 * np.abs(mjxs).max())
    first = qpos[0], qvel[0], warm[0]
    single = runtime.compiled_quickly(lambda *start: both(*start)[0], *first)(*first)
    np.testing.assert_allclose(single[0], ours[0][0], atol=1e-9 * np.abs(ours[0]).max())
