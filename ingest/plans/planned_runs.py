"""Carry out many runs: one after the other, where one that fails does not stop the others."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jacdb.errors import JacdbError, UsageError
from jacdb.ingest.plans.planned_command import Task
from jacdb.ingest.requested_run import Report
from jacdb.progress import Event


class Outcome(NamedTuple):
    """The outcome of one run.

    Attributes:
        told: what people want to know of it.
        failed: it was not carried out, and this is why.
    """

    told: str
    failed: bool


def check(runs: Sequence[Task], data: Path) -> None:
    """Refuse runs that can't be right, before any is carried out.

    Raises:
        UsageError: one can't be, or they do not go into one dataset.
    """
    kinds = sorted({run.dtype for run in runs if run.dtype})
    if len(kinds) > 1:
        raise UsageError(f"dtype is {' and '.join(kinds)}: a dataset has one type; make a plan for each --data")
    for run in {run.kind: run for run in runs}.values():
        run.check(data)


def carry_out(runs: Sequence[Task], data: Path, report: Report) -> Iterator[Outcome]:
    """Yield the outcome of each run, in order.

    Args:
        runs: runs, or shards of runs; those that are there already are left as they are.
        data: the dataset's folder.
        report: called with progress.
    """
    for number, run in enumerate(runs, 1):
        place = f"{number} of {len(runs)}: " if len(runs) > 1 else ""
        yield outcome(run, data, functools.partial(_placed, report, place))


def _placed(report: Report, place: str, event: Event) -> None:
    report(event._replace(doing=f"{place}{event.doing}"))


def outcome(run: Task, data: Path, report: Report) -> Outcome:
    """Carry out one run, and return what became of it."""
    try:
        return Outcome(run.carry_out(data, report), failed=False)
    except JacdbError as error:
        return Outcome(f"{run.words}: {error}", failed=True)
