"""Parquet files of a recording, read one after the other, and whether an episode goes on from one file to the next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb.errors import UsageError, first_line
from jacdb.ingest.sources.recordings.counters import Boundaries


@dataclass(frozen=True)
class FileRows:
    """The rows of files, one after the other.

    Attributes:
        columns: by their names.
        facts: what the first file says of itself.
        starts: each file that has rows, and the number of its first one.
    """

    columns: dict[str, np.ndarray]
    facts: dict[str, str]
    starts: tuple[tuple[Path, int], ...]

    def check_episodes(self, begins: set[int], numbers: np.ndarray | None) -> None:
        """Refuse an episode that would join rows of two files of which nothing says that they follow each other.

        Args:
            begins: rows at which an episode begins, row 0 among them.
            numbers: the number of each row's episode; None if there is no such column.

        Raises:
            UsageError: names both files, and what would tell.
        """
        first = {row: file for file, row in self.starts}
        seen: dict[Any, Path] = {}  # the file in which each episode was last
        boundaries: Boundaries | None = None
        file = self.starts[0][0]
        for row in sorted(begins | first.keys()):
            before, file = file, first.get(row, file)
            joins = before if row not in begins else None
            if numbers is not None:
                joins = seen.get(numbers[row], joins)
                seen[numbers[row]] = file
            if joins is None or joins == file:
                continue
            if row not in begins:
                boundaries = boundaries or Boundaries([each for each, _ in self.starts], first.keys(), begins)
                if boundaries.goes_on(row):
                    continue
            which = "" if numbers is None else f" of episode {numbers[row]}"
            own = "a number of its own" if numbers is not None else "a number in a column episode"
            raise UsageError(
                f"{joins} and {file}: nothing says that rows{which} in the second follow those in the first: give each"
                f" episode {own}, or rows that do follow a column step or time that goes on"
            )


def read(files: tuple[Path, ...], names: set[str], folder: Path | None = None) -> FileRows:
    """Return the columns of files one after the other, matched by their names.

    Args:
        files: those to read, in this order.
        names: of columns, those that are read.
        folder: folders below it that are named ``column=value`` give all their files such a column.

    Raises:
        UsageError: a file is no Parquet; rows of a column differ in length; files differ in their columns.
    """
    tables = [_table(file, names) for file in files]
    if folder is not None:
        tables = _with_keys(folder, files, tables, names)
    _same_columns(files, tables)
    tables = _with_same_types(tables)
    named = tables[0].column_names
    table = pa.concat_tables([each.select(named) for each in tables], promote_options="default")
    said = {key.decode(): value.decode("utf-8", "replace") for key, value in (table.schema.metadata or {}).items()}
    where = files[0] if len(files) == 1 else files[0].parent
    columns = {column: _column(where, column, table[column].combine_chunks()) for column in named}
    ends = np.cumsum([each.num_rows for each in tables]).tolist()
    starts = ((file, end - each.num_rows) for file, each, end in zip(files, tables, ends, strict=True) if each.num_rows)
    return FileRows(columns, said, tuple(starts))


def _table(file: Path, names: set[str]) -> pa.Table:
    try:
        whole = file.absolute()  # Arrow takes walk:1.parquet for an address
        schema = pq.read_schema(whole)
        table = pq.read_table(whole, columns=[each for each in schema.names if each in names], partitioning=None)
        return _without_extensions(table)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file} is no readable Parquet: {first_line(error)}") from error


def _with_keys(folder: Path, files: tuple[Path, ...], tables: list[pa.Table], names: set[str]) -> list[pa.Table]:
    """Return the tables with columns for folders that are named ``column=value``, as Hive's partitions are."""
    keys = []
    for file in files:
        pairs = (part.partition("=") for part in file.relative_to(folder).parts[:-1])
        keys.append({key: unquote(value) for key, equals, value in pairs if equals and key in names})
    for key in sorted(set().union(*keys)):
        kind = _kind([each[key] for each in keys if key in each])
        for place, (file, each) in enumerate(zip(files, keys, strict=True)):
            if key not in each:
                continue  # what lacks a column is told of all files
            value, table = pa.scalar(each[key]).cast(kind), tables[place]
            if key not in table.column_names:
                tables[place] = table.append_column(key, pa.repeat(value, table.num_rows))
            elif table[key].unique().to_pylist() not in ([], [value.as_py()]):
                raise UsageError(f"{file}: {key} is another than its folder says, {key}={each[key]}: leave one out")
    return tables


