"""A run's own file: its episodes, and where in its Parquet parts the rows of each begin."""

import base64
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.dataset.layout import Run
from jacdb.dataset.sql_text import literal
from jacdb.errors import FailureError, first_line
from jacdb.explorer.index import file_name
from jacdb.explorer.subject import Subject

_COLUMNS = "episode, n_steps, total_reward, done, truncated, n_contact_steps, n_excluded"


def run_file(subject: Subject, run: Run) -> dict[str, Any]:
    """Return what stands in a run's file. Of each part the column of episodes alone is read.

    Raises:
        FailureError: a file can't be read.
    """
    location, paths = subject.dataset.location, subject.runs[run]
    parts: list[dict[str, Any]] = []
    begins: dict[int, dict[str, int]] = {}
    for number, path in enumerate(paths):
        episodes = _episode_column(subject, path)
        parts.append({"path": path, "bytes": (location.stamp(path) or (0, 0))[1], "rows": len(episodes)})
        first_rows = np.flatnonzero(np.diff(episodes, prepend=-1))
        for first_row in first_rows.tolist():
            begins.setdefault(int(episodes[first_row]), {"part": number, "first_row": first_row})
    rows = subject.rows(f"select {_COLUMNS} from ({subject.scan('episodes', run)}) order by episode")
    return {
        "episodes": [row | begins[row["episode"]] for row in rows if row["episode"] in begins],
        "parts": parts,
        "steps": file_name(run, ".duckdb"),
        "patterns": _patterns(subject, run),
    }


def _episode_column(subject: Subject, path: str) -> np.ndarray:
    """Return the episode of each row of a part, (rows,)."""
    try:
        with subject.dataset.location.open(path) as stream, pq.ParquetFile(stream) as file:
            return np.asarray(file.read(["episode"]).column(0).to_numpy())
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error


def _patterns(subject: Subject, run: Run) -> list[dict[str, Any]]:
    """Return the run's zero patterns, each with the steps that have it, by partials or counted.

    Ids are text, for JavaScript's numbers can't hold them.
    """
    of_run = f"env = {literal(run.env)} and run_id = {literal(run.run_id)}"
    counted = subject.rows(f"select pattern_id::varchar as pattern_id, counts from pattern_counts where {of_run}")
    steps = {row["pattern_id"]: row["counts"] for row in counted}
    text = subject.scan("patterns", run)
    select = "select pattern_id::varchar as pattern_id, any_value(zero_state) as zero_state,"
    rows = subject.rows(f"{select} any_value(zero_action) as zero_action from ({text}) group by all order by all")
    bits = ("zero_state", "zero_action")
    for row in rows:
        row |= {name: base64.b64encode(row[name] or b"").decode() for name in bits}  # null without actuators
        row["steps"] = steps.get(row["pattern_id"], 0)
    return rows
