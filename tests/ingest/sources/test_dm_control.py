"""dm_control's environments as sources, held against dm_control with the MuJoCo that it was made for."""

import copy
import functools
from pathlib import Path

import mujoco
import numpy as np
import pytest
from replayed import replay_error, same

from jacdb.errors import UsageError
from jacdb.ingest.sources import dm_control, suites
from jacdb.ingest.sources.dm_control import DmControlSource
from jacdb.ingest.sources.host_policies import FunctionPolicy, HostNoise
from jacdb.ingest.sources.rollouts import Rollouts

ENVS = [env for env in suites.all_envs().values() if env.suite == "dm_control"]
NAMES = [env.name for env in ENVS if not env.refused]
# benchmarks/dm_control_reference.py made it, with mujoco 3.17
REFERENCE = np.load(Path(__file__).parent / "dm_control_3_17.npz")
pytestmark = pytest.mark.skipif(suites.version("dm_control") is None, reason="needs the dm_control extra")


@functools.cache
def made(name):
    return dm_control.make(name)


def test_the_table_has_all_of_the_suite():
    from jacdb.ingest.compat.dm_control import load_suite

    assert {env.name for env in ENVS} == {"-".join(names) for names in load_suite().ALL_TASKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_table_states_what_dm_control_loads(name):
    env, (model, n_substeps, _) = suites.find(f"dm_control:{name}"), dm_control.load(name)
    assert (env.nq, env.nv, env.na, env.nu, env.n_substeps) == (model.nq, model.nv, model.na, model.nu, n_substeps)


@pytest.mark.parametrize("name", sorted({name.split("/")[0] for name in REFERENCE}))
def test_steps_under_this_mujoco_are_those_of_dm_control_as_it_comes(name):
    env = made(name)
    env.task.random.seed(7)
    env.reset()
    data = env.physics.data
    for t, state in enumerate(REFERENCE[f"{name}/state"]):
        assert np.abs(np.concatenate([data.qpos, data.qvel, data.act]) - state).max() < 1e-9
        if t < len(REFERENCE[f"{name}/action"]):
            reward = env.step(REFERENCE[f"{name}/action"][t]).reward
            assert abs(reward - REFERENCE[f"{name}/reward"][t]) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ball_in_cup-catch", "cheetah-run", "dog-walk", "finger-spin", "lqr-lqr_2_1"])
def test_recorded_steps_are_the_c_engine_s_bit_for_bit(name):
    source = DmControlSource.load(name, Rollouts(HostNoise(), episodes=2, steps=20, seed=3))
    trajectories = list(source.trajectories())
    assert [replay_error(source, trajectory) for trajectory in trajectories] == [0.0, 0.0]
    assert all(same(one, again) for one, again in zip(trajectories, source.trajectories(), strict=True))
    assert not same(*trajectories)
    assert np.isfinite(trajectories[0].reward).all()


def moves_nothing(before, after):
    """True if two models differ in bodies at rest that nothing can touch, in sites, and in looks alone."""
    changed = {
        name
        for name in dir(before)
        if isinstance(old := getattr(before, name), np.ndarray) and not np.array_equal(old, getattr(after, name))
    }
    changed -= {name for name in changed if name.endswith("_rgba") or name.startswith(("light_", "cam_"))}
    touched = (before.geom_contype | before.geom_conaffinity) != 0
    if before.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT):
        touched[:] = False
    for name in changed & {"geom_pos", "geom_size"}:
        if (getattr(before, name) != getattr(after, name)).any(axis=1)[touched].any():
            return False
    for name in changed & {"body_pos", "body_quat"}:
        bodies = np.flatnonzero((getattr(before, name) != getattr(after, name)).any(axis=1))
        if (before.body_weldid[bodies] != 0).any() or touched[np.isin(before.geom_bodyid, bodies)].any():
            return False
    if changed & {"site_pos", "site_size"} and (before.wrap_type == mujoco.mjtWrap.mjWRAP_SITE).any():
        return False
    return changed <= {"geom_pos", "geom_size", "body_pos", "body_quat", "site_pos", "site_size"}


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.name)
def test_what_is_no_source_has_another_model_in_each_episode_and_the_others_have_one(env):
    if env.name == "quadruped-escape":
        return  # its terrain needs a display
    from jacdb.ingest.compat.dm_control import load_suite

    loaded = load_suite().load(*env.name.split("-"), task_kwargs={"random": 0})
    loaded.reset()
    before = copy.copy(loaded.physics.model.ptr)
    alike = []
    for _ in range(2):
        loaded.reset()
        alike.append(moves_nothing(before, loaded.physics.model.ptr))
    assert alike == [not env.refused] * 2


def test_a_function_of_one_s_own_observes_dm_control_s_dict(tmp_path):
    (tmp_path / "policy.py").write_text("def act(obs, rng):\n    return -obs['velocity']\n")
    asked = Rollouts(FunctionPolicy(f"{tmp_path}/policy.py:act"), episodes=1, steps=4)
    [trajectory] = DmControlSource.load("point_mass-easy", asked).trajectories()
    np.testing.assert_array_equal(trajectory.ctrl, -trajectory.qvel[:-1])


@pytest.mark.parametrize(
    ("name", "said"),
    [("walker-fly", "did you mean walker-walk?"), ("point_mass-hard", "another transmission in each episode")],
)
def test_what_is_no_source_is_told_in_one_line(name, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        dm_control.load(name)


def test_a_dm_control_that_does_not_load_is_told_in_one_line(monkeypatch):
    """As it is without the repair."""
    from dm_control.mujoco.wrapper.mjbindings import sizes

    monkeypatch.setitem(sizes.array_sizes, "mjmodel", {**sizes.array_sizes["mjmodel"], "flex_vertedge": ("nflexedge",)})
    monkeypatch.setattr("jacdb.ingest.compat.dm_control.STRUCTS", {})
    with pytest.raises(
        UsageError, match=r"does not load walker-run .*flex_vertedge.*pip install 'jacdb\[dm_control\]'"
    ):
        dm_control.load("walker-run")
