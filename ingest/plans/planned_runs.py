"""Carry out many runs: one after the other, where one that fails does not stop the others."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jacdb.dataset.layout import LAYOUTS
from jacdb.errors import JacdbError, UsageError, suggestion
from jacdb.ingest.plans.planned_command import ANY, Commands, Task, Uses
from jacdb.ingest.requested_run import Report, RequestedRun
from jacdb.progress import Event


class Outcome(NamedTuple):
    """The outcome of one run.

    Attributes:
        told: what people want to know of it.
        failed: it was not carried out, and this is why.
    """

    told: str
    failed: bool


def check(runs: Sequence[Task], data: Path, commands: Commands) -> None:
    """Refuse runs and calls of commands that can't be right, before any is carried out.

    Args:
        runs: runs and calls, or shards of them, in order.
        data: the dataset's folder.
        commands: what other commands take, by name.

    Raises:
        UsageError: one can't be, they do not go into one dataset, one reads rows that neither are there nor are made
            before, or two write one file.
    """
    made = {folder.name.partition("=")[2] for layout in LAYOUTS for folder in data.glob(f"*/{layout.key}=*")}
    dtypes: set[str] = set()
    writers: dict[Path, Task] = {}
    for run in dict.fromkeys(run.kind for run in runs):
        uses = _uses(run, data, commands)
        dtypes |= {uses.dtype} if uses.dtype else set()
        if len(dtypes) > 1:
            kinds = " and ".join(sorted(dtypes))
            raise UsageError(f"dtype is {kinds}: a dataset has one type; make a plan for each --data")
        _refuse_missing(run, uses, made, data)
        made |= {uses.makes} if uses.makes else set()
        if uses.out and (other := writers.setdefault(uses.out.resolve(), run)) != run:
            raise UsageError(f"{run.words}: `{other.words}` writes {uses.out}, too: give each an `out` of its own")


def _uses(run: Task, data: Path, commands: Commands) -> Uses:
    """Check a run or a call by itself; return what it needs and makes.

    Raises:
        UsageError: it can't be right.
    """
    if isinstance(run, RequestedRun):
        run.check(data)
        return Uses(makes=run.makes, dtype=run.dtype)
    try:
        return commands[run.name].check(run.typed, data)
    except UsageError as error:
        raise UsageError(f"{run.words}: {error}") from None


def _refuse_missing(run: Task, uses: Uses, made: set[str], data: Path) -> None:
    """Refuse a task that reads rows that are not there when it is its turn.

    Raises:
        UsageError: it does.
    """
    nobody = f"in {data}, and no entry before makes"
    if uses.reads is not None and not made:
        raise UsageError(f"{run.words}: there are no rows {nobody} some")
    for env in uses.reads or ():
        if not {env, ANY} & made:
            raise UsageError(f"{run.words}: there is no run of {env!r} {nobody} one: {suggestion(env, made)}")


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
