"""Values and names as SQL text, quoted."""


def literal(text: str) -> str:
    """Return a string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
