"""Tables for the DuckDB in the page: native files that an older DuckDB reads, of which it needs no network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from jacdb import queries
from jacdb.dataset.layout import Run
from jacdb.dataset.sandbox import BATCH_ROWS
from jacdb.dataset.sql_text import identifier, literal
from jacdb.errors import FailureError, first_line
from jacdb.explorer.subject import Subject

# What duckdb-wasm reads: it is older than DuckDB 2
_STORAGE = "v1.2.0"
_BLOCK = 2**14  # bytes; the usual 2**18 would fill small tables with nothing
STORED = tuple(f"stored_{name}" for name in ("runs", "axes", "episodes", "patterns", *queries.RESULTS[:2]))
WITHOUT = ("j_state", "j_action", "state", "action", "next_state")  # nine tenths of the bytes of a step


def write_tables(subject: Subject, path: Path) -> None:
    """Write ``data/tables.duckdb``: the stored tables but steps, and what the runs add up to, by partials or counted.

    Raises:
        FailureError: a file can't be read, or memory does not suffice.
    """
    with _file(path) as copy:
        for name in (*STORED, *queries.PARTIALS):
            copy(name, subject.dataset.sql(f"select * from {identifier(name)} where {subject.condition}"))


def write_steps(subject: Subject, run: Run, path: Path) -> None:
    """Write a run's ``stored_steps``, without states, actions and matrices: some 30 bytes a step.

    Raises:
        FailureError: a file can't be read, or memory does not suffice.
    """
    select = f"select * exclude ({', '.join(WITHOUT)}) from ({subject.scan('steps', run)})"
    with _file(path) as copy:
        copy("stored_steps", subject.dataset.sql(select))


class _Copy:
    """Copies relations into a file of DuckDB, a batch of rows at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __call__(self, name: str, relation: duckdb.DuckDBPyRelation) -> None:
        with relation.to_arrow_reader(BATCH_ROWS) as reader:
            self._connection.register("arriving", reader)
            self._connection.execute(f"create table made.{identifier(name)} as from arriving")
            self._connection.unregister("arriving")


@contextmanager
def _file(path: Path) -> Iterator[_Copy]:
    try:
        with duckdb.connect(config={"temp_directory": ""}) as connection:
            options = f"block_size {_BLOCK}, storage_version {literal(_STORAGE)}"
            connection.execute(f"attach {literal(str(path))} as made ({options})")
            yield _Copy(connection)
            connection.execute("detach made")  # writes what is still in its log
    except (duckdb.Error, pa.ArrowException) as error:
        raise FailureError(f"tables for the page can't be made: {first_line(error)}") from error
