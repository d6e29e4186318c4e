"""Batches for training: rows of `steps` as arrays of NumPy, JAX or PyTorch, shuffled in bounded memory.

Rows are read into a buffer, ahead of the training loop. Batches are copied or gathered out of the buffer.
"""

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self, TypedDict

import numpy as np

from jacdb.counted import counted
from jacdb.dataset.batch_columns import BatchColumns, normalization
from jacdb.dataset.batch_sequence import BatchSequence, checked_share
from jacdb.dataset.frameworks import check_width, converter
from jacdb.dataset.normalization import Normalization
from jacdb.dataset.read_ahead import READERS, read_ahead
from jacdb.dataset.row_buffers import Buffer, Load, Selection, between, buffer_loads, cut
from jacdb.dataset.segments import Segments, segments, trajectories
from jacdb.dataset.split import SPLITS, of_split, sufficient_share
from jacdb.dataset.step_rows import StepRows, stored_dtypes
from jacdb.dataset.views import Views
from jacdb.dataset.windows import Windows, long_enough
from jacdb.errors import UsageError
from jacdb.methods import EXACT, METHODS
from jacdb.whole_number import whole_number

COLUMNS = ("state", "action", "next_state", "j_state", "j_action")
MAX_BUFFER_MIB = 2**40


class BatchOptions(TypedDict, total=False):
    """Options of batches, for type checkers; ``Batches`` says what each does."""

    shuffle: bool
    seed: int
    split: str | None
    validation: float
    framework: str
    device: str | None
    dtype: str | None
    drop_last: bool
    buffer_mib: float
    method: str | None
    twins: bool
    where: str | None
    normalize: bool
    worker: int
    workers: int
    window: int | None
    stride: int | None


