"""Shards of a run: consecutive episodes of it, made apart, by anyone anywhere, and joined by :mod:`jacdb.merging`.

A shard lies in a folder of its own in the dataset's, ``shards/1-of-4``; its files are named as a dataset's are. No view
sees them: their patterns repeat from shard to shard. A finished shard has the file
``journal/environment=…/run=…/shard.json``, written last, in the place of a row in ``runs``: which shard it is, the row
of its part of the run, and the checksums of its files.
"""

import datetime
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from jacdb.atomic_file import draft_of, sync_folder
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.shard import SHARDS, Shard
from jacdb.errors import FailureError, UsageError, first_line

MARK = "shard.json"  # of a finished shard, in its run's journal
_FOLDER = re.compile(r"([0-9]+)-of-([0-9]+)")


class BegunShard(NamedTuple):
    """A shard that is on disk, in part or whole.

    Attributes:
        root: the folder of its files.
        run: the run that it is of.
        shard: which it is.
    """

    root: Path
    run: Run
    shard: Shard

    @property
    def mark(self) -> Path:
        """The file that says that it is finished."""
        return self.root / self.run.journal / MARK

    @property
    def has_begun(self) -> bool:
        """It has its axes, which come first and go last: without them, what is there is left of a removal."""
        return (self.root / self.run.folder("axes") / "part-00000.parquet").is_file()

    @property
    def is_finished(self) -> bool:
        """It is finished: all of it is on disk."""
        return self.mark.is_file() and self.has_begun

    def read(self) -> "FinishedShard":
        """Read what a finished shard says of itself.

        Raises:
            FailureError: it can't be read, or is not valid.
        """
        try:
            said = json.loads(self.mark.read_text("utf-8"))
            row, sums = said["run"], said["sums"]
            row["started"] = datetime.datetime.fromisoformat(row["started"])
            named = (row["env"], row["run_id"], said["shard"], said["of"])
            expected = (self.run.env, self.run.run_id, self.shard.index, self.shard.count)
            valid = named == expected and all(map(self._owns, sums))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise FailureError(f"{self.mark} can't be read: {first_line(error)}") from error
        if not valid:
            raise FailureError(
                f"{self.mark} is not {self.shard.words} of run {self.run.run_id}, or names others' files"
            )
        return FinishedShard(self, row, sums)

    def _owns(self, path: str) -> bool:
        part = PartPath.parse(path)
        return path == self.run.model or (part is not None and part.run == self.run and part.table != "runs")


class FinishedShard(NamedTuple):
    """A finished shard.

    Attributes:
        begun: where it is, and which.
        row: the row in `runs` of its part of the run.
        sums: the checksums of its files, by path below its folder.
    """

    begun: BegunShard
    row: dict[str, Any]
    sums: dict[str, str]


