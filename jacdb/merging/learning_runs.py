"""Learning runs of datasets taken over into another: what `jacdb learn` and `jacdb score` have written."""

import collections
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.checksum import sha256_of
from jacdb.dataset import learning_files, row_checksum
from jacdb.dataset.integrity import FileProblem
from jacdb.dataset.layout import Run
from jacdb.errors import FailureError, UsageError
from jacdb.merging import file_copies


class Change(StrEnum):
    """A change of a dataset that takes a learning run over: what the run is by it, in words."""

    ADDED = "added"
    RESCORED = "given more scores"
    CHECKSUMMED = "given checksums"
    COMPLETED = "completed"


def found(roots: Sequence[Path]) -> dict[Run, list[Path]]:
    """Return the learning runs that have a row, and the folders that have each.

    A run's scores of other policies' rows may differ between folders, for these are no part of what its id names: the
    folder with most scores comes first; of several with as many, one whose scores are its row's, and the first whose
    row has checksums.

    Raises:
        UsageError: one is there twice, with different scores.
        FailureError: a file of one is damaged.
    """
    runs: dict[Run, list[Path]] = collections.defaultdict(list)
    for root in roots:
        for run in learning_files.in_folder(root):
            runs[run].append(root)
    _check(runs, roots[0])
    for run, of_run in runs.items():
        if len(of_run) > 1:
            of_run.sort(
                key=lambda root: (-n_scores(root, run), not _is_whole(root, run), not _has_checksums(root, run))
            )
    return runs


def change(root: Path, run: Run, out: Path) -> Change | None:
    """Return what a dataset gains by a learning run of a folder, whose scores do not differ; None if nothing."""
    if not (out / learning_files.row_of(run)).is_file():
        return Change.ADDED
    theirs, ours = n_scores(root, run), n_scores(out, run)
    if theirs > ours:
        return Change.RESCORED
    if theirs == ours and not _is_whole(out, run):
        return Change.COMPLETED
    return Change.CHECKSUMMED if theirs == ours and _has_checksums(root, run) > _has_checksums(out, run) else None


def add(root: Path, run: Run, out: Path) -> str | None:
    """Put a learning run into a dataset's folder, its row last, in the place of one with fewer scores.

    Its checkpoint comes with it where there is none; one that is there stays, for a training may be at work on it.

    Returns:
        what there is to say of the checkpoint: that one which is not the row's stays there, or did not come; None if
        there is nothing to say.
    """
    paths = [learning_files.scores_of(run), learning_files.row_of(run)]
    checkpoint = learning_files.checkpoint_of(run)
    said, is_there = None, (out / checkpoint).exists()
    if not is_there and (root / checkpoint).is_file():
        difference = learning_files.difference_of_checkpoint(root, run)
        if difference and difference.is_problem:
            said = f"{root / checkpoint} was left out: it {difference.told}"
        else:
            paths.insert(0, checkpoint)
    for path in paths:
        draft_name = out / f".{path.partition('/')[0]}"  # above the tables' folders, which hold parts and nothing else
        file_copies.link_or_copy(root / path, out / path, draft_name, sha256_of(root / path))
    if is_there and (difference := learning_files.difference_of_checkpoint(out, run)):
        said = f"{out / checkpoint} stays: it {difference.told}"
    return said


def n_scores(root: Path, run: Run) -> int:
    """Return how many scores a learning run has, as its row in a folder says."""
    return int(pl.read_parquet(root / learning_files.row_of(run), columns=["n_scores"], hive_partitioning=False).item())


def _check(runs: Mapping[Run, Sequence[Path]], out: Path) -> None:
    """Refuse learning runs that are damaged or of two kinds of scores; those in ``out`` alone are left as they are."""
    for run, roots in runs.items():
        if [*roots] == [out]:
            continue
        for root in roots:
            if (wrong := learning_files.problem(root, run)) and not (root == out and is_half_put(run, wrong, roots)):
                raise FailureError(learning_files.refusal(root, run, wrong, "nothing was merged"))
        for root in roots[1:]:
            if differ(roots[0], root, run):
                raise UsageError(
                    f"learning run {run.run_id} of {run.env} is in {roots[0]} and in {root}, with different scores:"
                    f" leave one of them out, or remove {root / run.folder(learning_files.RUNS)}"
                )


def differ(one: Path, other: Path, run: Run) -> bool:
    """Return whether a learning run has different scores in two folders.

    Those of other policies' rows do not count, nor does its row, which says when and where a model was trained.
    """
    first, second = (root / learning_files.scores_of(run) for root in (one, other))
    return sha256_of(first) != sha256_of(second) and not _of_one_benchmark(first).equals(_of_one_benchmark(second))


def is_half_put(run: Run, wrong: FileProblem, roots: Sequence[Path]) -> bool:
    """Return whether the first folder has scores of another row, and a later one both, with as many scores or more.

    What put them there was stopped before it came to the row. The later folder need not be the one that they came from:
    that one may have been scored again since.

    Args:
        run: the learning run.
        wrong: what is wrong with it in the first folder.
        roots: the folders.
    """
    if wrong.path != learning_files.scores_of(run) or learning_files.problem_of_scores(roots[0], run):
        return False
    try:
        pq.read_table(roots[0] / wrong.path, partitioning=None)
    except (OSError, pa.ArrowException):  # damaged: whose scores they are can't be told
        return False
    n_there = n_scores(roots[0], run)
    return any(_is_whole(root, run) and n_scores(root, run) >= n_there for root in roots[1:])


def _of_one_benchmark(path: Path) -> pl.DataFrame:
    """Return the scores in a file but those of other policies' rows."""
    return pl.read_parquet(path, hive_partitioning=False).filter(pl.col("rows") != "other_policy")


def _is_whole(root: Path, run: Run) -> bool:
    return learning_files.problem(root, run) is None


def _has_checksums(root: Path, run: Run) -> bool:
    return row_checksum.check(root / learning_files.row_of(run)).known
