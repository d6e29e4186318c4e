"""Values and names as SQL text, quoted."""

import pyarrow as pa

_TYPES = {
    pa.string(): "varchar",
    pa.bool_(): "boolean",
    pa.binary(): "blob",
    pa.float32(): "float",
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


def patterns_select(scan: str) -> str:
    """Return SQL that selects zero patterns, with null for the bits of a matrix without entries.

    DuckDB makes no BIT of an empty BLOB. A model without actuators has no entries of j_action.

    Args:
        scan: what reads them, for FROM.
    """
    return f"select * replace (nullif(zero_action, ''::blob) as zero_action) from {scan}"


def empty_select(schema: pa.Schema) -> str:
    """Return a SELECT without rows that has a schema's columns."""
    columns = (f"null::{_type(column.type)} as {identifier(column.name)}" for column in schema)
    return f"select {', '.join(columns)} limit 0"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"struct({', '.join(f'{identifier(part.name)} {_type(part.type)}' for part in kind)})"
    return _TYPES[kind]
