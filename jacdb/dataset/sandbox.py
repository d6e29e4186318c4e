"""What SQL may do that anyone may have written: read one dataset, in so much memory, for so long, and nothing else."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import polars as pl
import pyarrow as pa

from jacdb.dataset.folder import Folder
from jacdb.dataset.sql_text import identifier
from jacdb.errors import FailureError, UsageError, first_line

BATCH_ROWS = 100_000  # rows of an answer that are taken at once


def connect(location: Folder, memory: float | None = None) -> duckdb.DuckDBPyConnection:
    """A connection in memory that reads a dataset and nothing else.

    Args:
        memory: GiB that a query may take; None for DuckDB's own limit, 80 % of the machine's.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "temp_directory": "",  # what does not fit into memory fails, and spills into nobody's folder
            **({"memory_limit": f"{int(memory * 1024)}MiB"} if memory else {}),
        }
    )
    location.attach(connection)
    return connection


def one_select(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """The query without what may stand around it, if it is one SELECT.

    Raises:
        UsageError: it is not.
    """
    try:
        query.encode()  # undecodable words come from the shell as surrogates
        statements = connection.extract_statements(query)
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise UsageError(f"SQL: {first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"give one SELECT; there are {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise UsageError(f"only SELECT is allowed, this is {kind.name}: a dataset is read and never written to")
    return statements[0].query.strip().rstrip(";")


def fetch(relation: duckdb.DuckDBPyRelation, memory: float | None = None) -> pl.DataFrame:
    """Run a relation; bit strings come as text of 0 and 1, for no data frame has a type for them.

    Args:
        memory: GiB that the answer may take; None for half of the machine's.

    Raises:
        FailureError: it fails as it runs, is too large, or gives what a data frame can't hold.
    """
    limit = memory * 2**30 if memory else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    batches, taken = [], 0
    try:
        bits = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "BIT"]
        if bits:
            casts = ", ".join(f"{identifier(name)}::varchar as {identifier(name)}" for name in bits)
            relation = relation.project(f"* replace ({casts})")
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
    assert isinstance(answer, pl.DataFrame)
    return answer


@contextmanager
def within(connection: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    """End what a connection runs when it takes too long.

    Raises:
        FailureError: it did.
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
