"""Batches for training: rows of `steps` as arrays of NumPy, JAX or PyTorch, shuffled in bounded memory.

Row groups are decoded side by side by threads (Arrow holds no lock while it does), put together into a buffer by one
more thread, a buffer ahead of who trains, and handed out in batches.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jacdb.errors import UsageError
from jacdb.steps import SPLITS, Arrays, Group, Rows, check_columns, n_rows, of_split, stretches

if TYPE_CHECKING:
    from jacdb.catalog import Dataset

COLUMNS = ("state", "action", "next_state", "j_state", "j_action")
FRAMEWORKS = ("numpy", "jax", "torch")
READERS = min(pa.cpu_count(), 8)  # row groups decoded at once; each takes its memory


@dataclass(frozen=True)
class Batches:
    """Batches of rows; each pass over them gives every row once. ``Dataset.batches`` makes them and explains them.

    Attributes:
        n_rows: how many rows a pass gives (before ``drop_last``).
    """

    dataset: "Dataset"
    env: str
    columns: tuple[str, ...] = COLUMNS
    batch_size: int = 256
    shuffle: bool = False
    seed: int = 0
    split: str | None = None
    validation: float = 0.1
    framework: str = "numpy"
    device: str | None = None
    dtype: str | None = None
    drop_last: bool = False
    buffer_mib: float = 64.0
    n_rows: int = field(init=False)
    _rows: Rows = field(init=False, repr=False)
    _convert: Callable[[np.ndarray], Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)
        check_columns(columns)
        self._check()
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "_convert", _converter(self.framework, self.device))
        kept = stretches(self.dataset, self.env)
        if self.split is not None:
            kept = of_split(kept, self.split, self.validation)
        if kept.is_empty():
            share = f" in split={self.split!r} of validation={self.validation}" if self.split else ""
            raise UsageError(f"no finite row of {self.env}{share}: ingest more episodes, or ask for other rows")
        object.__setattr__(self, "_rows", Rows(self.dataset, self.env, columns, kept, self.dtype))
        object.__setattr__(self, "n_rows", n_rows(kept))

    def __len__(self) -> int:
        return self.n_rows // self.batch_size if self.drop_last else -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        stop = threading.Event()
        chunks = self._chunks(stop)
        ahead = ThreadPoolExecutor(1, "jacdb-buffer")
        try:
            for batch in _cut(_one_ahead(ahead, chunks), self.batch_size, self.drop_last):
                yield {name: self._convert(values) for name, values in batch.items()}
        finally:
            stop.set()
            ahead.shutdown(cancel_futures=True)
            chunks.close()

    def _check(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size={self.batch_size}: give 1 or more")
        if self.seed < 0:
            raise UsageError(f"seed={self.seed}: give 0 or more")
        if self.split not in (None, *SPLITS):
            raise UsageError(f"split={self.split!r}: give {' or '.join(SPLITS)}, or None for all rows")
        if not 0 < self.validation < 1:
            raise UsageError(f"validation={self.validation}: give a share of the episodes between 0 and 1")
        if not self.buffer_mib > 0:
            raise UsageError(f"buffer_mib={self.buffer_mib}: give more than 0")
        if self.dtype not in (None, "float16", "float32", "float64"):
            raise UsageError(f"dtype={self.dtype!r}: give float16, float32 or float64, or None for what is stored")

    def _chunks(self, stop: threading.Event) -> Iterator[Arrays]:
        """Rows in the order of the pass, many at a time: a row group, or a shuffled buffer."""
        if not self.shuffle:
            return _in_order(self._rows, stop)
        return _shuffled(self._rows, self.buffer_mib * 2**20, np.random.default_rng(self.seed), stop)


def _in_order(rows: Rows, stop: threading.Event) -> Iterator[Arrays]:
    """Row groups as they are stored, some ahead."""
    with _readers() as readers:
        waiting: deque[Future[Arrays]] = deque()
        for group in rows.groups:
            if stop.is_set():
                return
            wanted = rows.wanted(group)
            if wanted.any():
                waiting.append(readers.submit(rows.read, group, wanted))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _shuffled(rows: Rows, most: float, order: np.random.Generator, stop: threading.Event) -> Iterator[Arrays]:
    """Buffers of so many bytes, of a row group at least, each with its rows permuted.

    A row group's rows go to their places as soon as it is decoded, so that memory holds each row about once. There are
    two buffers, used in turns: fresh memory costs more than decoding into it. One is good until the next but one.
    """
    turns = itertools.cycle([_Buffer(rows), _Buffer(rows)])
    with _readers() as readers:
        for buffer, groups in zip(turns, _filling(rows, most, order), strict=False):
            places = order.permutation(sum(int(wanted.sum()) for _, wanted in groups))
            buffer.make_room(groups[0][0], len(places), most)
            scattered, at = [], 0
            for group, wanted in groups:
                here = places[at : at + int(wanted.sum())]
                scattered.append(readers.submit(buffer.scatter, group, wanted, here))
                at += len(here)
            for one in scattered:
                one.result()
                if stop.is_set():
                    return
            yield buffer.first(len(places))


class _Buffer:
    """Room for rows, taken once: each row of a column flat."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._flat: Arrays = {}

    def make_room(self, like: Group, n_rows: int, nbytes: float) -> None:
        """Room for so many rows, and for as many as have so many bytes."""
        if self._flat and all(len(flat) >= n_rows for flat in self._flat.values()):
            return
        room = max(n_rows, int(nbytes / self._rows.row_bytes(like)))
        kinds = self._rows.dtypes
        self._flat = {name: np.empty((room, width), kinds[name]) for name, width in self._rows.widths(like).items()}

    def scatter(self, group: Group, wanted: np.ndarray, places: np.ndarray) -> None:
        for name, values in self._rows.read(group, wanted).items():
            self._flat[name][places] = values.reshape(len(values), -1)

    def first(self, n_rows: int) -> Arrays:
        return {name: flat[:n_rows].reshape(n_rows, *self._rows.shapes[name]) for name, flat in self._flat.items()}


