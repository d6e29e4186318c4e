"""Export to a LeRobot dataset, format v3.0, with pyarrow alone: ``LeRobotDataset(repo_id, root=…)`` loads it.

The format is what lerobot 0.6 writes and reads (lerobot/datasets: dataset_writer, dataset_metadata, compute_stats); it
has no other specification. LeRobot reads every float as float32, so floats are stored as float32.
"""

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.dataset.step_rows import Arrays
from jacdb.errors import UsageError
from jacdb.exports.trajectories import Source, Trajectory
from jacdb.nested_lists import from_array

CODEBASE_VERSION = "v3.0"
CHUNK_FILES = 1_000  # the most files in a folder
FILE_MB = 100  # the size of a file, about
FILE_PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
COLUMNS = ("state", "action", "next_state", "reward", "done", "truncated", "j_state", "j_action")
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
EPISODES_AT_ONCE = 100  # rows of meta/episodes in memory

Stats = dict[str, dict[str, np.ndarray]]  # feature -> statistic -> its values; count has shape (1,)


def write(source: Source, path: Path, out: Path) -> str:
    """Write the dataset's folder; return a note for people.

    Features: observation.state, action, next.reward, next.done (the episode ends, for any reason), next.truncated
    (it was cut), next_state, j_state and j_action. LeRobot's frame rate is a whole number, and its timestamps follow
    from it; ``meta/episodes`` has the true control step, ctrl_dt (s), beside run_id, episode and first_step. Statistics
    of j_state and j_action are LeRobot's: one number for each column, over all frames and rows.

    Raises:
        UsageError: there are no actions, runs differ in their control step, or one is not finished.
    """
    if not source.axes("action"):
        raise UsageError(f"{source.env} has no actuators, and a frame of LeRobot an action: export npz or minari")
    ctrl_dt = _common_ctrl_dt(source)
    fps = max(1, round(1 / ctrl_dt))
    path.mkdir()
    written = _write_episodes(source, path, fps, ctrl_dt)
    _write_tasks(path / "meta" / "tasks.parquet", source.env)
    _write_json(path / "meta" / "info.json", _info(source, written, fps))
    _write_json(path / "meta" / "stats.json", {name: _as_lists(each) for name, each in written.statistics.items()})
    if math.isclose(fps * ctrl_dt, 1, rel_tol=1e-9):
        return ""
    return f" (at {fps} frames per second, for LeRobot wants a whole number: a step is {ctrl_dt} s)"


class _Written(NamedTuple):
    """Totals of the episodes of a dataset."""

    n_episodes: int
    n_frames: int
    features: dict[str, Any]
    statistics: Stats


def _common_ctrl_dt(source: Source) -> float:
    """Return the control step of all runs (s).

    Raises:
        UsageError: runs differ in it, or one is not finished.
    """
    dts = source.ctrl_dt()
    if len(set(dts.values())) > 1:
        steps = ", ".join(f"{dt} s in {run_id}" for run_id, dt in dts.items())
        raise UsageError(f"control steps differ ({steps}): export one run, --where \"run_id = '{source.runs[0]}'\"")
    return dts[source.runs[0]]


def _write_episodes(source: Source, path: Path, fps: int, ctrl_dt: float) -> _Written:
    """Write the frames of all episodes, and a row on each episode in meta/episodes."""
    statistics: Stats = {}
    features: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    n_frames = n_episodes = 0
    with closing(_Files(path / "data")) as data, closing(_Files(path / "meta" / "episodes")) as meta:
        for one in source.trajectories(*COLUMNS):
            columns = _columns(one, fps, n_episodes, n_frames)
            features = features or _features(columns, source)
            chunk, file = data.write(_table(columns))
            of_episode = _statistics(columns)
            statistics = _combined(statistics, of_episode) if statistics else of_episode
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
            for name, each in of_episode.items():
                row |= {f"stats/{name}/{statistic}": values for statistic, values in _as_lists(each).items()}
            rows.append(row)
            n_frames, n_episodes = n_frames + len(one), n_episodes + 1
            if len(rows) == EPISODES_AT_ONCE or n_episodes == source.n_episodes:
                meta.write(pa.Table.from_pylist(rows), index_prefix="meta/episodes/")
                rows = []
    return _Written(n_episodes, n_frames, features, statistics)


