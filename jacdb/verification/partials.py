"""Check what a run keeps of its sums: that they are those of its steps."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import queries
from jacdb.dataset import manifest, partials
from jacdb.dataset.layout import Run
from jacdb.errors import first_line
from jacdb.verification.findings import Check

_NOTES = {
    partials.OTHER_SQL: "another jacdb made them",
    partials.MISSING: "the run's checksums do not name them",  # they are being made, or that was stopped
}


def check(root: Path, run: Run, check: Check) -> None:
    """Compare a finished run's partials with what its rows add up to now; its rows are checked already.

    Args:
        root: the dataset's folder.
        run: the run.
        check: takes the findings.
    """
    unused = partials.problem((root / run.manifest).read_bytes(), run, lambda path: (root / path).read_bytes())
    if unused in _NOTES:
        check.note = f"{_NOTES[unused]}: not compared, nor read; `jacdb partials` makes them anew"
        return
    if unused:
        check.fail(run.partials, f"{unused}: `jacdb partials` makes them anew")
        return
    sums = {path: sha256 for path, sha256 in manifest.read(root, run).items() if path != run.partials}
    try:
        stored = pq.read_table(root / run.partials, partitioning=None)
        counted = partials.of_run(root, run, sums)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        check.fail(run.partials, f"can't be compared: {first_line(error)}")
        return
    for name in queries.PARTIALS:
        check.checked += 1
        if not stored[name].equals(counted[name]):
            check.fail(run.partials, f"{name} is not what the run's rows add up to", 0)
