"""The SQL views of an open dataset: DuckDB over its Parquet files. Needs no simulator."""

import copy
import difflib
import os
import re
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import duckdb
import polars as pl
import pyarrow as pa

from jacdb import queries
from jacdb.dataset import named_axes, sandbox
from jacdb.dataset.catalog import Catalog, register
from jacdb.dataset.completeness import check_known
from jacdb.dataset.condition import MISSING, check_reads, check_text, filter_steps, joined
from jacdb.dataset.folder import Folder
from jacdb.dataset.limits import Limits
from jacdb.dataset.location import locate
from jacdb.dataset.lyapunov_function import LyapunovFunction
from jacdb.dataset.own_tables import OwnTables, Rows
from jacdb.dataset.portable_types import portable
from jacdb.dataset.schema_version import check_version
from jacdb.dataset.sql_text import identifier, literal
from jacdb.dataset.turns import Turns
from jacdb.errors import FailureError, UsageError, first_line

# A condition on steps does not filter these views.
_NOT_OF_STEPS = ("episodes", "axes", "runs", "returns", "threshold_sweep", *queries.RESULTS)
_TABLES = frozenset(name.lower() for name in queries.REGISTERED)  # SQL takes their names for them
_AXIS_OF_A_LIST = re.compile(r"Cannot extract field .* because it is not a struct")
_CONNECTIONS = ("_opened", "_first_planner", "_planner")
_OPEN: "weakref.WeakSet[Views]" = weakref.WeakSet()
_OF_PARENT: list[duckdb.DuckDBPyConnection | None] = []  # kept for ever: who drops one waits for threads of the parent


def _forget_connections() -> None:
    """Forget the connections of the parent: DuckDB's threads are not in a process that was forked."""
    for views in _OPEN:
        for name in _CONNECTIONS:
            _OF_PARENT.append(views.__dict__[name])
            views.__dict__[name] = None


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_forget_connections)


def _each(env: str | Iterable[str]) -> list[str]:
    return [env] if isinstance(env, str) or not isinstance(env, Iterable) else list(env)


