import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from mujoco_playground import registry as playground_registry
from thoroughness import one_in_five

from jacdb.errors import UsageError
from jacdb.ingest.compat import playground
from jacdb.ingest.environments import registry, transition

pytestmark = pytest.mark.slow

CATALOGUE = registry.all_specs()
# every environment without a robot, and of each robot one per kind of ctrl map
KINDS = {(spec.robots or name, spec.action_map, spec.memory): name for name, spec in reversed(CATALOGUE.items())}
CHOSEN = sorted(KINDS.values())


@pytest.fixture
def loaded(request, system):
    """The environment of that name; robots only from a checkout that is there."""
    if CATALOGUE[request.param].robots and not os.environ.get("MENAGERIE_ROOT"):
        pytest.skip("needs robot models: set MENAGERIE_ROOT")
    return system(request.param)


@pytest.fixture
def home(loaded):
    """A state in the model's first keyframe, if it has any, and ctrl in the middle of its range; no physics is run."""
    with playground.intercept_physics(lambda model, data, ctrl, n_substeps: data):
        shapes = jax.eval_shape(loaded.env.reset, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    if "rng" in state.info:
        state.info["rng"] = jax.random.key(0)
    model = loaded.mj_model
    qpos, ctrl = model.qpos0, model.actuator_ctrlrange.mean(axis=1)
    if model.nkey:
        qpos = model.key_qpos[0]
    if loaded.spec.memory:  # inverse kinematics has no solution just anywhere
        ctrl = model.key_ctrl[0]
    return state.replace(data=state.data.replace(qpos=jnp.asarray(qpos), ctrl=jnp.asarray(ctrl)))


def test_the_registry_is_read_without_the_simulator():
    """`jacdb envs` answers at once, and where there is no simulator."""
    program = "import sys; from jacdb.ingest.environments import registry; registry.all_specs(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert {"jax", "mujoco", "mujoco_playground", "brax", "numpy"}.isdisjoint(ran.stdout.split())


def test_the_table_has_every_environment_of_playground():
    assert set(CATALOGUE) == set(playground_registry.ALL_ENVS)


@pytest.mark.parametrize("loaded", CHOSEN, indirect=True)
def test_the_table_agrees_with_the_loaded_model(loaded):
    model, spec = loaded.mj_model, loaded.spec
    assert (model.nq, model.nv, model.nu, model.na) == (spec.nq, spec.nv, spec.nu, 0)
    assert (loaded.env.action_size, loaded.env.n_substeps) == (spec.d_action, spec.n_substeps)


@pytest.mark.parametrize("loaded", one_in_five(CHOSEN), indirect=True)
def test_the_table_says_what_ctrl_depends_on(loaded, home):
    spec = loaded.spec

    def ctrl(dq, before, action):
        state = home.replace(data=home.data.replace(ctrl=before))
        return transition.ctrl_map(loaded, state)(dq, transition.carried(loaded, state), action)[: spec.nu]

    derivative = jax.jit(jax.jacfwd(ctrl, (0, 1, 2)))
    by_qpos, by_ctrl, by_action = derivative(jnp.zeros(spec.nv), home.data.ctrl, jnp.full(spec.d_action, 0.01))
    assert bool(jnp.any(by_qpos != 0)) == (spec.action_map == "qpos")
    assert bool(jnp.any(by_ctrl != 0)) == spec.ctrl_is_state
    # a delayed action does nothing yet, and of the Cartesian gripper's action only the sign counts
    unseen = {"PandaRobotiqPushCube": spec.d_action, "PandaPickCubeCartesian": 1}.get(spec.name, 0)
    assert jnp.linalg.matrix_rank(by_action) == spec.d_action - unseen


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=r"'cheetahrun'.*CheetahRun"):
        registry.find("cheetahrun")
    with pytest.raises(UsageError, match="jacdb envs"):
        registry.find("?")
