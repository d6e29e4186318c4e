"""How a run becomes a finished one: what its steps add up to, its checksums, then its row in ``runs``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from jacdb import schemas
from jacdb.atomic_file import draft_of, sync_folder
from jacdb.dataset import manifest
from jacdb.dataset.encoding import write_table
from jacdb.dataset.layout import Run


def finish(root: Path, run: Run, row: Mapping[str, Any], sums: Mapping[str, str]) -> None:
    """Write what the run's steps add up to, the checksums of its files, and then its row.

    Args:
        root: the dataset's folder.
        row: all columns of `runs`.
        sums: the checksums of all files that the run has, by path below the dataset's folder.
    """
    place = root / run.row
    place.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(root / run.journal / f"runs-{place.name}") as draft:
        own = write_table(draft, pa.Table.from_pylist([dict(row)], schemas.RUNS.schema))
        every = {**sums, run.row: own}
        manifest.write(root, run, every | _write_partials(root, run, every))
        draft.replace(place)
        sync_folder(place.parent)


def _write_partials(root: Path, run: Run, sums: Mapping[str, str]) -> dict[str, str]:
    """Write what a run's steps add up to; return the file's checksum by its path.

    A run is whole without it, and counted from its steps: where memory does not suffice, none is written.
    """
    import duckdb  # what writes episodes does without

    from jacdb.dataset import partials

    try:
        return {run.partials: partials.write(root, run, sums)}
    except duckdb.Error:
        return {}