class Views:
    """The views of a dataset, open for reading by SQL.

    Results are DuckDB relations: ``.pl()``, ``.arrow()``, ``.df()``. A query can only read: it writes nothing,
    attaches nothing, and opens no file outside the dataset's folder. :class:`jacdb.Dataset` adds methods for people.
    Calls from several threads take turns. A relation that is read by itself (``.pl()``) has no turn: ``fetch`` reads it
    in one.
    """

    _closed = False

    def __init__(
        self,
        root: Path | str | Folder,
        *,
        where: str | None = None,
        memory: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Open the dataset in a folder, or on the Hugging Face Hub.

        Args:
            root: the folder, or ``hf://datasets/OWNER/NAME``; append ``@REVISION`` for a branch, tag or commit.
            where: a condition on steps, in SQL. Every statistic then counts only the steps that meet it.
            memory: the most GiB that a query and its answer may take together. By default 80 % of what the machine, or
                the container, has left.
            timeout: the most seconds that a query and its answer may take; None for no limit.

        Raises:
            UsageError: there is no dataset, its schema version is newer than this jacdb reads, the condition is not
                valid, or a limit is not above 0.
            FailureError: a file can't be read.
        """
        if where is not None:
            check_text(where)
        self._limits = Limits.of(memory, timeout)
        self.location = locate(root)
        self._conditions = () if where is None else (where,)
        self._version = check_version(self.location.path)
        self._own = OwnTables(_TABLES | {name.lower() for name in self.environments})
        self._named: dict[str, str] = {}  # views of environments' steps with axes by name
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._first_planner: duckdb.DuckDBPyConnection | None = None  # a cursor, for as long as no file is laid
        self._planner: duckdb.DuckDBPyConnection | None = None
        self._turns = Turns()
        self._open()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return the answer to one SELECT, as a DuckDB relation; its bit strings are text of 0 and 1.

        A relation is read when its rows are asked for. While other threads use the dataset, ask by ``fetch``, or open a
        dataset in each thread: calls wait for each other, and DuckDB refuses a relation's own ``.pl()`` meanwhile.

        Raises:
            UsageError: the text is not a single SELECT, names something unknown, or reaches outside the dataset.
            FailureError: the query fails while it runs.
        """
        with self._turns.turn():
            return self._answer(query)

    def _answer(self, query: str, envs: list[str] | None = None) -> duckdb.DuckDBPyRelation:
        select = sandbox.one_select(self._connection, query)
        if subscript := named_axes.counted_from_0(select):
            raise UsageError(f"{subscript} is always null: {named_axes.COUNTED}; {self._by_name(select)}")
        try:
            return self._relation(select, envs)
        except duckdb.PermissionException as error:
            raise UsageError(f"not allowed: {first_line(error)}; a query can read only this dataset") from error
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            if named_axes.OF_A_STRUCT in str(error) and (named := named_axes.among(select, self._named)):
                told = named_axes.instead_of_positions(self._connection, select, named)
                raise UsageError(f"SQL: {told or f'{first_line(error)}; {named_axes.by_position(named)}'}") from error
            hint = f"; {self._by_name(select)}" if _AXIS_OF_A_LIST.search(str(error)) else ""
            raise UsageError(f"SQL: {first_line(error)}{hint}") from error
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise FailureError(f"SQL: {first_line(error)}") from error

    def _relation(self, select: str, envs: list[str] | None) -> duckdb.DuckDBPyRelation:
        """Return a SELECT as a relation; views by environment are made when one is named for the first time."""
        while True:
            self._catalog.prepare(select, envs)
            try:
                # A subquery: DuckDB classes a WITH that copies or deletes as a SELECT, and refuses it only here.
                return portable(self._connection.sql(f"from (\n{select}\n)"))
            except duckdb.CatalogException as error:
                missing = MISSING.search(str(error))
                if missing is None:
                    raise
                if not self._name_axes(missing[1]):
                    if close := difflib.get_close_matches(missing[1], self.environments, n=1):
                        raise UsageError(f"SQL: no table {missing[1]!r}: did you mean {close[0]}?") from error
                    raise

    def _name_axes(self, env: str) -> bool:
        """Make the view of an environment's steps with axes by name; return whether there is such an environment."""
        if (known := named_axes.environment(env, self.environments)) is None:
            return False
        env = known
        self._catalog.prepare("from axes", [env])
        names = {
            space: self._connection.execute(
                f'select name from axes where env = {literal(env)} and space = {literal(space)} order by "index"'
            ).fetchall()
            for space in ("state", "tangent", "action")
        }
        text = named_axes.named_steps(env, {space: [name for (name,) in rows] for space, rows in names.items()})
        self._connection.execute(f"create view {identifier(env)} as {text}")
        self._named[env] = text
        self._forget_planners()
        return True

    def _by_name(self, select: str) -> str:
        named = [env for env in self.environments if env.lower() not in _TABLES]
        if self.environments and not named:
            return f"{self.environments[0]!r} is a table's name: give the model's file another to ask it by axis names"
        example = next((env for env in named if env in select), (*named, "ENV")[0])
        return f"`from {example}` instead of `from steps` has its axes by name (docs/sql.md)"

    def view(
        self, name: str, env: str | Iterable[str] | None = None, *, window: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return a named view, of all environments, of one, or of several.

        Args:
            window: steps in a window, for views that have windows: lyapunov.

        Raises:
            UsageError: there is no such view (the error lists them), no such environment, or the view no such window.
            FailureError: a run lacks files.
        """
        if name not in self._own.names:
            queries.check(name)
        queries.check_window(name, window)
        if self.condition is not None and name in _NOT_OF_STEPS:
            raise UsageError(self._refusal(name))
        source = identifier(name) if window is None else f"{name}_windows({window})"
        if env is None:
            return self.sql(f"from {source}")
        wanted, known = _each(env), self._environments_of(name)
        check_known(self.location, wanted, known)
        # DuckDB filters by one value before a view's windows, by a list of one after them
        equal = f"= {literal(wanted[0])}" if len(wanted) == 1 else f"in ({', '.join(map(literal, wanted))})"
        with self._turns.turn():
            return self._answer(f"from {source} where env {equal}", None if name in self._own.names else wanted)

    def explain(self, query: str, env: str | Iterable[str] | None = None) -> str:
        """Return in words from what a view, or a SELECT, is answered: partials of so many runs, steps of others.

        Args:
            query: a view's name, or one SELECT.
            env: the environments that a view is asked for.

        Raises:
            UsageError: the text is neither.
        """
        envs = None if env is None else _each(env)
        with self._turns.turn():
            if query in queries.VIEWS or query in self._own.names:
                self.view(query, envs)
                select = f"from {identifier(query)}"
            else:
                self.sql(query)
                select = sandbox.one_select(self._connection, query)
            return self._catalog.explain(select, envs)

    def register(self, name: str, rows: Rows) -> None:
        """Add rows of your own to the dataset's SQL, as a table that can be joined; SQL opens no file for it.

        Args:
            name: the table's name in SQL; a table of your own that has it is replaced.
            rows: a frame of polars or pandas, an Arrow table, or the path of a Parquet file or of a folder of them.

        Raises:
            UsageError: the dataset itself has something of that name, or the rows are none of these.
        """
        with self._turns.turn():
            self._own.add_table(self._connection, name, rows)
            self._forget_planners()

    def register_views(self, folder: Path | str) -> None:
        """Add views of your own: each file NAME.sql of a folder is a SELECT, which may build on the others.

        Raises:
            UsageError: there is no such file, a name is taken, or a file is not one valid SELECT.
        """
        with self._turns.turn():
            self._own.add_views(self._connection, Path(folder))
            self._forget_planners()

    def fetch(self, relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
        """Run a relation within the dataset's limits of memory and time; return a polars frame.

        Args:
            relation: what ``sql`` or ``view`` returned.

        Raises:
            FailureError: the query fails while it runs, or reaches a limit.
        """
        return self.within_limits(lambda: sandbox.fetch(relation, self._limits))

    def within_limits[T](self, job: Callable[[], T]) -> T:
        """Return what a job returns, held to the dataset's limits of memory and time from here on.

        Calls of other threads wait meanwhile, so the job must not wait for a thread that calls this dataset.

        Args:
            job: what to do in a thread of its own: ``fetch``, say, and work on its answer.

        Raises:
            FailureError: it reaches a limit. Where DuckDB can't be interrupted the query goes on by itself for a while;
                the dataset goes on with a new connection, and relations of before can't be read any more.
        """
        return self._turns.lend(job, lambda lent: self._limits.run(lent, self._connection.interrupt, self._abandon))

    def fetch_table(self, relation: duckdb.DuckDBPyRelation) -> pa.Table:
        """Run a relation within the dataset's limits; return an Arrow table. As ``fetch`` in all else."""
        return self.within_limits(lambda: sandbox.fetch_table(relation, self._limits))

    @property
    def schema_version(self) -> int:
        """The schema version of the dataset's files; views and tables are of the present one all the same."""
        return self._version

    @property
    def environments(self) -> list[str]:
        """The environments that have steps, sorted."""
        return self.location.environments("steps")

    @property
    def learned_environments(self) -> list[str]:
        """The environments of which models were trained or scored, sorted."""
        return self.location.environments("learning_runs")

    @property
    def condition(self) -> str | None:
        """The condition on steps that every statistic is held to, in SQL; None if there is none."""
        return joined(self._conditions) if self._conditions else None

    def _environments_of(self, view: str) -> list[str]:
        """Return the environments that a view may be asked for: results of learning may be kept without their steps."""
        return sorted({*self.environments, *(self.learned_environments if view in queries.RESULTS else ())})

    def where(self, condition: str) -> Self:
        """Return the dataset filtered by a condition on steps, such as ``not in_contact``; conditions add up."""
        check_text(condition)
        with self._turns.turn():
            self._check_open()
            narrowed = copy.copy(self)
            narrowed._conditions = (*self._conditions, condition)
            narrowed._own, narrowed._named = self._own.copy(), {}
        narrowed._open()
        return narrowed

    def close(self) -> None:
        """Close the connection; relations that came from it can't be read any more."""
        with self._turns.turn():
            self._closed = True
            for name in _CONNECTIONS:
                if (connection := getattr(self, name)) is not None:
                    connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jacdb.{type(self).__name__} {self.location.name!r}: {', '.join(self.environments)}>"

    def _refusal(self, name: str) -> str:
        return f"a condition on steps ({self.condition}) does not apply to {name}"

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name not in ("_catalog", "_turns", "_closed")}
        return kept | dict.fromkeys(_CONNECTIONS) | {"_named": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turns=Turns())

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """The connection; a process that was forked, or got the dataset pickled, opens its own."""
        self._check_open()
        return self._opened or self._open()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the dataset {self.location.name!r} is closed: open it again, by jacdb.open")

    def _abandon(self) -> None:
        self._opened = None  # a query that can't be interrupted still has it

    def _open(self) -> duckdb.DuckDBPyConnection:
        with sandbox.opening(self._limits):
            self._opened = sandbox.connect(self.location, self._limits)
            self._forget_planners()
            _OPEN.add(self)
            self._catalog = Catalog(
                self._opened,
                self.location,
                self._version,
                self._plan,
                memory=self._limits.memory,
                filtered=self.condition is not None,
            )
            self._register(self._opened)
            self._first_planner = sandbox.for_plans(self._opened.cursor())
            self._own.lay_tables(self._first_planner)  # a cursor has none of its connection's
            if self.condition is not None:
                check_reads(self._catalog, self.condition)
            self._opened.execute("set lock_configuration = true")
        return self._opened

    def _forget_planners(self) -> None:
        """Have what queries are planned on made anew, with the tables and views of now."""
        self._first_planner = self._planner = None

    def _plan(self, files_are_laid: bool) -> duckdb.DuckDBPyConnection:
        """Return a connection for plans, with the views of this one, over nothing.

        One of its own takes as long to make as to open the dataset, and most people ask one question.
        """
        if self._first_planner is not None and not files_are_laid:
            return self._first_planner
        if self._planner is None:
            self._planner = sandbox.connect_to_nothing()
            self._register(self._planner)
        return self._planner

    def _register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make all views on a connection, over nothing yet."""
        create = connection.execute
        LyapunovFunction(self.location).register(connection)
        register(connection)
        self._own.lay_tables(connection)
        if self.condition is not None:
            filter_steps(connection, self._conditions, self.environments)
            # A query that names threshold_sweep must fail: its numbers would silently count all steps.
            refusal, whole = literal(self._refusal("threshold_sweep")), queries.sql("threshold_sweep")
            create(f"create or replace view threshold_sweep as select * from ({whole}) where error({refusal})")
        self._own.lay_views(connection)
        for env, text in self._named.items():
            create(f"create view {identifier(env)} as {text}")
