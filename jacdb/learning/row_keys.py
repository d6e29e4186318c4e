"""Find rows by run, episode and step."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from jacdb.learning.problem import ProblemRows


@dataclass(frozen=True)
class RowKeys:
    """The places of rows, by the names that people have for them.

    Attributes:
        runs: the ids of their runs, sorted.
        run: the place of each row's run in ``runs``, (n,).
        episode, step: of each row, (n,).
    """

    runs: list[str]
    run: np.ndarray
    episode: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[ProblemRows]) -> Self:
        """Return the keys of the rows of some parts, one after the other."""
        named = [rows for rows in parts if len(rows)]
        runs, run = np.unique(np.concatenate([rows.run_id for rows in named]), return_inverse=True)
        episode, step = (np.concatenate([getattr(rows, name) for rows in named]) for name in ("episode", "step"))
        return cls(runs.tolist(), run, episode.astype(np.int64), step.astype(np.int64))

    @functools.cached_property
    def need_run(self) -> bool:
        """True if several runs have the same episode, so that its number alone does not name it."""
        pairs = np.unique(np.stack([self.run, self.episode]), axis=1)
        return len(np.unique(pairs[1])) < pairs.shape[1]

    def places(self, run: np.ndarray | None, episode: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the place of each row that is asked for, (n,); -1 where there is none.

        Args:
            run: places in ``runs``; None if episodes are named by their numbers alone.
            episode, step: of each row.
        """
        keys, order = self._keys if run is not None else self._keys_without_run
        n_episodes, n_steps = int(self.episode.max()) + 1, int(self.step.max()) + 1
        inside = (episode >= 0) & (episode < n_episodes) & (step >= 0) & (step < n_steps)
        asked = self._key(0 if run is None else run, episode, step)
        at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        return np.where(inside & (keys[at] == asked), order[at], -1)

    def has_episode(self, run: int | None, episode: int) -> bool:
        """Return whether any row is of an episode."""
        return bool(np.any((self.episode == episode) & ((run is None) | (self.run == run))))

    def _key(self, run: np.ndarray | int, episode: np.ndarray, step: np.ndarray) -> np.ndarray:
        n_episodes, n_steps = int(self.episode.max()) + 1, int(self.step.max()) + 1
        return (np.asarray(run, np.int64) * n_episodes + episode) * n_steps + step

    @functools.cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        return _sorted(self._key(self.run, self.episode, self.step))

    @functools.cached_property
    def _keys_without_run(self) -> tuple[np.ndarray, np.ndarray]:
        return _sorted(self._key(0, self.episode, self.step))


def _sorted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys)
    return keys[order], order
