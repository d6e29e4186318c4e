"""StepRows of `steps` as NumPy arrays, a Parquet row group at a time; what loader and exports have in common."""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.dataset import manifest
from jacdb.dataset.folder import Folder
from jacdb.dataset.sql_text import literal
from jacdb.dataset.views import Views
from jacdb.errors import FailureError, UsageError, first_line, known
from jacdb.nested_lists import leaf_type, to_array

Arrays = dict[str, np.ndarray]  # column -> values, (rows, …)
SPLITS = ("train", "validation")
PIECE_BYTES = 2**21  # decoded at a time: more leaves the caches, less spends its time in Python


@dataclass(frozen=True)
class Part:
    """A Parquet file of steps: its name, the run that it is of, and how it is opened."""

    name: str
    run_id: str
    open: Callable[[], pa.NativeFile | BinaryIO]

    @functools.cached_property
    def metadata(self) -> pq.FileMetaData:
        """The footer; it is read once."""
        with self._legible(), self.open() as stream, pq.ParquetFile(stream) as file:
            return file.metadata

    @functools.cached_property
    def schema(self) -> pa.Schema:
        return self.metadata.schema.to_arrow_schema()

    def read(self, group: int, columns: Sequence[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        """Columns of one row group of it, so many rows at a time, decoded by the thread that asks.

        Raises:
            FailureError: it can't be read.
        """
        with self._legible(), self.open() as stream, pq.ParquetFile(stream, metadata=self.metadata) as file:
            yield from file.iter_batches(n_rows, [group], list(columns), use_threads=False)

    @contextmanager
    def _legible(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise FailureError(f"{self.name} can't be read: {first_line(error)}") from error


def parts(location: Folder, env: str) -> list[Part]:
    """The files of an environment's steps, by run and number. Nothing else lists or opens them."""
    found = ((path, manifest.PartPath.parse(path)) for path in location.parts("steps"))
    return [
        Part(f"{location.name}/{path}", part.run.run_id, functools.partial(location.open, path))
        for path, part in found
        if part and part.run.env == env
    ]


def segments(dataset: Views, env: str) -> pl.DataFrame:
    """What is left of each episode when only finite steps that meet the dataset's condition count, in order.

    Returns:
        One row for each stretch of consecutive steps: run_id, episode, first and last step.

    Raises:
        UsageError: the dataset has no such environment.
        FailureError: the condition fails as it runs, or a file can't be read.
    """
    dataset.view("steps", env)
    return dataset.fetch(
        dataset.sql(f"""
            with kept as not materialized (
                select run_id, episode, step from steps where env = {literal(env)} and finite
            ), episodes as (
                select run_id, episode, min(step) as first, max(step) as last, count(*) as steps
                from kept group by all
            ), broken as (
                select *, step - row_number() over (partition by run_id, episode order by step) as gap
                from kept semi join (from episodes where last - first + 1 > steps) using (run_id, episode)
            )
            select run_id, episode, first, last from episodes where last - first + 1 = steps
            union all
            select run_id, episode, min(step), max(step) from broken group by run_id, episode, gap
            order by run_id, episode, first
        """)
    )


def n_rows(kept: pl.DataFrame) -> int:
    """StepRows in the stretches."""
    return int((kept["last"] - kept["first"] + 1).sum())


def of_split(kept: pl.DataFrame, split: str, share: float) -> pl.DataFrame:
    """The stretches of the episodes that are in a split, of which validation has so much."""
    episodes = kept.select("run_id", "episode").unique()
    chosen = [in_validation(run_id, n, share) == (split == "validation") for run_id, n in episodes.iter_rows()]
    return kept.join(episodes.filter(chosen), on=episodes.columns, how="semi", maintain_order="left")


def in_validation(run_id: str, episode: int, share: float) -> bool:
    """Whether an episode is one of the validation split's: a hash of its name is below the share.

    So it is on every machine and in every pass, and other runs do not change it; of a larger share a smaller one is
    a part.
    """
    digest = hashlib.blake2b(f"{run_id}/{episode}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


@dataclass(frozen=True)
class Group:
    """A row group: where it is."""

    part: Part
    index: int


@dataclass
class StepRows:
    """Some columns of an environment's rows, of all stretches or some.

    Attributes:
        columns: what to read; names of numeric columns of `steps`.
        kept: the stretches whose rows are wanted; see ``stretches``.
        groups: the row groups of these runs, by run, part and position.
        shapes: of a row in each column, once one has been read.
        dtypes: of every column, ``dtype`` where it is a float and one is given, else the widest in which a run of the
            environment stores it.
    """

    dataset: Views
    env: str
    columns: tuple[str, ...]
    kept: pl.DataFrame
    dtype: str | None = None
    groups: list[Group] = field(init=False)
    dtypes: dict[str, np.dtype] = field(init=False)
    shapes: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        # After the stretches: none of these is in a part that is not here.
        there = parts(self.dataset.location, self.env)
        self._bounds = _bounds(self.kept)
        ours = [part for part in there if part.run_id in self._bounds]
        self._whole = _whole(self.kept, ours)
        groups = (Group(part, index) for part in ours for index in range(part.metadata.num_row_groups))
        self.groups = [group for group in groups if _rows_there(group)]
        self.dtypes = {name: np.result_type(*(_dtype(part, name) for part in there)) for name in self.columns}
        if self.dtype is not None:
            cast = np.dtype(self.dtype)
            self.dtypes = {name: cast if kind.kind == "f" else kind for name, kind in self.dtypes.items()}

    def wanted(self, group: Group) -> np.ndarray:
        """Which rows of a row group are wanted: booleans, one of each row. Two small columns say it, if not all are."""
        n_rows = _rows_there(group)
        if group.part.run_id in self._whole:
            return np.ones(n_rows, bool)
        first, last = self._bounds[group.part.run_id]
        (keys,) = group.part.read(group.index, ("episode", "step"), n_rows)
        key = _key(keys["episode"].to_numpy(), keys["step"].to_numpy())
        at = np.searchsorted(first, key, "right") - 1
        return (at >= 0) & (key <= last[at])

    def widths(self, group: Group) -> dict[str, int]:
        """How many numbers a row has in each column, by the file's footer."""
        footer = group.part.metadata.row_group(group.index)
        leaves = [footer.column(i) for i in range(footer.num_columns)]
        numbers = {leaf.path_in_schema.partition(".")[0]: leaf.num_values for leaf in leaves}
        return {name: numbers[name] // footer.num_rows for name in self.columns}

    def row_bytes(self, group: Group) -> int:
        return sum(width * self.dtypes[name].itemsize for name, width in self.widths(group).items())

    def read(self, group: Group, wanted: np.ndarray) -> Iterator[Arrays]:
        """The rows of a row group that are wanted, as (rows, …), some at a time.

        Pieces are about so large that the processor's caches hold them: who puts each where it belongs before the next
        is decoded needs less time than Arrow for the row group as a whole.

        Raises:
            FailureError: the file can't be read, or rows of a column differ in shape.
        """
        at = 0
        for piece in group.part.read(group.index, self.columns, max(1, PIECE_BYTES // self.row_bytes(group))):
            ours = wanted[at : at + len(piece)]
            at += len(piece)
            if not ours.all():
                piece = piece.filter(pa.array(ours))
            if len(piece):
                yield {name: self._array(group, name, piece[name]) for name in self.columns}

    def in_order(self) -> Iterator[tuple[str, Arrays]]:
        """All rows as they are stored, some at a time, with the run that they are of.

        Raises:
            FailureError: a file can't be read, or there are not the rows that there were.
        """
        missing = n_rows(self.kept)
        for group in self.groups:
            wanted = self.wanted(group)
            missing -= int(wanted.sum())
            if wanted.any():
                yield from ((group.part.run_id, piece) for piece in self.read(group, wanted))
        if missing:
            raise FailureError(f"{missing} rows of {self.env} are gone: the dataset changed meanwhile; try again")

    def _array(self, group: Group, name: str, column: pa.Array) -> np.ndarray:
        try:
            values = to_array(column)
        except ValueError as error:
            raise FailureError(f"{group.part.name}, row group {group.index}: {name} is no array: {error}") from error
        shape = self.shapes.setdefault(name, values.shape[1:])
        if shape != values.shape[1:]:
            told = f"{name} is of shape {values.shape[1:]}, and {shape} in another file"
            raise FailureError(f"{group.part.name}: {told}: take one run, where(\"run_id = '{group.part.run_id}'\")")
        return values.astype(self.dtypes[name], copy=False)


def check_columns(columns: tuple[str, ...]) -> None:
    """Refuse what can't be an array, before any work.

    Raises:
        UsageError: there is no such column, or its values are not numbers.
    """
    kinds = {column.name: leaf_type(column.type) for column in schemas.steps().schema}
    numbers = [name for name, kind in kinds.items() if _is_number(kind)]
    there = f"there are {', '.join(numbers)}"
    for name in columns:
        if name in numbers:
            continue
        if name in kinds:
            raise UsageError(f"column {name!r} holds no numbers: {there}")
        raise UsageError(f"no column {name!r}: {known(str(name), numbers)}")
    if not columns:
        raise UsageError(f"no column is asked for: {there}")


def _bounds(kept: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each run, the first and the last keys of its stretches, in order."""
    ends = {}
    for (run_id,), of in kept.group_by("run_id"):
        episode = of["episode"].to_numpy()
        first, last = (np.sort(_key(episode, of[end].to_numpy())) for end in ("first", "last"))
        ends[str(run_id)] = first, last
    return ends


def _rows_there(group: Group) -> int:
    return int(group.part.metadata.row_group(group.index).num_rows)


def _whole(kept: pl.DataFrame, ours: list[Part]) -> set[str]:
    """The runs of which the stretches are every row."""
    there = Counter[str]()
    for part in ours:
        there[part.run_id] += part.metadata.num_rows
    return {str(run_id) for (run_id,), of in kept.group_by("run_id") if n_rows(of) == there[str(run_id)]}


def _key(episode: np.ndarray, step: np.ndarray) -> np.ndarray:
    """A number by which the rows of a run are in order."""
    return (episode.astype(np.int64) << 32) | step.astype(np.int64)


def _dtype(part: Part, column: str) -> np.dtype:
    if column not in part.schema.names:
        raise FailureError(f"{part.name} has no column {column}: ingest its run again")
    return np.dtype(leaf_type(part.schema.field(column).type).to_pandas_dtype())


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
