"""A LeRobot dataset, format v3.0, written by pyarrow alone: ``LeRobotDataset(repo_id, root=…)`` loads it.

The format is what lerobot 0.6 writes and reads (lerobot/datasets: dataset_writer, dataset_metadata, compute_stats); it
has no specification besides. Its reader gives every float as float32, so that is how floats are stored.
"""

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.dataset.step_rows import Arrays
from jacdb.errors import UsageError
from jacdb.exports.trajectories import Source, Trajectory
from jacdb.nested_lists import from_array

CODEBASE_VERSION = "v3.0"
CHUNK_FILES = 1_000  # files of a folder, at most
FILE_MB = 100  # of a file, about
FILE_PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
COLUMNS = ("state", "action", "next_state", "reward", "done", "truncated", "j_state", "j_action")
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
EPISODES_AT_ONCE = 100  # rows of meta/episodes in memory

Stats = dict[str, dict[str, np.ndarray]]  # feature -> statistic -> of each number; count is (1,)


def write(source: Source, path: Path, out: Path) -> str:
    """Write the folder of a dataset.

    Features: observation.state, action, next.reward, next.done (the episode ends, for whatever reason), next.truncated
    (it is cut), next_state, j_state and j_action. LeRobot's frame rate is a whole number and its timestamps are
    multiples of it; ``meta/episodes`` has the true control step, ctrl_dt (s), beside run_id, episode and first_step.

    Raises:
        UsageError: runs differ in their control step, or one is not finished.
    """
    dts = source.ctrl_dt()
    if len(set(dts.values())) > 1:
        told = ", ".join(f"{dt} s in {run_id}" for run_id, dt in dts.items())
        raise UsageError(f"control steps differ ({told}): export one run, --where \"run_id = '{source.runs[0]}'\"")
    ctrl_dt = dts[source.runs[0]]
    fps = max(1, round(1 / ctrl_dt))
    path.mkdir()
    total: Stats = {}
    features: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    n_frames = n_episodes = 0
    with closing(_Files(path / "data")) as data, closing(_Files(path / "meta" / "episodes")) as meta:
        for one in source.trajectories(*COLUMNS):
            columns = _columns(one, fps, n_episodes, n_frames)
            features = features or _features(columns, source)
            chunk, file = data.write(_table(columns))
            stats = _statistics(columns)
            total = _combined(total, stats) if total else stats
            row: dict[str, Any] = {
                "episode_index": n_episodes,
                "tasks": [source.env],
                "length": len(one),
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": n_frames,
                "dataset_to_index": n_frames + len(one),
                "run_id": one.run_id,
                "episode": one.episode,
                "first_step": one.first_step,
                "ctrl_dt": ctrl_dt,
            }
            for name, each in stats.items():
                row |= {f"stats/{name}/{of}": values.tolist() for of, values in each.items()}
            rows.append(row)
            n_frames, n_episodes = n_frames + len(one), n_episodes + 1
            if len(rows) == EPISODES_AT_ONCE or n_episodes == source.n_episodes:
                meta.write(pa.Table.from_pylist(rows), own="meta/episodes/")
                rows = []
    _write_tasks(path / "meta" / "tasks.parquet", source.env)
    info = {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": source.env,
        "total_episodes": n_episodes,
        "total_frames": n_frames,
        "total_tasks": 1,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": FILE_MB,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{n_episodes}"},
        "data_path": f"data/{FILE_PATTERN}",
        "video_path": None,
        "features": features,
    }
    (path / "meta" / "info.json").write_text(json.dumps(info, indent=4) + "\n")
    as_lists = {name: {of: values.tolist() for of, values in each.items()} for name, each in total.items()}
    (path / "meta" / "stats.json").write_text(json.dumps(as_lists, indent=4) + "\n")
    if math.isclose(fps * ctrl_dt, 1, rel_tol=1e-9):
        return ""
    return f" (at {fps} frames per second, which LeRobot wants whole: a step is {ctrl_dt} s)"