def _kind(values: list[str]) -> pa.DataType:
    """Return the type of a folder's values: whole numbers, numbers, or text."""
    for kind in (pa.int64(), pa.float64()):
        try:
            pa.array(values).cast(kind)
        except pa.ArrowInvalid:
            continue
        return kind
    return pa.string()


def _same_columns(files: tuple[Path, ...], tables: list[pa.Table]) -> None:
    """Refuse files that differ in their columns' names or types; a column that is null throughout has any."""
    known: dict[str, tuple[pa.DataType, Path]] = {}
    for file, table in zip(files, tables, strict=True):
        for column in sorted({*tables[0].column_names} ^ {*table.column_names}):
            lacks, has = (files[0], file) if column in table.column_names else (file, files[0])
            raise UsageError(f"{lacks} has no column {column}, which {has} has: give all files the same columns")
        for column, kind in zip(table.schema.names, table.schema.types, strict=True):
            other, where = known.setdefault(column, (kind, file)) if kind != pa.null() else (kind, file)
            if _wider(kind) != _wider(other):
                raise UsageError(f"{file}: {column} is {kind}, and {other} in {where}: give all files the same type")


def _with_same_types(tables: list[pa.Table]) -> list[pa.Table]:
    """Return tables whose columns are concatenated as they are: of types that differ in width alone, the widest."""
    kinds = {name: {table.schema.field(name).type for table in tables} - {pa.null()} for name in tables[0].column_names}
    for name in (name for name, each in kinds.items() if len(each) > 1):
        for place, table in enumerate(tables):
            if (kind := table.schema.field(name).type) != pa.null():
                column = table[name].cast(_wider(kind))
                tables[place] = table.set_column(table.column_names.index(name), name, column)
    return tables


def _wider(kind: pa.DataType) -> pa.DataType:
    """Return the widest type of a type's kind, of whole numbers and of lists; floats say how precise they are."""
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return pa.int64()
    if _is_list(kind):
        return pa.large_list(_wider(kind.value_type))
    return kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _without_extensions(table: pa.Table) -> pa.Table:
    """Return a table with lists for tensors, and so what other extension types are stored as."""
    for place, (name, kind) in enumerate(zip(table.schema.names, table.schema.types, strict=True)):
        if isinstance(kind, pa.BaseExtensionType):
            chunks = [chunk.storage for chunk in table[name].chunks]
            table = table.set_column(place, name, pa.chunked_array(chunks, kind.storage_type))
    return table


def _column(where: Path, name: str, values: Any) -> np.ndarray:
    """Return an Arrow column as an array, (rows,) or (rows, numbers); what is missing as NaN."""
    kind = values.type
    if _is_list(kind):
        there = values.is_valid().to_numpy(zero_copy_only=False)
        lengths = pc.unique(pc.list_value_length(values).drop_null()).to_pylist()
        if len(lengths) > 1:
            some = ", ".join(map(str, sorted(lengths)[:3]))
            raise UsageError(f"{where}: rows of {name} have different lengths ({some}): give each the same")
        flat = _column(where, name, values.drop_null().flatten())
        rows = flat.reshape(there.sum(), lengths[0] if lengths else 0, *flat.shape[1:])
        if there.all():
            return rows
        every = np.full((len(there), *rows.shape[1:]), np.nan, np.result_type(rows.dtype, np.float32))
        every[there] = rows
        return every
    if pa.types.is_null(kind):  # as writers have it where no row has a value
        return np.full(len(values), np.nan)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return np.asarray(values.to_pylist(), dtype=object)
    if values.null_count and not pa.types.is_floating(kind):
        values = pc.cast(values, pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False))
