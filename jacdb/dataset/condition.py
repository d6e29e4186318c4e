"""Refuse conditions on steps that are none: they must be SQL that is true or false of a row of `steps`."""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
        UsageError: a condition is not valid, draws random numbers, or reads steps as the view of an environment.
    """
    for condition in conditions:
        with _telling(condition, environments):
            _check_kind(connection, condition)
            _check_repeatable(connection, condition)
    whole = joined(conditions)
    with _telling(whole, environments):
        # named, for a condition may say steps.COLUMN
        text = f"from ({queries.sql('steps')}) as steps where ({whole}\n)"
        connection.execute(f"create or replace view steps as {text}")


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


def _check_repeatable(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Refuse a condition that chooses other steps each time: one answer may read steps several times.

    Raises:
        UsageError: it calls a function that DuckDB calls volatile, or draws a sample that can't be repeated.
    """
    [(parsed,)] = connection.execute("select json_serialize_sql(?)", [f"select ({condition}\n)"]).fetchall()
    nodes = [*_objects(json.loads(parsed))]
    called = [node["function_name"] for node in nodes if node.get("function_name") and not node.get("is_operator")]
    found = [f"{name}()" for name in called if name in _volatile()] if called else []
    found += ["a sample" for node in nodes if node.get("sample") and not node["sample"].get("repeatable")]
    if found:
        raise UsageError(
            f"condition {condition!r}: {found[0]} is another each time, and one answer may read steps several times:"
            " make it of the row, as in hash(run_id, episode, step) % 10 = 0"
        )


def _objects(parsed: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON value."""
    if isinstance(parsed, dict):
        yield parsed
        parsed = list(parsed.values())
    for each in parsed if isinstance(parsed, list) else ():
        yield from _objects(each)


@functools.cache
def _volatile() -> frozenset[str]:
    """Return the names of the functions whose value may be another each time; DuckDB takes long to list them."""
    with duckdb.connect() as connection:
        listed = "select function_name from duckdb_functions() where stability = 'VOLATILE'"
        return frozenset(name for (name,) in connection.execute(listed).fetchall())


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
