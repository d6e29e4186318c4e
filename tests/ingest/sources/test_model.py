"""A model of one's own as a source: where episodes begin, what chooses ctrl, and the same steps taken again."""

import mujoco
import numpy as np
import pytest
from replayed import replay_error, same

from jacdb.errors import UsageError
from jacdb.ingest.models.loading import load
from jacdb.ingest.sources.host_policies import FunctionPolicy, HostNoise, HostZero
from jacdb.ingest.sources.model import InitialStates, ModelSource
from jacdb.ingest.sources.rollouts import Rollouts

# A free body with an arm, a ball joint, a muscle, a servo without ctrlrange, a mocap body, and two keyframes
ROBOT = """
<mujoco>
  <option timestep="0.004"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="target" mocap="true" pos="1 0 1"/>
    <body name="torso" pos="0 0 .5">
      <freejoint/>
      <geom size=".1" mass="2"/>
      <body pos="0 0 .1">
        <joint name="arm" type="hinge" axis="0 1 0" range="-1 1" limited="true" damping=".5"/>
        <geom type="capsule" size=".03" fromto="0 0 0 .3 0 0" mass=".5"/>
        <body pos=".3 0 0">
          <joint name="wrist" type="ball" damping=".1"/>
          <geom size=".05" pos=".1 0 0" mass=".2"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <muscle name="muscle" joint="arm" lengthrange="-1 1" ctrlrange="0 1"/>
    <position name="servo" joint="arm" kp="3"/>
  </actuator>
  <keyframe>
    <key name="home" qpos="0 0 .3 1 0 0 0 .2 1 0 0 0" act=".4" ctrl="0 .1" mpos="2 0 0"/>
    <key name="bent" qpos="0 0 .3 .6 .8 0 0 1.2 1 0 0 0"/>
  </keyframe>
</mujoco>
"""


NOISE = HostNoise()


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    path = tmp_path_factory.mktemp("robot") / "my robot.xml"
    path.write_text(ROBOT)
    return load(str(path))


def source_of(robot, policy=NOISE, episodes=3, steps=25, seed=0, **initial):
    return ModelSource(robot, 5, Rollouts(policy, episodes, steps, seed), InitialStates(**initial))


def test_recorded_steps_are_the_c_engine_s_bit_for_bit(robot):
    source = source_of(robot, keyframe="home")
    trajectories = list(source.trajectories())
    assert [replay_error(source, trajectory) for trajectory in trajectories] == [0.0] * 3
    assert source.name == "my_robot" and trajectories[0].n_steps == 25
    assert not same(*trajectories[:2])
    assert all(np.isnan(trajectory.reward).all() and not trajectory.done.any() for trajectory in trajectories)
    assert (trajectories[0].mocap_pos == [2, 0, 0]).all()  # the keyframe's, not the model's


def test_an_episode_is_the_same_whatever_runs_beside_it(robot):
    alone = list(source_of(robot, episodes=1).trajectories())
    many = list(source_of(robot, episodes=5).trajectories())
    assert same(alone[0], many[0])


def test_an_episode_begins_at_the_keyframe_with_noise_in_the_tangent_space(robot):
    model = robot.model
    begins = [t.qpos[0] for t in source_of(robot, steps=1, episodes=200, keyframe="bent").trajectories()]
    for quaternion in (slice(3, 7), slice(8, 12)):
        np.testing.assert_allclose(np.linalg.norm(np.array(begins)[:, quaternion], axis=1), 1, atol=1e-12)
    moved = np.zeros((200, model.nv))
    for i, begin in enumerate(begins):
        mujoco.mj_differentiatePos(model, moved[i], 1.0, model.key_qpos[1], begin)
    arm = model.joint("arm").dofadr[0]
    free = np.delete(moved, arm, axis=1)
    assert (abs(free.std(axis=0) - 0.01) < 0.002).all()
    assert (abs(free.mean(axis=0)) < 0.003).all()
    assert moved[:, arm].max() < 1e-12  # it begins beyond its limit, and is not pushed further


