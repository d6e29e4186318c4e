"""Types that leave DuckDB whole: what Arrow, pandas and polars have no type for becomes text."""

import duckdb
from duckdb.sqltypes import DuckDBPyType

from jacdb.dataset.sql_text import identifier

# BIT would leave as DuckDB's own bytes (a padding count, then bits padded with ones), BIGNUM and VARIANT likewise,
# UHUGEINT as another number (2^128 - 1 as -1), and a time without its zone.
_WITHOUT_EQUIVALENT = ("BIT", "BIGNUM", "UHUGEINT", "TIME WITH TIME ZONE", "VARIANT")


def portable(relation: duckdb.DuckDBPyRelation, *others: str) -> duckdb.DuckDBPyRelation:
    """Return a relation with text in place of values that Arrow has no type for, in lists and structs too.

    A bit string becomes text of 0 and 1, one character a bit.

    Args:
        relation: any relation.
        others: names of further types to turn into text.
    """
    unknown = {*_WITHOUT_EQUIVALENT, *others}
    casts = []
    for name, kind in zip(relation.columns, relation.types, strict=True):
        known = _known_type(kind, unknown)
        if known != str(kind):
            casts.append(f"{identifier(name)}::{known} as {identifier(name)}")
    return relation.project(f"* replace ({', '.join(casts)})") if casts else relation


def _known_type(kind: DuckDBPyType, unknown: set[str]) -> str:
    """Return the SQL name of a type, with VARCHAR in place of unknown ones."""
    if kind.id not in ("list", "array", "map", "struct", "tuple"):
        return "VARCHAR" if {str(kind), kind.id.upper()} & unknown else str(kind)  # UNION's text has its members
    sizes = [part for _, part in kind.children if isinstance(part, int)]
    parts = [(name, part) for name, part in kind.children if isinstance(part, DuckDBPyType)]
    known = [_known_type(part, unknown) for _, part in parts]
    if known == [str(part) for _, part in parts]:
        return str(kind)
    match kind.id:
        case "list":
            return f"{known[0]}[]"
        case "array":
            return f"{known[0]}[{sizes[0]}]"
        case "struct":
            fields = (f"{identifier(name)} {text}" for (name, _), text in zip(parts, known, strict=True))
            return f"STRUCT({', '.join(fields)})"
        case _:
            return f"{kind.id}({', '.join(known)})"
