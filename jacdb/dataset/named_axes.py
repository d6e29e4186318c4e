"""Steps of one environment with its axes by name: ``select state.slider from CartpoleBalance``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from jacdb import schemas
from jacdb.dataset.sql_text import identifier, literal
from jacdb.errors import UsageError
from jacdb.schemas.axis_names import folded

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

# Of each column, the spaces of `axes` that name its positions: of a vector, or of the rows and columns of a matrix
_SPACES = {
    "state": ("state",),
    "action": ("action",),
    "next_state": ("state",),
    "j_state": ("tangent", "tangent"),
    "j_action": ("tangent", "action"),
}
_LISTS = sorted({field.name for table in schemas.TABLES for field in table.schema if "list" in str(field.type)})
COUNTED = "lists of SQL count from 1, `axes` from 0"
_OTHER_THAN_CODE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
OF_A_STRUCT = "struct_extract with an integer key"  # DuckDB's words where a struct is asked by position
_POSITIONS = re.compile(
    rf"""{_OTHER_THAN_CODE.pattern}|(?<![\w"])(?P<table>(?:(?:\w+|"[^"]+")\s*\.\s*)*)"""
    rf"""(?P<column>"?\b(?:{"|".join(_SPACES)})\b"?)(?P<places>(?:\s*\[\s*\d+\s*\])+)""",
    re.IGNORECASE | re.DOTALL,
)
_FIRST_OF_PYTHON = re.compile(rf"\"?\b({'|'.join(_LISTS)})\b\"?\s*(\[[^][]*\]\s*)*?\[\s*0\s*\]", re.IGNORECASE)


def environment(name: str, environments: Sequence[str]) -> str | None:
    """Return the environment that SQL means by a table's name, whose case it does not tell; None if there is none.

    Raises:
        UsageError: there are several.
    """
    alike = [env for env in environments if env.lower() == name.lower()]
    if len(alike) > 1:
        raise UsageError(
            f"SQL can't tell {' from '.join(alike)}: ask by position, `from steps`, where env ="
            f" {literal(name if name in alike else alike[0])}"
        )
    return next(iter(alike), None)


def named_steps(env: str, names: Mapping[str, Sequence[str]]) -> str:
    """Return SQL for the steps of an environment whose vectors are structs, and matrices structs of structs.

    Args:
        env: the environment.
        names: of each space of `axes`, the names in order.

    Raises:
        UsageError: two axes of a space have one name, as in datasets of before 1.0.
    """
    for space, of_space in names.items():
        _check_unique(env, space, of_space)
    named = ", ".join(
        f"{_struct(column, [names[space] for space in spaces])} as {column}" for column, spaces in _SPACES.items()
    )
    return f"select * replace ({named}) from steps where env = {literal(env)}"


def _struct(value: str, names: Sequence[Sequence[str]]) -> str:
    """Return SQL that turns a list into a struct, and its elements likewise by the names of the next level."""
    if not names:
        return value
    first, *rest = names
    fields = (f"{identifier(name)}: {_struct(f'{value}[{i}]', rest)}" for i, name in enumerate(first, start=1))
    return f"{{{', '.join(fields)}}}"


def _check_unique(env: str, space: str, names: Sequence[str]) -> None:
    first: dict[bytes, int] = {}
    for index, name in enumerate(names):
        before = first.setdefault(folded(name), index)
        if before != index:
            column = next(column for column, spaces in _SPACES.items() if space in spaces)
            raise UsageError(
                f"{env}: SQL can't tell axes {before} ({names[before]!r}) and {index} ({name!r}) of space {space!r}"
                f" apart: ask by position, such as {column}[{index + 1}] of `steps` where env = {literal(env)}"
            )


def counted_from_0(sql: str) -> str | None:
    """Return the first subscript ``[0]`` of a list column in a query, such as ``state[0]``: it is always null."""
    found = _FIRST_OF_PYTHON.search(_OTHER_THAN_CODE.sub("", sql))
    return found[0] if found else None


def among(sql: str, environments: Iterable[str]) -> list[str]:
    """Return those of some environments whose names stand in a query, outside its strings and comments."""
    code = _OTHER_THAN_CODE.sub("", sql)
    return [env for env in sorted(environments) if re.search(rf"(?<!\w){re.escape(env)}(?!\w)", code, re.IGNORECASE)]


def by_position(environments: Sequence[str]) -> str:
    """Return how axes of some environments' views are asked, in words."""
    views, one = " and ".join(f"`from {env}`" for env in environments), len(environments) == 1
    value = literal(environments[0]) if one else "..."
    return (
        f"{views} {'has' if one else 'have'} axes by name (`describe {environments[0]}`), `from steps where env ="
        f" {value}` has them by position"
    )


def instead_of_positions(connection: duckdb.DuckDBPyConnection, sql: str, environments: Sequence[str]) -> str | None:
    """Return what to write where a query asks an environment's view by position, as ``state[1]``; None if unsure.

    It is sure where the query names one environment and is valid once it has names in these places.

    Args:
        connection: one that has the views of the environments.
        sql: the query.
        environments: those that it names.
    """
    if len(environments) != 1:
        return None
    view = connection.sql(f"from {identifier(environments[0])}")
    written = _with_names(sql, environments[0], dict(zip(view.columns, view.types, strict=True)))
    if written is None:
        return None
    told, text = written
    try:
        connection.sql(f"from (\n{text}\n)")
    except duckdb.Error:
        return None
    return told


def _with_names(sql: str, env: str, columns: "Mapping[str, DuckDBPyType]") -> tuple[str, str] | None:
    """Return what to write in the first place that asks by position, in words, and the query with names in all.

    For an axis that there is not, the query has the first one there. None if no place asks by position.
    """
    told = list[str]()

    def named(found: re.Match[str]) -> str:
        if found["column"] is None:  # a string or a comment
            return found[0]
        column, names, missing = found["column"].strip('"').lower(), list[str](), False
        kind: Any = columns[column]
        for place in map(int, re.findall(r"\d+", found["places"])):
            if kind.id != "struct":
                missing = True
                break
            known = 0 < place <= len(kind.children)
            missing |= not known
            name, kind = kind.children[place - 1 if known else 0]
            names.append(identifier(name))
        written = found["table"] + ".".join([column, *names])
        write = f"`from {env}` has axes by name, write {written}; `from steps where env = {literal(env)}` has them by"
        told.append(f"{found[0]}: {f'{env} has no such axis' if missing else f'{write} position'}")
        return written

    text = _POSITIONS.sub(named, sql)
    return (told[0], text) if told else None
