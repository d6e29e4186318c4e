"""Batches of several environments in one pass. Their matrices differ in shape, so a batch is of one environment."""

import dataclasses
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from jacdb.dataset.batch_sequence import BatchSequence, checked_share
from jacdb.dataset.loader import Batches
from jacdb.dataset.normalization import Normalization
from jacdb.dataset.read_ahead import READERS
from jacdb.dataset.views import Views
from jacdb.errors import FailureError, UsageError


@dataclass(frozen=True)
class InterleavedBatches(BatchSequence):
    """Batches of several environments; each pass gives every row of each once. ``Dataset.batches`` makes them.

    A batch has rows of one environment, whose name it has under the key ``environment``, behind the columns. A shuffled
    pass mixes the batches at random, by its seed: an environment comes as often as it has batches. A pass in order
    gives one environment after the other. Within one, rows come as :class:`jacdb.dataset.loader.Batches` says.

    ``drop_last`` leaves out the last batch of each environment, if it is not full. ``buffer_mib`` is shared, by the
    bytes of the environments' rows; each buffer has one row group at least. Of several workers each gives its share of
    every environment.

    Attributes:
        by_environment: the batches of each environment alone; of the worker, if there are several.
        shuffle: whether batches are mixed.
        seed: seed of the order.
        worker: which of the workers gives these batches, from 0.
    """

    by_environment: dict[str, Batches]
    shuffle: bool
    seed: int
    worker: int = 0

    @classmethod
    def of(cls, dataset: Views, envs: Iterable[str], batches_of: Callable[[str], Batches]) -> Self:
        """Return the batches of several environments.

        Args:
            dataset: what to read.
            envs: the environments, each once.
            batches_of: returns the batches of one, unshared, as if it had all of the buffer to itself.

        Raises:
            UsageError: there is no environment, one comes twice, or the dataset does not have it.
        """
        names = _checked(dataset, envs)
        alone = [batches_of(env) for env in names]
        total = sum(one.nbytes for one in alone)
        sharing = [one.with_buffer(one.buffer_mib * one.nbytes / total) for one in alone]
        first = alone[0]
        return cls(dict(zip(names, sharing, strict=True)), first.shuffle, first.seed)

    @property
    def normalization(self) -> dict[str, Normalization | None]:
        """The means and deviations by which the rows of each environment are normalized; None if they are not."""
        return {env: batches.normalization for env, batches in self.by_environment.items()}

    @property
    def n_rows(self) -> int:
        """How many rows, or windows, a pass gives (before ``drop_last``)."""
        return sum(batches.n_rows for batches in self.by_environment.values())

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        envs, passes = list(self.by_environment), list[Generator[dict[str, Any]]]()
        readers = ThreadPoolExecutor(READERS, "jacdb-reader")
        try:
            passes = [batches.read(readers) for batches in self.by_environment.values()]
            for which in self._order:
                batch = next(passes[which], None)
                if batch is None:
                    gone = f"rows of {envs[which]} are gone"
                    raise FailureError(f"{gone}: the dataset changed meanwhile; try again")
                yield {**batch, "environment": envs[which]}
        finally:
            for one in passes:
                one.close()
            readers.shutdown()

    def share(self, worker: int, workers: int) -> Self:
        """Return the batches that one of several workers gives, without another query.

        Each environment's shares begin with another worker, so that small environments do not all come to the last.
        Of a share, this is a share of that: worker w becomes worker w * workers + worker.

        Raises:
            UsageError: there is no such worker.
        """
        worker, workers = checked_share(worker, workers)
        shares = {
            env: batches.share((worker + place) % workers, workers)
            for place, (env, batches) in enumerate(self.by_environment.items())
        }
        return dataclasses.replace(self, by_environment=shares, worker=self.worker * workers + worker)

    def _at(self, place: int) -> dict[str, Any]:
        which = self._order[place]
        env = list(self.by_environment)[which]
        before = int((self._order[:place] == which).sum())
        return {**self.by_environment[env][before], "environment": env}

    @functools.cached_property
    def _order(self) -> np.ndarray:
        """The place of each batch's environment, (batches,)."""
        counts = [len(batches) for batches in self.by_environment.values()]
        order = np.repeat(np.arange(len(counts)), counts)
        return np.random.default_rng([self.seed, self.worker]).permutation(order) if self.shuffle else order


def _checked(dataset: Views, envs: Iterable[str]) -> list[str]:
    """Return the names of environments, each once, all of the dataset."""
    names = list(envs) if isinstance(envs, Iterable) else [envs]
    there = ", ".join(dataset.environments)
    if not names:
        raise UsageError(f"no environment is asked for: give some of {there}")
    for at, env in enumerate(names):
        if not isinstance(env, str):
            raise UsageError(f"environment {env!r} is no name: give some of {there}")
        if env in names[:at]:
            raise UsageError(f"environment {env!r} is given twice: give each once")
    dataset.view("steps", names)
    return names