def write_mark(begun: BegunShard, row: Mapping[str, Any], sums: Mapping[str, str]) -> None:
    """Write that a shard is finished: which it is, the row of its part of the run, and the checksums of its files."""
    whole = {**row, "started": row["started"].isoformat()}
    said = {"shard": begun.shard.index, "of": begun.shard.count, "run": whole, "sums": dict(sorted(sums.items()))}
    with draft_of(begun.mark) as draft:
        with draft.open("w", encoding="utf-8") as stream:
            json.dump(said, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(begun.mark)
    sync_folder(begun.mark.parent)


def begun(root: Path, run: Run | None = None) -> list[BegunShard]:
    """Return the shards in a dataset's folder that have begun or are finished, sorted; of one run if it is given."""
    return [one for one in _with_folders(root, run, "axes") if one.has_begun]


def on_disk(root: Path, run: Run | None = None) -> list[BegunShard]:
    """Return the shards of which a dataset's folder has anything, sorted: also what a stopped removal has left."""
    return _with_folders(root, run, "*")


def check_count(root: Path, run: Run, shard: Shard) -> None:
    """Refuse a shard of a run that was cut into another number of shards in this folder.

    Raises:
        UsageError: it was.
    """
    check_counts(str(root), run, shard, {one.shard.count for one in begun(root, run)})


def check_counts(place: str, run: Run, shard: Shard, counts: Set[int]) -> None:
    """Refuse a shard of a run that was cut into other numbers of shards.

    Args:
        place: the dataset's folder, for the message.
        counts: the numbers.

    Raises:
        UsageError: it was.
    """
    if others := counts - {shard.count}:
        [other, *_] = sorted(others)
        raise UsageError(
            f"--shard {shard.index}/{shard.count}: {place} has shards of {other} of run {run.run_id} of {run.env}: give"
            f" --shard I/{other} (all of them: --shards {other}, in a plan `shards: {other}`), or another --data"
        )


def distinct(begun: Sequence[BegunShard]) -> list[FinishedShard]:
    """Return the finished shards of a run in order, each once; those of one cut alone, where all of it are there.

    Raises:
        UsageError: one is there twice, with different files.
        FailureError: one can't be read.
    """
    counts = complete_counts(begun)
    found: dict[Shard, FinishedShard] = {}
    for one in begun:
        if not one.is_finished or (counts and one.shard.count != counts[0]):
            continue
        piece = one.read()
        known = found.setdefault(one.shard, piece)
        if known.sums != piece.sums:
            raise UsageError(
                f"{one.shard.words} of run {one.run.run_id} of {one.run.env} is in {known.begun.root} and in"
                f" {one.root}, with different files: leave one of them out"
            )
    return [found[key] for key in sorted(found)]


class Missing(NamedTuple):
    """The shards of a run that are not there, or not finished.

    Attributes:
        run: the run.
        by_count: which are missing, by the number of shards that it was cut into: one number, or something is wrong.
        note: why it may be so, for people.
    """

    run: Run
    by_count: dict[int, list[int]]
    note: str = ""

    @property
    def words(self) -> str:
        """Which are missing, in words."""
        name = f"run {self.run.run_id} of {self.run.env}"
        if len(self.by_count) > 1:
            cuts = " and ".join(f"into {count}" for count in self.by_count)
            name += f" was cut {cuts} shards, and none of these is whole"
        lacks = "; ".join(_lacks(indices, count) for count, indices in self.by_count.items())
        return f"{name}: {lacks} missing{self.note}"

    @property
    def there(self) -> str:
        """How many are there, in words."""
        return ", ".join(f"{count - len(lacks)} of {count} shards are there" for count, lacks in self.by_count.items())


class ShardState(NamedTuple):
    """A shard that was made, and what its run still lacks.

    Attributes:
        shard: which it is.
        missing: the other shards that are not there; None if the run is whole.
    """

    shard: Shard
    missing: Missing | None


def told(run_id: str, state: ShardState | None) -> tuple[str, str]:
    """Return the name of a run, or of a shard of it, and what is to be said of the other shards: "" of a run."""
    if state is None:
        return f"run {run_id}", ""
    if state.missing is None:
        return f"{state.shard.words} of run {run_id}", "; all shards are there, the run is whole"
    lacks = "; ".join(_lacks(indices, count) for count, indices in state.missing.by_count.items())
    return f"{state.shard.words} of run {run_id}", f"; {lacks} missing"


def missing(run: Run, found: Sequence[BegunShard]) -> Missing | None:
    """Return which shards of a run are missing, given those that have begun; None if all of one cut are there."""
    if complete_counts(found):
        return None
    done = {(one.shard.count, one.shard.index) for one in found if one.is_finished}
    counts = sorted({count for count, _ in done} or {one.shard.count for one in found})
    return Missing(run, {count: [index for index in range(count) if (count, index) not in done] for count in counts})


def complete_counts(found: Sequence[BegunShard]) -> list[int]:
    """Return the numbers of shards of which all are there and finished, sorted."""
    done = {one.shard for one in found if one.is_finished}
    return sorted(count for count, there in Counter(shard.count for shard in done).items() if there == count)


def _with_folders(root: Path, run: Run | None, table: str) -> list[BegunShard]:
    """Return the shards that have a folder of a table, or of any: "*"; of one run if it is given."""
    env, run_id = (run.env, run.run_id) if run else ("*", "*")
    found = set()
    for folder in (root / SHARDS).glob("*-of-*"):
        if match := _FOLDER.fullmatch(folder.name):
            shard = Shard(int(match[1]), int(match[2]))
            axes = (Path("axes", *path.parts[-2:]) for path in folder.glob(Run(env, run_id).folder(table)))
            parts = (PartPath.parse(f"{path.as_posix()}/part-00000.parquet") for path in axes)
            found |= {BegunShard(folder, part.run, shard) for part in parts if part}
    return sorted(found, key=lambda one: (one.run, one.shard.count, one.shard.index))


def _lacks(indices: list[int], count: int) -> str:
    some = ", ".join(map(str, indices[:20])) + (f" and {len(indices) - 20} more" if len(indices) > 20 else "")
    return f"shard {some} of {count} is" if len(indices) == 1 else f"shards {some} of {count} are"
