"""The type of matrix entries, float32 or float64, which all runs of a dataset share.

Most readers of Parquet would read files of two types as those of the first, without a word.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.counted import counted
from jacdb.dataset import environment_axes, listing
from jacdb.dataset.environment_axes import BegunRun
from jacdb.dataset.layout import Run
from jacdb.dataset.schema_version import stored_version
from jacdb.errors import FailureError, UsageError, first_line


def of_row(root: Path, run: Run) -> str:
    """Return the type of a finished run's matrices, as its row in a folder says."""
    with pq.ParquetFile(root / run.row) as file:
        return str(file.read(["dtype"])["dtype"][0])


def of_run(one: BegunRun) -> str | None:
    """Return the type of a run's matrices, which its axes say before there are any.

    Returns:
        None if nothing says it yet, or it is of a former schema version, of which a dataset may have two types.

    Raises:
        FailureError: a file can't be read.
    """
    try:
        schema = pq.read_schema(one.path)
        if stored_version(schema) != schemas.SCHEMA_VERSION:
            return None
        if said := schema.metadata.get(schemas.DTYPE_KEY):
            return said.decode()
        if (one.root / one.run.row).is_file():
            return of_row(one.root, one.run)
        for part in listing.parts(one.root / one.run.folder("steps")):  # made before axes said it
            return schemas.dtype_of_steps(pq.read_schema(part.path))
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise FailureError(f"{one.words} can't be read: {first_line(error)}") from error
    return None


def others(dataset: Path, dtype: str) -> list[BegunRun]:
    """Return the runs and shards of a dataset, finished or not, whose matrices are not of a type.

    Raises:
        FailureError: a file can't be read.
    """
    return [one for one in environment_axes.begun(dataset, "*") if of_run(one) not in (None, dtype)]


def check(dataset: Path, own: BegunRun) -> None:
    """Refuse a run whose matrices are not of the type of the other runs that a dataset has.

    Raises:
        UsageError: they are not.
        FailureError: a file can't be read.
    """
    dtype = of_run(own)
    for one in environment_axes.compared(dataset, own.run):
        try:
            theirs = of_run(one)
        except FailureError:
            if one.path.is_file():
                raise
            continue  # it was taken back
        if dtype and theirs and theirs != dtype:
            raise UsageError(
                f"the matrices of run {own.run.run_id} of {own.run.env} are {dtype}, those of {one.words} {theirs}, and"
                f" a dataset has one type: give another --data, or {removal(others(dataset, dtype))}"
            )


def removal(runs: list[BegunRun]) -> str:
    """Return the command that removes the first of these runs, and how many others there are, in words."""
    more = len({one.run for one in runs}) - 1
    return runs[0].removal + (f" and {counted(more, 'other')}" if more else "")
