"""Graphs at the level of bodies: one entry for each block of entries, of one body's numbers by another's."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from jacdb.dataset.sql_text import literal
from jacdb.dataset.views import Views
from jacdb.learning.graph_scores import LocalGraphs

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Bodies:
    """The bodies that the rows and columns of a Jacobian belong to.

    What belongs to no body, such as a target that the environment remembers, is a block by itself. A body's state and
    the actions on it are two columns of blocks: an action is no part of the state.

    Attributes:
        of_tangent: the body of each number of a tangent; None where there is none.
        of_action: the body of each number of an action, likewise.
    """

    of_tangent: tuple[str | None, ...]
    of_action: tuple[str | None, ...]

    @classmethod
    def of(cls, dataset: Views, env: str) -> Self:
        """Return the bodies of an environment, as the table `axes` names them.

        Runs of before 1.0 have '' for bodies without a name: which of them are the same is not known, so that is none.
        """

        def bodies(space: str) -> tuple[str | None, ...]:
            asked = f"""
                select nullif(body, '') as body from axes
                where env = {literal(env)} and space = {literal(space)} order by index
            """
            return tuple(dataset.fetch(dataset.sql(asked))["body"].to_list())

        return cls(bodies("tangent"), bodies("action"))

    @property
    def names(self) -> set[str]:
        """The bodies that axes name."""
        return {body for body in (*self.of_tangent, *self.of_action) if body is not None}

    def largest(self, scores: np.ndarray) -> np.ndarray:
        """Return the largest score of each block, (n, bodies, blocks of columns), of those of entries."""
        rows, row_starts, columns, column_starts = self._blocks
        result = np.empty((len(scores), len(row_starts), len(column_starts)), scores.dtype)
        for first in range(0, len(scores), ROWS_AT_ONCE):
            some = slice(first, first + ROWS_AT_ONCE)
            by_row = np.maximum.reduceat(scores[some][:, rows], row_starts, axis=1)
            result[some] = np.maximum.reduceat(by_row[:, :, columns], column_starts, axis=2)
        return result

    def graphs(self, truth: LocalGraphs) -> LocalGraphs:
        """Return the graphs of bodies: a block is on if any of its entries is, and off if all of them are."""
        on = self.largest(truth.on)
        return LocalGraphs(on, on | ~self.largest(~truth.decided))

    @functools.cached_property
    def _blocks(self) -> tuple[np.ndarray, ...]:
        """Rows in the order of their bodies, where each body begins among them, and likewise of columns."""
        rows = _labels("state", self.of_tangent)
        return *_sorted(rows), *_sorted(rows + _labels("action", self.of_action))


def _labels(space: str, bodies: Sequence[str | None]) -> list[tuple[str, str, int]]:
    return [(space, body, -1) if body is not None else (space, "", i) for i, body in enumerate(bodies)]


def _sorted(labels: Sequence[tuple[str, str, int]]) -> tuple[np.ndarray, np.ndarray]:
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    block = np.array([number[label] for label in labels])
    order = np.argsort(block, kind="stable")
    return order, np.flatnonzero(np.diff(block[order], prepend=-1))
