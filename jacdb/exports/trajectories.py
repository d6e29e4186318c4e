"""What all exports write: stretches of consecutive steps, one after the other, and the names of their axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.sql_text import literal
from jacdb.dataset.step_rows import Arrays, StepRows, n_rows, segments
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
        return int(self.columns["episode"][0])

    @property
    def first_step(self) -> int:
        return int(self.columns["step"][0])

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the environment ended it and where it was cut: a gap in the steps cuts, too."""
        done, truncated = self.columns["done"], self.columns["truncated"].copy()
        truncated[-1] |= not done[-1]
        return done, truncated

    def __len__(self) -> int:
        return len(self.columns["step"])


@dataclass(frozen=True)
class Source:
    """The finite steps of an environment that meet the dataset's condition."""

    dataset: Dataset
    env: str
    kept: pl.DataFrame

    @classmethod
    def of(cls, dataset: Dataset, env: str) -> Self:
        """Raises UsageError where there is no such step."""
        kept = segments(dataset, env)
        if kept.is_empty():
            raise UsageError(f"no finite step of {env} to export: ingest more, or give another condition")
        return cls(dataset, env, kept)

    @property
    def n_rows(self) -> int:
        return n_rows(self.kept)

    @property
    def n_episodes(self) -> int:
        return len(self.kept)

    @property
    def runs(self) -> list[str]:
        return sorted(self.kept["run_id"].unique())

    def rows(self, *columns: str) -> StepRows:
        return StepRows(self.dataset, self.env, columns, self.kept)

    def trajectories(self, *columns: str) -> Iterator[Trajectory]:
        """Them all, as they are stored; ``columns`` besides episode and step."""
        rows = self.rows(*dict.fromkeys(("episode", "step", *columns)))
        pieces: list[Arrays] = []
        expected: tuple[str, int, int] | None = None  # the step that would go on with the pieces
        for run_id, piece in rows.in_order():
            episode, step = piece["episode"].astype(np.int64), piece["step"].astype(np.int64)
            breaks = np.flatnonzero((np.diff(episode) != 0) | (np.diff(step) != 1)) + 1
            for first, end in zip([0, *breaks], [*breaks, len(step)], strict=True):
                if pieces and (run_id, episode[first], step[first]) != expected:
                    yield _joined(pieces, expected)
                    pieces = []
                pieces.append({name: values[first:end] for name, values in piece.items()})
                expected = run_id, episode[first], step[end - 1] + 1
        if pieces:
            yield _joined(pieces, expected)

    def axes(self, space: str, field: str = "name") -> list[str]:
        """The names, or the units, of a space's dimensions, in order."""
        query = f"select {field} from axes where env = {literal(self.env)} and space = {literal(space)} order by index"
        return self.dataset.fetch(self.dataset.sql(query))[field].to_list()

    @property
    def policies(self) -> list[str]:
        query = f"select distinct policy from steps where env = {literal(self.env)} and finite order by policy"
        return self.dataset.fetch(self.dataset.sql(query))["policy"].to_list()

    def ctrl_dt(self) -> dict[str, float]:
        """The control step of each run (s).

        Raises:
            UsageError: a run is not finished, and has no row there.
        """
        query = f"select run_id, ctrl_dt from runs where env = {literal(self.env)}"
        of_finished = dict(self.dataset.fetch(self.dataset.sql(query)).iter_rows())
        for run_id in self.runs:
            if run_id not in of_finished:
                raise UsageError(f"run {run_id} is not finished: repeat its `jacdb ingest` command first")
        return {run_id: of_finished[run_id] for run_id in self.runs}


def _joined(pieces: list[Arrays], after: tuple[str, int, int] | None) -> Trajectory:
    assert after is not None
    columns = pieces[0] if len(pieces) == 1 else {k: np.concatenate([piece[k] for piece in pieces]) for k in pieces[0]}
    return Trajectory(after[0], columns)
