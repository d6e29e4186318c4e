"""List the runs of a dataset: finished, at work (with progress), or stopped."""

import collections
import datetime
import json
from pathlib import Path
from typing import Any

import filelock
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb.dataset import completeness, manifest, shards
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import PROGRESS, PartPath, Run
from jacdb.dataset.shards import BegunShard
from jacdb.errors import FailureError, first_line

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "env": pl.String,
    "run_id": pl.String,
    "status": pl.String,  # finished, at work, or stopped
    "steps": pl.Int64,  # on disk
    "excluded": pl.Int64,  # of these
    "replay_error": pl.Float64,  # the largest of these; null where the engine made every step
    "doing": pl.String,
    "done": pl.Int64,
    "total": pl.Int64,
    "per_second": pl.Float64,
    "updated": pl.Datetime("us", "UTC"),
}


def lock(root: Path, run: Run) -> filelock.BaseFileLock:
    """Return the lock that the writer of a run holds; the system releases it when the process ends, in any way.

    Where a file system has no locks, it raises an OSError when it is acquired.
    """
    # in a lock's stead filelock would have the file itself, which stays behind: the run would be held for ever
    return filelock.FileLock(root / run.lock, timeout=0, fallback_to_soft=False)


def status(root: Path | str) -> pl.DataFrame:
    """Return one row per run: whether it is finished, at work or stopped, what is on disk of it, and its progress.

    Raises:
        UsageError: there is no dataset.
        FailureError: a file of it can't be read.
    """
    pieces = collections.defaultdict(list)
    for one in shards.begun(Path(root)):
        pieces[one.run].append(one)
    rows, finished = [], set[Run]()
    if not pieces or any(manifest.parts(Path(root))):
        folder = Folder(root)
        finished = {*manifest.finished(folder.path)}
        begun = {part.run for part in map(PartPath.parse, folder.parts("axes")) if part} | finished
        rows = [_row(folder.path, run, run in finished) for run in begun if run in finished or run not in pieces]
    rows += [_row_of_shards(run, some) for run, some in pieces.items() if run not in finished]
    return pl.DataFrame(sorted(rows, key=lambda row: (row["env"], row["run_id"])), COLUMNS)


def _row_of_shards(run: Run, begun: list[BegunShard]) -> dict[str, Any]:
    """Return the row of a run in shards: what is on disk, and how far those that are at work are."""
    rows = [_row(one.root, run, one.is_finished) for one in begun]
    at_work = [row for row in rows if row["status"] == "at work"]
    lacks = shards.missing(run, begun)
    errors = [row["replay_error"] for row in rows if row["replay_error"] is not None]
    return {
        "env": run.env,
        "run_id": run.run_id,
        "status": "at work" if at_work else "stopped",
        "steps": sum(row["steps"] for row in rows),
        "excluded": sum(row["excluded"] for row in rows),
        "replay_error": max(errors, default=None),
        "doing": lacks.there if lacks else "all shards are there: `jacdb merge` completes the run",
        **{name: sum(row.get(name) or 0 for row in at_work) if at_work else None for name in ("done", "total")},
        "per_second": sum(row.get("per_second") or 0.0 for row in at_work) if at_work else None,
        "updated": max((row["updated"] for row in rows if row.get("updated")), default=None),
    }


def _row(folder: Path, run: Run, finished: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"env": run.env, "run_id": run.run_id, **_on_disk(folder, run)}
    if finished:
        gone = completeness.missing(folder, run)
        return row | {"status": "finished", "doing": completeness.lacks(gone) if gone else None}
    row["status"] = "at work" if _is_held(folder, run) else "stopped"
    try:
        progress = json.loads((folder / run.journal / PROGRESS).read_text("utf-8"))
        row |= {name: progress[name] for name in ("doing", "done", "total")}
        row["updated"] = datetime.datetime.fromtimestamp(progress["updated"], datetime.UTC)
        elapsed = progress["updated"] - progress["started"]
        row["per_second"] = progress["done"] / elapsed if elapsed > 0 else None
    except (OSError, ValueError, TypeError, KeyError):
        pass  # there is no progress file, or it is not valid
    return row


def _on_disk(folder: Path, run: Run) -> dict[str, Any]:
    """Return how many steps are there, how many of them are excluded, and their largest replay error."""
    parts = sorted((folder / run.folder("episodes")).glob("part-*.parquet"))
    try:
        counts = [pq.ParquetFile(part).read(["n_steps", "n_excluded"]) for part in parts]
        # the steps of a part without its episodes are not there yet
        of_steps = [folder / run.folder("steps") / part.name for part in parts]
        errors = [_largest_replay_error(part) for part in of_steps if part.exists()]  # a finished run may lack some
    except (OSError, pa.ArrowException) as error:
        raise FailureError(f"{folder} can't be read: {first_line(error)}") from error
    steps, excluded = (sum(pc.sum(count[name]).as_py() or 0 for count in counts) for name in ("n_steps", "n_excluded"))
    told = [error for error in errors if error is not None]
    return {"steps": steps, "excluded": excluded, "replay_error": max(told, default=None)}


def _largest_replay_error(part: Path) -> float | None:
    """Return the largest replay error of a part's steps; None where it has none, as before schema version 3.

    The file's own statistics say it: no row is read.
    """
    footer = pq.read_metadata(part)
    columns = [n for n in range(footer.num_columns) if footer.schema.column(n).path == "replay_error"]
    groups = range(footer.num_row_groups)
    statistics = [footer.row_group(group).column(column).statistics for group in groups for column in columns]
    return max((abs(one.max) for one in statistics if one is not None and one.has_min_max), default=None)


def _is_held(root: Path, run: Run) -> bool:
    """Return whether a writer holds a run's lock, without a write: the folder may be a colleague's, or read-only.

    Where a file system has no locks, or they can't be asked for, a run counts as stopped.
    """
    if not (root / run.lock).exists():
        return False
    try:
        if fcntl is None:
            with lock(root, run):
                return False
        with (root / run.lock).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # filelock takes an exclusive one; closing gives it back
    except (BlockingIOError, filelock.Timeout):
        return True
    except OSError:
        return False
    return False
