"""A model of one's own, rolled out by MuJoCo's C engine."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb import installation
from jacdb.errors import UsageError, suggestion
from jacdb.ingest.environments import registry
from jacdb.ingest.models.loading import LoadedModel
from jacdb.ingest.sources.episode_recorder import EpisodeRecorder
from jacdb.ingest.sources.rollouts import Rollouts
from jacdb.ingest.sources.trajectory import Trajectory, check_substeps
from jacdb.schemas import trajectory_ids

SUITE = "model"
SCALAR_JOINTS = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
RESET_STREAM = 1  # tells the noise of initial states from that of actions


@dataclass(frozen=True)
class InitialStates:
    """Where episodes begin: at a keyframe or at qpos0, with Gaussian noise in tangent coordinates.

    Attributes:
        keyframe: its name, or its number; "" for qpos0, at rest.
        position_noise: standard deviation in rad and m. A joint is not moved beyond its limits.
        velocity_noise: standard deviation in rad/s and m/s.
    """

    keyframe: str = ""
    position_noise: float = 0.01
    velocity_noise: float = 0.1

    def __post_init__(self) -> None:
        for name in ("position_noise", "velocity_noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name}={getattr(self, name)}: give a finite number, 0 or more")

    def number(self, model: mujoco.MjModel) -> int:
        """Return the keyframe's number in a model; -1 for qpos0.

        Raises:
            UsageError: the model has no such keyframe.
        """
        if not self.keyframe:
            return -1
        named = [model.key(i).name or str(i) for i in range(model.nkey)]
        if self.keyframe in named:
            return named.index(self.keyframe)
        if self.keyframe.isdecimal() and int(self.keyframe) < model.nkey:
            return int(self.keyframe)
        raise UsageError(f"the model has no keyframe {self.keyframe!r}: {suggestion(self.keyframe, named)}")

    def reset(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Set the data to an initial state, with noise from ``rng``."""
        number = self.number(model)
        if number < 0:
            mujoco.mj_resetData(model, data)
        else:
            mujoco.mj_resetDataKeyframe(model, data, number)
        begin = data.qpos.copy()
        mujoco.mj_integratePos(model, data.qpos, rng.normal(0, self.position_noise, model.nv), 1.0)
        data.qvel += rng.normal(0, self.velocity_noise, model.nv)
        scalar = np.isin(model.jnt_type, SCALAR_JOINTS) & model.jnt_limited.astype(bool)
        at, (low, high) = model.jnt_qposadr[scalar], model.jnt_range[scalar].T
        # a pose that begins beyond a limit is the model's own, and no noise takes it further
        data.qpos[at] = np.clip(data.qpos[at], np.minimum(low, begin[at]), np.maximum(high, begin[at]))


def resting_mocap(
    model: mujoco.MjModel, fact: dict[str, Any]
) -> tuple[Float[np.ndarray, "nmocap 3"], Float[np.ndarray, "nmocap 4"]] | None:
    """Return where mocap bodies rest in a run: their positions and orientations; None where they may have moved.

    In a rollout of a model they rest where its keyframe puts them. Elsewhere no row says where they are.

    Args:
        model: the one that the run keeps.
        fact: the run's row in `runs`.

    Raises:
        UsageError: the model has no such keyframe.
    """
    data = mujoco.MjData(model)
    if model.nmocap:
        if fact["suite"] != SUITE:
            return None
        settings = trajectory_ids.settings_of(fact["policy_config"])
        number = InitialStates(str(settings.get("keyframe", ""))).number(model)
        if number >= 0:
            mujoco.mj_resetDataKeyframe(model, data, number)
    return data.mocap_pos.copy(), data.mocap_quat.copy()


@dataclass(frozen=True)
class ModelSource:
    """Episodes of a model of one's own, a :class:`~jacdb.ingest.sources.trajectory.Source`.

    Episodes run side by side in threads; each is the same whatever runs beside it. There is no reward, and no episode
    ends before its last step unless MuJoCo finds it unstable. A policy of one's own observes qpos, qvel and act, one
    after the other.
    """

    loaded: LoadedModel
    n_substeps: int
    asked: Rollouts
    initial: InitialStates = InitialStates()
    suite: str = SUITE

    def __post_init__(self) -> None:
        """Refuse what can't be rolled out.

        Raises:
            UsageError: nothing in the model moves, it has no such keyframe, it has no step, or its name is taken.
        """
        check_substeps(self.n_substeps)
        if not self.model.nv:
            raise UsageError(f"nothing moves in {self.loaded.source}: give a model with joints")
        if self.name in registry.all_specs():
            raise UsageError(f"{self.name} is an environment of Playground: give the model's file another name")
        self.initial.number(self.model)

    @property
    def name(self) -> str:
        return self.loaded.name

    @property
    def model(self) -> mujoco.MjModel:
        return self.loaded.model

    def provenance(self) -> dict[str, str]:
        files = {f"sha256 of {name}": digest for name, digest in self.loaded.files.items()}
        return {"source": Path(self.loaded.source).name, **files}  # its folder is nobody's business

    def n_episodes(self) -> int:
        return self.asked.episodes

    def trajectories(self, numbers: range | None = None) -> Iterator[Trajectory]:
        every = range(self.asked.episodes) if numbers is None else numbers
        workers = installation.cores()
        with ThreadPoolExecutor(workers) as threads:
            for side_by_side in itertools.batched(every, workers):
                yield from threads.map(self._episode, side_by_side)

    def _episode(self, episode: int) -> Trajectory:
        model, asked = self.model, self.asked
        data = mujoco.MjData(model)
        self.initial.reset(model, data, np.random.default_rng([asked.seed, episode, RESET_STREAM]))
        act = asked.policy.begin(model, asked.seed, episode, asked.steps)
        recorder = EpisodeRecorder(model, data)
        for step in range(asked.steps):
            data.ctrl[:] = act(step, np.concatenate([data.qpos, data.qvel, data.act]))
            recorder.before()
            mujoco.mj_step(model, data, self.n_substeps)
            if not recorder.after():
                break
        return recorder.trajectory()
