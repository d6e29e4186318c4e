"""Refuse conditions on steps that are none: they must be SQL that is true or false of a row of `steps`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from jacdb import queries
from jacdb.dataset import named_axes
from jacdb.dataset.catalog import Catalog
from jacdb.dataset.sandbox import without_end
from jacdb.errors import UsageError, first_line

MISSING = re.compile(r"Table with name (.+) does not exist")


def check_text(condition: str) -> None:
    """Refuse what is no condition by its text alone, before the dataset is read.

    Raises:
        UsageError: it is no text, is empty, is not one expression, or asks for the first of a list as Python does.
    """
    if not isinstance(condition, str):
        raise UsageError(f"condition {condition!r}: give SQL, as in 'step < 20'")
    if all(kind == duckdb.token_type.comment for _, kind in duckdb.tokenize(condition)):
        raise UsageError(f"condition {condition!r} is empty: give one, as in step < 20, or leave it out")
    with _telling(condition, ()):
        duckdb.SQLExpression(condition)  # refuses anything but one expression
    if subscript := named_axes.counted_from_0(condition):
        raise UsageError(f"condition {condition!r}: {subscript} is always null: {named_axes.COUNTED}")


def joined(conditions: Sequence[str]) -> str:
    """Return several conditions as one, which holds where each does."""
    # a comment at the end of one would take the bracket
    return conditions[0] if len(conditions) == 1 else " and ".join(f"({without_end(each)})" for each in conditions)


def filter_steps(connection: duckdb.DuckDBPyConnection, conditions: Sequence[str], environments: Sequence[str]) -> None:
    """Hold the view `steps` to conditions.

    Args:
        connection: it has all views, unfiltered.
        conditions: SQL that is true or false of a row of `steps`, each.
        environments: those of the dataset.

    Raises:
        UsageError: a condition is not valid, or reads steps as the view of an environment.
    """
    for condition in conditions:
        with _telling(condition, environments):
            _check_kind(connection, condition)
    whole = joined(conditions)
    with _telling(whole, environments):
        connection.execute(f"create or replace view steps as {queries.sql('steps')} where ({whole}\n)")


@contextmanager
def _telling(condition: str, environments: Sequence[str]) -> Iterator[None]:
    """Tell an error of DuckDB's as one of the condition."""
    try:
        yield
    except duckdb.CatalogException as error:
        missing = MISSING.search(str(error))
        if missing and missing[1].lower() in map(str.lower, environments):  # its view is made after `steps`
            raise _reads_steps(condition) from error
        raise UsageError(f"condition {condition!r}: {first_line(error)}") from error
    except duckdb.Error as error:
        raise UsageError(f"condition {condition!r}: {first_line(error)}") from error


def _check_kind(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Refuse a condition that is a number or a text: SQL would take it for true where it is not 0.

    Raises:
        UsageError: it is.
        duckdb.Error: it is no expression on columns of `steps`.
    """
    kind = connection.sql(f"select ({condition}\n) from steps limit 0").types[0]
    if str(kind) != "BOOLEAN":
        raise UsageError(f"condition {condition!r} is {kind}, not true or false: compare, as in step < 20")


def check_reads(catalog: Catalog, condition: str) -> None:
    """Refuse a condition that reads steps itself, or a view of them: it would be held to itself.

    Args:
        catalog: the dataset's; ``steps`` is filtered by the condition already.
        condition: it.

    Raises:
        UsageError: it does.
    """
    reads = catalog.names("from steps")  # none where DuckDB finds that `steps` builds on itself
    if not reads or "steps" in catalog.with_their_own(reads & {*queries.PARTIALS}):
        raise _reads_steps(condition)


def _reads_steps(condition: str) -> UsageError:
    return UsageError(
        f"condition {condition!r} reads steps, or a view of them, and so itself:"
        " find the number by `jacdb sql` first, and write it into the condition"
    )
