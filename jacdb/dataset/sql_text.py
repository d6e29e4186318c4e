"""Values and names as SQL text, quoted."""

import pyarrow as pa

_TYPES = {
    pa.string(): "varchar",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.timestamp("us"): "timestamp",
}


def literal(text: str) -> str:
    """Return a string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def empty_select(schema: pa.Schema) -> str:
    """Return a SELECT without rows that has a schema's columns; their types are numbers, text and times."""
    columns = (f"null::{_TYPES[column.type]} as {identifier(column.name)}" for column in schema)
    return f"select {', '.join(columns)} limit 0"
