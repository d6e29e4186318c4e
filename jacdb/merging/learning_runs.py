"""Learning runs of datasets taken over into another: what `jacdb learn` and `jacdb score` have written."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from jacdb.checksum import sha256_of
from jacdb.dataset import learning_files, row_checksum
from jacdb.dataset.integrity import FileProblem
from jacdb.dataset.layout import Run
from jacdb.errors import FailureError, UsageError
from jacdb.merging import file_copies


def found(roots: Sequence[Path]) -> dict[Run, list[Path]]:
    """Return the learning runs that have a row, and the folders that have each.

    A run's scores of other policies' rows may differ between folders, for these are no part of what its id names: the
    folder with most scores comes first; of several with as many, the first.

    Raises:
        UsageError: one is there twice, with different scores, or with the checkpoint of another training.
        FailureError: a file of one is damaged.
    """
    runs: dict[Run, list[Path]] = collections.defaultdict(list)
    for root in roots:
        for run in learning_files.in_folder(root):
            runs[run].append(root)
    _check(runs, roots[0])
    for run, of_run in runs.items():
        if len(of_run) > 1:
            of_run.sort(key=lambda root: -_n_scores(root, run))
        if of_run[0] != roots[0]:
            _check_checkpoint(of_run[0], run, roots[0])
    return runs


def add(root: Path, run: Run, out: Path) -> None:
    """Put a learning run into a dataset's folder, its row last, in the place of one with fewer scores.

    Its parameters come with it. A row of before 1.0 does not name theirs: a checkpoint of its training that is there
    stays.
    """
    paths = [learning_files.scores_of(run), learning_files.row_of(run)]
    checkpoint = learning_files.checkpoint_of(run)
    named = row_checksum.check(root / learning_files.row_of(run)).checkpoint
    if (root / checkpoint).is_file() and (named or not (out / checkpoint).exists()):
        paths.insert(0, checkpoint)
    for path in paths:
        draft_name = out / f".{path.partition('/')[0]}"  # above the tables' folders, which hold parts and nothing else
        file_copies.link_or_copy(root / path, out / path, draft_name, sha256_of(root / path))


def _check(runs: Mapping[Run, Sequence[Path]], out: Path) -> None:
    """Refuse learning runs that are damaged or of two kinds of scores; those in ``out`` alone are left as they are."""
    for run, roots in runs.items():
        if [*roots] == [out]:
            continue
        for root in roots:
            if (wrong := learning_files.problem(root, run)) and not (root == out and _is_half_put(run, wrong, roots)):
                raise FailureError(f"{root / wrong.path}: {wrong.wrong}; nothing was merged")
        # rows alone may differ: they say when and where a model was trained
        first, *others = [(sha256_of(path), path) for path in (root / learning_files.scores_of(run) for root in roots)]
        for root, (digest, path) in zip(roots[1:], others, strict=True):
            if digest != first[0] and not _of_one_benchmark(path).equals(_of_one_benchmark(first[1])):
                raise UsageError(
                    f"learning run {run.run_id} of {run.env} is in {roots[0]} and in {root}, with different scores:"
                    f" leave one of them out, or remove {root / run.folder(learning_files.RUNS)}"
                )


def _check_checkpoint(root: Path, run: Run, out: Path) -> None:
    """Refuse a learning run whose checkpoint is damaged, or whose row would come to lie beside another's checkpoint."""
    if (root / learning_files.checkpoint_of(run)).is_file():
        if wrong := learning_files.problem_of_checkpoint(root, run):
            raise FailureError(f"{root / wrong.path}: {wrong.wrong}; nothing was merged")
    elif wrong := learning_files.problem_of_checkpoint(root, run, out):
        raise UsageError(
            f"{out / wrong.path} is not the checkpoint of learning run {run.run_id} in {root}, which has none: move it"
            " elsewhere, or give another --out"
        )


def _is_half_put(run: Run, wrong: FileProblem, roots: Sequence[Path]) -> bool:
    """Return whether a stopped merge put the scores of a later folder into the first, and not yet the row of them."""
    if wrong.path != learning_files.scores_of(run) or not (roots[0] / wrong.path).is_file():
        return False
    there, n_scores = sha256_of(roots[0] / wrong.path), _n_scores(roots[0], run)
    return any(sha256_of(root / wrong.path) == there and _n_scores(root, run) > n_scores for root in roots[1:])


def _of_one_benchmark(path: Path) -> pl.DataFrame:
    """Return the scores in a file but those of other policies' rows."""
    return pl.read_parquet(path, hive_partitioning=False).filter(pl.col("rows") != "other_policy")


def _n_scores(root: Path, run: Run) -> int:
    return int(pl.read_parquet(root / learning_files.row_of(run), columns=["n_scores"], hive_partitioning=False).item())
