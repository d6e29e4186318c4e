"""Replay the steps of a run that came from a source: by MuJoCo's C engine, with the model that the run keeps.

A step is taken from the stored state, its solver from what the stored step before left it (qacc_warmstart); in the
first of an episode it starts from nothing. The stored Jacobian of drawn steps is compared with centred differences of
the same step, along every axis of state and action. A Jacobian that is exact (`implicit`) is of the solution that the
solver is near: with few iterations what it leaves has a derivative of its own, so it goes on to its end for these.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from jacdb.dataset.layout import Run
from jacdb.ingest.differentiation.finite_differences import displaced
from jacdb.ingest.replay.quotients import DifferenceQuotient, jacobian_error
from jacdb.ingest.replay.replay import AT_THE_END, WIDTHS, JacobianCheck, StepReplay
from jacdb.ingest.sources.kept_model import kept_model
from jacdb.ingest.sources.model import resting_mocap
from jacdb.ingest.sources.recordings.replay import state_difference
from jacdb.verification.samples import EpisodePrefix


class SourceReplayer:
    """A run's model, and what replays its steps.

    Args:
        root: the dataset's folder.
        fact: the run's row in `runs`.

    Raises:
        UsageError: the run's model is not there, can't be read by this MuJoCo, is another, or has not its keyframe.
    """

    def __init__(self, root: Path, run: Run, fact: dict[str, Any]) -> None:
        self.model = kept_model(root / run.model, run.model, fact)
        self._substeps = round(fact["ctrl_dt"] / fact["sim_dt"])
        self._tolerance = fact["replay_tolerance"] or 0.0
        self._mocap = resting_mocap(self.model, fact)
        self._data = mujoco.MjData(self.model)
        self._solving = self.model.__copy__()
        for name, value in {**AT_THE_END, "solver": mujoco.mjtSolver.mjSOL_NEWTON}.items():
            setattr(self._solving.opt, name, value)

    @property
    def dimensions(self) -> tuple[int, int]:
        """(d_state, d_action)"""
        return 2 * self.model.nv + self.model.na, self.model.nu

    def replay(self, prefixes: list[EpisodePrefix]) -> Iterator[StepReplay | JacobianCheck]:
        """Yield a comparison of every step of the episodes, and of the Jacobians of drawn ones."""
        for prefix in prefixes:
            warmstart = np.zeros(self.model.nv)
            for step in range(len(prefix.state)):
                after = self._step(self.model, prefix.state[step], prefix.action[step], warmstart)
                following = self._data.qacc_warmstart.copy()
                if prefix.finite[step]:
                    off = self._deviation(after, prefix.next_state[step])
                    beyond = "poses of mocap bodies are not stored" if self._mocap is None else None
                    explained = "" if off <= self._tolerance else beyond
                    yield StepReplay(prefix, step, off, explained)
                    if step in prefix.drawn and not explained:
                        yield self._check_jacobian(prefix, step, warmstart, off, explained is not None)
                warmstart = following

    def _step(self, model: mujoco.MjModel, state: np.ndarray, ctrl: np.ndarray, warmstart: np.ndarray) -> np.ndarray:
        """Return the state after a control step: qpos, qvel, act."""
        data = self._data
        mujoco.mj_resetData(model, data)
        if self._mocap is not None:
            data.mocap_pos[:], data.mocap_quat[:] = self._mocap
        data.qpos[:], data.qvel[:], data.act[:] = np.split(state, [model.nq, model.nq + model.nv])
        data.ctrl[:], data.qacc_warmstart[:] = ctrl, warmstart
        mujoco.mj_step(model, data, nstep=self._substeps)
        return np.concatenate([data.qpos, data.qvel, data.act])

    def _deviation(self, found: np.ndarray, stored: np.ndarray) -> float:
        """Return how far a state is from the stored one: a quaternion and its negative are the same rotation."""
        distance = np.linalg.norm(state_difference(self.model, found, stored))
        return float(distance / max(1.0, float(np.linalg.norm(stored))))

    def _check_jacobian(
        self, prefix: EpisodePrefix, step: int, warmstart: np.ndarray, off: float, confirmed: bool
    ) -> JacobianCheck:
        place, (d_state, d_action) = prefix.drawn.index(step), self.dimensions
        one_sided = prefix.methods[place] == "fd"
        stepped = self.model if one_sided else self._solving
        axes = np.eye(d_state + d_action)
        quotients = []
        for width in WIDTHS:
            offsets = width * np.concatenate([axes, -axes, np.zeros_like(axes[:1])])
            ends = [
                self._step(
                    stepped,
                    displaced(self.model, prefix.state[step], offset[:d_state]),
                    prefix.action[step] + offset[d_state:],
                    warmstart,
                )
                for offset in offsets
            ]
            quotients.append(DifferenceQuotient.of(self.model, np.stack(ends), width))
        wide, narrow = quotients
        error, n_jumps = jacobian_error(prefix.jacobians[place], wide, narrow, one_sided)
        return JacobianCheck(prefix, step, confirmed, off, error, n_jumps)