def _info(source: Source, written: _Written, fps: int) -> dict[str, Any]:
    """Return meta/info.json."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": source.env,
        "total_episodes": written.n_episodes,
        "total_frames": written.n_frames,
        "total_tasks": 1,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": FILE_MB,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{written.n_episodes}"},
        "data_path": f"data/{FILE_PATTERN}",
        "video_path": None,
        "features": written.features,
    }


def _as_lists(statistics: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in statistics.items()}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=4) + "\n", "utf-8")


def _columns(one: Trajectory, fps: int, episode_index: int, first_index: int) -> Arrays:
    """Return the columns of an episode's frames, each (frames, …)."""
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
    """Return types, shapes and names of dimensions, as meta/info.json has them."""
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
    """Return the columns as a table: LeRobot stores a vector of one number as the number."""
    return pa.table({k: from_array(v[:, 0] if v.shape[1:] == (1,) else v) for k, v in columns.items()})


def _statistics(columns: Arrays) -> Stats:
    """Return statistics over an episode's frames, as LeRobot has them: a matrix's are pooled over its rows, too.

    Statistics of (frames, rows, columns) have shape (columns,); ``count`` is the number of frames. LeRobot appends to
    a dataset, and adds up episodes, only where shapes agree. It does not pool an episode of one frame, after which it
    can't append (findings/lerobot_matrix_statistics_pool_rows.sh): here that is pooled like all others.
    A quantile q of n numbers is the one of rank ceil(q n), which LeRobot has to the width of a histogram's bin.
    """
    statistics: Stats = {}
    for name, stored in columns.items():
        values = stored.reshape(-1, *(stored.shape[1:] or (1,))[-1:]).astype(np.float64)
        quantiles = np.quantile(values, list(QUANTILES.values()), axis=0, method="inverted_cdf")
        statistics[name] = {
            "min": values.min(0),
            "max": values.max(0),
            "mean": values.mean(0),
            "std": values.std(0),
            "count": np.array([len(stored)]),
            **dict(zip(QUANTILES, quantiles, strict=True)),
        }
    return statistics


def _combined(one: Stats, other: Stats) -> Stats:
    """Return the statistics of both together; quantiles are averaged over frames, as LeRobot does."""
    combined: Stats = {}
    for name, a in one.items():
        b = other[name]
        count = a["count"] + b["count"]
        share = b["count"] / count
        difference = b["mean"] - a["mean"]
        variance = a["std"] ** 2 * (1 - share) + b["std"] ** 2 * share + difference**2 * share * (1 - share)
        combined[name] = {
            "min": np.minimum(a["min"], b["min"]),
            "max": np.maximum(a["max"], b["max"]),
            "std": np.sqrt(variance),
            "count": count,
            **{mean: a[mean] + (b[mean] - a[mean]) * share for mean in ("mean", *QUANTILES)},
        }
    return combined


def _write_tasks(path: Path, task: str) -> None:
    """Write the one task. LeRobot looks it up in the index of a pandas frame, which Parquet keeps in this metadata."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": dtype, "metadata": None}
        for name, kind, dtype in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    metadata = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task]})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(metadata)}), path)


class _Files:
    """A writer of Parquet files in numbered folders, none much larger than FILE_MB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._stream: Any = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table, index_prefix: str = "") -> tuple[int, int]:
        """Write a row group; return the numbers of its folder and its file.

        Args:
            table: the rows.
            index_prefix: if given, the numbers are written as columns, too, named with this prefix.
        """
        if self._stream is None or self._stream.tell() + table.nbytes > FILE_MB * 2**20:
            self.close()
            self._number += 1
            path = self._folder / FILE_PATTERN.format(chunk_index=self._at[0], file_index=self._at[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("wb")
        if index_prefix:
            for name, number in zip(("chunk_index", "file_index"), self._at, strict=True):
                table = table.append_column(f"{index_prefix}{name}", pa.array([number] * len(table), pa.int64()))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, table.schema, compression="zstd", use_dictionary=False)
        self._writer.write_table(table, row_group_size=len(table))
        return self._at

    @property
    def _at(self) -> tuple[int, int]:
        return divmod(self._number, CHUNK_FILES)

    def close(self) -> None:
        """Finish the file that is open."""
        if self._writer is not None:
            self._writer.close()
        if self._stream is not None:
            self._stream.close()
        self._writer = self._stream = None
