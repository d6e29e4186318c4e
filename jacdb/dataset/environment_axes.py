"""The axes of an environment, which all of its runs in a dataset share.

Views count an environment's runs together, and row 7 of a Jacobian is one axis in all of them. Models with one file
name make one environment, so runs whose axes differ are refused where they would come together. Bodies are not
compared: of nameless ones, versions of jacdb say different things.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.counted import counted
from jacdb.dataset import listing, shards
from jacdb.dataset.layout import CURRENT, Layout, PartPath, Run
from jacdb.errors import FailureError, UsageError, first_line
from jacdb.schemas.axis_names import unique_names

SPACES = ("tangent", "state", "action")

type Axes = dict[str, list[tuple[str, str]]]  # the names and units of a space's axes, in order


class BegunRun(NamedTuple):
    """A run, or a shard of one, that has axes.

    Attributes:
        dataset: the dataset's folder.
        root: the folder of its files: the dataset's, or a shard's.
        run: the run.
    """

    dataset: Path
    root: Path
    run: Run

    @property
    def path(self) -> Path:
        """The file of its axes."""
        return axes_path(self.root, self.run)

    @property
    def words(self) -> str:
        """Which it is, for people."""
        return f"run {self.run.run_id} in {self.dataset}"

    @property
    def removal(self) -> str:
        """The command that removes it."""
        return f"`jacdb rm {self.run.run_id} --data {shlex.quote(str(self.dataset))}`"


class AxesConflict(NamedTuple):
    """Two runs of an environment whose axes differ.

    Attributes:
        told: the difference, in words.
        run: the run that is to be added.
        known: the run that it differs from.
    """

    told: str
    run: BegunRun
    known: BegunRun


def axes_path(root: Path, run: Run) -> Path:
    """Return the file of a run's axes."""
    return root / run.folder("axes") / "part-00000.parquet"


def of_rows(rows: Iterable[Mapping[str, Any]]) -> Axes:
    """Return the axes that rows of `axes` are of: their columns space, index, name and unit."""
    found: Axes = {}
    for space in SPACES:
        own = sorted((row for row in rows if row["space"] == space), key=lambda row: row["index"])
        names = unique_names([row["name"] for row in own])  # former versions wrote a name twice
        found[space] = [(name, row["unit"]) for name, row in zip(names, own, strict=True)]
    return found


def read(path: Path) -> Axes:
    """Return the axes in a run's file of them.

    Raises:
        FailureError: it can't be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            return of_rows(file.read(["space", "index", "name", "unit"]).to_pylist())
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error


def difference(own: Axes, other: Axes) -> tuple[str, str] | None:
    """Return the first axis that differs, in words, and what the others have in its place; None if none does."""
    for space in SPACES:
        for index in range(max(len(own[space]), len(other[space]))):
            here, there = (_words(axes[space][index : index + 1]) for axes in (own, other))
            if here != there:
                return f"{space} axis {index} is {here}", there
    return None


def begun(dataset: Path, env: str, layout: Layout = CURRENT) -> list[BegunRun]:
    """Return the runs and shards of an environment that a dataset's folder has, finished or not; runs first, sorted.

    Args:
        dataset: the dataset's folder.
        env: the environment; "*" for all.
        layout: the names of its files.
    """
    every = Run(env, "*", layout)
    paths = (path.relative_to(dataset).as_posix() for path in dataset.glob(f"{axes_path(Path(), every)}"))
    runs = sorted(part.run for part in map(PartPath.parse, paths) if part)
    found = [BegunRun(dataset, dataset, run) for run in runs]
    return found + [BegunRun(dataset, one.root, one.run) for one in shards.begun(dataset, every)]


def compared(dataset: Path, run: Run, env: str = "*") -> list[BegunRun]:
    """Return the runs of a dataset that one which comes into it has to be compared with.

    One finished run is enough, for these were held to each other; and every one that is not finished, for it may have
    come just now. Two that come together so meet each other, if each has put its files before it looks.

    Args:
        dataset: the dataset's folder.
        run: the run that comes.
        env: the environment whose runs count; "*" for all.
    """

    def named(table: str) -> set[tuple[str, str]]:
        folders = listing.run_folders(dataset / table, run.layout.key)
        return {(own, each.name.removeprefix("run=")) for own, each in folders if env in ("*", own)}

    there, finished = named("axes") - {(run.env, run.run_id)}, named("runs")
    chosen = [*sorted(there - finished), *sorted(there & finished)[:1]]
    found = [BegunRun(dataset, dataset, Run(own, run_id, run.layout)) for own, run_id in chosen]
    pieces = (one for one in shards.begun(dataset, Run(env, "*")) if one.run != run)
    return [one for one in found if one.path.is_file()] + [BegunRun(dataset, one.root, one.run) for one in pieces]


def check(dataset: Path, run: Run, axes: Axes) -> None:
    """Refuse a run whose axes are not those of the other runs that a dataset has of its environment.

    Raises:
        UsageError: they are not.
        FailureError: the axes of another run can't be read.
    """
    for one in compared(dataset, run, run.env):
        try:
            found = difference(axes, read(one.path))
        except FailureError:
            if one.path.is_file():
                raise
            continue  # it was taken back
        if found:
            more = len({each.run for each in begun(dataset, run.env, run.layout)} - {run, one.run})
            and_more = f" and {counted(more, 'other')}" if more else ""
            raise UsageError(
                f"{run.env}: {found[0]}, and {found[1]} in {one.words}; an environment's runs have the same axes: give"
                f" another --data, the model's file another name, or {one.removal}{and_more}"
            )


def conflict(runs: Sequence[BegunRun], out: Path) -> AxesConflict | None:
    """Return the first run of several datasets that would give an environment more than one set of axes.

    Args:
        runs: the runs, those of ``out`` first.
        out: the dataset that they are to be in; what is in it already is not compared with itself.

    Raises:
        FailureError: the axes of one can't be read.
    """
    first: dict[str, tuple[BegunRun, Axes]] = {}
    for one in runs:
        axes = read(one.path)
        known, others = first.setdefault(one.run.env, (one, axes))
        found = difference(axes, others)
        if found and one.dataset != out:
            said = f"{one.run.env}: {found[0]} in {one.words}, and {found[1]} in {known.words}"
            return AxesConflict(f"{said}; an environment's runs have the same axes", one, known)
    return None


def _words(axis: Sequence[tuple[str, str]]) -> str:
    return f"{axis[0][0]} ({axis[0][1]})" if axis else "none"
