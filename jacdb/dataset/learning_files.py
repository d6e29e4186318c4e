"""The files of a learning run: its row in `learning_runs`, which names the checksums of itself and of its scores."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.checksum import sha256_of
from jacdb.dataset import checkpoint_file, row_checksum
from jacdb.dataset.integrity import FileProblem, check_footer, unreadable
from jacdb.dataset.layout import CURRENT, ONE_PART, PARTS, PartPath, Run
from jacdb.errors import first_line

RUNS, SCORES = (table.name for table in schemas.RESULTS)


def row_of(run: Run) -> str:
    """Return the path of a learning run's row, below the dataset's folder."""
    return f"{run.folder(RUNS)}/{ONE_PART}"


def scores_of(run: Run) -> str:
    """Return the path of its scores, below the dataset's folder."""
    return f"{run.folder(SCORES)}/{ONE_PART}"


def checkpoint_of(run: Run) -> str:
    """Return the path of its training's checkpoint, which ends with its parameters; a run only scored has none."""
    return f"{run.folder('checkpoints')}.npz"


def finished(paths: Iterable[str]) -> list[Run]:
    """Return the learning runs that have a row, sorted, given paths below a dataset's folder."""
    parts = (part for part in map(PartPath.parse, paths) if part is not None)
    return sorted({part.run for part in parts if part.table == RUNS and part.run.layout == CURRENT})


def in_folder(root: Path) -> list[Run]:
    """Return the learning runs in a dataset's folder that have a row, sorted."""
    return finished(path.relative_to(root).as_posix() for path in root.glob(f"{RUNS}/{CURRENT.parts}"))


def begun(root: Path) -> list[Run]:
    """Return the learning runs in a dataset's folder that have scores and no row, sorted: their writing was stopped."""
    paths = (path.relative_to(root).as_posix() for path in root.glob(f"{SCORES}/{CURRENT.parts}"))
    runs = {part.run for part in map(PartPath.parse, paths) if part is not None and part.run.layout == CURRENT}
    return sorted(runs - {*in_folder(root)})


def unfinished(root: Path) -> list[Run]:
    """Return the learning runs in a dataset's folder that have scores or a checkpoint and no row, sorted."""
    files = (path.relative_to(root) for path in root.glob(checkpoint_of(Run("*", "*"))))
    rows = (PartPath.parse(f"{RUNS}/{file.parent.name}/{file.stem}/{ONE_PART}") for file in files)
    return sorted(({part.run for part in rows if part} | {*begun(root)}) - {*in_folder(root)})


def problem(root: Path, run: Run) -> FileProblem | None:
    """Return what is wrong with a learning run's row and scores, the first of it; None if nothing is."""
    if found := _problem_of_parts(root, run, (row_of(run), scores_of(run))):
        return found
    try:
        if wrong := row_checksum.check(root / row_of(run)).wrong:
            return FileProblem(row_of(run), wrong)
        columns = ["env", "run_id", "n_scores", "scores_sha256"]
        with pq.ParquetFile(root / row_of(run)) as file:
            rows = file.read(columns).to_pylist() if file.metadata.num_rows == 1 else []
        n_scores = pq.read_metadata(root / scores_of(run)).num_rows
    except (OSError, pa.ArrowException) as error:
        return FileProblem(row_of(run), f"it can't be read: {first_line(error)}")
    try:
        digest = sha256_of(root / scores_of(run))
    except OSError as error:
        return FileProblem(scores_of(run), unreadable(error))
    if [(row["env"], row["run_id"]) for row in rows] != [(run.env, run.run_id)]:
        return FileProblem(row_of(run), f"it has not the one row of {run.run_id} of {run.env}")
    if digest != rows[0]["scores_sha256"]:
        return FileProblem(scores_of(run), f"its SHA-256 is {digest}, the row says {rows[0]['scores_sha256']}")
    if rows[0]["n_scores"] != n_scores:
        return FileProblem(row_of(run), f"n_scores is {rows[0]['n_scores']}, the run has {n_scores}")
    return None


def refusal(root: Path, run: Run, found: FileProblem, consequence: str) -> str:
    """Return one line: what is wrong with a learning run in a folder, what follows from it, and what repairs it.

    Without its row a run counts as not written: its command trains from its checkpoint on, and scores anew.
    """
    said = f"{root / found.path}: {found.wrong}; {consequence}"
    if Path(found.path).name != ONE_PART:  # one too many, which is to be removed
        return said
    return f"{said}: remove {root / run.folder(RUNS)}, and repeat the `jacdb learn` or `jacdb score` that made it"


def problem_of_scores(root: Path, run: Run) -> FileProblem | None:
    """Return what is wrong with the scores of a run that has no row yet; None if nothing is."""
    return _problem_of_parts(root, run, (scores_of(run),))


class CheckpointDifference(NamedTuple):
    """In what a checkpoint is not the one that a run's row names.

    Attributes:
        told: the difference, in words that follow "the checkpoint".
        is_problem: whether something is wrong; a training that has not ended, in its place, is nothing wrong.
    """

    told: str
    is_problem: bool = True


def difference_of_checkpoint(root: Path, run: Run) -> CheckpointDifference | None:
    """Return in what the checkpoint of a run, if there is one, is not its row's; None if in nothing, or nobody knows.

    One with the same parameters is the row's: a training that is repeated took another time.

    Args:
        root: the dataset's folder; nothing is wrong with the run's row.
        run: the run.
    """
    file, said = root / checkpoint_of(run), row_checksum.check(root / row_of(run))
    try:
        if said.checkpoint is None or not file.is_file() or (digest := sha256_of(file)) == said.checkpoint:
            return None
    except OSError as error:
        return CheckpointDifference(unreadable(error).removeprefix("it "))
    held = checkpoint_file.read(file)
    if held is None or said.parameters is None:
        return CheckpointDifference(f"has the SHA-256 {digest}, the row says {said.checkpoint}: it has changed")
    if held.parameters == said.parameters:
        return None
    if not held.has_ended:
        return CheckpointDifference("is of a training that has not ended, and goes on from it", is_problem=False)
    return CheckpointDifference(
        f"has parameters of the SHA-256 {held.parameters}, the row says {said.parameters}: it is another training's"
    )


def _problem_of_parts(root: Path, run: Run, paths: Iterable[str]) -> FileProblem | None:
    """Return what is wrong with parts by their footers, or with there being others beside them."""
    for table in (RUNS, SCORES):
        for file in sorted((root / run.folder(table)).glob(PARTS)):
            if file.name != ONE_PART:
                return FileProblem(
                    file.relative_to(root).as_posix(), f"a learning run has one part, {ONE_PART}: remove it"
                )
    for path in paths:
        part = PartPath.parse(path)
        try:
            if part is None or not (root / path).is_file():
                return FileProblem(path, "it is missing")
            with (root / path).open("rb") as stream:
                if wrong := check_footer(stream, part):
                    return FileProblem(path, wrong)
        except OSError as error:
            return FileProblem(path, unreadable(error))
    return None