def _filling(rows: Rows, most: float, order: np.random.Generator) -> Iterator[list[tuple[Group, np.ndarray]]]:
    """Row groups in random order, as many at a time as a buffer holds, with which of their rows are wanted."""
    some: list[tuple[Group, np.ndarray]] = []
    size = 0.0
    for i in order.permutation(len(rows.groups)):
        group = rows.groups[i]
        wanted = rows.wanted(group)
        nbytes = rows.row_bytes(group) * int(wanted.sum())
        if some and size + nbytes > most:
            yield some
            some, size = [], 0.0
        if nbytes:
            some.append((group, wanted))
            size += nbytes
    if some:
        yield some


@contextmanager
def _readers() -> Iterator[ThreadPoolExecutor]:
    """Threads that decode row groups; who leaves early waits only for those at work."""
    readers = ThreadPoolExecutor(READERS, "jacdb-reader")
    try:
        yield readers
    finally:
        readers.shutdown(cancel_futures=True)


def _one_ahead(worker: ThreadPoolExecutor, chunks: Iterator[Arrays]) -> Iterator[Arrays]:
    """The same chunks, the next one made by the worker while one is in use."""
    coming = worker.submit(next, chunks, None)
    while (chunk := coming.result()) is not None:
        coming = worker.submit(next, chunks, None)
        yield chunk


def _cut(chunks: Iterable[Arrays], size: int, drop_last: bool) -> Iterator[Arrays]:
    """Batches of one size, across the chunks' borders; copies, for a view would keep its whole chunk alive."""
    rest: list[Arrays] = []  # fewer rows than a batch has
    missing = size
    for chunk in chunks:
        at, there = 0, _length(chunk)
        while there - at >= missing:
            rest.append({name: values[at : at + missing] for name, values in chunk.items()})
            yield _joined(rest)
            at, rest, missing = at + missing, [], size
        if at < there:
            rest.append({name: values[at:].copy() for name, values in chunk.items()})
            missing -= there - at
    if rest and not drop_last:
        yield _joined(rest)


def _joined(pieces: list[Arrays]) -> Arrays:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _length(piece: Arrays) -> int:
    return len(next(iter(piece.values())))


def _converter(framework: str, device: str | None) -> Callable[[np.ndarray], Any]:
    """What makes an array of the framework, on the device.

    Raises:
        UsageError: there is no such framework or device, or it is not installed.
    """
    if framework not in FRAMEWORKS:
        raise UsageError(f"framework={framework!r}: give {', '.join(FRAMEWORKS)}")
    if framework == "numpy":
        if device is not None:
            raise UsageError(f"device={device!r}: NumPy has none; give framework='jax' or 'torch'")
        return lambda values: values
    return _to_jax(device) if framework == "jax" else _to_torch(device)


def _to_jax(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import jax
    except ImportError as error:
        raise UsageError("framework='jax' needs JAX: pip install jax") from error
    if device is None:
        return jax.device_put
    platform, _, index = device.partition(":")
    try:
        there = jax.devices(platform)
        where = there[int(index or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise UsageError(f"device={device!r}: JAX has {', '.join(map(str, jax.devices()))}") from error
    return lambda values: jax.device_put(values, where)


def _to_torch(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import torch
    except ImportError as error:
        raise UsageError("framework='torch' needs PyTorch: pip install torch") from error
    if device is None:
        return torch.from_numpy
    try:
        where = torch.device(device.replace("gpu", "cuda"))  # as JAX calls it
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        has = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise UsageError(f"device={device!r}: PyTorch has {has}") from error
    return lambda values: torch.from_numpy(values).to(where)
