"""Read rows of `steps` as NumPy arrays, one Parquet row group at a time; the loader and the exports build on it."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import PartPath
from jacdb.dataset.segments import Segments
from jacdb.errors import FailureError, UsageError, first_line, suggestion
from jacdb.methods import METHODS
from jacdb.nested_lists import leaf_type, to_array

CODES = {"method": METHODS}  # columns of words, read as places in a list: arrays hold numbers
Arrays = dict[str, np.ndarray]  # column -> values, (rows, …)
PIECE_BYTES = 2**21  # decoded at a time: more does not fit the processor's caches, less makes Python the bottleneck


@dataclass(frozen=True)
class StepsFile:
    """A Parquet file of `steps`: its name, its run, and a function that opens it."""

    name: str
    run_id: str
    open: Callable[[], pa.NativeFile | BinaryIO]

    @functools.cached_property
    def metadata(self) -> pq.FileMetaData:
        """The footer, which is read once."""
        with self._readable(), self.open() as stream, pq.ParquetFile(stream) as file:
            return file.metadata

    @functools.cached_property
    def schema(self) -> pa.Schema:
        return self.metadata.schema.to_arrow_schema()

    def read(self, group: int, columns: Sequence[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield columns of one row group, ``n_rows`` rows at a time, decoded by the calling thread.

        Raises:
            FailureError: the file can't be read.
        """
        with self._readable(), self.open() as stream, pq.ParquetFile(stream, metadata=self.metadata) as file:
            yield from file.iter_batches(n_rows, [group], list(columns), use_threads=False)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise FailureError(f"{self.name} can't be read: {first_line(error)}") from error


