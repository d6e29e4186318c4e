"""Refuse conditions on steps that are none: they must be SQL that is true or false of a row of `steps`."""

import duckdb

from jacdb.dataset import named_axes
from jacdb.errors import UsageError


def check_text(condition: str) -> None:
    """Refuse what is no condition by its text alone, before the dataset is read.

    Raises:
        UsageError: it is no text, is empty, or asks for the first of a list as Python does.
    """
    if not isinstance(condition, str):
        raise UsageError(f"condition {condition!r}: give SQL, as in 'step < 20'")
    if all(kind == duckdb.token_type.comment for _, kind in duckdb.tokenize(condition)):
        raise UsageError(f"condition {condition!r} is empty: give one, as in step < 20, or leave it out")
    if subscript := named_axes.counted_from_0(condition):
        raise UsageError(f"condition {condition!r}: {subscript} is always null: {named_axes.COUNTED}")


def check_kind(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Refuse a condition that is a number or a text: SQL would take it for true where it is not 0.

    Raises:
        UsageError: it is.
        duckdb.Error: it is no expression on columns of `steps`.
    """
    kind = connection.sql(f"select ({condition}\n) from steps limit 0").types[0]
    if str(kind) != "BOOLEAN":
        raise UsageError(f"condition {condition!r} is {kind}, not true or false: compare, as in step < 20")
