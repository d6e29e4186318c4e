"""Why recorded steps are not what the model does: guesses that are tried, so that one line can say what to change."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.ingest.sources.recordings.replay import difference, first_steps, set_step
from jacdb.ingest.sources.trajectory import Trajectory

SAMPLE = 50  # steps that are tried
MOVING = 1e-3  # rad/s, m/s: slower coordinates say nothing of time
MOST_SUBSTEPS = 1000  # of one control step; what looks like more has velocities in another unit
SAME_TIME = 0.03  # relative: the mean of two velocities is not the step's own
# A guess is right if under it a third as many entries are off: coordinates that no observation has follow the model,
# and stay off whatever is guessed.
EXPLAINED = 1 / 3
COARSER = 100
EXACT = 0.01  # of the tolerance: what is nearer explains no better


class _Guess(NamedTuple):
    """Something that may be otherwise than in the recording, and what it would be."""

    says: str
    model: mujoco.MjModel
    n_substeps: int
    trajectory: Trajectory


def reason(model: mujoco.MjModel, n_substeps: int, trajectory: Trajectory, tolerance: float) -> str:
    """Return in one line why steps of a trajectory are not the model's.

    It tries other timesteps and numbers of physics steps, whichever the displacements and velocities suggest, contact
    margins as they were once, hinges' angles without jumps of whole turns, angles in degrees, orientations and angular
    velocities as other simulators have them, and controls that belong to a neighbouring row. If none explains the
    steps, it names the coordinate that is off most.

    Args:
        model, n_substeps: what they were replayed with.
        trajectory: one whose steps fail; its first steps are tried.
        tolerance: the error above which an entry of the state counts as off.
    """
    few = first_steps(trajectory, SAMPLE)
    deviations = _deviations(model, n_substeps, few)
    guesses = list(_guesses(model, n_substeps, few))
    left = [_deviations(guess.model, guess.n_substeps, guess.trajectory) for guess in guesses]
    for limit in (tolerance, COARSER * tolerance):  # what remains may be of the version's solver
        explain = [
            (float(np.clip(off, EXACT * tolerance, limit).sum()), place)
            for place, off in enumerate(left)
            if (off > limit).sum() < EXPLAINED * (deviations > limit).sum()
        ]
        if explain:  # several may, of coarse numbers: a longer timestep is nearly as many physics steps
            return guesses[min(explain)[1]].says
    dt, step = _elapsed(model, few), model.opt.timestep * n_substeps
    if dt is not None and abs(dt / step - 1) > SAME_TIME:
        return (
            f"by displacements and velocities the data move {dt:.3g} s a step, the model {step:.3g} s "
            f"({n_substeps} x {model.opt.timestep:g} s); no other timestep explains all: is the model another, too?"
        )
    off = deviations > tolerance
    worst = int(off.sum(0).argmax())
    return (
        f"steps take the recorded time, and {_coordinate(model, worst)} is off in {off[:, worst].mean():.0%} of them: "
        "the columns' order or units, the model (masses, gains, contacts, integrator) or MuJoCo's version is not the "
        "recording's"
    )


def _guesses(model: mujoco.MjModel, n_substeps: int, few: Trajectory) -> Iterator[_Guess]:
    """Yield what may be otherwise, likeliest first."""
    dt, timestep = _elapsed(model, few), model.opt.timestep
    if dt is not None and abs(dt / (timestep * n_substeps) - 1) > SAME_TIME:
        count = round(dt / timestep)
        if 1 <= count <= MOST_SUBSTEPS:
            says = f"a step of the data looks like {count} physics steps, not {n_substeps}: --substeps {count}"
            yield _Guess(says, model, count, few)
        # a few digits: people choose round numbers, and the estimate is not exact
        others = dict.fromkeys(float(f"{dt / n_substeps:.{digits}g}") for digits in (1, 2, 3))
        for other in others:
            says = (
                f"timestep of the data looks like {other:g} s, the model has {timestep:g} s: "
                "set it in the model's <option timestep>"
            )
            yield _Guess(says, _with_timestep(model, other), n_substeps, few)
    if model.geom_margin.any():
        says = (
            "the data look like MuJoCo's before 3.5, where a contact had the larger margin of its two geoms, not their "
            "sum: halve the margins of the model's geoms"
        )
        yield _Guess(says, _with_half_margins(model), n_substeps, few)
    yield from _without_whole_turns(model, n_substeps, few)
    yield from _in_radians(model, n_substeps, few)
    yield from _in_mujocos_frames(model, n_substeps, few)
    if few.n_steps > 2:
        shifted = {
            "late": np.concatenate([few.ctrl[1:], few.ctrl[-1:]]),
            "early": np.concatenate([few.ctrl[:1], few.ctrl[:-1]]),
        }
        for when, ctrl in shifted.items():
            says = f"ctrl looks one row {when}: the ctrl of a row acts from its own state to the next row's"
            yield _Guess(says, model, n_substeps, replace(few, ctrl=ctrl))


def _without_whole_turns(model: mujoco.MjModel, n_substeps: int, few: Trajectory) -> Iterator[_Guess]:
    """Yield the trajectory whose hinges turn less than half a turn from row to row, if theirs turn more."""
    hinges = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    places, qpos = model.jnt_qposadr[hinges], few.qpos.copy()
    qpos[:, places] = np.unwrap(few.qpos[:, places], axis=0)
    jump = np.abs(qpos - few.qpos)[:, places].max(axis=0, initial=0.0) > np.pi
    if jump.any():
        names = ", ".join(str(model.joint(joint).name or joint) for joint in hinges[jump])
        says = (
            f"the angle of hinge {names} jumps by whole turns from row to row, the model's goes on: "
            "unwrap it, by np.unwrap of each episode's angles (rad)"
        )
        yield _Guess(says, model, n_substeps, replace(few, qpos=qpos))


def _in_radians(model: mujoco.MjModel, n_substeps: int, few: Trajectory) -> Iterator[_Guess]:
    """Yield the trajectory whose hinges' angles and velocities are recorded in degrees, if there are hinges."""
    hinges = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
    if hinges.any():
        qpos, qvel = few.qpos.copy(), few.qvel.copy()
        qpos[:, model.jnt_qposadr[hinges]] *= np.pi / 180
        qvel[:, model.jnt_dofadr[hinges]] *= np.pi / 180
        says = 'hinges look recorded in degrees: MuJoCo has rad and rad/s (unit = "deg" in a file for --mapping)'
        yield _Guess(says, model, n_substeps, replace(few, qpos=qpos, qvel=qvel))


