"""Check that the runs of an environment have the same axes: views count them together."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.dataset import environment_axes
from jacdb.dataset.environment_axes import Axes
from jacdb.dataset.layout import Run
from jacdb.errors import FailureError
from jacdb.verification.findings import Check

MAX_AXES = 100_000  # of a run


def check(root: Path, env: str, runs: Iterable[Run]) -> Check:
    """Return the check of an environment's runs against the first of them, a finding for each that differs."""
    performed = Check(env, "", "axes", "runs")
    first: tuple[Run, Axes] | None = None
    for run in runs:
        if (axes := _read(environment_axes.axes_path(root, run))) is None:
            continue
        performed.checked += 1
        known, others = first = first or (run, axes)
        if found := environment_axes.difference(axes, others):
            wrong = (
                f"{found[0]}, and {found[1]} in run {known.run_id}: views count both as one environment; `jacdb rm`"
                " the runs of one of them"
            )
            performed.fail(f"{run.folder('axes')}/part-00000.parquet", wrong)
    return performed


def _read(path: Path) -> Axes | None:
    """Return the axes of a run; None where they can't be read, which is a finding of the run's own."""
    try:
        return None if pq.read_metadata(path).num_rows > MAX_AXES else environment_axes.read(path)
    except (FailureError, OSError, pa.ArrowException):
        return None
