"""Batches as PyTorch's DataLoader takes them. Importing this imports PyTorch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset, IterableDataset, get_worker_info

if TYPE_CHECKING:
    from jacdb.dataset.batch_sequence import BatchSequence


class BatchStream(IterableDataset):
    """Batches that the workers of a DataLoader share; see ``BatchSequence.torch_dataset``."""

    def __init__(self, batches: "BatchSequence") -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        return iter(self._batches if worker is None else self._batches.share(worker.id, worker.num_workers))

    def __len__(self) -> int:
        return len(self._batches)


class BatchDataset(Dataset):
    """Batches by their number, in whatever order a sampler asks; see ``BatchSequence.torch_dataset``."""

    def __init__(self, batches: "BatchSequence") -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)
