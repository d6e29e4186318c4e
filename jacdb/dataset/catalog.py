"""The views of ``queries/`` over the files of a dataset: no file is looked at before a query needs it.

DuckDB binds what a view builds on when it is made, and would list all files and read a footer for each view. So every
view is made over empty tables of a schema of their own, ``unread``. Before a query runs, DuckDB says which of these it
would read, by a second connection on which they stay, and on the first views of files take their place.

A partial (``queries.PARTIALS``) is read from the files of the runs that have one which is still of their steps, and
counted from the steps of the others. Under a condition on steps all are counted.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from jacdb import queries, schemas
from jacdb.dataset import former_versions, partials
from jacdb.dataset.completeness import Completeness
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import Run
from jacdb.dataset.sql_text import empty_select
from jacdb.errors import FailureError, first_line

_UNREAD = "unread"
_LARGE = ("set_counts",)  # partials that take most of the bytes, and are in no view of the paper
_HELD_SHARE = 16  # of the memory limit, in bytes of files: unpacked they take several times as many
_TABLE_OF = {name: name.removeprefix("remaining_") for name in queries.REMAINING}
_ROWS_OF_RUNS = {"runs", *queries.RESULTS}  # a run that lacks other files is in them all the same
_KEYS = [schemas.PARTIALS.schema.field(name) for name in ("env", "run_id")]
_SCHEMAS = {table.name: table.schema for table in schemas.ALL_TABLES}


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all views and macros on a connection, over nothing yet."""
    create = connection.execute
    create(f"create schema {_UNREAD}")
    for table, schema in _SCHEMAS.items():
        create(f"create table {_UNREAD}.{table} as {empty_select(schema)}")
        create(f"create view stored_{table} as from {_UNREAD}.{table}")
    for signature, text in (queries.MACROS | queries.INTERNAL_MACROS).items():
        create(f"create macro {signature} as {text}")
    for name in queries.REGISTERED:
        if name in queries.PARTIALS:
            fields = schemas.PARTIALS.schema.field(name).type.value_type
            columns = pa.schema([*_KEYS, *fields])
            create(f"create table {_UNREAD}.{name} as {empty_select(columns)}")
            create(f"create view {name} as from {_UNREAD}.{name}")
        else:
            create(f"create view {name} as {queries.sql(name)}")
    for name in queries.WINDOWED:
        create(f"create macro {queries.macro(name)}")


class Survey(NamedTuple):
    """Which runs are read from partials.

    Attributes:
        used: the runs whose partials are read.
        remaining: the other runs, each with the reason.
    """

    used: list[Run]
    remaining: dict[Run, str]


class Surveyor:
    """Finds out which runs' partials can be read, and looks again at those whose files have changed."""

    def __init__(self, location: Folder) -> None:
        self._location = location
        self._known: dict[Run, tuple[object, str | None]] = {}

    def survey(self) -> Survey:
        """Return which runs are read from partials by now."""
        found = {run: self._problem(run) for run in self._location.begun()}
        remaining = {run: wrong for run, wrong in found.items() if wrong}
        return Survey([run for run, wrong in found.items() if not wrong], remaining)

    def _problem(self, run: Run) -> str | None:
        location, known = self._location, self._known.get(run)
        stamps = [location.stamp(path) for path in (run.row, run.manifest, run.partials)]
        if known is None or known[0] != stamps:
            known = self._known[run] = stamps, self._look(run) if all(stamps[:2]) else partials.UNFINISHED
        return known[1]

    def _look(self, run: Run) -> str | None:
        try:
            listed = self._location.read(run.manifest)
        except OSError:
            return partials.UNFINISHED
        return partials.problem(listed, run, self._location.read)


