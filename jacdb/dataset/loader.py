"""Batches for training: rows of `steps` as arrays of NumPy, JAX or PyTorch, shuffled in bounded memory.

Threads read row groups into a buffer in parallel (Arrow releases the GIL while it decodes), ahead of the training loop.
Batches are copied or gathered out of the buffer.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jacdb.dataset.step_rows import SPLITS, Arrays, RowGroup, StepRows, check_columns, n_rows, of_split, segments
from jacdb.dataset.views import Views
from jacdb.errors import UsageError

COLUMNS = ("state", "action", "next_state", "j_state", "j_action")
FRAMEWORKS = ("numpy", "jax", "torch")
Selection = tuple[RowGroup, np.ndarray]  # a row group, and which of its rows to read
READERS = min(
    pa.cpu_count() + 1, 8
)  # row groups read at once: one more than cores, for a reader sometimes waits for the disk


class BufferedRows(NamedTuple):
    """Rows in a buffer, and the order in which a pass returns them; None for their own."""

    rows: Arrays
    order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def cut(self, start: int, stop: int) -> Arrays:
        """Return rows [start, stop) of the order, as copies: a view would keep the whole buffer alive."""
        if self.order is None:
            return {name: values[start:stop].copy() for name, values in self.rows.items()}
        places = self.order[start:stop]
        return {name: values.take(places, axis=0) for name, values in self.rows.items()}


@dataclass(frozen=True)
class Batches:
    """Batches of rows; each pass over them gives every row once. ``Dataset.batches`` makes them, see there.

    Attributes:
        n_rows: how many rows a pass gives (before ``drop_last``).
    """

    dataset: Views
    env: str
    columns: Sequence[str] = COLUMNS
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
    _rows: StepRows = field(init=False, repr=False)
    _convert: Callable[[np.ndarray], Any] = field(init=False, repr=False)
    _spare: "list[_Buffer]" = field(
        init=False, repr=False, default_factory=list
    )  # buffers of finished passes, for the next

    def __post_init__(self) -> None:
        columns = (self.columns,) if isinstance(self.columns, str) else tuple(dict.fromkeys(self.columns))
        check_columns(columns)
        self._check()
        object.__setattr__(self, "_convert", _converter(self.framework, self.device))
        kept = segments(self.dataset, self.env)
        if self.split is not None:
            kept = of_split(kept, self.split, self.validation)
        if kept.is_empty():
            share = f" in split={self.split!r} of validation={self.validation}" if self.split else ""
            raise UsageError(f"no finite row of {self.env}{share}: ingest more episodes, or ask for other rows")
        object.__setattr__(self, "_rows", StepRows(self.dataset, self.env, columns, kept, self.dtype))
        object.__setattr__(self, "n_rows", n_rows(kept))

    def __len__(self) -> int:
        return self.n_rows // self.batch_size if self.drop_last else -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        buffers = [self._spare.pop() if self._spare else _Buffer(self._rows) for _ in range(2)]
        readers = ThreadPoolExecutor(READERS, "jacdb-reader")
        try:
            for batch in _cut(self._buffered(readers, buffers), self.batch_size, self.drop_last):
                yield {name: self._convert(values) for name, values in batch.items()}
        finally:
            readers.shutdown(cancel_futures=True)  # waits for running readers: they may be writing into a buffer
            self._spare.extend(buffers)

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

    def _buffered(self, readers: ThreadPoolExecutor, buffers: "list[_Buffer]") -> Iterator[BufferedRows]:
        """Yield the rows of a pass, one buffer at a time; a buffer is refilled as soon as its rows have been used."""
        rows, groups, most = self._rows, self._rows.groups, self.buffer_mib * 2**20
        random = np.random.default_rng(self.seed)
        if self.shuffle:
            groups = [groups[i] for i in random.permutation(len(groups))]
        loads = _buffer_loads(rows, groups, most)
        idle, waiting = deque(buffers), deque[tuple[_Buffer, int, list[Future[None]]]]()

        def fill(buffer: _Buffer, group: RowGroup, wanted: np.ndarray, start: int) -> None:
            for piece in rows.read(group, wanted):
                start = buffer.put(piece, start)

        def begin() -> None:
            for load in itertools.islice(loads, len(idle)):
                buffer, counts = idle.popleft(), [int(wanted.sum()) for _, wanted in load]
                buffer.make_room(load[0][0], sum(counts), most)
                starts = itertools.accumulate(counts, initial=0)
                reads = [
                    readers.submit(fill, buffer, *selection, start)
                    for selection, start in zip(load, starts, strict=False)
                ]
                waiting.append((buffer, sum(counts), reads))

        begin()
        while waiting:
            buffer, n_rows, reads = waiting.popleft()
            for reading in reads:
                reading.result()
            yield BufferedRows(buffer.first(n_rows), random.permutation(n_rows) if self.shuffle else None)
            idle.append(buffer)
            begin()


class _Buffer:
    """Memory for rows, (rows, numbers) for each column; it is reused, for fresh memory costs more than a copy."""

    def __init__(self, rows: StepRows) -> None:
        self._rows = rows
        self._flat: Arrays = {}

    def make_room(self, like: RowGroup, n_rows: int, nbytes: float) -> None:
        """Make room for ``n_rows`` rows, and for as many as fit in ``nbytes``; ``like`` gives the columns' widths."""
        if self._flat and all(len(flat) >= n_rows for flat in self._flat.values()):
            return
        room = max(n_rows, int(nbytes / self._rows.row_bytes(like)))
        kinds = self._rows.dtypes
        self._flat = {name: np.empty((room, width), kinds[name]) for name, width in self._rows.widths(like).items()}

    def put(self, piece: Arrays, start: int) -> int:
        """Put rows where they belong; return where the next do. In order: rows are copied faster than scattered."""
        for name, values in piece.items():
            end = start + len(values)
            self._flat[name][start:end] = values.reshape(len(values), -1)
        return end

    def first(self, n_rows: int) -> Arrays:
        """Return the first rows, in their own shapes; views."""
        return {name: flat[:n_rows].reshape(n_rows, *self._rows.shapes[name]) for name, flat in self._flat.items()}


