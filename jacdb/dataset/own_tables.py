"""Frames and Parquet of a person's own as tables of a dataset's SQL, and a folder of views."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from jacdb.dataset import sandbox
from jacdb.dataset.sql_text import identifier
from jacdb.errors import UsageError, first_line
from jacdb.schemas.axis_names import folded

# A frame, or the Parquet file or folder of Parquet files that holds the rows
Rows = Any


class OwnTables:
    """Tables and views of a person's own, by name; they can be laid over any connection.

    Tables are handed to DuckDB by this process, so that SQL itself still opens no file outside the dataset.
    """

    def __init__(self, taken: frozenset[str]) -> None:
        """
        Args:
            taken: names that the dataset has itself, in lower case.
        """
        self._taken = taken
        self._tables: dict[str, Any] = {}
        self._views: dict[str, str] = {}

    def copy(self) -> "OwnTables":
        """Return a copy; what is added to one is not in the other."""
        copied = OwnTables(self._taken)
        copied._tables, copied._views = dict(self._tables), dict(self._views)
        return copied

    @property
    def names(self) -> tuple[str, ...]:
        """The names of tables and views."""
        return (*self._tables, *self._views)

    def add_table(self, connection: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> None:
        """Add a table to a connection, and to those of later.

        Raises:
            UsageError: the name is taken, or the rows are neither a frame nor Parquet.
        """
        self._check(name, self._views)
        table = _readable(name, rows)
        try:
            connection.register(name, table)
        except (duckdb.Error, pa.ArrowException) as error:
            raise UsageError(f"{name}: {first_line(error)}") from error
        self._tables = _without(self._tables, name) | {name: table}

    def add_views(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Add a view for each .sql file of a folder, named as the file; they may build on each other.

        Raises:
            UsageError: there is no such file, a name is taken, or a file is not one valid SELECT.
        """
        texts = dict(_selects(connection, folder))
        for name in texts:
            self._check(name, self._tables)
            if len(_without(texts, name)) < len(texts) - 1:
                raise UsageError(f"{folder / name}.sql: another file has the name to SQL, which tells no capitals")
        for name, error in _made(connection, texts).items():
            raise UsageError(f"{folder / name}.sql: {first_line(error)}") from error
        for name in texts:
            self._views = _without(self._views, name)
        self._views |= texts

    def lay_tables(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add all tables to a new connection."""
        for name, table in self._tables.items():
            connection.register(name, table)

    def lay_views(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add all views to a new connection."""
        _made(connection, self._views)

    def _check(self, name: str, others: Mapping[str, object]) -> None:
        if not isinstance(name, str):
            raise UsageError(f"{name!r} is no name of a table: give text")
        taken = name.lower() in self._taken or name.lower().startswith(("stored_", "unread"))
        if not name or taken or len(_without(others, name)) < len(others):
            raise UsageError(f"{name!r} is taken: give a name that no table, view or environment of the dataset has")


def _without[T](named: Mapping[str, T], name: str) -> dict[str, T]:
    """Return tables or views without those that have a name, in whatever spelling."""
    return {other: one for other, one in named.items() if folded(other) != folded(name)}


def _readable(name: str, rows: Rows) -> object:
    """Return rows as DuckDB can register them."""
    if isinstance(rows, str | Path):
        if not Path(rows).exists():
            raise UsageError(f"{name}: no Parquet at {rows}")
        import pyarrow.dataset as pads  # it imports pandas, and few register a file

        try:
            return pads.dataset(rows, format="parquet", partitioning="hive")
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{name}: {rows} is not Parquet: {first_line(error)}") from error
    if isinstance(rows, pl.DataFrame):
        return rows.to_arrow()
    if isinstance(rows, pl.LazyFrame):
        raise UsageError(f"{name}: give a frame, such as what collect() returns")
    if not isinstance(rows, pa.Table) and type(rows).__name__ != "DataFrame":
        raise UsageError(f"{name}: give a frame of polars or pandas, an Arrow table, or the path of Parquet")
    return rows


def _selects(connection: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[tuple[str, str]]:
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise UsageError(f"{folder}: no .sql file there")
    for path in paths:
        try:
            yield path.stem, sandbox.one_select(connection, path.read_text("utf-8"))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} can't be read: {first_line(error)}") from error


def _made(connection: duckdb.DuckDBPyConnection, texts: Mapping[str, str]) -> dict[str, duckdb.Error]:
    """Make views, each after those that it builds on; return the errors of those that can't be made."""
    waiting = dict(texts)
    while waiting:
        failed: dict[str, duckdb.Error] = {}
        for name, select in waiting.items():
            try:
                connection.execute(f"create or replace view {identifier(name)} as from (\n{select}\n)")
            except duckdb.Error as error:
                failed[name] = error
        if len(failed) == len(waiting):
            return failed
        waiting = {name: texts[name] for name in failed}
    return {}
