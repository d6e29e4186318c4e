"""States of Gymnasium's MuJoCo v5 environments from their observations, where a recording has nothing else.

Each rule is read off the environment's ``_get_obs``. Most leave out x, or x and y: nothing depends on them, so they
start at 0 and follow by the engine's own steps. Contact forces and other quantities that Ant and the humanoids add
follow from the state. A clipped velocity follows by the engine's step, too, and is marked in ``doubtful``; where more
of the state is missing, the environment is refused.
"""

import itertools
from dataclasses import dataclass

import mujoco
import numpy as np

from jacdb.errors import UsageError
from jacdb.ingest.sources.recordings.replay import set_step
from jacdb.ingest.sources.trajectory import Trajectory

CLIP = 10.0  # rad/s, m/s: Hopper, Walker2d and InvertedDoublePendulum clip velocities there
CLIPPED, NEXT_CLIPPED = "velocity clipped in the observation", "next velocity clipped in the observation"
# Environment -> how many of the first positions, x or x and y, its observation leaves out unless asked not to
PREFIXES = {
    "Ant": 2, "HalfCheetah": 1, "Hopper": 1, "Humanoid": 2, "HumanoidStandup": 2, "InvertedPendulum": 0, "Swimmer": 2,
    "Walker2d": 1,
}  # fmt: skip
CLIPPING = {"Hopper", "Walker2d", "InvertedDoublePendulum"}
REFUSED = {
    "Pusher": "its observation has the object's position and not its velocity (4 of 11 numbers of qvel are missing)"
}


@dataclass(frozen=True)
class States:
    """States as far as observations tell them.

    Attributes:
        qpos, qvel: (T + 1, nq) and (T + 1, nv); 0 in coordinates that are unknown.
        unknown: the coordinates, x or x and y, that no observation has.
        clipped: which velocities are at the limit, where they were cut off, (T + 1, nv).
    """

    qpos: np.ndarray
    qvel: np.ndarray
    unknown: tuple[int, ...]
    clipped: np.ndarray

    @property
    def doubtful(self) -> list[str]:
        """Return the reason why a step's state, or the one after it, is not the simulation's; [] if all are."""
        if not self.clipped.any():
            return []
        of_states = self.clipped.any(axis=1)
        pairs = itertools.pairwise(of_states)
        return [CLIPPED if before else NEXT_CLIPPED if after else "" for before, after in pairs]


def states(model: mujoco.MjModel, env: str, observations: np.ndarray) -> States:
    """Return the states that observations tell.

    Args:
        model: the environment's.
        env: Gymnasium's id, ``Hopper-v5``.
        observations: (T + 1, d).

    Raises:
        UsageError: nothing is known of the environment's observations, they do not tell the state, or their size is
            not the environment's.
    """
    name, _, version = env.rpartition("-")
    if name in REFUSED and version == "v5":
        raise UsageError(f"{env}: {REFUSED[name]}; record qpos and qvel, as infos say")
    rules = {"InvertedDoublePendulum": _inverted_double_pendulum, "Reacher": _reacher}
    if version != "v5" or (name not in PREFIXES and name not in rules):
        known = ", ".join(sorted({*PREFIXES, *rules}))
        raise UsageError(
            f"{env}: states follow from observations of Gymnasium's v5 alone ({known}): record qpos and qvel in infos"
        )
    observations = np.asarray(observations, np.float64)
    if name in rules:
        qpos, qvel = rules[name](env, observations)
        unknown: tuple[int, ...] = ()
    else:
        qpos, qvel, unknown = _prefix(model, env, name, observations)
    clipped = np.abs(qvel) >= CLIP if name in CLIPPING else np.zeros(qvel.shape, bool)
    return States(qpos, qvel, unknown, clipped)


def _prefix(
    model: mujoco.MjModel, env: str, name: str, observations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return states from observations that begin with qpos, or all of it but x or x and y, and qvel."""
    left_out = PREFIXES[name]
    for skipped in (left_out, 0):
        if observations.shape[1] in _widths(model, name, skipped):
            n_positions = model.nq - skipped
            qpos = np.zeros((len(observations), model.nq))
            qpos[:, skipped:] = observations[:, :n_positions]
            return qpos, observations[:, n_positions : n_positions + model.nv], tuple(range(skipped))
    usual = sorted(_widths(model, name, left_out) | _widths(model, name, 0))
    raise UsageError(
        f"{env}: observations have {observations.shape[1]} numbers; it gives {', '.join(map(str, usual))}: "
        "is it another environment?"
    )


def _widths(model: mujoco.MjModel, name: str, skipped: int) -> set[int]:
    """Return the sizes that an environment's observations may have: by its arguments, it adds further quantities."""
    n_bodies = model.nbody - 1
    widths = {model.nq - skipped + model.nv}
    cinert, cvel, cfrc_ext = 10 * n_bodies, 6 * n_bodies, 6 * n_bodies
    added = {"Ant": (cfrc_ext,), "Humanoid": (cinert, cvel, model.nv - 6, cfrc_ext)}
    for size in added["Humanoid"] if name == "HumanoidStandup" else added.get(name, ()):
        widths |= {width + size for width in widths}
    return widths


def _inverted_double_pendulum(env: str, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return states from cart, sines and cosines of both angles, velocities, and the cart's constraint force."""
    _expect(env, observations, 9)
    angles = _angles(observations[:, 1:3], observations[:, 3:5])
    return np.concatenate([observations[:, :1], angles], axis=1), observations[:, 5:8]


def _reacher(env: str, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return states from cosines and sines of both angles, the target, and velocities; the target stands still."""
    _expect(env, observations, 10)
    angles = _angles(observations[:, 2:4], observations[:, :2])
    qvel = np.zeros((len(observations), 4))
    qvel[:, :2] = observations[:, 6:8]
    return np.concatenate([angles, observations[:, 4:6]], axis=1), qvel


def _expect(env: str, observations: np.ndarray, width: int) -> None:
    if observations.shape[1] != width:
        raise UsageError(f"{env}: observations have {observations.shape[1]} numbers; it gives {width}: is it another?")


def _angles(sines: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Return angles (rad) that go on without jumps from the first, which is in (-pi, pi]."""
    return np.unwrap(np.arctan2(sines, cosines), axis=0)


def follow(model: mujoco.MjModel, n_substeps: int, trajectory: Trajectory, seen: States) -> None:
    """Fill what observations do not have, in place, each step by the engine from the state before it.

    Coordinates that are unknown start at 0. A velocity that was clipped becomes the engine's, if that is beyond the
    limit on the same side. All else stays as observed: errors of what was filled in show in the replay.
    """
    data = mujoco.MjData(model)
    coordinates = list(seen.unknown)
    for step in range(trajectory.n_steps):
        set_step(data, trajectory, step)
        mujoco.mj_step(model, data, nstep=n_substeps)
        trajectory.qpos[step + 1, coordinates] = data.qpos[coordinates]
        after = trajectory.qvel[step + 1]
        beyond = seen.clipped[step + 1] & (data.qvel * np.sign(after) >= CLIP)
        after[beyond] = data.qvel[beyond]