def _buffer_loads(rows: StepRows, groups: Iterable[RowGroup], most: float) -> Iterator[list[Selection]]:
    """Yield the wanted rows of row groups, as many row groups at a time as fit in ``most`` bytes."""
    some: list[Selection] = []
    size = 0.0
    for group in groups:
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


def _cut(buffered: Iterable[BufferedRows], size: int, drop_last: bool) -> Iterator[Arrays]:
    """Yield batches of one size, across the borders of buffers."""
    rest: list[Arrays] = []  # fewer rows than a batch has
    missing = size
    for rows in buffered:
        at = 0
        while len(rows) - at >= missing:
            rest.append(rows.cut(at, at + missing))
            yield _joined(rest)
            at, rest, missing = at + missing, [], size
        if at < len(rows):
            rest.append(rows.cut(at, len(rows)))
            missing -= len(rows) - at
    if rest and not drop_last:
        yield _joined(rest)


def _joined(pieces: list[Arrays]) -> Arrays:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _converter(framework: str, device: str | None) -> Callable[[np.ndarray], Any]:
    """Return a function that converts a NumPy array to the framework's, on the device.

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
        return lambda values: jax.device_put(values)
    platform, _, index = device.partition(":")
    try:
        target = jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise UsageError(f"device={device!r}: JAX has {', '.join(map(str, jax.devices()))}") from error
    return lambda values: jax.device_put(values, target)


def _to_torch(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import torch
    except ImportError as error:
        raise UsageError("framework='torch' needs PyTorch: pip install torch") from error
    if device is None:
        return torch.from_numpy
    try:
        target = torch.device(device.replace("gpu", "cuda"))  # as JAX calls it
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        has = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise UsageError(f"device={device!r}: PyTorch has {has}") from error
    return lambda values: torch.from_numpy(values).to(target)
