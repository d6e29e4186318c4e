"""Write what a model learned, and its scores, as tables of the dataset. Nothing here imports JAX.

A run of `learning_runs` has one row there and one file of `learning_scores`. The scores are written first; the row
names their checksum. Where it names another, writing was stopped in between: the run is not written. The row's file has
checksums of itself and of the checkpoint, too.
"""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import atomic_file, schemas
from jacdb._version import __version__
from jacdb.checksum import sha256_of
from jacdb.dataset import checkpoint_file, row_checksum
from jacdb.dataset.encoding import parquet_options
from jacdb.dataset.layout import Run
from jacdb.dataset.learning_files import checkpoint_of, row_of, scores_of
from jacdb.errors import FailureError, first_line, telling_writes
from jacdb.learning.problem import LearningProblem
from jacdb.learning.row_subsets import SCORED, scored_rows
from jacdb.learning.scores import Score

_OTHER = "other_policy"  # the part, the rows of its scores, and the version of its rows
_UNSAFE = re.compile(r"[^A-Za-z0-9.+_-]+")


def run_id(*words: str, determined_by: str) -> str:
    """Return the id of a learning run: words that people read, and a hash of a text with all that determines it."""
    digest = hashlib.sha256(determined_by.encode()).hexdigest()[:10]
    return "-".join([*(_UNSAFE.sub("_", word).replace("+", "_") for word in words), digest])[:128]


def is_written(root: Path, problem: LearningProblem, run: str, parts: Sequence[str] = SCORED) -> bool:
    """Return whether a dataset's folder has this learning run whole, scored on all rows of other policies too.

    These are no part of a run's id: when other policies' rows come or change, their scores are computed anew. So are
    scores that the row does not name: their writing was stopped before it came to the row.

    Args:
        root: the dataset's folder.
        problem: the rows.
        run: the run's id.
        parts: those that are scored.

    Raises:
        FailureError: the run's row is damaged.
    """
    row, scores = (root.absolute() / path_of(Run(problem.env, run)) for path_of in (row_of, scores_of))
    if not (row.is_file() and scores.is_file()):
        return False
    version = _other_version(problem, parts)
    try:
        [(digest, told)] = pl.read_parquet(row, hive_partitioning=False).select("scores_sha256", "versions").rows()
        if digest != sha256_of(scores):
            return False
        versions = json.loads(told)
        if _OTHER in versions:
            return bool(versions[_OTHER] == version)
        # no such rows; or scores of before their version was kept, which only their number tells
        scored = pl.read_parquet(scores, hive_partitioning=False).filter(rows=_OTHER, metric="undecided_entries")["n"]
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise FailureError(f"{row.parent} is damaged: {first_line(error)}; remove it to score anew") from error
    n_rows, n_columns = problem.shape
    return int(scored.sum()) == (len(scored_rows(problem, _OTHER)) * n_rows * n_columns if version else 0)


def facts(
    problem: LearningProblem, configuration: Mapping[str, Any], packages: Sequence[str], parts: Sequence[str] = SCORED
) -> dict[str, Any]:
    """Return what a row of `learning_runs` says of the problem, of the configuration, and of versions.

    Args:
        problem: the rows that were learned from or scored.
        configuration: of what was scored, as JSON can hold it.
        packages: those whose versions change the numbers.
        parts: those that were scored.
    """
    installed = {name: importlib.metadata.version(name) for name in packages}
    if version := _other_version(problem, parts):
        installed[_OTHER] = version
    return {
        "model": configuration["model"],
        "configuration": json.dumps(configuration),
        "benchmark": problem.version,
        "policy": problem.policy,
        **{f"n_{part}": len(problem.parts[part]) for part in ("train", "validation", "test")},
        "versions": json.dumps({"jacdb": __version__, "python": platform.python_version(), **installed}),
    }


def write(root: Path, env: str, run: str, row: Mapping[str, Any], scores: Sequence[Score]) -> None:
    """Write a learning run into a dataset's folder; one that is there is replaced.

    Args:
        root: the dataset's folder.
        env: the environment.
        run: the run's id.
        row: its row of `learning_runs`, without what is known here.
        scores: its scores.
    """
    keys, of = {"env": env, "run_id": run}, Run(env, run)
    root = root.absolute()  # Arrow takes a folder gym:cheetah for an address
    there = root / scores_of(of)
    _write(there, root, schemas.LEARNING_SCORES, [{**keys, **score._asdict()} for score in scores])
    whole = {**keys, **row, "n_scores": len(scores), "scores_sha256": sha256_of(there)}
    _write(root / row_of(of), root, schemas.LEARNING_RUNS, [whole], root / checkpoint_of(of))


def _other_version(problem: LearningProblem, parts: Sequence[str]) -> str | None:
    """Return the version of the rows of other policies that are scored; None if there are none."""
    return problem.other_version if _OTHER in parts else None


def _write(
    path: Path, root: Path, table: schemas.Table, rows: list[dict[str, Any]], checkpoint: Path | None = None
) -> None:
    """Write rows as a file in one move; with a checkpoint's path, which need not be there, under checksums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in table.schema.names}
    whole, options = pa.table(columns, schema=table.schema), parquet_options(table.schema)
    name = root / f".{table.name}"  # of the draft: above the table's folders, which hold parts and nothing else
    atomic_file.remove_abandoned(name)
    with telling_writes(path, "the same command goes on"), atomic_file.draft_of(name) as draft:
        if checkpoint is None:
            pq.write_table(whole, draft, **options)
        else:
            of_checkpoint = sha256_of(checkpoint) if checkpoint.is_file() else None
            held = checkpoint_file.read(checkpoint)
            row_checksum.write(draft, whole, of_checkpoint, held.parameters if held else None, **options)
        draft.replace(path)
