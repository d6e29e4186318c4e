"""Join datasets: finished and learning runs are added as they are; a run whose shards are all there is completed.

Files are linked where both folders are on one disk, else copied; every checksum is compared first. A run comes to be at
once: its row in ``runs`` is written last. What an interrupted merge has done stays, and the same merge goes on from it.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import pyarrow as pa

from jacdb.atomic_file import remove_drafts
from jacdb.counted import counted
from jacdb.dataset import finishing, manifest, removal, run_status, shards
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.shard import Shard
from jacdb.dataset.shards import BegunShard, Missing, ShardState
from jacdb.errors import UsageError, telling_writes
from jacdb.merging import file_copies, learning_runs, refusals, shard_union
from jacdb.merging.learning_runs import Change
from jacdb.progress import Event

type Report = Callable[[Event], None]


@dataclass
class Merged:
    """The result of a merge.

    Attributes:
        added: finished runs that were added.
        completed: runs that were completed from their shards.
        there: runs of the datasets that were there before.
        missing: which shards are missing of the others.
        learning_added: learning runs that were added.
        learning_rescored: learning runs that were there with fewer scores, and have those of another dataset now.
        learning_checksummed: those that were there without checksums, and have the row of another dataset now.
        learning_completed: those whose scores and row did not go together, and that have those of another dataset now.
        learning_there: learning runs of the datasets that were there before.
        checkpoints: what there is to say of checkpoints that are not their rows'.
        unfinished: runs of the datasets that were passed over, each with its folder.
    """

    added: list[Run] = field(default_factory=list)
    completed: list[Run] = field(default_factory=list)
    there: list[Run] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    learning_added: list[Run] = field(default_factory=list)
    learning_rescored: list[Run] = field(default_factory=list)
    learning_checksummed: list[Run] = field(default_factory=list)
    learning_completed: list[Run] = field(default_factory=list)
    learning_there: list[Run] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    unfinished: list[tuple[Path, Run]] = field(default_factory=list)

    def describe(self, out: Path | str) -> str:
        """Return one line for people."""
        there = f", {counted(len(self.there), 'run')} there already" if self.there else ""
        learned = (
            (self.learning_added, Change.ADDED),
            (self.learning_rescored, Change.RESCORED),
            (self.learning_checksummed, Change.CHECKSUMMED),
            (self.learning_completed, Change.COMPLETED),
            (self.learning_there, "there already"),
        )
        learning = "".join(f", {counted(len(runs), 'learning run')} {what}" for runs, what in learned if runs)
        added, completed = (counted(len(runs), "run") for runs in (self.added, self.completed))
        return (
            f"{added} added to {out}, {completed} completed from shards{there}"
            f"{learning}{self._passed_over}{''.join(f'; {said}' for said in self.checkpoints)}"
        )

    @property
    def _passed_over(self) -> str:
        if not self.unfinished:
            return ""
        named = ", ".join(f"{run.run_id} of {run.env} in {root}" for root, run in self.unfinished[:3])
        more = f" and {len(self.unfinished) - 3} more" if len(self.unfinished) > 3 else ""
        return f"; not finished, and passed over: {named}{more} (repeat the command that began each, then merge again)"


def merge(roots: Sequence[Path | str], out: Path | str, *, report: Report = lambda event: None) -> Merged:
    """Join the finished runs, the learning runs and the shards of datasets in one; the others stay as they are.

    A run whose shards are all there is completed: its rows are those that it would have had in one piece. Shards of a
    run that still lacks some are put into ``out``, for a later merge. Where ``out`` is one of the datasets, its
    shards are removed once their run is whole.

    Args:
        roots: folders of datasets.
        out: the folder of the dataset to add to; made when there is none.
        report: called with progress.

    Raises:
        UsageError: a folder has neither runs nor shards; it is of another schema version, or its matrices are of
            another type than those in ``out``; a run, a shard or a learning run is there twice, with different files;
            a table's folder in ``out`` is on another disk; or another process is at work on a run.
        FailureError: a file is damaged, or can't be written. Runs that were merged by then are kept.
    """
    out, sources = Path(out), [Path(root) for root in roots]
    refusals.check_folders(sources, out)
    others = [root for key, root in {root.resolve(): root for root in sources}.items() if key != out.resolve()]
    finished: dict[Run, list[Path]] = collections.defaultdict(list)
    pieces: dict[Run, list[BegunShard]] = collections.defaultdict(list)
    for root in (out, *others):
        for run in manifest.finished(root):
            finished[run].append(root)
        for one in shards.begun(root):
            pieces[one.run].append(one)
    refusals.check_runs(out, finished, pieces)
    refusals.check_axes(out, finished, pieces)
    learned = learning_runs.found((out, *others))
    refusals.check_disk(out, finished, pieces, learned)
    merged = Merged(unfinished=[(root, run) for root in others for run in _unfinished(root)])
    with _told(out):
        for run, (root, *more) in sorted(finished.items()):
            if root != out:
                (merged.added if _add(root, run, out, report) else merged.there).append(run)
            elif more or len(others) < len(sources) or any(one.root.parents[1] != out for one in pieces.get(run, ())):
                merged.there.append(run)
        for one in shards.on_disk(out):
            if one.run in finished:
                pieces.setdefault(one.run, [])  # a removal that was stopped may have left nothing that has begun
        for run, begun in sorted(pieces.items()):
            if run in finished:
                _complete(run, begun, out, report)
            elif lacks := shards.missing(run, begun):
                merged.missing.append(lacks)
                _gather(begun, out, report)
            else:
                _complete(run, begun, out, report)
                merged.completed.append(run)
        for run, (root, *more) in sorted(learned.items()):
            if root != out:
                _add_learned(root, run, out, merged)
            elif more:
                merged.learning_there.append(run)
    merged.missing = refusals.explained(merged.missing, pieces)
    return merged


def shard_state(root: Path, run: Run, shard: Shard | None, report: Report) -> ShardState | None:
    """Complete a run from the shards in a dataset's folder if they are all there, and return the state of it.

    Where another process completes it, wait for it: of two shards that end together, either may be the last.

    Args:
        root: the dataset's folder.
        run: the run.
        shard: the shard that was made; None if it was all of the run, and then nothing is done.
        report: called with progress.

    Raises:
        UsageError: matrices are of another type than those of the dataset's other runs.
        FailureError: a file is damaged, or can't be written; the shards are as they were.
    """
    if shard is None:
        return None
    with _told(root):
        begun = shards.begun(root, run)
        lacks = None if _is_finished(root, run) else shards.missing(run, begun)
        if begun and lacks is None:
            _complete(run, begun, root, report, wait=True)
    return ShardState(shard, lacks)


def take(one: BegunShard, out: Path, report: Report) -> None:
    """Put a finished shard into a dataset's folder, with its own mark last; nothing is done where it is there.

    Args:
        one: the shard, in any folder.
        out: the dataset's folder.
        report: called with progress.

    Raises:
        UsageError: another process is at work on it.
        FailureError: a file is damaged, or can't be written.
    """
    with _told(out):
        _gather([one], out, report)


# --- one run --------------------------------------------------------------------------------------------------------


def _add(root: Path, run: Run, out: Path, report: Report) -> bool:
    """Add a finished run; return whether it was: another process may have put it there since this one looked."""
    sums = manifest.read(root, run)
    with _held(out, run):
        if _is_finished(out, run):
            refusals.check_rows(run, [out, root], out)
            return False
        file_copies.check(root, sums, report)
        file_copies.clear_others(out, run, sums)
        file_copies.put_all(root, out, out, run, {path: sum_ for path, sum_ in sums.items() if path != run.row})
        manifest.write(out, run, sums)
        file_copies.put(root / run.row, out, run, run.row, sums[run.row])
    return True


def _add_learned(root: Path, run: Run, out: Path, merged: Merged) -> None:
    """Add a learning run, and say so; one that was there with less is replaced."""
    match learning_runs.change(root, run, out):
        case Change.ADDED:
            merged.learning_added.append(run)
        case Change.RESCORED:
            merged.learning_rescored.append(run)
        case Change.CHECKSUMMED:
            merged.learning_checksummed.append(run)
        case Change.COMPLETED:
            merged.learning_completed.append(run)
    if said := learning_runs.add(root, run, out):
        merged.checkpoints.append(said)


def _complete(run: Run, begun: Sequence[BegunShard], out: Path, report: Report, *, wait: bool = False) -> None:
    """Complete a run from its shards, if it is not whole, and remove those in ``out``."""
    with _held(out, run, wait):
        if not _is_finished(out, run):
            pieces = shards.distinct(begun)
            row = shard_union.row(pieces)
            for piece in pieces:
                file_copies.check(piece.begun.root, piece.sums, report)
            shard_union.check_episodes(pieces)
            sums = shard_union.ShardUnion(out, run, pieces, report).put()
            finishing.finish(out, run, row, sums)
        for one in shards.on_disk(out, run):  # the run is whole; the folders of shards go with the last of them
            removal.remove_files(one.root, run, out)


def _gather(begun: Sequence[BegunShard], out: Path, report: Report) -> None:
    """Put the finished shards of a run that lacks others into ``out``, each with its own mark last."""
    for piece in shards.distinct(begun):
        one = piece.begun
        there = one._replace(root=one.shard.root(out))
        if there.is_finished:
            continue
        with _held(there.root, one.run):
            file_copies.check(one.root, piece.sums, report)
            there.mark.unlink(missing_ok=True)  # of a shard that a removal has left in part
            file_copies.clear_others(there.root, one.run, piece.sums)
            file_copies.put_all(one.root, there.root, out, one.run, piece.sums)
            shards.write_mark(there, piece.row, piece.sums)


@contextmanager
def _held(root: Path, run: Run, wait: bool = False) -> Iterator[None]:
    """Hold a run against any other process that would write it, and clear what its last writer left half done.

    Raises:
        UsageError: another does, and is not waited for.
        OSError: the file system has no locks.
    """
    (root / run.journal).mkdir(parents=True, exist_ok=True)
    try:
        with run_status.lock(root, run).acquire(timeout=-1 if wait else 0, poll_interval=0.5):
            remove_drafts(root / run.journal)
            yield
    except filelock.Timeout:
        raise UsageError(
            f"another process is at work on run {run.run_id} of {run.env} in {root}: let it finish, and repeat the"
            " command"
        ) from None


def _told(out: Path) -> AbstractContextManager[None]:
    """Return a context that tells failures of the disk in one line."""
    kept = "what was merged is kept, and the same command goes on from it"
    return telling_writes(out, kept, "merge into", (OSError, pa.ArrowException))


def _unfinished(root: Path) -> list[Run]:
    """Return the runs that a dataset's folder has rows of, and that are not finished."""
    begun = {part.run for part in map(PartPath.parse, manifest.parts(root)) if part}
    return sorted(begun - {*manifest.finished(root)})


def _is_finished(root: Path, run: Run) -> bool:
    return (root / run.row).is_file() and (root / run.manifest).is_file()
