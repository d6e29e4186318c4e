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
from jacdb.errors import told_with_remedy

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "env": pl.String,
    "run_id": pl.String,
    "status": pl.String,  # finished, at work, or stopped
    "steps": pl.Int64,  # on disk; null where a part can't be read, as the next two
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

    Where a part of a run can't be read, ``doing`` says which, and what would be counted is null.

    Raises:
        UsageError: there is no dataset.
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
    unreadable = next((row["doing"] for row in rows if row["steps"] is None), None)
    lacks = shards.missing(run, begun)
    errors = [row["replay_error"] for row in rows if row["replay_error"] is not None]
    return {
        "env": run.env,
        "run_id": run.run_id,
        "status": "at work" if at_work else "stopped",
        "steps": None if unreadable else sum(row["steps"] for row in rows),
        "excluded": None if unreadable else sum(row["excluded"] for row in rows),
        "replay_error": None if unreadable else max(errors, default=None),
        "doing": unreadable or (lacks.there if lacks else "all shards are there: `jacdb merge` completes the run"),
        **{name: sum(row.get(name) or 0 for row in at_work) if at_work else None for name in ("done", "total")},
        "per_second": sum(row.get("per_second") or 0.0 for row in at_work) if at_work else None,
        "updated": max((row["updated"] for row in rows if row.get("updated")), default=None),
    }


def _row(folder: Path, run: Run, finished: bool) -> dict[str, Any]:
    on_disk = _on_disk(folder, run)
    row: dict[str, Any] = {"env": run.env, "run_id": run.run_id} | on_disk
    if finished:
        gone = completeness.missing(folder, run)
        lacks = completeness.lacks(gone) if gone else None
        return row | {"status": "finished", "doing": on_disk.get("doing", lacks)}
    row["status"] = "at work" if _is_held(folder, run) else "stopped"
    try:
        progress = json.loads((folder / run.journal / PROGRESS).read_text("utf-8"))
        row |= {name: progress[name] for name in ("doing", "done", "total")}
        row["updated"] = datetime.datetime.fromtimestamp(progress["updated"], datetime.UTC)
        elapsed = progress["updated"] - progress["started"]
        row["per_second"] = progress["done"] / elapsed if elapsed > 0 else None
    except (OSError, ValueError, TypeError, KeyError):
        pass  # there is no progress file, or it is not valid
    return row | on_disk


def _on_disk(folder: Path, run: Run) -> dict[str, Any]:
    """Return how many steps are there, how many of them are excluded, and their largest replay error.

    Where a part can't be read, they are null, and ``doing`` says which it is and why.
    """
    names = ["n_steps", "n_excluded"]
    counts: list[list[int]] = []
    told: list[float | None] = []
    for part in sorted((folder / run.folder("episodes")).glob("part-*.parquet")):
        # the steps of a part without its episodes are not there yet
        reading, of_steps = part, folder / run.folder("steps") / part.name
        try:
            with pq.ParquetFile(part) as file:
                table = file.read(names)
            counts.append([pc.sum(table[name]).as_py() or 0 for name in names])
            if of_steps.exists():  # a finished run may lack some
                reading = of_steps
                told.append(_largest_replay_error(of_steps))
        except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:  # a footer may have other names
            why = f"{reading.relative_to(folder).as_posix()} can't be read: {told_with_remedy(error)}"
            return {"steps": None, "excluded": None, "replay_error": None, "doing": why}
    steps, excluded = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
    errors = [error for error in told if error is not None]
    return {"steps": steps, "excluded": excluded, "replay_error": max(errors, default=None)}


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
