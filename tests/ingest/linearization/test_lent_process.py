"""`jacdb.linearize` in a process that is another's, which it leaves as it was."""

import json
import os
import subprocess
import sys

import pytest
from thoroughness import thorough

pytestmark = pytest.mark.slow

PROGRAM = """
import json, logging, os, random
import numpy as np, mujoco, jax, jax.numpy as jnp
import jacdb

MODEL = "<mujoco><worldbody><body><joint name='h' axis='0 1 0'/><geom size='.1'/></body></worldbody>{}</mujoco>"
COVERED = mujoco.MjModel.from_xml_string(MODEL.format("<actuator><motor joint='h'/></actuator>"))
mean = jax.jit(lambda x: (x * jnp.arange(3)).sum() / 3)


def process():
    numbers = jax.random.normal(jax.random.key(0), (2,)).tolist()
    dtypes = [str(array.dtype) for array in (jnp.zeros(3), mean(np.ones(3)))]
    jax_now = [jax.config.jax_enable_x64, str(jax.config.jax_default_device), numbers, dtypes]
    random_now = [random.getstate()[1], np.random.get_state()[1].tolist()]
    return [*jax_now, len(logging.root.handlers), logging.root.level, random_now, dict(os.environ)]


def linearize(**more):
    return jacdb.linearize(COVERED, np.full((40, 1), 0.2), np.zeros((40, 1)), **more)


def fails():
    original, mujoco.mjx.put_model = mujoco.mjx.put_model, lambda *_, **__: 1 / 0
    try:
        linearize(substeps=3)
    except ZeroDivisionError:
        return True
    finally:
        mujoco.mjx.put_model = original


before, environment = process() if EARLY else None, dict(os.environ)
steps = linearize()
after = process()
same = [before in (None, after), environment == dict(os.environ)]
same += [fails() and process() == after]
with jax.enable_x64(False):
    same += [np.array_equal(linearize().j_state, steps.j_state)]
jax.config.update("jax_enable_x64", False)
same += [np.array_equal(linearize().j_state, steps.j_state), steps.j_state.dtype == np.float64]
linearize(engine="mjx")
same += [process() == after, after[0] is False, after[4] == 0]
print(json.dumps([bool(one) for one in same]))
"""


@pytest.mark.parametrize("early", [True, thorough(False)], ids=["JAX runs already", "JAX does not run yet"])
def test_the_callers_jax_environment_logger_and_random_numbers_are_as_before(early, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "JAX_"))}
    program = PROGRAM.replace("EARLY", str(early))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [True] * 9


PLACE = """
import sys, jax, numpy as np, mujoco, jacdb
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 7.0)
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><body><joint/><geom size='.1'/></body></worldbody></mujoco>")
jacdb.linearize(model, np.zeros(1), np.zeros(1))
print(jax.config.jax_compilation_cache_dir == sys.argv[1], jax.config.jax_persistent_cache_min_compile_time_secs)
"""


def test_a_folder_of_compiled_programs_of_the_callers_own_is_kept(tmp_path):
    ran = subprocess.run([sys.executable, "-c", PLACE, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["True", "7.0"]
