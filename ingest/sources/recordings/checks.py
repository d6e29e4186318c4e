"""The checks that make a trajectory of recorded arrays."""

import itertools
from collections.abc import Mapping

import mujoco
import numpy as np

from jacdb.errors import UsageError
from jacdb.ingest.sources.trajectory import Trajectory

NORM_TOLERANCE = 1e-3  # of a quaternion's length; float32 is off by 1e-7
MINVAL = 1e-15  # MuJoCo's mjMINVAL: what is nearer to unit length than this, it leaves as it is
Arrays = Mapping[str, np.ndarray]  # by the names of Trajectory's attributes


def trajectory(
    model: mujoco.MjModel, where: str, arrays: Arrays, doubtful: list[str] | None = None, unit_length: bool = True
) -> Trajectory:
    """Return recorded arrays as a trajectory, in float64, its quaternions at unit length.

    Args:
        model: the model that they are said to be of.
        where: what messages call them, ``runs.npz, episode 3`` say.
        arrays: qpos and qvel (T + 1, …); ctrl (T, …) where the model has actuators, act where it has activations;
            reward, done, warmstart, mocap_pos and mocap_quat if they are known. Those of steps may have a row for the
            last state too, which is left out.
        doubtful: the reason why a step's state is not what the simulation had; empty where there is none.
        unit_length: refuse quaternions that are not near unit length. Where the simulation itself began with such
            (MuJoCo takes them as if they were of unit length), they are scaled.

    Raises:
        UsageError: sizes that do not fit the model or each other, NaN, quaternions that are none, steps after one that
            ended the episode.
    """
    states = {name: _states(model, where, arrays, name, size) for name, size in _state_sizes(model).items()}
    n_steps = len(states["qpos"]) - 1
    for name, values in states.items():
        if len(values) != n_steps + 1:
            raise UsageError(f"{where}: {len(values)} rows of {name} to {n_steps + 1} of qpos: give each state both")
    if n_steps < 1:
        raise UsageError(f"{where}: {n_steps + 1} state: a step needs the state before and the one after it")
    steps = {name: _steps(where, arrays, name, shape, n_steps) for name, shape in _step_shapes(model).items()}
    ctrl, reward, done = (steps[name] for name in ("ctrl", "reward", "done"))
    if ctrl is None and not model.nu:
        ctrl = np.zeros((n_steps, 0))
    if ctrl is None:
        raise UsageError(f"{where}: no ctrl: what the actuators were given is the action of each step")
    if done is not None and done[:-1].any():
        row = int(np.argmax(done != 0))
        raise UsageError(
            f"{where}: done is True in row {row}, and the episode has {n_steps} steps: let another begin after it, "
            "or leave done out"
        )
    _unit_quaternions(model, where, states["qpos"], unit_length)
    if (quats := steps["mocap_quat"]) is not None:
        _scale(where, "mocap_quat", quats.reshape(-1, 4), unit_length)
    return Trajectory(
        qpos=states["qpos"],
        qvel=states["qvel"],
        act=states["act"],
        ctrl=ctrl,
        reward=np.full(n_steps, np.nan) if reward is None else reward,
        done=np.zeros(n_steps, bool) if done is None else done != 0,
        warmstart=steps["warmstart"],
        mocap_pos=steps["mocap_pos"],
        mocap_quat=steps["mocap_quat"],
        doubtful=doubtful or [],
    )


def episodes_with_steps(
    where: str, over: np.ndarray, ends: list[int], flag: str, remedy: str
) -> list[tuple[int, slice]]:
    """Return the number and the rows of each episode that has a step; one of a single row has no state after it.

    Args:
        where: what messages call the rows.
        over: whether each row is said to end an episode.
        ends: the row after the last of each episode.
        flag: the columns that say so, for messages.
        remedy: what to do where they say it of every row.

    Raises:
        UsageError: there are several episodes, and none has a step.
    """
    every = list(enumerate(itertools.starmap(slice, itertools.pairwise([0, *ends]))))
    found = with_steps(every)
    if len(every) > 1 and not found:
        rows = "every row" if over.all() else "every row but the last"
        raise UsageError(f"{where}: {flag} is True in {rows}: no step has a state after it; {remedy}")
    return found or every