def files(location: Folder, env: str) -> list[StepsFile]:
    """Return the files of an environment's steps, by run and number. All reading of arrays goes through here."""
    paths = ((path, PartPath.parse(path)) for path in location.parts("steps"))
    return [
        StepsFile(f"{location.name}/{path}", part.run.run_id, functools.partial(location.open, path))
        for path, part in paths
        if part and part.run.env == env
    ]


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, by its index."""

    part: StepsFile
    index: int


class Located(Protocol):
    """An open dataset, or something else that knows where its files are."""

    @property
    def location(self) -> Folder: ...


@dataclass
class StepRows:
    """Some columns of an environment's rows, limited to segments.

    Attributes:
        columns: what to read; names of numeric columns of `steps`.
        kept: the segments to read; see ``segments``.
        groups: the row groups of their runs, by run, file and position.
        shapes: the shape of a row in each column, known once one has been read.
        dtypes: the type of each column: ``dtype`` for floats, if it is given; else the widest type in which a run of
            the environment stores it.
    """

    dataset: Located
    env: str
    columns: tuple[str, ...]
    kept: Segments
    dtype: str | None = None
    groups: list[RowGroup] = field(init=False)
    dtypes: dict[str, np.dtype] = field(init=False)
    shapes: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        # The segments are older than this list, so every file that they need is in it.
        files_of_env = files(self.dataset.location, self.env)
        self._bounds = _bounds(self.kept)
        of_runs = [part for part in files_of_env if part.run_id in self._bounds]
        self._complete = _complete_runs(self.kept, of_runs)
        groups = (RowGroup(part, index) for part in of_runs for index in range(part.metadata.num_row_groups))
        self.groups = [group for group in groups if _n_rows(group)]
        self.dtypes = {name: np.result_type(*(_dtype(part, name) for part in files_of_env)) for name in self.columns}
        if self.dtype is not None:
            cast = np.dtype(self.dtype)
            self.dtypes = {name: cast if kind.kind == "f" else kind for name, kind in self.dtypes.items()}

    def wanted(self, group: RowGroup) -> np.ndarray:
        """Return which rows of a row group are in the segments, (rows,); read two small columns if that is needed."""
        n_rows = _n_rows(group)
        if group.part.run_id in self._complete:
            return np.ones(n_rows, bool)
        return self._segment_of(group, self._keys(group)) >= 0

    def segment_starts(self, group: RowGroup, before: int = -1) -> tuple[np.ndarray, np.ndarray, int]:
        """Return where segments start in a row group; two small columns are read.

        Args:
            group: the row group.
            before: the key of the last wanted row before it, of the same run.

        Returns:
            The places of the first rows of segments among the wanted rows, the lengths of these segments in rows, and
            the key of the last wanted row so far.

        Raises:
            FailureError: the file can't be read, or the steps of an episode are not in order.
        """
        key = self._keys(group)
        at = self._segment_of(group, key)
        key, at = key[at >= 0], at[at >= 0]
        first, last = self._bounds[group.part.run_id]
        is_first = key == first[at]
        if not (is_first | (np.diff(key, prepend=before) == 1)).all():
            where = f"{group.part.name}, row group {group.index}"
            raise FailureError(f"{where}: steps are not in order: ingest its run again")
        starts = np.flatnonzero(is_first)
        return starts, (last - first)[at[starts]] + 1, int(key[-1]) if len(key) else before

    def _keys(self, group: RowGroup) -> np.ndarray:
        """Return the keys of all rows of a row group."""
        (keys,) = group.part.read(group.index, ("episode", "step"), _n_rows(group))
        return _key(keys["episode"].to_numpy(), keys["step"].to_numpy())

    def _segment_of(self, group: RowGroup, key: np.ndarray) -> np.ndarray:
        """Return the place of each row's segment among those of its run; -1 for rows in none."""
        first, last = self._bounds[group.part.run_id]
        at = np.searchsorted(first, key, "right") - 1
        return np.where((at >= 0) & (key <= last[at]), at, -1)

    def widths(self, group: RowGroup) -> dict[str, int]:
        """Return how many numbers a row has in each column, by the file's footer."""
        footer = group.part.metadata.row_group(group.index)
        leaves = [footer.column(i) for i in range(footer.num_columns)]
        numbers = {leaf.path_in_schema.partition(".")[0]: leaf.num_values for leaf in leaves}
        return {name: numbers[name] // footer.num_rows for name in self.columns}

    def row_bytes(self, group: RowGroup) -> int:
        """Return the bytes of a row in memory."""
        return sum(width * self.dtypes[name].itemsize for name, width in self.widths(group).items())

    def read(self, group: RowGroup, wanted: np.ndarray) -> Iterator[Arrays]:
        """Yield the wanted rows of a row group, as arrays (rows, …), some at a time.

        A piece fits the processor's caches. Copying each piece to its place before the next is decoded is faster than
        letting Arrow decode the whole row group.

        Raises:
            FailureError: the file can't be read, or the rows of a column differ in shape.
        """
        at = 0
        for piece in group.part.read(group.index, self.columns, max(1, PIECE_BYTES // self.row_bytes(group))):
            of_runs = wanted[at : at + len(piece)]
            at += len(piece)
            if not of_runs.all():
                piece = piece.filter(pa.array(of_runs))
            if len(piece):
                yield {name: self._array(group, name, piece[name]) for name in self.columns}
            if not wanted[at:].any():
                return

    def in_order(self) -> Iterator[tuple[str, Arrays]]:
        """Yield all rows in stored order, some at a time, each piece with its run's id.

        Raises:
            FailureError: a file can't be read, or rows have disappeared meanwhile.
        """
        missing = self.kept.n_rows
        for group in self.groups:
            wanted = self.wanted(group)
            missing -= int(wanted.sum())
            if wanted.any():
                yield from ((group.part.run_id, piece) for piece in self.read(group, wanted))
        if missing:
            raise FailureError(f"{missing} rows of {self.env} are gone: the dataset changed meanwhile; try again")

    def _array(self, group: RowGroup, name: str, column: pa.Array) -> np.ndarray:
        """Return a column as an array of the type and shape that all row groups share."""
        if name in CODES:
            column = pc.index_in(column.cast(pa.string()), pa.array(CODES[name])).cast(pa.int8())
        try:
            if pa.types.is_floating(column.type):  # a source has no reward, say
                column = column.fill_null(float("nan"))
            values = to_array(column)
        except ValueError as error:
            raise FailureError(f"{group.part.name}, row group {group.index}: {name} is no array: {error}") from error
        shape = self.shapes.setdefault(name, values.shape[1:])
        if shape != values.shape[1:]:
            wrong = f"{name} is of shape {values.shape[1:]} here, and {shape} in another file"
            raise FailureError(f"{group.part.name}: {wrong}: take one run, where(\"run_id = '{group.part.run_id}'\")")
        return values.astype(self.dtypes[name], copy=False)


def check_columns(columns: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
    """Refuse columns that can't be arrays, before any work.

    Args:
        columns: their names.
        others: names that are columns as well, for the message.

    Raises:
        UsageError: no column is given, there is no such column, or its values are not numbers.
    """
    kinds = {column.name: leaf_type(column.type) for column in schemas.steps().schema}
    numbers = [name for name, kind in kinds.items() if _is_number(kind) or name in CODES]
    choices = f"there are {', '.join([*numbers, *others])}"
    for name in columns:
        if name in numbers:
            continue
        if name in kinds:
            raise UsageError(f"column {name!r} holds no numbers: {choices}")
        raise UsageError(f"no column {name!r}: {suggestion(str(name), [*numbers, *others])}")
    if not columns:
        raise UsageError(f"no column is asked for: {choices}")


def stored_dtypes(columns: Iterable[str]) -> dict[str, np.dtype]:
    """Return the types of the numbers in columns of `steps`, by the schema; of the stored ones among these columns."""
    kinds = {column.name: leaf_type(column.type) for column in schemas.steps().schema}
    return {name: np.dtype(kinds[name].to_pandas_dtype()) for name in columns if name in kinds.keys() - CODES.keys()}


def _bounds(kept: Segments) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each run the first and the last keys of its segments, sorted."""
    ends = {}
    for run_id in kept.runs:
        of_run = kept.where(kept.run_id == run_id)
        ends[run_id] = _key(of_run.episode, of_run.first), _key(of_run.episode, of_run.last)
    return ends


def _n_rows(group: RowGroup) -> int:
    """Return the number of rows in a row group."""
    return int(group.part.metadata.row_group(group.index).num_rows)


def _complete_runs(kept: Segments, of_runs: list[StepsFile]) -> set[str]:
    """Return the runs whose every row is in the segments."""
    stored = Counter[str]()
    for part in of_runs:
        stored[part.run_id] += part.metadata.num_rows
    return {run_id for run_id in kept.runs if kept.where(kept.run_id == run_id).n_rows == stored[run_id]}


def _key(episode: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return a number for each row that sorts the rows of a run."""
    return (episode.astype(np.int64) << 32) | step.astype(np.int64)


def _dtype(part: StepsFile, column: str) -> np.dtype:
    if column not in part.schema.names:
        raise FailureError(f"{part.name} has no column {column}: ingest its run again")
    if column in CODES:
        return np.dtype(np.int8)
    return np.dtype(leaf_type(part.schema.field(column).type).to_pandas_dtype())


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
