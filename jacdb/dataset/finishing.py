"""How a run becomes a finished one: what its steps add up to, its checksums, then its row in ``runs``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.atomic_file import draft_of, sync_folder
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest
from jacdb.dataset.encoding import parquet_options
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
        write_manifest(root, run, manifest.encode(every | _write_partials(root, run, every)))
        draft.replace(place)
        sync_folder(place.parent)


def _write_partials(root: Path, run: Run, sums: Mapping[str, str]) -> dict[str, str]:
    """Write what a run's steps add up to; return the file's checksum by its path.

    A run is whole without it, and counted from its steps: where memory does not suffice, none is written.
    """
    import duckdb  # what writes episodes does without

    from jacdb.dataset import partials

    try:
        table = partials.of_run(root, run, sums)
    except duckdb.Error:
        return {}
    final = root / run.partials
    final.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(root / run.journal / f"partials-{final.name}") as draft:
        sha256 = write_table(draft, table)
        draft.replace(final)
    sync_folder(final.parent)
    return {run.partials: sha256}


def write_manifest(root: Path, run: Run, text: str) -> None:
    """Write the text of a run's manifest, which is on the disk when this returns."""
    final = root / run.manifest
    with draft_of(final) as draft:
        with draft.open("w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(final)


def write_table(path: Path, table: pa.Table) -> str:
    """Write a small table as a Parquet file, on the disk when this returns; return its SHA-256."""
    with path.open("wb") as stream:
        pq.write_table(table, stream, **parquet_options(table.schema))
        stream.flush()
        os.fsync(stream.fileno())
    return sha256_of(path)