def test_without_noise_an_episode_begins_where_the_model_says(robot):
    quiet = {"position_noise": 0.0, "velocity_noise": 0.0}
    [home] = source_of(robot, HostZero(), episodes=1, steps=1, keyframe="0", **quiet).trajectories()
    np.testing.assert_array_equal(home.qpos[0], robot.model.key_qpos[0])
    np.testing.assert_array_equal(home.act[0], [0.4])
    [rest] = source_of(robot, HostZero(), episodes=1, steps=1, **quiet).trajectories()
    np.testing.assert_array_equal(rest.qpos[0], robot.model.qpos0)
    assert not rest.qvel[0].any() and not rest.ctrl.any()


def test_noise_keeps_to_ctrlrange_and_has_deviation_scale_where_there_is_none(robot):
    source = source_of(robot, HostNoise(beta=0.0, scale=2.0), episodes=1, steps=2000)
    [trajectory] = source.trajectories()
    muscle, servo = trajectory.ctrl.T
    assert (muscle.min(), muscle.max()) == (0.0, 1.0)
    assert abs(servo.std() - 2.0) < 0.1 and np.abs(servo).max() > 4.0


def test_a_function_of_one_s_own_observes_the_state(robot, tmp_path):
    (tmp_path / "own.py").write_text(
        "import dataclasses\n"
        "def act(obs, rng):\n    return [obs[-1], obs[7]]\n"
        "@dataclasses.dataclass\nclass Clock:\n    step: int = 0\n"
        "    def __call__(self, obs, rng):\n        self.step += 1\n        return [0.0, self.step]\n"
    )
    [trajectory] = source_of(robot, FunctionPolicy(f"{tmp_path}/own.py:act"), episodes=1).trajectories()
    np.testing.assert_array_equal(trajectory.ctrl[:, 0], trajectory.act[:-1, 0])
    np.testing.assert_array_equal(trajectory.ctrl[:, 1], trajectory.qpos[:-1, 7])
    clocked = source_of(robot, FunctionPolicy(f"{tmp_path}/own.py:Clock"), episodes=3).trajectories()
    assert [list(trajectory.ctrl[:3, 1]) for trajectory in clocked] == [[1, 2, 3]] * 3  # anew in each episode


def test_an_episode_ends_where_mujoco_finds_it_unstable(tmp_path):
    path = tmp_path / "wild.xml"
    path.write_text(
        '<mujoco><worldbody><body><joint/><geom size=".1" mass="1e-6"/></body></worldbody><actuator>'
        '<velocity joint="joint" kv="1e4"/></actuator></mujoco>'.replace("<joint/>", '<joint name="joint"/>')
    )
    source = source_of(load(str(path)), episodes=1, steps=50, velocity_noise=1e3)
    [trajectory] = source.trajectories()
    assert trajectory.n_steps < 50
    assert trajectory.doubtful == [""] * (trajectory.n_steps - 1) + ["unstable: MuJoCo reset the simulation"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"keyframe": "hom"}, "no keyframe 'hom': there are bent, home; did you mean home?"),
        ({"keyframe": "2"}, "no keyframe '2'"),
        ({"position_noise": -1.0}, "position_noise=-1.0"),
        ({"velocity_noise": float("nan")}, "velocity_noise=nan"),
    ],
)
def test_an_initial_state_that_there_is_not_is_told(robot, settings, said):
    with pytest.raises(UsageError) as raised:
        source_of(robot, **settings)
    assert said in str(raised.value)


def test_what_can_not_be_rolled_out_is_told(robot, tmp_path):
    for substeps in (0, 10**12):
        with pytest.raises(UsageError, match=f"substeps={substeps}: give a whole number from 1 to 100,000"):
            ModelSource(robot, substeps, Rollouts(HostZero(), 1, 1))
    (tmp_path / "CheetahRun.xml").write_text(ROBOT)
    with pytest.raises(UsageError, match="an environment of Playground"):
        source_of(load(f"{tmp_path}/CheetahRun.xml"))
    (tmp_path / "rock.xml").write_text('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
    with pytest.raises(UsageError, match="nothing moves in"):
        source_of(load(f"{tmp_path}/rock.xml"))
