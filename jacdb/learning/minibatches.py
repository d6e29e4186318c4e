"""Which rows are in which minibatch: the seed and the step alone decide, so that a training resumes anywhere."""

import functools

import numpy as np


class Minibatches:
    """Minibatches of rows that lie in memory: each epoch is a permutation of its own, its remainder left out.

    Attributes:
        batch_size: rows of a minibatch.
        seed: of the permutations.
    """

    def __init__(
        self, n_rows: int, batch_size: int, seed: int, sort_by: np.ndarray | None = None, first: int | None = None
    ) -> None:
        """
        Args:
            n_rows: how many rows there are.
            batch_size: rows of a minibatch; all rows if there are fewer.
            seed: 0 or more.
            sort_by: a number for each row, (n_rows,): minibatches are sorted by it, the largest first.
            first: so many rows of a minibatch are sorted among themselves, and the others left; None for all.
        """
        self.batch_size = min(batch_size, n_rows)
        self._n_rows, self.seed, self._sort_by, self._first = n_rows, seed, sort_by, first
        self._per_epoch = n_rows // self.batch_size
        self._epoch = functools.lru_cache(maxsize=2)(self._permuted)

    def between(self, first: int, stop: int) -> np.ndarray:
        """Return the rows of minibatches [first, stop), (minibatches, batch_size)."""
        places = (divmod(step, self._per_epoch) for step in range(first, stop))
        return np.stack([self._epoch(epoch)[place] for epoch, place in places])

    def _permuted(self, epoch: int) -> np.ndarray:
        order = np.random.default_rng([self.seed, epoch]).permutation(self._n_rows).astype(np.int32)
        batches = order[: self._per_epoch * self.batch_size].reshape(self._per_epoch, self.batch_size)
        if self._sort_by is not None:
            some = batches[:, : self._first]
            some[:] = np.take_along_axis(some, np.argsort(-self._sort_by[some], axis=1, kind="stable"), axis=1)
        return batches
