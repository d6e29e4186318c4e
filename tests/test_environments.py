import re

import jax
import jax.numpy as jnp
import pytest
from mujoco_playground import registry

from jacdb.errors import UsageError
from jacdb.ingest import dynamics, environments

SUPPORTED = [name for name, spec in environments.catalogue().items() if not spec.unsupported]


def test_the_table_has_every_environment_of_playground():
    assert set(environments.catalogue()) == set(registry.ALL_ENVS)


def test_the_nine_are_supported():
    assert set(SUPPORTED) == {
        "BallInCup", "CartpoleBalance", "CheetahRun", "ReacherHard", "FingerSpin", "FingerTurnEasy", "WalkerRun",
        "SwimmerSwimmer6", "PandaPickCube",
    }  # fmt: skip


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_table_agrees_with_the_loaded_model(name, system, menagerie):
    loaded = system(name)
    model, spec = loaded.mj_model, loaded.spec
    assert (model.nq, model.nv, model.nu, model.na) == (spec.nq, spec.nv, spec.nu, 0)
    assert (loaded.env.action_size, loaded.env.n_substeps) == (spec.d_action, spec.n_substeps)


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_table_says_what_ctrl_depends_on(name, system, menagerie):
    loaded = system(name)
    shapes = jax.eval_shape(loaded.env.reset, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    model = loaded.mj_model
    # inside the range of ctrl, where no clip hides a dependence
    middle = jnp.asarray(model.actuator_ctrlrange.mean(axis=1))
    state = state.replace(data=state.data.replace(qpos=jnp.asarray(model.qpos0)))
    applied = dynamics.ctrl_map(loaded, state)
    derivative = jax.jit(jax.jacfwd(applied, (0, 1, 2)))
    by_qpos, by_ctrl, by_action = derivative(jnp.zeros(model.nv), middle, jnp.zeros(loaded.spec.d_action))
    assert bool(jnp.any(by_qpos != 0)) == (loaded.spec.action_map == "qpos")
    assert bool(jnp.any(by_ctrl != 0)) == loaded.spec.ctrl_is_state
    assert jnp.linalg.matrix_rank(by_action) == loaded.spec.d_action


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=r"'cheetahrun'.*CheetahRun"):
        environments.find("cheetahrun")
    with pytest.raises(UsageError, match="jacdb envs"):
        environments.find("?")


def test_an_unsupported_name_gets_the_reason():
    spec = environments.catalogue()["PandaPickCubeCartesian"]
    with pytest.raises(UsageError, match=re.escape(spec.unsupported)):
        environments.find(spec.name)
