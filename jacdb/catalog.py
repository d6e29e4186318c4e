"""A dataset, opened: DuckDB over its Parquet files, with the views registered. Needs no simulator."""

import difflib
from pathlib import Path
from typing import Self

import duckdb
import polars as pl
import pyarrow as pa

from jacdb import queries, schemas
from jacdb.errors import FailureError, UsageError


class Dataset:
    """A jacdb dataset, open for reading.

    Every view is a DuckDB view: ``dataset.sql("select … from steps")``, or by name, ``dataset.view(name)``.
    Results are DuckDB relations: ``.pl()``, ``.arrow()``, ``.df()``. Reading is all that it can do: the
    connection writes nothing, attaches nothing, and opens no file outside the dataset's folder.
    """

    def __init__(self, root: Path | str, *, where: str | None = None) -> None:
        """Open the dataset in a folder.

        Args:
            root: the folder.
            where: a condition on steps, in SQL; every statistic is then of the steps that meet it.

        Raises:
            UsageError: there is no dataset, it is of a newer schema version, or the condition is none.
        """
        self.root = Path(root)
        if not self.root.exists():
            raise UsageError(f"no dataset at {self.root}: make one with `jacdb ingest --env … --data {self.root}`")
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is a file: give the folder of a dataset")
        if not any(self.root.glob("axes/env=*/run=*/part-*.parquet")):
            raise UsageError(f"no dataset in {self.root}: make one with `jacdb ingest --env … --data {self.root}`")
        check_version(self.root)
        self._connection = _sandbox(self.root)
        self._register(where)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The answer to one SELECT, as a DuckDB relation.

        Raises:
            UsageError: it is no single SELECT, names what is not there, or reaches outside the dataset.
            FailureError: it fails as it runs.
        """
        _check_select(self._connection, query)
        try:
            return self._connection.sql(query)
        except duckdb.PermissionException as error:
            raise UsageError(
                f"not allowed: {_first_line(error)}; a query reads this dataset and nothing else"
            ) from error
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise UsageError(f"SQL: {_first_line(error)}") from error
        except duckdb.Error as error:
            raise FailureError(f"SQL: {_first_line(error)}") from error

    def view(self, name: str, env: str | None = None) -> duckdb.DuckDBPyRelation:
        """A named view, whole or of one environment.

        Raises:
            UsageError: there is no such view (they are listed), or the dataset has no such environment.
        """
        if name not in queries.VIEWS:
            raise UsageError(f"no view {name!r}: there are {', '.join(queries.VIEWS)}")
        if env is None:
            return self.sql(f"from {name}")
        if env not in self.environments:
            near = difflib.get_close_matches(env, self.environments, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"no steps of {env!r} here: there are {', '.join(self.environments)}{hint}")
        return self.sql(f"from {name} where env = {_quoted(env)}")

    @property
    def environments(self) -> list[str]:
        """The environments that have steps, in order."""
        folders = self.root.glob("steps/env=*")
        return sorted(folder.name.removeprefix("env=") for folder in folders if any(folder.rglob("part-*.parquet")))

    def where(self, condition: str) -> "Dataset":
        """The same dataset seen through a condition on steps, such as ``not in_contact``."""
        return Dataset(self.root, where=condition)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jacdb.Dataset {str(self.root)!r}: {', '.join(self.environments)}>"

    def global_sparsity(self, env: str | None = None) -> pl.DataFrame:
        """Table 1 of the paper: entries of the Jacobians that are zero in every step."""
        return fetch(self.view("global_sparsity", env))

    def entry_zero_fraction(self, env: str | None = None) -> pl.DataFrame:
        """Figure 3 of the paper: the share of steps in which each entry is zero."""
        return fetch(self.view("entry_zero_fraction", env))

    def _register(self, where: str | None) -> None:
        for table in schemas.TABLES:
            self._connection.execute(f"create view stored_{table.name} as {_over_files(self.root, table)}")
        for name in queries.VIEWS:
            text = queries.sql(name)
            if name == "steps" and where is not None:
                text = f"{text.rstrip()}\nwhere ({where}\n)"
                _check_select(self._connection, text)
            try:
                self._connection.execute(f"create view {name} as {text}")
            except duckdb.Error as error:
                raise UsageError(f"condition {where!r}: {_first_line(error)}") from error
        self._connection.execute("set lock_configuration = true")


def open_dataset(root: Path | str) -> Dataset:
    """Open a dataset; ``jacdb.open``."""
    return Dataset(root)


def fetch(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Run a relation; bit strings come as text of 0 and 1, for no data frame has a type for them.

    Raises:
        FailureError: it fails as it runs.
    """
    bits = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "BIT"]
    if bits:
        casts = ", ".join(f"{_identifier(name)}::varchar as {_identifier(name)}" for name in bits)
        relation = relation.project(f"* replace ({casts})")
    try:
        return relation.pl()
    except duckdb.Error as error:
        raise FailureError(f"SQL: {_first_line(error)}") from error


def check_version(root: Path) -> None:
    """Refuse a dataset that a later jacdb wrote, whose tables may mean something else.

    Raises:
        UsageError: it is newer than this jacdb reads.
    """
    # One axes file per run: the first file that a run writes, and a small one.
    with duckdb.connect() as connection:
        for folder in sorted(root.glob("axes/env=*/run=*")):
            for path in sorted(folder.glob("part-*.parquet"))[:1]:
                query = "select value::varchar from parquet_kv_metadata(?) where key::varchar = ?"
                try:
                    found = connection.execute(query, [str(path), schemas.VERSION_KEY.decode()]).fetchone()
                except duckdb.Error as error:
                    raise FailureError(f"{path} can't be read: {_first_line(error)}") from error
                if found is None or not found[0].isdigit():
                    raise UsageError(f"{path} was not written by jacdb: it carries no schema version")
                if int(found[0]) > schemas.SCHEMA_VERSION:
                    raise UsageError(
                        f"{root} is of schema version {found[0]}, this jacdb reads up to {schemas.SCHEMA_VERSION}:"
                        " upgrade with `pip install -U jacdb`"
                    )


def _sandbox(root: Path) -> duckdb.DuckDBPyConnection:
    """A connection in memory that reads below ``root`` and nowhere else."""
    connection = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "temp_directory": "",  # what does not fit into memory fails, and spills into nobody's folder
        }
    )
    connection.execute(f"set allowed_directories = [{_quoted(str(root.resolve()) + '/')}]")
    connection.execute("set enable_external_access = false")
    return connection


def _over_files(root: Path, table: schemas.Table) -> str:
    pattern = f"{table.name}/env=*/run=*/part-*.parquet"
    if not any(root.glob(pattern)):
        return _empty(table)
    path = _quoted(f"{root.resolve()}/{pattern}")
    # The hive columns prune files; the same values stand in the files.
    return f"select * exclude (run) from read_parquet({path}, hive_partitioning = true, hive_types_autocast = false)"


def _empty(table: schemas.Table) -> str:
    """A table without rows: a dataset is readable before its first part is there."""
    columns = [f"null::{_sql_type(field.type)} as {_identifier(field.name)}" for field in table.schema]
    return f"select {', '.join(columns)} where false"


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"struct({', '.join(f'{_identifier(part.name)} {_sql_type(part.type)}' for part in kind)})"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"string": "varchar", "int32": "integer", "int64": "bigint", "double": "double", "float": "float",
            "bool": "boolean", "binary": "blob"}[str(kind)]  # fmt: skip


def _check_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise UsageError(f"SQL: {_first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"give one SELECT; there are {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise UsageError(f"only SELECT is allowed, this is {kind.name}: a dataset is read and never written to")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
