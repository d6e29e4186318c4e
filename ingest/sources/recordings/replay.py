"""Takes recorded steps again, in the C engine that is installed: does the model do what was recorded?

Old recordings come from other versions of MuJoCo, of the model, or of neither. Each step starts from its recorded
state, so errors do not add up: the error of a step is that of this step alone.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb import installation
from jacdb.ingest.sources.trajectory import Trajectory

# Steps whose error is above are not the model's. States in float32 are rounded by 6e-8; in Gymnasium's environments
# that makes errors of 4e-8 in the median and 4e-6 at most, in HalfCheetah (up to 1,000 random steps of each).
TOLERANCES = {"float64": 1e-6, "float32": 1e-4}


@dataclass(frozen=True)
class Replay:
    """A trajectory's steps, taken again by the installed engine.

    Attributes:
        error: of each step: the distance of the state after it from the recorded one, relative to the recorded one
            where that is larger than 1: ``|x' - y| / max(1, |y|)``. The difference is in tangent coordinates of
            qpos (a rotation as a vector, rad), qvel and act, the norm Euclidean; infinite where the engine has NaN.
        warmstart: what the solver started each step from (qacc_warmstart): recorded, or as it followed from the
            step before, from zero in the first.
    """

    error: Float[np.ndarray, " steps"]
    warmstart: Float[np.ndarray, "steps nv"]


def tolerance(dtype: np.dtype) -> float:
    """Return the error up to which a replayed step counts as the recorded one, by the precision of what was stored."""
    return TOLERANCES["float64" if dtype.itemsize >= 8 else "float32"]


def replays(
    model: mujoco.MjModel, n_substeps: int, trajectories: Iterable[Trajectory], threads: int | None = None
) -> Iterator[tuple[Trajectory, Replay]]:
    """Yield each trajectory with its replay, in order; episodes run beside each other, a thread each.

    Args:
        model: the model that they are said to be of.
        n_substeps: physics steps in one control step.
        trajectories: read as they are needed, a few ahead.
        threads: as many as this process may use cores by default.
    """
    threads = threads or installation.cores()
    waiting: deque[tuple[Trajectory, Future[Replay]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for one in trajectories:
            waiting.append((one, pool.submit(replay, model, n_substeps, one)))
            if len(waiting) > 2 * threads:
                ahead, future = waiting.popleft()
                yield ahead, future.result()
        for ahead, future in waiting:
            yield ahead, future.result()


def replay(model: mujoco.MjModel, n_substeps: int, trajectory: Trajectory) -> Replay:
    """Return the errors and warm starts of a trajectory's steps.

    The solver of each step starts from what the one before has found, as it did when the steps were recorded. What
    that costs when it is left out: 1e-13 in HalfCheetah, 2e-6 in Humanoid. ``mujoco.rollout`` takes a warm start
    for the first of its steps and gives none back, so the loop over steps is here; each releases Python's lock.
    """
    data = mujoco.MjData(model)
    error, warmstart = np.empty(trajectory.n_steps), np.empty((trajectory.n_steps, model.nv))
    for step in range(trajectory.n_steps):
        set_step(data, trajectory, step)
        warmstart[step] = data.qacc_warmstart
        mujoco.mj_step(model, data, nstep=n_substeps)
        error[step] = step_error(model, data, trajectory, step)
    return Replay(error, warmstart)


def set_step(data: mujoco.MjData, trajectory: Trajectory, step: int) -> None:
    """Set what a step starts from; the warm start stays what it is if none was recorded."""
    data.qpos[:] = trajectory.qpos[step]
    data.qvel[:] = trajectory.qvel[step]
    data.act[:] = trajectory.act[step]
    data.ctrl[:] = trajectory.ctrl[step]
    if trajectory.warmstart is not None:
        data.qacc_warmstart[:] = trajectory.warmstart[step]
    if trajectory.mocap_pos is not None:
        data.mocap_pos[:] = trajectory.mocap_pos[step]
    if trajectory.mocap_quat is not None:
        data.mocap_quat[:] = trajectory.mocap_quat[step]


def difference(
    model: mujoco.MjModel, data: mujoco.MjData, trajectory: Trajectory, step: int
) -> Float[np.ndarray, " d_state"]:
    """Return the engine's state minus the recorded one after a step, in tangent coordinates."""
    recorded = np.concatenate([trajectory.qpos[step + 1], trajectory.qvel[step + 1], trajectory.act[step + 1]])
    return state_difference(model, np.concatenate([data.qpos, data.qvel, data.act]), recorded)


def state_difference(model: mujoco.MjModel, found: np.ndarray, stored: np.ndarray) -> Float[np.ndarray, " d_state"]:
    """Return a state (qpos, qvel, act) minus another in tangent coordinates, where q and -q are one rotation."""
    positions = np.empty(model.nv)
    mujoco.mj_differentiatePos(model, positions, 1.0, stored[: model.nq], found[: model.nq])
    return np.concatenate([positions, found[model.nq :] - stored[model.nq :]])


def step_error(model: mujoco.MjModel, data: mujoco.MjData, trajectory: Trajectory, step: int) -> float:
    """Return the error of a step that the engine has just taken (see :class:`Replay`)."""
    recorded = (trajectory.qpos[step + 1], trajectory.qvel[step + 1], trajectory.act[step + 1])
    size = np.sqrt(sum(float(part @ part) for part in recorded))
    distance = float(np.linalg.norm(difference(model, data, trajectory, step)))
    return distance / max(1.0, size) if np.isfinite(distance) else np.inf


def first_steps(trajectory: Trajectory, n_steps: int) -> Trajectory:
    """Return the beginning of a trajectory."""
    whole = trajectory

    def cut(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[:n_steps]

    return Trajectory(
        whole.qpos[: n_steps + 1], whole.qvel[: n_steps + 1], whole.act[: n_steps + 1], whole.ctrl[:n_steps],
        whole.reward[:n_steps], whole.done[:n_steps], cut(whole.warmstart), cut(whole.mocap_pos),
        cut(whole.mocap_quat), list(itertools.islice(whole.doubtful, n_steps)),
    )  # fmt: skip