class Catalog:
    """The views of a dataset on a connection.

    Attributes:
        completeness: whether its finished runs have all their files.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        location: Folder,
        version: int,
        plan: Callable[[bool], duckdb.DuckDBPyConnection],
        *,
        memory: float,
        filtered: bool,
    ) -> None:
        """
        Args:
            connection: it may read the dataset, and has what :func:`register` makes.
            location: the dataset.
            version: its schema version.
            plan: returns a connection that has the same views, none of them laid over files, and works no constants
                out; it is told whether views of this one are.
            memory: bytes that a query may take.
            filtered: whether a condition on steps stands in ``steps``: partials do not know it.
        """
        self._connection, self._location, self._version, self._plan = connection, location, version, plan
        self._memory = memory
        self._read: set[str] = set()  # the tables that are laid over files
        self._passing: set[str] = set()  # those of them that are laid anew for each query: not all parts count
        self._counted: set[str] = set()  # the partials that are laid as the last survey said
        self.completeness = Completeness(location)
        self._surveyor = None if filtered else Surveyor(location)
        self._survey: Survey | None = None
        self._parts_at_work: list[str] = []  # parts of `episodes` of runs that are not finished, as they are counted

    def prepare(self, select: str, envs: Sequence[str] | None = None) -> None:
        """Lay over files what a SELECT reads.

        Args:
            select: the SELECT.
            envs: the environments that it asks for; None for all.

        Raises:
            FailureError: a file can't be read, or a finished run lacks one.
        """
        names = self.names(select)
        if names - _ROWS_OF_RUNS:
            self.completeness.check(envs)
        try:
            for table in sorted(self._passing):  # first: a view that is made looks for the files of those that it reads
                self._lay(table)
            if counted := names & {*queries.PARTIALS}:
                names |= self._lay_partials(counted)
            names |= {read for name in names for read in former_versions.READS.get(name, ())}
            for table in sorted((names & _SCHEMAS.keys()) - self._read):
                if self._location.has(table):
                    self._lay(table)
        except (duckdb.Error, UnicodeDecodeError) as error:  # a broken footer may hold names that are not UTF-8
            raise FailureError(f"{self._location.name} can't be read: {first_line(error)}") from error

    def _lay(self, table: str) -> None:
        """Lay a table over its files: over all that there are whenever it is read, if each of them counts by now."""
        some = self._location.is_still or bool(self._location.uncommitted(table))
        self._replace(f"stored_{table}", self._select(table, self._location.begun() if some else None))
        self._read.add(table)
        self._passing = self._passing | {table} if some else self._passing - {table}

    def names(self, select: str) -> set[str]:
        """Return the tables and the partials that a SELECT reads; what a partial is counted from is not among them."""
        plan = self._plan(bool(self._read or self._survey))
        try:
            # not get_table_names, which fails where tables are joined `using` a column, but knows what DESCRIBE is of
            plans = dict(plan.execute(f"explain (format json) from (\n{select}\n)").fetchall())
            named = {*_scanned(json.loads(plans["logical_plan"]))} or plan.get_table_names(select)
        except duckdb.Error:  # DuckDB says the same when the query runs
            return set()
        return {name.rpartition(".")[2] for name in named} & {*_SCHEMAS, *queries.PARTIALS}

    def survey(self) -> Survey | None:
        """Return which runs are read from partials by now; None under a condition on steps."""
        return self._surveyor.survey() if self._surveyor else None

    def explain(self, select: str, envs: Sequence[str] | None = None) -> str:
        """Return in words from what a SELECT is answered: "from partials: 12 runs; from steps: 1 run (no partials)".

        Args:
            select: the SELECT.
            envs: the environments that are asked for; None for all.
        """
        names, survey = self.names(select), self.survey()
        runs = [run for run in self._location.begun() if envs is None or run.env in envs]
        counted = names & {*queries.PARTIALS}
        if "steps" in names or (counted and survey is None):
            return f"from steps: {_number(len(runs))}" + ("" if survey else " (a condition on steps)")
        if survey is None or not counted:
            return f"from tables: {', '.join(sorted(names)) or 'none'}"
        remaining = Counter(reason for run, reason in survey.remaining.items() if run in runs)
        reasons = "; ".join(reason if len(remaining) == 1 else f"{n} {reason}" for reason, n in remaining.items())
        ways = {"partials": len(runs) - remaining.total(), "steps": remaining.total()}
        said = "; ".join(f"from {way}: {_number(n)}" for way, n in ways.items() if n)
        said = said or f"from partials: {_number(0)}"
        return f"{said} ({reasons})" if reasons else said

    def with_their_own(self, counted: set[str]) -> set[str]:
        """Return partials, and the tables and partials that they are counted from."""
        found: set[str] = set()
        while new := counted - found:
            found |= new
            counted = set().union(*(self.names(queries.sql(name)) for name in new if name in queries.PARTIALS))
        return found

    def _lay_partials(self, names: set[str]) -> set[str]:
        """Lay partials over the files that hold them, and over the steps of the runs that have none.

        Args:
            names: the partials.

        Returns:
            The tables that are read for it as a whole.
        """
        survey = self.survey() or Survey([], {})
        if survey.remaining or not survey.used:
            names = self.with_their_own(names)
        at_work = [run for run, reason in survey.remaining.items() if reason == partials.UNFINISHED]
        parts_at_work = self._location.parts_of("episodes", at_work)  # a part counts once it is in `episodes`
        changed = survey != self._survey
        if changed:
            self._survey, self._counted = survey, set()
            if survey.used:
                files = [run.partials for run in survey.used]
                self._replace("used_partials", f"select * from {self._location.scan('partials', files)}")
        if changed or parts_at_work != self._parts_at_work:
            self._parts_at_work = parts_at_work
            for view, table in _TABLE_OF.items():
                self._replace(view, self._remaining(table, survey) if survey.used else queries.sql(view))
        new = [name for name in queries.PARTIALS if name in names - self._counted]
        held = self._hold(survey.used, [name for name in new if name not in _LARGE])
        for name in new:
            sources = [f"from ({queries.sql(name)})"] if survey.remaining or not survey.used else []
            if survey.used:
                used = "used_partials" if name in _LARGE else held
                sources.append(f"select env, run_id, unnest({name}, max_depth := 2) from {used}")
            self._replace(name, " union all by name ".join(sources))
            self._counted.add(name)
        return set() if survey.used else names

    def _hold(self, runs: list[Run], names: list[str]) -> str:
        """Take partials of some runs into memory, if it suffices; return the name of what they are in now.

        To open a file takes longer than to read what most views need of it, and a view may need several partials.
        """
        stamps = (self._location.stamp(run.partials) for run in runs)
        if not runs or not names or sum(stamp[1] for stamp in stamps if stamp) > self._memory / _HELD_SHARE:
            return "used_partials"
        held = f"held_{names[0]}"
        self._connection.execute(
            f"create or replace table {held} as select env, run_id, {', '.join(names)} from used_partials"
        )
        return held

    def _remaining(self, table: str, survey: Survey) -> str:
        """Return SQL that selects what partials are counted from, of the runs that have none."""
        text = self._select(table, survey.remaining)
        return queries.sql("exact_steps", steps=f"({text})") if table == "steps" else text

    def _select(self, table: str, runs: Iterable[Run] | None = None) -> str:
        """Return SQL that selects a table, of all runs or of some, with today's columns."""
        if runs is None:
            return former_versions.select(table, self._version, self._location.scan(table))
        if not (parts := self._location.parts_of(table, runs)):
            return empty_select(_SCHEMAS[table])
        return former_versions.select(table, self._version, self._location.scan(table, parts))

    def _replace(self, view: str, text: str) -> None:
        self._connection.execute(f"create or replace view {view} as {text}")


def _scanned(nodes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the tables that are scanned in a logical plan, as DuckDB explains it."""
    for node in nodes:
        if table := node.get("extra_info", {}).get("Table"):
            yield table
        yield from _scanned(node.get("children", []))


def _number(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
