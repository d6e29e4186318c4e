"""Why recorded steps are not what the model does: one line for each habit of recordings that is known."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import recorded_arm

from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import diagnosis, replay

MODEL = recorded_arm.load()


def _trajectories(folder, recorded, without=""):
    np.savez(folder / "some.npz", **{name: values for name, values in recorded.items() if name != without})
    return recordings.open(folder / "some.npz", model=MODEL, n_substeps=recorded_arm.SUBSTEPS).trajectories()


def test_why_steps_fail_is_said(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    [right] = _trajectories(tmp_path, recorded)
    [late] = _trajectories(tmp_path, recorded | {"ctrl": np.roll(recorded["ctrl"], 1, axis=0)}, without="warmstart")
    other = recorded_arm.load()
    other.body_mass[:] *= 2
    other.opt.timestep = 0.004
    heavier = recorded_arm.rolled(other)
    [heavy] = _trajectories(tmp_path, heavier, without="warmstart")
    for one, n_substeps, said in [
        (right, 10, "looks like 5 physics steps, not 10: --substeps 5"),
        (late, 5, "ctrl looks one row late"),
        (heavy, 5, "is not the recording's"),
    ]:
        assert said in diagnosis.reason(MODEL, n_substeps, one, 1e-6)
    other = recorded_arm.load()
    other.opt.timestep = 0.002
    assert "timestep of the data looks like 0.004 s, the model has 0.002 s" in diagnosis.reason(other, 5, right, 1e-6)


def test_velocities_in_another_unit_are_not_replayed_by_thousands_of_physics_steps(tmp_path, monkeypatch):
    [one] = _trajectories(tmp_path, recorded_arm.rolled(MODEL), without="warmstart")
    slow, step, counts = replace(one, qvel=one.qvel / 1e4), mujoco.mj_step, []

    def counted(model, data, nstep):
        counts.append(nstep)
        step(model, data, nstep=nstep)

    monkeypatch.setattr(mujoco, "mj_step", counted)
    assert "MuJoCo's version is not" in diagnosis.reason(MODEL, recorded_arm.SUBSTEPS, slow, 1e-6) and max(counts) == 5


@pytest.mark.slow
def test_angles_that_jump_by_whole_turns_are_told(tmp_path):
    """As loggers do that keep an angle in [-pi, pi), or that lose count of turns."""
    swing = '<joint name="swing" axis="0 1 0" damping=".01"/><geom type="capsule" size=".05" fromto="0 0 0 0 0 -.5"/>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody><body>{swing}</body></worldbody></mujoco>")
    rolled = recorded_arm.rolled(model, n_substeps=1)
    turns = np.resize([0, 1, -2, 0, 3], len(rolled["qpos"]))[:, None]
    np.savez(tmp_path / "swing.npz", qpos=rolled["qpos"] + 2 * np.pi * turns, qvel=rolled["qvel"])
    [one] = recordings.open(tmp_path / "swing.npz", model=model).trajectories()
    assert diagnosis.reason(model, 1, one, 1e-6) == (
        "the angle of hinge swing jumps by whole turns from row to row, the model's goes on: "
        "unwrap it, by np.unwrap of each episode's angles (rad)"
    )


def _w_last(qpos, qvel):
    qpos[:, 3:7] = np.roll(qpos[:, 3:7], -1, axis=1)


def _along_the_worlds_axes(qpos, qvel):
    for row, quat in zip(qvel, qpos[:, 3:7].copy(), strict=True):
        mujoco.mju_rotVecQuat(row[3:6], row[3:6].copy(), quat)


def _as_other_simulators(qpos, qvel):
    _along_the_worlds_axes(qpos, qvel)
    _w_last(qpos, qvel)


def _in_degrees(qpos, qvel):
    qpos[:, 7:], qvel[:, 6:] = np.degrees(qpos[:, 7:]), np.degrees(qvel[:, 6:])


ORDER = "quaternions look like x, y, z, w: MuJoCo has w first"
AXES = "angular velocities of free joints look like the world's axes': MuJoCo's are along the body's own"


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        (_w_last, ORDER),
        (_along_the_worlds_axes, AXES),
        (_as_other_simulators, f"{ORDER}, and {AXES}"),
        (
            _in_degrees,
            'hinges look recorded in degrees: MuJoCo has rad and rad/s (unit = "deg" in a file for --mapping)',
        ),
    ],
)
def test_habits_of_other_recorders_are_told(tmp_path, habit, said):
    [one] = _trajectories(tmp_path, recorded_arm.rolled(MODEL), without="warmstart")
    qpos, qvel = one.qpos.copy(), one.qvel.copy()
    habit(qpos, qvel)
    assert diagnosis.reason(MODEL, recorded_arm.SUBSTEPS, replace(one, qpos=qpos, qvel=qvel), 1e-6) == said


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_physics_steps_are_told_from_a_longer_timestep(tmp_path, dtype):
    """Both explain float32 to within its tolerance, and a longer timestep has other Jacobians."""
    swing = '<joint axis="0 1 0" damping=".01"/><geom type="capsule" size=".05" fromto="0 0 0 0 0 -.5"/>'
    text = f'<mujoco><option timestep="{{}}"/><worldbody><body>{swing}</body></worldbody></mujoco>'
    short, long = (mujoco.MjModel.from_xml_string(text.format(timestep)) for timestep in (0.005, 0.01))
    said = []
    for of, n_substeps, model in ((short, 2, short), (long, 1, short)):
        rolled = recorded_arm.rolled(of, n_substeps=n_substeps)
        states = {name: rolled[name].astype(dtype) for name in ("qpos", "qvel")}
        np.savez(tmp_path / "swing.npz", **states)
        [one] = recordings.open(tmp_path / "swing.npz", model=model).trajectories()
        said.append(diagnosis.reason(model, 1, one, replay.tolerance(np.dtype(dtype))))
    assert "looks like 2 physics steps, not 1: --substeps 2" in said[0]
    assert "timestep of the data looks like 0.01 s" in said[1]


def test_contact_margins_of_before_are_recognised(tmp_path):
    """Two geoms of margin 0.02 had a contact margin of 0.02; now it takes 0.01 each."""
    before, now = recorded_arm.load(), recorded_arm.load()
    before.geom_margin[:], now.geom_margin[:] = 0.01, 0.02
    np.savez(tmp_path / "before.npz", **recorded_arm.rolled(before))
    [one] = recordings.open(tmp_path / "before.npz", model=now, n_substeps=5).trajectories()
    assert (replay.replay(now, 5, one).error > 1e-6).mean() > 0.9
    assert "halve the margins" in diagnosis.reason(now, 5, one, 1e-6)
