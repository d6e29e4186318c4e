"""Trajectories, which all exports read: consecutive steps of an episode, and the names of their axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.segments import Segments, segments
from jacdb.dataset.sql_text import literal
from jacdb.dataset.step_rows import Arrays, StepRows
from jacdb.errors import UsageError

COLUMNS = ("episode", "step", "state", "action", "next_state", "reward", "done", "truncated", "j_state", "j_action",
           "pattern_id")  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """Consecutive steps of an episode: column -> (steps, …)."""

    run_id: str
    columns: Arrays

    @property
    def episode(self) -> int:
        """The number of the episode in its run."""
        return int(self.columns["episode"][0])

    @property
    def first_step(self) -> int:
        """The number of the first step in its episode."""
        return int(self.columns["step"][0])

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """done and truncated, (steps,): where the environment ended it, and where it was cut; a gap cuts, too."""
        done, truncated = self.columns["done"], self.columns["truncated"].copy()
        truncated[-1] |= not done[-1]
        return done, truncated

    def __len__(self) -> int:
        return len(self.columns["step"])


@dataclass(frozen=True)
class Source:
    """The finite steps of an environment that meet the dataset's condition, as trajectories.

    Attributes:
        kept: one row per trajectory; see :func:`jacdb.dataset.segments.segments`.
    """

    dataset: Dataset
    env: str
    kept: Segments

    @classmethod
    def of(cls, dataset: Dataset, env: str) -> Self:
        """Return the source of an environment's steps.

        Raises:
            UsageError: there is no such step.
        """
        kept = segments(dataset, env)
        if not len(kept):
            raise UsageError(f"no finite step of {env} to export: ingest more, or give another condition")
        return cls(dataset, env, kept)

    @property
    def n_rows(self) -> int:
        """The number of steps."""
        return self.kept.n_rows

    @property
    def n_episodes(self) -> int:
        """The number of trajectories."""
        return len(self.kept)

    @property
    def runs(self) -> list[str]:
        """The ids of the runs, sorted."""
        return self.kept.runs

    def rows(self, *columns: str) -> StepRows:
        """Return a reader of these columns."""
        return StepRows(self.dataset, self.env, columns, self.kept)

    def trajectories(self, *columns: str) -> Iterator[Trajectory]:
        """Yield all trajectories in stored order, with episode, step and these columns."""
        rows = self.rows(*dict.fromkeys(("episode", "step", *columns)))
        pieces: list[Arrays] = []
        last_run = ""
        expected: tuple[str, int, int] | None = None  # the step that would continue the pieces
        for run_id, piece in rows.in_order():
            episode, step = piece["episode"].astype(np.int64), piece["step"].astype(np.int64)
            breaks = np.flatnonzero((np.diff(episode) != 0) | (np.diff(step) != 1)) + 1
            for first, end in zip([0, *breaks], [*breaks, len(step)], strict=True):
                if pieces and (run_id, episode[first], step[first]) != expected:
                    yield _joined(pieces, last_run)
                    pieces = []
                pieces.append({name: values[first:end] for name, values in piece.items()})
                expected, last_run = (run_id, episode[first], step[end - 1] + 1), run_id
        if pieces:
            yield _joined(pieces, last_run)

    def axes(self, space: str, field: str = "name") -> list[str]:
        """Return the names of a space's dimensions, in order; ``field="unit"`` for their units."""
        query = f"select {field} from axes where env = {literal(self.env)} and space = {literal(space)} order by index"
        return self.dataset.fetch(self.dataset.sql(query))[field].to_list()

    @property
    def policies(self) -> list[str]:
        """The policies that made the steps, sorted."""
        query = f"select distinct policy from steps where env = {literal(self.env)} and finite order by policy"
        return self.dataset.fetch(self.dataset.sql(query))["policy"].to_list()

    def ctrl_dt(self) -> dict[str, float]:
        """Return the control step of each run (s).

        Raises:
            UsageError: a run is not finished, and so has no row in `runs`.
        """
        query = f"select run_id, ctrl_dt from runs where env = {literal(self.env)}"
        of_finished = dict(self.dataset.fetch(self.dataset.sql(query)).iter_rows())
        for run_id in self.runs:
            if run_id not in of_finished:
                raise UsageError(f"run {run_id} is not finished: repeat its `jacdb ingest` command first")
        return {run_id: of_finished[run_id] for run_id in self.runs}


def _joined(pieces: list[Arrays], run_id: str) -> Trajectory:
    columns = pieces[0] if len(pieces) == 1 else {k: np.concatenate([piece[k] for piece in pieces]) for k in pieces[0]}
    return Trajectory(run_id, columns)