def with_steps[Number](episodes: list[tuple[Number, slice]]) -> list[tuple[Number, slice]]:
    """Return the episodes of more rows than one: a step needs the state after it."""
    return [(number, rows) for number, rows in episodes if rows.stop - rows.start > 1]


def _state_sizes(model: mujoco.MjModel) -> dict[str, int]:
    return {"qpos": model.nq, "qvel": model.nv, "act": model.na}


def _step_shapes(model: mujoco.MjModel) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"ctrl": (model.nu,), "reward": (), "done": (), "warmstart": (model.nv,)}
    return shapes | {"mocap_pos": (model.nmocap, 3), "mocap_quat": (model.nmocap, 4)}


def _states(model: mujoco.MjModel, where: str, arrays: Arrays, name: str, size: int) -> np.ndarray:
    """Return one of the parts of the state, (T + 1, size)."""
    if name not in arrays:
        if size == 0:
            return np.zeros((len(arrays.get("qpos", ())), 0))
        why = "actuators' activations are state" if name == "act" else "positions and velocities are the state"
        raise UsageError(f"{where}: no {name}, of which the model has {size}: {why}; record it, or name its column")
    values = _numbers(where, name, arrays[name])
    if values.ndim == 1 and size == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] != size:
        sizes = f"nq = {model.nq}, nv = {model.nv}, na = {model.na}, nu = {model.nu}"
        got = values.shape[1] if values.ndim == 2 else f"an array of {values.ndim} dimensions instead of"
        raise UsageError(f"{where}: {name} has {got} numbers a row, the model {size} ({sizes}): is it another model's?")
    _finite(where, name, values)
    return values


def _steps(where: str, arrays: Arrays, name: str, shape: tuple[int, ...], n_steps: int) -> np.ndarray | None:
    """Return what is recorded of each step, (T, …); None if it is not, or the model has none of it."""
    if name not in arrays or (0 in shape and name != "ctrl"):
        return None
    values = _numbers(where, name, arrays[name])
    if len(values) not in (n_steps, n_steps + 1):
        raise UsageError(
            f"{where}: {len(values)} rows of {name} to {n_steps + 1} states: give one for each step, {n_steps}"
        )
    values = values[:n_steps]
    if values.size != n_steps * int(np.prod(shape)):
        got = values.size // n_steps
        raise UsageError(f"{where}: {name} has {got} numbers a row, the model {int(np.prod(shape))}: is it another's?")
    if name == "done":
        values = np.where(np.isnan(values), 0.0, values)  # null, as some write it of every step that ended nothing
    if name != "reward":  # it may be unknown
        _finite(where, name, values)
    return values.reshape(n_steps, *shape)


def _numbers(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """Return an array as float64, a copy."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or values.ndim == 0:
        kind = "a single value" if values.ndim == 0 else f"of type {values.dtype}"
        raise UsageError(f"{where}: {name} is {kind}: give an array of numbers, one row a step")
    return values.astype(np.float64)


def _finite(where: str, name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise UsageError(
            f"{where}: {name} is {values[row][~np.isfinite(values[row])][0]} in row {row}: leave such episodes out"
        )


def _unit_quaternions(model: mujoco.MjModel, where: str, qpos: np.ndarray, unit_length: bool) -> None:
    """Scale the quaternions of free and ball joints to unit length, in place."""
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    for joint, (kind, start) in enumerate(zip(model.jnt_type, model.jnt_qposadr, strict=True)):
        if kind in (free, ball):
            at = start + (3 if kind == free else 0)
            label = f"the quaternion of joint {model.joint(joint).name or joint}"
            _scale(where, label, qpos[:, at : at + 4], unit_length)


def _scale(where: str, label: str, quats: np.ndarray, unit_length: bool) -> None:
    norms = np.linalg.norm(quats, axis=1)
    far = np.abs(norms - 1) > (NORM_TOLERANCE if unit_length else 1 - MINVAL)
    if far.any():
        row = int(np.argmax(far))
        raise UsageError(
            f"{where}: {label} has length {norms[row]:.4g} in row {row}, not 1: it is w, x, y, z in MuJoCo's order; "
            "are the columns of qpos in the model's order?"
        )
    off = np.abs(norms - 1) > MINVAL
    quats[off] /= norms[off, None]