def column_names(columns: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns, each once; a name alone is one.

    Raises:
        UsageError: they are no names.
    """
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        columns = (columns,)
    names = tuple(columns)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"column {name!r} is no name: give some, such as {', '.join(COLUMNS)}")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Batches(BatchSequence):
    """Batches of rows; each pass over them gives every row once. ``Dataset.batches`` makes them.

    ``len()`` is the number of batches, and ``batches[i]`` is the i-th of a pass. Batches can be pickled and can be used
    in a process that was forked, spawned or started by a fork server.

    Attributes:
        dataset: what to read.
        env: the environment.
        columns: numeric columns of `steps`: j_state comes as (n, d, d), state as (n, s), reward as (n,), NaN where
            null. Further, x is the state, dx the tangent from it to the next (n, d), see ``jacdb.tangent``; zero_state
            and zero_action say where the Jacobians' entries are zero, (n, d, d) and (n, d, a); method is a place in
            ``jacdb.methods.METHODS``. With ``framework="jax"``, pattern_id needs ``jax_enable_x64``: it has 64 bits.
        batch_size: rows in a batch; the last batch may have fewer.
        shuffle: permute the rows. Row groups are read in random order into a buffer, and the rows in the buffer are
            permuted. Seed, ``workers`` and ``buffer_mib`` decide the order. Give ``seed=epoch`` for a new order in each
            epoch.
        seed: seed of the order; 0 or more.
        split: "train" or "validation", by whole trajectories; None for all rows. A trajectory is what environment,
            policy and its settings, seed, model and episode determine, whatever the method. It stays in its split
            on every machine, with every seed of the order, and when runs are added.
        validation: the expected share of trajectories in the validation split. A trajectory is in it where
            ``trajectory_id`` of `episodes`, a hash, is below this share of 2**63; so the validation split of a
            smaller share is part of that of a larger one. Of two or more trajectories, each split has one at least:
            if none or all are below, the one with the smallest or largest id makes the exception.
        framework: numpy, jax or torch.
        device: "cpu", "gpu:0", "cuda:1", …; default: the framework's own.
        dtype: float16, float32 or float64 for all float columns. None keeps the stored types: float64, and float32
            for the matrices of most runs; where some runs store a column as float64 and others as float32, all rows
            come as float64. JAX turns float64 into float32 unless ``jax_enable_x64`` is set.
        drop_last: leave out the last batch if it is not full.
        buffer_mib: MiB of rows to shuffle at once; at least one row group. The next buffer is filled while one is
            used, so memory is twice this, plus a few row groups as they are stored. It is kept for the next pass.
        method: rows by this method only: implicit, unrolled, autodiff or fd. None takes all but fd, which are
            differences.
        twins: also take the same trajectories of other runs, which differ in method or dtype, say. By default
            the run that has most rows of a trajectory stands for it.
        where: a condition on steps, in SQL, which the rows meet besides the dataset's own.
        normalize: give state, next_state, x, action and dx with mean 0 and deviation 1, and the Jacobians of the
            normalized step; :class:`jacdb.dataset.normalization.Normalization` has the formula. Means and deviations
            are those of the training split, in the validation split too; of all rows if there is no split.
        worker: which share of the batches a pass gives, from 0, where ``workers`` of them share a pass.
        workers: how many workers share a pass; they read different row groups. Without ``shuffle`` each batch of the
            unshared pass comes to one of them. With it each row does, and each worker permutes its own.
        window: steps in a window. The items of a batch are windows, not rows: n consecutive steps of an episode, so
            state comes as (batch, n, s) and j_state as (batch, n, d, d). No window reaches across a row that is left
            out. ``batch_size``, ``shuffle`` and ``workers`` concern windows.
        stride: steps from the start of a window to that of the next. By default ``window``: windows do not overlap, and
            of each run of consecutive steps fewer than ``window`` are left over at its end.
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
    method: str | None = None
    twins: bool = False
    where: str | None = None
    normalize: bool = False
    worker: int = 0
    workers: int = 1
    window: int | None = None
    stride: int | None = None
    _columns: BatchColumns = field(init=False, repr=False)
    _rows: StepRows = field(init=False, repr=False)
    _windows: Windows | None = field(init=False, repr=False)
    _convert: Callable[[np.ndarray], Any] = field(init=False, repr=False)
    _spare: list[Buffer] = field(init=False, repr=False)  # buffers of finished passes, for the next

    def __post_init__(self) -> None:
        columns = column_names(self.columns)
        vars(self).update(columns=columns)
        self._check()
        self._prepare()
        made = BatchColumns(self.dataset, self.env, columns, self.dtype)
        check_width(self.framework, stored_dtypes(columns))
        dataset = self.dataset if self.where is None else self.dataset.where(self.where)
        if self.normalize:
            of_training = self._kept(dataset, self.split and "train")
            made.normalization = normalization(dataset, self.env, of_training)
        kept = self._with_windows(self._kept(dataset, self.split))
        rows = StepRows(dataset, self.env, made.stored, kept, made.stored_dtype)
        windows = None if self.window is None else Windows(rows, self.window, self.stride or self.window)
        vars(self).update(_columns=made, _rows=rows, _windows=windows)

    @property
    def normalization(self) -> Normalization | None:
        """The means and deviations by which rows are normalized; None if they are not."""
        return self._columns.normalization

    @property
    def nbytes(self) -> int:
        """The bytes in memory of all rows of a pass, of all workers together."""
        return self._rows.kept.n_rows * self._rows.row_bytes(self._rows.groups[0])

    @property
    def n_rows(self) -> int:
        """How many rows, or windows, a pass gives (before ``drop_last``)."""
        first, stop = self._share
        return stop - first

    def __len__(self) -> int:
        return self.n_rows // self.batch_size if self.drop_last else -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(READERS, "jacdb-reader") as readers:
            yield from self.read(readers)

    def read(self, readers: Executor) -> Generator[dict[str, Any]]:
        """Yield the batches of a pass; row groups are read by these threads, which several passes may share."""
        return self._between(0, self.n_rows, readers)

    def _at(self, place: int) -> dict[str, Any]:
        start = place * self.batch_size
        with ThreadPoolExecutor(READERS, "jacdb-reader") as readers:
            [batch] = self._between(start, min(start + self.batch_size, self.n_rows), readers)
        return batch

    def _between(self, first: int, stop: int, readers: Executor) -> Generator[dict[str, Any]]:
        """Yield the batches of rows or windows [first, stop) of the worker's share of a pass."""
        buffers = [self._spare.pop() if self._spare else Buffer(self._rows) for _ in range(2)]
        rows = read_ahead(self._rows, self._loads(first, stop), buffers, self.buffer_mib * 2**20, readers)
        try:
            for batch in cut(rows, self.batch_size, self.drop_last):
                columns = self._columns.of(batch)
                check_width(self.framework, {name: values.dtype for name, values in columns.items()})
                yield {name: self._convert(values) for name, values in columns.items()}
        finally:
            rows.close()  # waits for running readers: they may be writing into a buffer
            self._spare.extend(buffers)

    def share(self, worker: int, workers: int) -> Self:
        """Return the batches that one of several workers gives, without another query.

        Of a share, this is a share of that: worker w of W becomes worker w * workers + worker of W * workers.

        Raises:
            UsageError: there is no such worker.
        """
        worker, workers = checked_share(worker, workers)
        shared = copy.copy(self)
        vars(shared).update(worker=self.worker * workers + worker, workers=self.workers * workers)
        return shared

    def with_buffer(self, buffer_mib: float) -> Self:
        """Return these batches with a buffer of another size, without another query."""
        changed = copy.copy(self)
        vars(changed).update(buffer_mib=buffer_mib, _spare=[])
        return changed

    def __getstate__(self) -> dict[str, Any]:
        """Return all but what a process has for itself: workers read the same rows, whatever is ingested meanwhile."""
        return {name: value for name, value in vars(self).items() if name not in ("_convert", "_spare")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def _prepare(self) -> None:
        object.__setattr__(self, "_convert", converter(self.framework, self.device))
        object.__setattr__(self, "_spare", [])

    @property
    def _share(self) -> tuple[int, int]:
        """The worker's rows or windows, of all of a pass: the first, and the one behind the last. Whole batches."""
        n_rows = self._rows.kept.n_rows if self._windows is None else len(self._windows)
        n_batches = -(-n_rows // self.batch_size)
        bounds = (n_batches * worker // self.workers for worker in (self.worker, self.worker + 1))
        first, stop = (min(n_rows, self.batch_size * bound) for bound in bounds)
        return first, stop

    def _kept(self, dataset: Views, split: str | None) -> Segments:
        """Return the segments of a split that are asked for; some row is in them."""
        methods = EXACT if self.method is None else (self.method,)
        kept = segments(dataset, self.env, methods, twins=self.twins)
        if not len(kept):
            by = "by an exact method" if self.method is None else f"of method={self.method!r}"
            more = "ingest some" if dataset.condition is None else f"give another condition than {dataset.condition}"
            raise UsageError(f"no finite row of {self.env} {by}: {more}, or ask for other rows with method=")
        if split is None:
            return kept
        every = trajectories(self.dataset, self.env, methods)
        chosen = of_split(kept, split, self.validation, every)
        if not len(chosen):
            share = sufficient_share(kept, split, every)
            remedy = "ingest more episodes" if share is None else f"give validation={share}, or ingest more episodes"
            told = f"no row of {self.env} in split={split!r} of validation={self.validation}"
            episodes = counted(len(set(kept.trajectory_id)), "episode")
            raise UsageError(f"{told}, of {episodes}: {remedy}")
        return chosen

    def _with_windows(self, kept: Segments) -> Segments:
        """Return the segments in which a window fits; some window does."""
        if self.window is None:
            return kept
        fitting = long_enough(kept, self.window)
        if not len(fitting):
            longest = int((kept.last - kept.first).max()) + 1
            raise UsageError(f"window={self.window}: {self.env} has {longest} consecutive steps at most: give fewer")
        return fitting

    def _check(self) -> None:
        for name in ("batch_size", "seed", "window", "stride"):
            value = getattr(self, name)
            if value is not None or name not in ("window", "stride"):
                vars(self)[name] = whole_number(name, value)
        for name in ("validation", "buffer_mib"):
            if not isinstance(value := getattr(self, name), Real):
                raise UsageError(f"{name}={value!r}: give a number")
        if self.batch_size < 1:
            raise UsageError(f"batch_size={self.batch_size}: give 1 or more")
        if self.window is not None and self.window < 1:
            raise UsageError(f"window={self.window}: give 1 step or more, or None for rows")
        if self.stride is not None and (self.window is None or self.stride < 1):
            raise UsageError(f"stride={self.stride} of window={self.window}: give a window, and a stride of 1 or more")
        if self.seed < 0:
            raise UsageError(f"seed={self.seed}: give 0 or more")
        if self.split not in (None, *SPLITS):
            raise UsageError(f"split={self.split!r}: give {' or '.join(SPLITS)}, or None for all rows")
        if not 0 < self.validation < 1:
            raise UsageError(f"validation={self.validation}: give a share of the episodes between 0 and 1")
        vars(self)["worker"], vars(self)["workers"] = checked_share(self.worker, self.workers)
        if self.method not in (None, *METHODS):
            raise UsageError(f"method={self.method!r}: give {', '.join(METHODS)}, or None for all but fd")
        if self.method == "fd" and {"zero_state", "zero_action"} & {*self.columns}:
            raise UsageError("zero_state and zero_action are of exact rows: leave them out, or method='fd'")
        vars(self)["buffer_mib"] = float(self.buffer_mib)  # one of NumPy's may overflow as bytes
        if not 0 < self.buffer_mib < MAX_BUFFER_MIB:
            raise UsageError(f"buffer_mib={self.buffer_mib}: give more than 0, and less than {MAX_BUFFER_MIB:,}")
        if self.dtype not in (None, "float16", "float32", "float64"):
            raise UsageError(f"dtype={self.dtype!r}: give float16, float32 or float64, or None for what is stored")

    def _loads(self, first: int, stop: int) -> Iterator[Load]:
        """Yield what fills the buffers, for rows or windows [first, stop) of the worker's share of a pass."""
        random, n_groups = np.random.default_rng(self.seed), len(self._rows.groups)
        order = random.permutation(n_groups) if self.shuffle else range(n_groups)
        chosen, most, share = map(self._selection, order), self.buffer_mib * 2**20, self._share
        if not self.shuffle:
            here = between(chosen, share[0] + first, share[0] + stop)
            yield from map(Load.of, buffer_loads(self._rows, here, most))
            return
        at = 0
        for some in buffer_loads(self._rows, between(chosen, *share), most):
            load, n_items = Load.of(some, random), sum(map(len, some))  # also if it is not asked for: random goes on
            low, high = max(first - at, 0), min(stop - at, n_items)
            if low < high and load.order is not None:
                yield Load(load.parts, load.order[low:high])
            at += n_items
            if at >= stop:
                return

    def _selection(self, index: int) -> Selection:
        """Return the rows wanted of a row group, or the windows that start in it."""
        if self._windows is not None:
            return self._windows.selection(index)
        group = self._rows.groups[index]
        return Selection([(group, self._rows.wanted(group))])
