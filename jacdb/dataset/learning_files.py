"""The files of a learning run: its row in `learning_runs`, which names the checksum of the file with its scores."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.checksum import sha256_of
from jacdb.dataset.integrity import FileProblem, check_footer
from jacdb.dataset.layout import CURRENT, PartPath, Run
from jacdb.errors import first_line

RUNS, SCORES = (table.name for table in schemas.RESULTS)


def row_of(run: Run) -> str:
    """Return the path of a learning run's row, below the dataset's folder."""
    return f"{run.folder(RUNS)}/part-00000.parquet"


def scores_of(run: Run) -> str:
    """Return the path of its scores, below the dataset's folder."""
    return f"{run.folder(SCORES)}/part-00000.parquet"


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


def problem(root: Path, run: Run) -> FileProblem | None:
    """Return what is wrong with a learning run's files, the first of it; None if nothing is."""
    for path in (row_of(run), scores_of(run)):
        part = PartPath.parse(path)
        if part is None or not (root / path).is_file():
            return FileProblem(path, "it is missing")
        with (root / path).open("rb") as stream:
            if wrong := check_footer(stream, part):
                return FileProblem(path, wrong)
    try:
        with pq.ParquetFile(root / row_of(run)) as file:
            rows = file.read(["env", "run_id", "scores_sha256"]).to_pylist() if file.metadata.num_rows == 1 else []
    except (OSError, pa.ArrowException) as error:
        return FileProblem(row_of(run), f"it can't be read: {first_line(error)}")
    if [(row["env"], row["run_id"]) for row in rows] != [(run.env, run.run_id)]:
        return FileProblem(row_of(run), f"it has not the one row of {run.run_id} of {run.env}")
    if (digest := sha256_of(root / scores_of(run))) != rows[0]["scores_sha256"]:
        return FileProblem(scores_of(run), f"its SHA-256 is {digest}, the row says {rows[0]['scores_sha256']}")
    return None
