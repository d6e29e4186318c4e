"""Run SQL that is not trusted: it can read one dataset, within a limit of memory, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import polars as pl
import pyarrow as pa

from jacdb.dataset.folder import Folder
from jacdb.dataset.limits import Limits
from jacdb.dataset.portable_types import portable
from jacdb.errors import FailureError, UsageError, first_line

BATCH_ROWS = 100_000  # rows of an answer that are fetched at once


@contextmanager
def opening(limits: Limits) -> Iterator[None]:
    """Tell in one line that memory does not suffice to open a dataset.

    Raises:
        FailureError: it does not.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        gib = f"{limits.memory / 2**30:.3g} GiB"
        raise FailureError(f"{gib} of memory is too little to open a dataset: allow more (--memory)") from error


def connect(location: Folder, limits: Limits) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection that can read a dataset and nothing else.

    Args:
        location: the dataset.
        limits: its queries may take so much memory.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "temp_directory": "",  # a query that does not fit into memory fails, instead of spilling to disk
            "memory_limit": f"{int(limits.memory)}B",
        }
    )
    location.attach(connection)
    return connection


def connect_to_nothing() -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection that can read no file: for views to be looked through, not to be answered."""
    connection = duckdb.connect(config={"python_enable_replacements": False, "temp_directory": "", "threads": 1})
    connection.execute("set enable_external_access = false")
    return for_plans(connection)


def for_plans(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Have a connection explain queries as they are written, and return it.

    The optimizer leaves out what is empty. It works constants out too, outside every limit: a list of 60 million
    numbers takes five GiB to be explained.
    """
    connection.execute("set explain_output = 'all'")
    connection.execute("pragma disable_optimizer")
    return connection


def one_select(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return a query without its semicolon; DESCRIBE, SUMMARIZE and SHOW TABLES count as SELECT.

    Raises:
        UsageError: the query is not a single SELECT.
    """
    if not isinstance(query, str):
        raise UsageError(f"SQL is {query!r}: give text, as in 'select count(*) from steps'")
    try:
        query.encode()  # the shell passes undecodable arguments as surrogates, which DuckDB can't take
        statements = connection.extract_statements(query)
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise UsageError(f"SQL: {first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"there are {len(statements)} statements: give one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise UsageError(
            f"only SELECT, DESCRIBE, SUMMARIZE and SHOW TABLES are allowed, this is {kind.name}:"
            " jacdb never writes to a dataset that it reads"
        )
    return without_end(query)


def without_end(query: str) -> str:
    """Return a statement without the semicolons and comments that end it."""
    text = query.encode()  # DuckDB counts bytes
    for start, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and text[start:].strip() != b";":
            break
        text = text[:start].rstrip()
    return text.decode()


def fetch(relation: duckdb.DuckDBPyRelation, limits: Limits | None = None) -> pl.DataFrame:
    """Run a relation; return a polars frame. Bits, intervals and unions become text, for polars has no such types.

    Args:
        relation: any relation.
        limits: the answer may take so much memory; None for what is left of the machine's.

    Raises:
        UsageError: it is no relation.
        FailureError: the query fails while it runs, its answer is too large, or Arrow can't hold it.
    """
    try:
        frames = map(_frame, _batches(relation, limits or Limits.of()))
        answer = next(frames)
        for frame in frames:  # turned at once, so that the answer is held once
            answer.vstack(frame, in_place=True)
        return answer
    except pl.exceptions.PolarsError as error:
        raise FailureError(f"SQL: {first_line(error)}") from error


def fetch_table(relation: duckdb.DuckDBPyRelation, limits: Limits | None = None) -> pa.Table:
    """Run a relation; return an Arrow table. As ``fetch`` in all else."""
    return pa.Table.from_batches(_batches(relation, limits or Limits.of()))


def _batches(relation: duckdb.DuckDBPyRelation, limits: Limits) -> Iterator[pa.RecordBatch]:
    """Yield an answer: first a batch without rows, for its schema."""
    if not isinstance(relation, duckdb.DuckDBPyRelation):
        raise UsageError(f"a {type(relation).__name__} is no relation: give what sql or view returned")
    taken = 0
    try:
        with portable(relation, "INTERVAL", "UNION").to_arrow_reader(BATCH_ROWS) as reader:
            # not from_pylist: it imports pandas
            yield pa.record_batch([pa.nulls(0, field.type) for field in reader.schema], schema=reader.schema)
            for batch in reader:
                yield batch
                taken += batch.nbytes
                if taken > limits.memory:
                    raise limits.exceeded()
    except duckdb.OutOfMemoryException as error:
        raise limits.exceeded() from error
    except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
        raise FailureError(f"SQL: {first_line(error)}") from error


def _frame(rows: pa.RecordBatch) -> pl.DataFrame:
    # One by one: polars turns several columns by its threads, and waits for ever in a process that was forked.
    return pl.DataFrame({name: pl.from_arrow(rows[name]) for name in rows.schema.names})
