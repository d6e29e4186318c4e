"""A dataset in Spark SQL: its tables and named views, as statements to print and as views of a session.

The texts of the views are in `queries/spark`. Nothing of Spark is imported: whoever has a session gives it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from jacdb import queries, schemas
from jacdb.dataset.completeness import Completeness, check_known
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.schema_version import check_version
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FIRST_WITH_WORDS = 2  # the schema version since which patterns are words, too
_GLOB = re.compile(r"[*?\[\]{}]")
_TYPES = {
    pa.string(): "string", pa.binary(): "binary", pa.bool_(): "boolean", pa.int32(): "int", pa.int64(): "bigint",
    pa.float32(): "float", pa.float64(): "double", pa.timestamp("us"): "timestamp_ntz",
}  # fmt: skip


def statements(data: str | Path, env: str | Sequence[str] | None = None) -> list[str]:
    """Return Spark SQL, a statement each, that makes temporary views of a dataset's tables and its named views.

    A table has the columns of its files and the keys of its folders, `environment` and `run`: a condition on a key
    skips files. `patterns` and `axes` are the views that they are in jacdb, with zeros as words.

    Args:
        data: the dataset's folder, as the workers of Spark see it too.
        env: only this environment, or these.

    Raises:
        UsageError: there is no dataset that Spark can read, or it has no such environment.
        FailureError: a finished run lacks files.
    """
    folder = _folder(data)
    wanted = [env] if isinstance(env, str) else list(env or ())
    check_known(folder, wanted, folder.environments("steps"))
    Completeness(folder).check(wanted or None)
    tables = sorted(schemas.TABLES, key=lambda table: table is schemas.TABLES[0])  # what steps may ask is made first
    texts = [text for table in tables for text in _table(folder, table.name, wanted)]
    views = {name: queries.spark_sql(name).rstrip() for name in queries.SPARK}
    return texts + [f"create or replace temporary view {name} as\n{text}" for name, text in views.items()]


def register(session: "SparkSession", data: str | Path, env: str | Sequence[str] | None = None) -> list[str]:
    """Return the names that a Spark session has now: the dataset's tables and named views, as temporary views.

    Args:
        session: of Spark 4 or of Sail.
        data: the dataset's folder, as the workers of Spark see it too.
        env: only this environment, or these.

    Raises:
        UsageError: there is no dataset that Spark can read, or it has no such environment.
        FailureError: a finished run lacks files.
    """
    for text in statements(data, env):
        session.sql(text)
    return [*queries.TABLES, *(name for name in queries.SPARK if name in queries.STATISTICS)]


def _folder(data: str | Path) -> Folder:
    """Return the dataset in a folder.

    Raises:
        UsageError: there is none, or Spark can't read it.
    """
    if "://" in str(data) or str(data).startswith("hf:"):
        raise UsageError(f"{data}: Spark reads a folder; `jacdb pull` makes one of a dataset on the Hub")
    folder = Folder(data)
    if (version := check_version(folder.path)) < _FIRST_WITH_WORDS:
        raise UsageError(f"{data} has schema version {version}, without words for Spark: `jacdb upgrade` rewrites it")
    if _GLOB.search(str(folder.path)):
        raise UsageError(f"{folder.path}: Spark takes *, ?, brackets and braces for a pattern; give another name")
    return folder


def _table(folder: Folder, table: str, wanted: Sequence[str]) -> list[str]:
    """Return the statements that make a table: as stored and, where no view shows it otherwise, by its own name."""
    # With columns given, Spark reads no footer to find them, and a file of a former version has null for a new one
    columns = ", ".join(f"`{field.name}` {_type(field.type)}" for field in _schema(folder, table))
    columns += ", `environment` string, `run` string"  # else Spark guesses: run=007 would be a number
    uncommitted = (part.run for part in map(PartPath.parse, folder.uncommitted(table)) if part)
    passing = sorted({run for run in uncommitted if not wanted or run.env in wanted})
    name = f"every_{table}" if wanted or passing else f"stored_{table}"
    if folder.has(table):
        options = f"using parquet options (path {literal(f'{folder.path}/{table}')})"
        texts = [f"create or replace temporary view {name} ({columns}) {options}"]
    else:
        empty = re.sub(r"(`\w+`) ([^`]+?)(, (?=`)|$)", r"cast(null as \2) as \1\3", columns)
        texts = [f"create or replace temporary view {name} as select {empty} where false"]
    if wanted or passing:
        chosen = f"environment in ({', '.join(map(literal, wanted))})" if wanted else "true"
        select = _counting(name, chosen, passing) if passing else f"select * from {name} where {chosen}"
        texts.append(f"create or replace temporary view stored_{table} as {select}")
    if table not in queries.SPARK:
        texts.append(f"create or replace temporary view {table} as select * from stored_{table}")
    return texts


def _counting(name: str, chosen: str, passing: Sequence[Run]) -> str:
    """Return SQL that selects the steps that count: of runs with a part that does not yet, those of whole episodes.

    A part's episodes come last, and go first. The other runs are not joined with theirs.

    Args:
        name: the view of all steps.
        chosen: a condition on environments.
        passing: the runs.
    """
    of_them = " or ".join(f"(environment = {literal(run.env)} and run = {literal(run.run_id)})" for run in passing)
    keys = " and ".join(f"own.{key} = whole.{key}" for key in ("environment", "run", "episode"))
    return (
        f"select * from {name} where {chosen} and not ({of_them})\nunion all\n"
        f"select own.* from (select * from {name} where {chosen} and ({of_them})) as own"
        f" left semi join stored_episodes as whole on {keys}"
    )


def _schema(folder: Folder, table: str) -> pa.Schema:
    if table != "steps":
        return next(known.schema for known in schemas.TABLES if known.name == table)
    return schemas.steps(pa.float64() if "float64" in folder.dtypes() else pa.float32()).schema


def _type(kind: pa.DataType) -> str:
    """Return a type of Arrow's as Spark names it."""
    if pa.types.is_list(kind):
        return f"array<{_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {_type(field.type)}' for field in kind)}>"
    return _TYPES[kind]


def literal(text: str) -> str:
    """Return a text as Spark SQL writes it: backslashes and quotes behind a backslash each."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