def _in_mujocos_frames(model: mujoco.MjModel, n_substeps: int, few: Trajectory) -> Iterator[_Guess]:
    """Yield the trajectory of other simulators' orientations (x, y, z, w) and free joints' angular velocities.

    Many simulators give the latter in the world's axes. A recording may have one of both habits, or both.
    """
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    starts = model.jnt_qposadr + np.where(free, 3, 0)
    w_first = few.qpos.copy()
    for at in starts[free | (model.jnt_type == mujoco.mjtJoint.mjJNT_BALL)]:
        w_first[:, at : at + 4] = few.qpos[:, [at + 3, at, at + 1, at + 2]]
    for qpos, order in ((few.qpos, ""), (w_first, "quaternions look like x, y, z, w: MuJoCo has w first")):
        qvel = few.qvel.copy()
        for at, dof in zip(starts[free], model.jnt_dofadr[free] + 3, strict=True):
            for rates, quat in zip(qvel[:, dof : dof + 3], qpos[:, at : at + 4] * (1, -1, -1, -1), strict=True):
                mujoco.mju_rotVecQuat(rates, rates.copy(), quat)
        axes = "angular velocities of free joints look like the world's axes': MuJoCo's are along the body's own"
        if order:
            yield _Guess(order, model, n_substeps, replace(few, qpos=qpos))
        if free.any():
            says = f"{order}, and {axes}" if order else axes
            yield _Guess(says, model, n_substeps, replace(few, qpos=qpos, qvel=qvel))


def _with_half_margins(model: mujoco.MjModel) -> mujoco.MjModel:
    other = copy.copy(model)
    other.geom_margin[:] /= 2
    return other


def _with_timestep(model: mujoco.MjModel, timestep: float) -> mujoco.MjModel:
    other = copy.copy(model)
    other.opt.timestep = timestep
    return other


def _elapsed(model: mujoco.MjModel, few: Trajectory) -> float | None:
    """Return the time of a step (s) by displacements and the mean velocity before and after; None if nothing moves."""
    ratios = []
    displacement = np.empty(model.nv)
    for step in range(few.n_steps):
        mujoco.mj_differentiatePos(model, displacement, 1.0, few.qpos[step], few.qpos[step + 1])
        velocity = (few.qvel[step] + few.qvel[step + 1]) / 2
        # where the velocity turns round within the step, its mean says little
        steady = np.abs(velocity) > np.abs(few.qvel[step + 1] - few.qvel[step]) / 2 + MOVING
        ratios.append(displacement[steady] / velocity[steady])
    every = np.concatenate(ratios)
    return float(np.median(every)) if len(every) and np.median(every) > 0 else None


def _deviations(model: mujoco.MjModel, n_substeps: int, few: Trajectory) -> Float[np.ndarray, "steps d_state"]:
    """Return how far each entry of each replayed state is off; infinite where the engine has NaN."""
    data = mujoco.MjData(model)
    rows = []
    for step in range(few.n_steps):
        set_step(data, few, step)
        mujoco.mj_step(model, data, nstep=n_substeps)
        rows.append(difference(model, data, few, step))
    return np.nan_to_num(np.abs(rows), nan=np.inf)


def _coordinate(model: mujoco.MjModel, index: int) -> str:
    """Return a name of an entry of the state's tangent."""
    if index >= 2 * model.nv:
        return f"activation {index - 2 * model.nv}"
    quantity, dof = ("position", index) if index < model.nv else ("velocity", index - model.nv)
    joint = int(model.dof_jntid[dof])
    return f"the {quantity} of joint {model.joint(joint).name or joint}"
