"""A file of graphs that any program wrote: a number for each entry of each step, read and held against a problem."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from jacdb.errors import UsageError, suggestion
from jacdb.learning.problem import LearningProblem, ProblemRows
from jacdb.learning.row_keys import RowKeys
from jacdb.learning.row_subsets import SCORED, scored_rows
from jacdb.learning.score_pieces import Piece, pieces


@dataclass(frozen=True)
class ScoreFile:
    """The graphs of a file.

    Attributes:
        parts: the parts that it has all scored rows of.
        keys: of the rows of these and other parts.
        scores: of the same rows, (rows, n_tangent, n_tangent + n_action); NaN where the file has none.
    """

    parts: tuple[str, ...]
    keys: RowKeys
    scores: np.ndarray

    def graph(self, rows: ProblemRows) -> np.ndarray:
        """Return the numbers of rows, (n, n_tangent, n_tangent + n_action)."""
        run = np.searchsorted(self.keys.runs, rows.run_id)
        return self.scores[self.keys.places(run, rows.episode, rows.step)]


def read(path: Path, problem: LearningProblem) -> ScoreFile:
    """Return the graphs that a file has of the scored rows of a problem.

    A Parquet file has columns episode, step, scores, where scores has all numbers of a step, row by row; or one entry a
    line: episode, step, row, col, score. An .npz has arrays episode, step, (n,), and scores, (n, rows, columns). All
    may have ``env``, and ``run_id``, which is needed where several runs have the same episodes. Steps of the training
    part are passed over, and another policy's may be left out.

    Raises:
        UsageError: the file is not one of these, is of another environment, names steps that there are not, or has a
            score twice, not finite, or not for all of the validation and the test part.
    """
    filling = _Filling(path, problem)
    for piece in pieces(path, problem.shape):
        filling.add(piece)
    return filling.finished()


class _Filling:
    """The scores of all rows that are to be scored, filled piece by piece."""

    def __init__(self, path: Path, problem: LearningProblem) -> None:
        self._path, self._problem = path, problem
        self._parts = {part: scored_rows(problem, part) for part in SCORED}
        self._keys, self._every = RowKeys.of([*self._parts.values()]), RowKeys.of([*problem.parts.values()])
        self._scores = np.full((len(self._keys.run), problem.shape[0] * problem.shape[1]), np.nan, np.float32)
        self._is_empty, self._n_given = True, 0

    def add(self, piece: Piece) -> None:
        """Fill in a piece.

        Raises:
            UsageError: see ``read``.
        """
        self._check_env(piece)
        self._check_rows(piece)
        self._check_numbers(piece)
        if self._is_empty:
            self._scores, self._is_empty = self._scores.astype(piece.scores.dtype), False
        places = self._keys.places(self._runs(piece, self._keys), piece.episode, piece.step)
        counts = places >= 0
        if piece.row is not None and piece.col is not None:
            entry = piece.row * self._problem.shape[1] + piece.col
            self._scores[places[counts], entry[counts]] = piece.scores[counts, 0]
        else:
            self._scores[places[counts]] = piece.scores[counts]
        self._n_given += piece.scores[counts].size

    def finished(self) -> ScoreFile:
        """Return the graphs, if none is missing.

        Raises:
            UsageError: some are, or some are there twice.
        """
        if self._is_empty:
            self._refuse("it has no lines")
        missing, first, whole = np.isnan(self._scores), 0, []
        for part, rows in self._parts.items():
            of_part = missing[first : first + len(rows)]
            first += len(rows)
            if part == "other_policy" and of_part.all():
                continue
            whole.append(part)
            if of_part.any():
                self._refuse_missing(part, rows, of_part)
        twice = self._n_given - int(np.count_nonzero(~missing))
        if twice:
            self._refuse(f"{twice:,} scores are there twice: give each entry of a step once")
        return ScoreFile(tuple(whole), self._keys, self._scores.reshape(-1, *self._problem.shape))

    def _runs(self, piece: Piece, keys: RowKeys) -> np.ndarray | None:
        """Return the places of runs among those of some keys; -1 where there is none."""
        if piece.run_id is None:
            return None
        names, which = np.unique(piece.run_id.astype(str), return_inverse=True)
        return np.array([keys.runs.index(name) if name in keys.runs else -1 for name in names])[which]

    def _check_env(self, piece: Piece) -> None:
        other = [env for env in piece.env or [] if env != self._problem.env]
        if other:
            self._refuse(f"it has scores of {other[0]}, not of {self._problem.env}: give --env {other[0]}")

    def _check_rows(self, piece: Piece) -> None:
        every = self._every
        runs = self._runs(piece, every)
        if runs is None and every.need_run:
            self._refuse(f"several runs of {self._problem.env} have the same episodes: add their run_id")
        if runs is not None and (runs < 0).any():
            unknown = str(piece.run_id[np.argmin(runs)]) if piece.run_id is not None else ""
            self._refuse(f"no run {unknown!r} of {self._problem.env}: {suggestion(unknown, every.runs)}")
        unknown_rows = np.flatnonzero(every.places(runs, piece.episode, piece.step) < 0)
        if len(unknown_rows):
            line = int(unknown_rows[0])
            there = every.has_episode(None if runs is None else int(runs[line]), int(piece.episode[line]))
            what = "step" if there else "episode"
            self._refuse(f"there is no such {what}: {piece.where(line)}; jacdb score --rows lists what there is")

    def _check_numbers(self, piece: Piece) -> None:
        n_rows, n_columns = self._problem.shape
        if piece.row is not None and piece.col is not None:
            row, col = piece.row, piece.col
            outside = np.flatnonzero((row < 0) | (row >= n_rows) | (col < 0) | (col >= n_columns))
            if len(outside):
                self._refuse(
                    f"no such entry: {piece.where(int(outside[0]))}; {self._problem.env} has rows 0 to {n_rows - 1} and"
                    f" columns 0 to {n_columns - 1}"
                )
        wrong = np.argwhere(~np.isfinite(piece.scores))
        if len(wrong):
            line, entry = map(int, wrong[0])
            where = piece.where(line)
            if piece.row is None:
                where += f", row {entry // n_columns}, col {entry % n_columns}"
            self._refuse(f"a score is {piece.scores[line, entry]}: {where}; give finite numbers")

    def _refuse_missing(self, part: str, rows: ProblemRows, missing: np.ndarray) -> NoReturn:
        steps = missing.any(1)
        i = int(np.argmax(steps))
        where = f"episode {rows.episode[i]}, step {rows.step[i]}"
        if self._every.need_run:
            where = f"run {rows.run_id[i]}, {where}"
        if not missing[i].all():
            row, column = divmod(int(np.argmax(missing[i])), self._problem.shape[1])
            where += f", row {row}, col {column}"
        self._refuse(
            f"{steps.sum():,} of {len(steps):,} steps of the {part} part lack scores, first {where};"
            " jacdb score --rows lists them all"
        )

    def _refuse(self, text: str) -> NoReturn:
        raise UsageError(f"{self._path}: {text}")
