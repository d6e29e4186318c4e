"""Gymnasium's environments as sources, held against Gymnasium itself."""

import numpy as np
import pytest
from replayed import replay_error, same

from jacdb.errors import UsageError
from jacdb.ingest.sources import gymnasium, suites
from jacdb.ingest.sources.gymnasium import GymnasiumSource
from jacdb.ingest.sources.host_policies import HostNoise, HostZero
from jacdb.ingest.sources.rollouts import Rollouts, reset_seed

NAMES = [env.name for env in suites.all_envs().values() if env.suite == "gymnasium"]
pytestmark = pytest.mark.skipif(suites.version("gymnasium") is None, reason="needs the gymnasium extra")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_states_what_gymnasium_loads(name):
    import gymnasium as gym

    env, (model, n_substeps, _) = suites.find(f"gymnasium:{name}"), gymnasium.load(name)
    sizes = (model.nq, model.nv, model.na, model.nu, n_substeps, gym.spec(name).max_episode_steps)
    assert (env.nq, env.nv, env.na, env.nu, env.n_substeps, env.steps) == sizes


@pytest.mark.parametrize("name", NAMES)
def test_recorded_steps_are_the_c_engine_s_bit_for_bit(name):
    source = GymnasiumSource.load(name, Rollouts(HostNoise(), episodes=2, steps=40, seed=3))
    trajectories = list(source.trajectories())
    assert [replay_error(source, trajectory) for trajectory in trajectories] == [0.0, 0.0]
    assert all(same(one, again) for one, again in zip(trajectories, source.trajectories(), strict=True))
    assert not any(trajectory.doubtful for trajectory in trajectories)
    ctrl = np.concatenate([trajectory.ctrl for trajectory in trajectories])
    low, high = source.model.actuator_ctrlrange.T
    assert (
        (low <= ctrl).all()
        and (ctrl <= high).all()
        and ((ctrl == low) | (ctrl == high)).any()
        and len(np.unique(ctrl)) > 4
    )


@pytest.mark.parametrize("name", ["Hopper-v5", "Reacher-v5"])
def test_an_episode_is_what_gymnasium_s_own_loop_gives(name):
    """With all wrappers, from the same seed, and the recorded actions."""
    import gymnasium as gym

    source = GymnasiumSource.load(name, Rollouts(HostNoise(beta=0.0), episodes=2, steps=45, seed=5))
    recorded = list(source.trajectories())[1]
    env = gym.make(name)
    env.reset(seed=reset_seed(5, 1))
    for t in range(recorded.n_steps):
        _, reward, terminated, _, _ = env.step(recorded.ctrl[t])
        assert (reward, terminated) == (recorded.reward[t], recorded.done[t])
        np.testing.assert_array_equal(env.unwrapped.data.qpos, recorded.qpos[t + 1])
    assert terminated == (name == "Hopper-v5")  # under noise it falls
    assert recorded.done[:-1].sum() == 0


def test_a_function_of_one_s_own_observes_what_gymnasium_shows(tmp_path):
    (tmp_path / "policy.py").write_text("def act(obs, rng):\n    return obs[4:6] + rng.normal(0, 1e-3, 2)\n")
    from jacdb.ingest.sources.host_policies import FunctionPolicy

    asked = Rollouts(FunctionPolicy(f"{tmp_path}/policy.py:act"), episodes=1, steps=3)
    [trajectory] = GymnasiumSource.load("Reacher-v5", asked).trajectories()
    assert np.abs(trajectory.ctrl - trajectory.qpos[:-1, 2:]).max() < 1e-2  # the target's position is observed there


def test_a_source_says_what_its_rows_are_from():
    source = GymnasiumSource.load("Pusher-v5", Rollouts(HostZero(), episodes=1, steps=1))
    assert (source.suite, source.name, source.n_substeps) == ("gymnasium", "Pusher-v5", 5)
    assert source.provenance().keys() == {"source", "source_version"}
    assert all(source.provenance().values())


def test_options_reach_the_environment():
    assert gymnasium.load("Reacher-v5", frame_skip=7)[1] == 7


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("HalfCheeta-v5", {}, "HalfCheeta-v5"),
        ("HalfCheetah-v2", {}, "HalfCheetah-v2"),
        ("CartPole-v1", {}, "no MuJoCo model"),
        ("Reacher-v5", {"speed": 3}, "speed"),
        ("Reacher-v5", {"xml_file": "/nowhere.xml"}, "/nowhere.xml"),
    ],
)
def test_what_gymnasium_can_not_make_is_told_in_one_line(name, options, said):
    with pytest.raises(UsageError) as raised:
        gymnasium.load(name, **options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
