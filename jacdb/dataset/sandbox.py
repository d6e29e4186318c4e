"""Run SQL that is not trusted: it can read one dataset, within limits of memory and time, and nothing else."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import polars as pl
import pyarrow as pa

from jacdb.dataset.folder import Folder
from jacdb.dataset.portable_types import portable
from jacdb.errors import FailureError, UsageError, first_line

BATCH_ROWS = 100_000  # rows of an answer that are fetched at once


def connect(location: Folder, memory: float | None = None) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection that can read a dataset and nothing else.

    Args:
        location: the dataset.
        memory: the most GiB for a query; None for DuckDB's own limit, 80 % of the machine's memory.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "temp_directory": "",  # a query that does not fit into memory fails, instead of spilling to disk
            **({"memory_limit": f"{int(memory * 1024)}MiB"} if memory else {}),
        }
    )
    location.attach(connection)
    return connection


def one_select(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return a query without blanks and semicolon around it.

    Raises:
        UsageError: the query is not a single SELECT.
    """
    try:
        query.encode()  # the shell passes undecodable arguments as surrogates, which DuckDB can't take
        statements = connection.extract_statements(query)
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise UsageError(f"SQL: {first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"there are {len(statements)} statements: give one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise UsageError(f"only SELECT is allowed, this is {kind.name}: jacdb never writes to a dataset that it reads")
    return statements[0].query.strip().rstrip(";")


def fetch(relation: duckdb.DuckDBPyRelation, memory: float | None = None) -> pl.DataFrame:
    """Run a relation; return a polars frame. Bit strings and intervals become text, for polars has no such types.

    Args:
        memory: the most GiB for the answer; None for half of the machine's memory.

    Raises:
        FailureError: the query fails while it runs, its answer is too large, or a frame can't hold it.
    """
    limit = memory * 2**30 if memory else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    batches, taken = [], 0
    try:
        relation = portable(relation, "INTERVAL")  # which polars has no type for either
        reader = relation.to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            batches.append(batch)
            taken += batch.nbytes
            if taken > limit:
                raise FailureError(
                    f"SQL: the answer takes more than {limit / 2**30:.3g} GiB: ask for fewer rows or columns"
                )
        answer = pl.from_arrow(pa.Table.from_batches(batches, reader.schema))
    except (duckdb.Error, pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        raise FailureError(f"SQL: {first_line(error)}") from error
    if not isinstance(answer, pl.DataFrame):
        raise TypeError(f"polars made a {type(answer).__name__} of a table")
    return answer


@contextmanager
def within(connection: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    """Stop a connection's query when it takes longer than ``seconds``.

    Raises:
        FailureError: it was stopped.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    except FailureError as error:
        if timer.finished.is_set():
            raise FailureError(f"stopped after {seconds:g} s: ask for less, or allow more time") from error
        raise
    finally:
        timer.cancel()
