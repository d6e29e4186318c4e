"""The runs that are explored: those of a dataset that have steps, of all environments or of some."""

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from jacdb import schemas
from jacdb.dataset import former_versions
from jacdb.dataset.completeness import Completeness, check_known
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.layout import Run
from jacdb.dataset.sql_text import empty_select, literal
from jacdb.errors import FailureError, UsageError

_SCHEMAS = {table.name: table.schema for table in schemas.ALL_TABLES}


class GoneError(FailureError):
    """A file of the dataset that was there at the start is there no longer."""


class Subject:
    """The runs that are explored, and the tables they are read from.

    Attributes:
        dataset: the dataset, open.
        envs: the environments, sorted.
        runs: their runs that have steps, sorted; of each, its parts of ``steps``, as paths below the dataset's folder.
        facts: rows of ``runs`` of the finished ones.
    """

    def __init__(self, dataset: Dataset, envs: Sequence[str] | None = None) -> None:
        """
        Raises:
            UsageError: the dataset has no steps, or none of an environment.
            FailureError: a file can't be read, or a finished run lacks one.
        """
        self.dataset = dataset
        location = dataset.location
        Completeness(location).check()  # at once, not when the page asks for a file
        known = dataset.environments
        if not known:
            raise UsageError(f"{location.name} has no steps to be explored: make some with `jacdb ingest`")
        check_known(location, envs or [], known)
        self.envs = sorted({*envs}) if envs else known
        begun = [run for run in location.begun() if run.env in self.envs]
        found = {run: sorted(location.parts_of("steps", [run])) for run in begun}
        self.runs = {run: parts for run, parts in found.items() if parts}
        rows = self.rows(f"select * from stored_runs where {self.condition}")
        self.facts = {Run(row["env"], row["run_id"], location.layout): row for row in rows}

    def check_present(self, runs: Iterable[Run]) -> None:
        """Refuse runs of which a part is gone since the start.

        Raises:
            GoneError: it is; the message names it, and the remedy.
        """
        for part in (part for run in runs for part in self.runs[run]):
            if self.dataset.location.stamp(part) is None:
                raise GoneError(f"{part} is gone since `jacdb explore` was started: start it again")

    @property
    def condition(self) -> str:
        """The condition of SQL that a row is of one of the environments."""
        return f"env in ({', '.join(map(literal, self.envs))})"

    def rows(self, select: str) -> list[dict[str, Any]]:
        """Return the answer to a SELECT as rows."""
        return self.frame(select).to_dicts()

    def frame(self, select: str) -> pl.DataFrame:
        """Return the answer to a SELECT."""
        return self.dataset.fetch(self.dataset.sql(select))

    def scan(self, table: str, run: Run) -> str:
        """Return a SELECT of one run's rows of a stored table, with today's columns; it opens no other run's files."""
        location = self.dataset.location
        if not (parts := location.parts_of(table, [run])):
            return empty_select(_SCHEMAS[table])
        return former_versions.select(table, self.dataset.schema_version, location.scan(table, sorted(parts)))
