"""Write what a model learned, and its scores, as tables of the dataset. Nothing here imports JAX.

A run of `learning_runs` has one row there and one file of `learning_scores`. The scores are written first; the row
names their checksum.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import atomic_file, schemas
from jacdb.checksum import sha256_of
from jacdb.dataset.encoding import parquet_options
from jacdb.dataset.layout import PartPath, Run
from jacdb.learning.scores import Score

_UNSAFE = re.compile(r"[^A-Za-z0-9.+_-]+")


def run_id(*words: str, digest: str) -> str:
    """Return the id of a learning run: words that people read, and a hash of all that determines it."""
    return "-".join([*(_UNSAFE.sub("_", word).replace("+", "_") for word in words), digest])[:128]


def is_written(root: Path, env: str, run: str) -> bool:
    """Return whether a dataset's folder has this learning run."""
    return (root / _path("learning_runs", env, run)).is_file()


def write(root: Path, env: str, run: str, row: Mapping[str, Any], scores: Sequence[Score]) -> None:
    """Write a learning run into a dataset's folder; one that is there is replaced.

    Args:
        root: the dataset's folder.
        env: the environment.
        run: the run's id.
        row: its row of `learning_runs`, without what is known here.
        scores: its scores.
    """
    keys = {"env": env, "run_id": run}
    there = _write(root, "learning_scores", env, run, [{**keys, **score._asdict()} for score in scores])
    whole = {**keys, **row, "n_scores": len(scores), "scores_sha256": sha256_of(there)}
    _write(root, "learning_runs", env, run, [whole])


def _path(table: str, env: str, run: str) -> str:
    path = f"{Run(env, run).folder(table)}/part-00000.parquet"
    if PartPath.parse(path) is None:
        raise ValueError(f"{path} is no part of a dataset")
    return path


def _write(root: Path, table: str, env: str, run: str, rows: list[dict[str, Any]]) -> Path:
    schema = next(one.schema for one in schemas.RESULTS if one.name == table)
    path = root / _path(table, env, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the draft lies above the table's folders, which hold parts and nothing else
    with atomic_file.draft_of(root / f"{table}-{run}") as draft:
        columns = {name: [row[name] for row in rows] for name in schema.names}
        pq.write_table(pa.table(columns, schema=schema), draft, **parquet_options(schema))
        draft.replace(path)
    return path