def _columns(one: Trajectory, fps: int, episode_index: int, first_index: int) -> Arrays:
    """What is stored of an episode, (frames, …)."""
    steps, columns = len(one), one.columns
    done, truncated = one.ends
    frame = np.arange(steps)
    floats = {
        "observation.state": columns["state"],
        "action": columns["action"],
        "next.reward": columns["reward"],
        "next_state": columns["next_state"],
        "j_state": columns["j_state"],
        "j_action": columns["j_action"],
        "timestamp": frame / fps,
    }
    return {
        **{name: values.astype(np.float32) for name, values in floats.items()},
        "next.done": done | truncated,
        "next.truncated": truncated,
        "frame_index": frame,
        "episode_index": np.full(steps, episode_index),
        "index": first_index + frame,
        "task_index": np.zeros(steps, np.int64),
    }


def _features(columns: Arrays, source: Source) -> dict[str, Any]:
    """Types, shapes and names of dimensions, as meta/info.json has them."""
    state, tangent, action = (source.axes(space) for space in ("state", "tangent", "action"))
    names = {
        "observation.state": state,
        "next_state": state,
        "action": action,
        "j_state": {"rows": tangent, "columns": tangent},
        "j_action": {"rows": tangent, "columns": action},
    }
    return {
        name: {"dtype": values.dtype.name, "shape": list(values.shape[1:] or (1,)), "names": names.get(name) or None}
        for name, values in columns.items()
    }


def _table(columns: Arrays) -> pa.Table:
    """As LeRobot stores them: a vector of one number as the number."""
    return pa.table({k: from_array(v[:, 0] if v.shape[1:] == (1,) else v) for k, v in columns.items()})


def _statistics(columns: Arrays) -> Stats:
    """Of an episode, over its frames, each entry of a matrix by itself."""
    found: Stats = {}
    for name, stored in columns.items():
        values = stored.reshape(len(stored), *(stored.shape[1:] or (1,))).astype(np.float64)
        quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
        found[name] = {
            "min": values.min(0),
            "max": values.max(0),
            "mean": values.mean(0),
            "std": values.std(0),
            "count": np.array([len(values)]),
            **dict(zip(QUANTILES, quantiles, strict=True)),
        }
    return found


def _combined(one: Stats, other: Stats) -> Stats:
    """The statistics of both together; quantiles are averaged over frames, as LeRobot averages them."""
    found: Stats = {}
    for name, a in one.items():
        b = other[name]
        count = a["count"] + b["count"]
        share = b["count"] / count
        apart = b["mean"] - a["mean"]
        variance = a["std"] ** 2 * (1 - share) + b["std"] ** 2 * share + apart**2 * share * (1 - share)
        found[name] = {
            "min": np.minimum(a["min"], b["min"]),
            "max": np.maximum(a["max"], b["max"]),
            "std": np.sqrt(variance),
            "count": count,
            **{of: a[of] + (b[of] - a[of]) * share for of in ("mean", *QUANTILES)},
        }
    return found


def _write_tasks(path: Path, task: str) -> None:
    """One task; LeRobot looks its text up in the index of a pandas frame, which Parquet knows by this note."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": dtype, "metadata": None}
        for name, kind, dtype in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    note = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task]})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(note)}), path)


class _Files:
    """Parquet files in numbered folders, none much larger than FILE_MB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._stream: Any = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table, own: str = "") -> tuple[int, int]:
        """Add a row group; returns the numbers of the folder and the file, which columns called ``own``… have too."""
        if self._stream is None or self._stream.tell() + table.nbytes > FILE_MB * 2**20:
            self.close()
            self._number += 1
            path = self._folder / FILE_PATTERN.format(chunk_index=self._at[0], file_index=self._at[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("wb")
        if own:
            for name, number in zip(("chunk_index", "file_index"), self._at, strict=True):
                table = table.append_column(f"{own}{name}", pa.array([number] * len(table), pa.int64()))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, table.schema, compression="zstd", use_dictionary=False)
        self._writer.write_table(table, row_group_size=len(table))
        return self._at

    @property
    def _at(self) -> tuple[int, int]:
        return divmod(self._number, CHUNK_FILES)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._stream is not None:
            self._stream.close()
        self._writer = self._stream = None
