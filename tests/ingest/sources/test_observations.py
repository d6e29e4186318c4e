"""States that observations tell, held against the states of the very environments that gave the observations."""

import numpy as np
import pytest

from jacdb.errors import UsageError
from jacdb.ingest.sources import gymnasium, suites
from jacdb.ingest.sources.recordings import checks, observations

pytestmark = pytest.mark.skipif(suites.version("gymnasium") is None, reason="needs the gymnasium extra")
NAMES = sorted({*observations.PREFIXES, "InvertedDoublePendulum", "Reacher"})


def rolled(name, n_steps=40, **options):
    """An environment's model, and observations, qpos, qvel and actions of some steps of random actions."""
    env = gymnasium.make(f"{name}-v5", **options)
    rng = np.random.default_rng(1)
    seen = [env.reset(seed=3)[0]]
    states = [(env.data.qpos.copy(), env.data.qvel.copy())]
    few = rng.uniform(*env.model.actuator_ctrlrange.T, (-(-n_steps // 8), env.model.nu))
    actions = few.repeat(8, axis=0)[:n_steps]  # held for a while: velocities grow
    for action in actions:
        seen.append(env.step(action)[0])
        states.append((env.data.qpos.copy(), env.data.qvel.copy()))
    qpos, qvel = (np.array(each) for each in zip(*states, strict=True))
    return env.model, np.array(seen), qpos, qvel, actions


@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_the_simulations_but_for_coordinates_that_nothing_depends_on(name):
    model, seen, qpos, qvel, _ = rolled(name)
    states = observations.states(model, f"{name}-v5", seen)
    known = [each for each in range(model.nq) if each not in states.unknown]
    # angles come back from sine and cosine, all else as it is
    np.testing.assert_allclose(states.qpos[:, known], qpos[:, known], rtol=0, atol=1e-14)
    sure = ~states.clipped
    np.testing.assert_array_equal(states.qvel[sure], qvel[sure])
    np.testing.assert_array_equal(states.clipped, (np.abs(qvel) >= 10) & (name in observations.CLIPPING))


@pytest.mark.parametrize(
    ("name", "options", "unknown"),
    [
        ("Ant", {"include_cfrc_ext_in_observation": False}, (0, 1)),
        ("Ant", {"exclude_current_positions_from_observation": False}, ()),
        ("Humanoid", {"include_cinert_in_observation": False, "include_cvel_in_observation": False}, (0, 1)),
        ("HumanoidStandup", {"include_qfrc_actuator_in_observation": False}, (0, 1)),
        ("Walker2d", {"exclude_current_positions_from_observation": False}, ()),
    ],
)
def test_arguments_that_change_the_observation_are_seen_from_its_size(name, options, unknown):
    model, seen, qpos, *_ = rolled(name, n_steps=3, **options)
    states = observations.states(model, f"{name}-v5", seen)
    assert states.unknown == unknown
    np.testing.assert_array_equal(states.qpos[:, len(unknown) :], qpos[:, len(unknown) :])


def test_angles_go_on_past_half_a_turn():
    model, seen, qpos, *_ = rolled("Reacher", n_steps=300)
    assert np.abs(qpos[:, 0]).max() > 2 * np.pi
    np.testing.assert_allclose(observations.states(model, "Reacher-v5", seen).qpos, qpos, rtol=0, atol=1e-13)


def test_steps_from_and_to_clipped_velocities_are_doubtful():
    states = observations.States(np.zeros((5, 1)), np.zeros((5, 1)), (), np.array([[0], [0], [1], [0], [0]], bool))
    assert states.doubtful == ["", observations.NEXT_CLIPPED, observations.CLIPPED, ""]


@pytest.mark.parametrize("name", sorted(observations.CLIPPING))
def test_clipped_velocities_follow_by_the_engines_steps(name):
    model, seen, _, qvel, actions = rolled(name, n_steps=150)
    states = observations.states(model, f"{name}-v5", seen)
    assert states.clipped.any(1).sum() >= 5
    one = checks.trajectory(model, name, {"qpos": states.qpos, "qvel": states.qvel, "ctrl": actions}, states.doubtful)
    observations.follow(model, gymnasium.load(f"{name}-v5")[1], one, states)
    np.testing.assert_allclose(one.qvel, qvel, rtol=0, atol=1e-8)
    assert [bool(why) for why in one.doubtful] == (states.clipped[:-1] | states.clipped[1:]).any(1).tolist()


@pytest.mark.parametrize(
    ("env", "width", "said"),
    [
        ("Pusher-v5", 23, "the object's position and not its velocity"),
        ("Hopper-v4", 11, "Gymnasium's v5 alone"),
        ("AdroitHandDoor-v1", 39, "qpos and qvel in infos"),
        ("Hopper-v5", 17, "17 numbers; it gives 11, 12"),
        ("Reacher-v5", 11, "11 numbers; it gives 10"),
    ],
)
def test_observations_that_do_not_tell_the_state_are_refused(env, width, said):
    model = gymnasium.load("Hopper-v5")[0]
    with pytest.raises(UsageError) as raised:
        observations.states(model, env, np.zeros((3, width)))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
