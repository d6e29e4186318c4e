"""The interface that batches of one environment and of several share: length, items by number, PyTorch's datasets."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from jacdb.errors import UsageError
from jacdb.whole_number import whole_number

if TYPE_CHECKING:
    from jacdb.dataset.torch_batches import BatchDataset, BatchStream


def checked_share(worker: int, workers: int) -> tuple[int, int]:
    """Return a worker and the number of workers, as Python's whole numbers.

    Raises:
        UsageError: there is no such worker.
    """
    worker, workers = whole_number("worker", worker), whole_number("workers", workers)
    if not 0 <= worker < workers:
        raise UsageError(f"worker={worker} of workers={workers}: give 0 or more, below workers")
    return worker, workers


class BatchSequence(ABC):
    """Batches of a pass, in the pass's order."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    @abstractmethod
    def share(self, worker: int, workers: int) -> Self:
        """Return the batches that one of several workers gives, without another query.

        A share can be shared in turn: its shares have all of its rows, each once, and no others.

        Raises:
            UsageError: there is no such worker.
        """

    @abstractmethod
    def _at(self, place: int) -> dict[str, Any]:
        """Return the batch at a place from 0, below the number of batches."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the i-th batch of a pass, as iterating gives it; a negative index counts from the end.

        Only the row groups that hold it are read; of a shuffled pass, the buffers that hold it.

        Raises:
            IndexError: there is no such batch.
        """
        place = operator.index(index)
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._at(place)

    @overload
    def torch_dataset(self, *, map_style: Literal[False] = False) -> "BatchStream": ...

    @overload
    def torch_dataset(self, *, map_style: Literal[True]) -> "BatchDataset": ...

    def torch_dataset(self, *, map_style: bool = False) -> "BatchStream | BatchDataset":
        """Return a dataset of PyTorch's for ``torch.utils.data.DataLoader(…, batch_size=None, num_workers=n)``.

        Its items are batches. The workers of the DataLoader share a pass, or the share of it that ``worker`` and
        ``workers`` say: each row comes once. Of a shuffled stream, which rows share a batch depends on ``num_workers``,
        too; by number batches are those of one process.

        Args:
            map_style: False gives an ``IterableDataset``, whose workers each read their share in order. True gives a
                ``Dataset`` with a length and items by number, which ``shuffle=True`` or a sampler drives.

        A map-style item decodes its row groups for itself alone. In a sampler's order an epoch takes 6 times as long as
        in the stream's (60,000 rows of CheetahRun, batches of 256). With ``shuffle=True`` in ``batches`` an item reads
        a whole buffer, and the epoch takes 150 times as long: leave the order to the sampler, which permutes batches of
        consecutive rows, or take the stream.

        Raises:
            UsageError: PyTorch is not installed.
        """
        try:
            from jacdb.dataset.torch_batches import BatchDataset, BatchStream
        except ImportError as error:
            raise UsageError("torch_dataset() needs PyTorch: pip install torch") from error
        return BatchDataset(self) if map_style else BatchStream(self)
