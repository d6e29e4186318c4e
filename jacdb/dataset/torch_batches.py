"""Batches as PyTorch's DataLoader takes them. Importing this imports PyTorch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    from jacdb.dataset.loader import Batches


class TorchBatches(IterableDataset):
    """Batches that the workers of a DataLoader share; see ``Batches.torch_dataset``."""

    def __init__(self, batches: "Batches") -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        return iter(self._batches if worker is None else self._batches.share(worker.id, worker.num_workers))

    def __len__(self) -> int:
        return len(self._batches)
