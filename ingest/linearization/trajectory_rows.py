"""Turns trajectories into rows of `steps`: every step taken again by the C engine, and differentiated where it was.

A step's Jacobian is taken at the recorded state, and of the step that the installed engine takes from there. Where that
step is not the recorded one, or the recorded state is doubtful, the row has no matrices (NaN): it is not finite, and no
statistic counts it. Where the engine's acceleration does not solve the balance that is differentiated (its solver
stopped early, a contact is on an edge, a tendon is pulled where it has no length, or the engine computes otherwise than
the equations that are differentiated), the row's matrices are centred differences of the engine's step, and its forces
those that the engine computed.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.linearization import early_stops, engine_forces
from jacdb.ingest.linearization.engine_differences import centred_differences
from jacdb.ingest.linearization.evaluations import Solved, Start
from jacdb.ingest.linearization.linearizer import linearizer_of
from jacdb.ingest.recording.constraint_columns import ConstraintColumns
from jacdb.ingest.sources.trajectory import Trajectory
from jacdb.ingest.storage import arrow, zero_patterns
from jacdb.ingest.storage.episodes import ROW, Episode, pieces
from jacdb.ingest.storage.zero_patterns import EntryStatistics, ZeroBits
from jacdb.schemas import SWEEP, ZERO_THRESHOLD

EDGE, EARLY, OTHERWISE = "edge", "early", "otherwise"  # why a row's matrices are differences


@dataclass(frozen=True)
class Replayed:
    """An episode whose steps were taken again.

    Attributes:
        number: of the episode.
        warmstart: what the solver started each step from.
        error: of each step (:class:`~jacdb.ingest.sources.recordings.replay.Replay`).
        excluded: the steps that are not the model's, or whose state is doubtful.
    """

    number: int
    trajectory: Trajectory
    warmstart: Float[np.ndarray, "steps nv"]
    error: Float[np.ndarray, " steps"]
    excluded: Bool[np.ndarray, " steps"]


class TrajectoryRows:
    """Makes episodes of rows.

    Args:
        model: of all trajectories.
        n_substeps: physics steps in a control step.
        dtype: in which matrix entries are stored.

    Attributes:
        reasons: how many rows so far have differences, by why.
    """

    def __init__(self, model: mujoco.MjModel, n_substeps: int, dtype: type[np.floating]) -> None:
        self._model, self._dtype = model, dtype
        self._linearizer = linearizer_of(model, n_substeps)
        self._constraints = ConstraintColumns(model)
        self.reasons: collections.Counter[str] = collections.Counter()

    def episodes(self, replayed: list[Replayed]) -> Iterator[Episode]:
        """Yield the rows of each episode."""
        start = Start(*(np.concatenate(parts) for parts in zip(*map(self._start, replayed), strict=True)))
        excluded = np.concatenate([one.excluded for one in replayed])
        solved = self._linearizer.step(start)
        places = np.concatenate([np.arange(one.trajectory.n_steps) for one in replayed])
        jacobians = self._linearizer.jacobians(start, solved, places)  # whatever episodes are beside each other
        exact = (jacobians.j_state, jacobians.j_action)
        unsolved = ~excluded & ~(jacobians.residual <= RESIDUAL_TOLERANCE)
        method = np.full(len(excluded), "implicit", dtype="U8")
        if unsolved.any():
            rows = np.flatnonzero(unsolved)
            of_rows = Start(*(leaf[rows] for leaf in start))
            differences = centred_differences(self._model, self._linearizer.ends, of_rows)
            self._count_reasons(of_rows, Solved(*(leaf[rows] for leaf in solved)), jacobians.residual[rows])
            for matrix, estimate in zip(exact, differences, strict=True):
                matrix[rows] = estimate
            engine_forces.put(self._model, start, solved, rows, jacobians.observed)
            method[rows] = "fd"
        for matrix in exact:
            matrix[excluded] = np.nan
        ends = np.cumsum([one.trajectory.n_steps for one in replayed])
        next_state = np.concatenate([one.trajectory.states[1:] for one in replayed])
        state = np.concatenate([start.qpos, start.qvel, start.act], axis=1)
        observed = self._constraints.columns(jacobians.observed) | {"residual": jacobians.residual, "method": method}
        for one, first, end in zip(replayed, [0, *ends[:-1]], ends, strict=True):
            own = slice(int(first), int(end))
            columns = {name: values[own] for name, values in observed.items()}
            vectors = (state[own], start.ctrl[own], next_state[own])
            yield self._episode(one, columns, vectors, (exact[0][own], exact[1][own]))

    def _count_reasons(self, start: Start, solved: Solved, residual: Float[np.ndarray, " n"]) -> None:
        early = early_stops.explained(self._model, start, solved, residual)
        self.reasons.update(np.where(np.isinf(residual), EDGE, np.where(early, EARLY, OTHERWISE)).tolist())

    def _start(self, one: Replayed) -> Start:
        """Return what the episode's steps begin with."""
        t, n = one.trajectory, one.trajectory.n_steps
        data = mujoco.MjData(self._model)
        resting = (np.broadcast_to(pose, (n, *pose.shape)) for pose in (data.mocap_pos, data.mocap_quat))
        recorded = (t.mocap_pos, t.mocap_quat)
        mocap = (rests if moves is None else moves for rests, moves in zip(resting, recorded, strict=True))
        return Start(t.qpos[:-1], t.qvel[:-1], t.act[:-1], t.ctrl, one.warmstart, *mocap)

    def _episode(
        self,
        one: Replayed,
        columns: dict[str, Any],
        vectors: tuple[np.ndarray, np.ndarray, np.ndarray],
        exact: tuple[np.ndarray, np.ndarray],
    ) -> Episode:
        """Return the rows of one episode, its zeros decided before matrices are rounded."""
        n, trajectory = len(exact[0]), one.trajectory
        stored = tuple(matrix.astype(self._dtype) for matrix in exact)
        finite = np.isfinite(stored[0]).all((1, 2)) & np.isfinite(stored[1]).all((1, 2)) & ~np.isinf(trajectory.reward)
        zeros = ZeroBits(*(np.packbits(np.abs(j).reshape(n, -1) < ZERO_THRESHOLD, axis=1) for j in exact))
        identified = zero_patterns.identify(zeros, exact[0].shape[1], exact[1].shape[2])
        truncated = np.zeros(n, bool)
        truncated[-1] = not trajectory.done[-1]
        rows = arrow.batch(
            {
                "reward": pa.array(trajectory.reward, pa.float64(), mask=np.isnan(trajectory.reward)),
                "done": trajectory.done,
                "truncated": truncated,
                "pattern_id": pa.array(identified.ids, mask=~finite),
                "n_zero_state": pa.array(identified.n_zero[0], mask=~finite),
                "n_zero_action": pa.array(identified.n_zero[1], mask=~finite),
                **columns,
                "finite": finite,
                "replay_error": one.error,
            },
            ROW,
        )
        [piece] = pieces(rows, np.zeros(1, int), *([array] for array in (*vectors, *stored)))
        [patterns] = identified.by_stretch(np.zeros(n, int), finite)
        episode = Episode(one.number)
        counts = finite & (columns["method"] != "fd")
        episode.append(piece, patterns, [_statistics(stored, exact, counts)], is_over=True)
        return episode


def _statistics(
    stored: tuple[np.ndarray, ...], exact: tuple[np.ndarray, ...], counts: Bool[np.ndarray, " steps"]
) -> EntryStatistics:
    """Return how large the entries are over the steps that count."""
    below = tuple(
        np.array([np.count_nonzero(np.abs(j[counts]) < threshold) for threshold in SWEEP], np.int64) for j in exact
    )
    largest = tuple(np.abs(j[counts]).max(axis=0, initial=0.0) for j in stored)
    return EntryStatistics(np.array(np.count_nonzero(counts)), largest, below)
