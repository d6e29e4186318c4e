"""Check files of a dataset: their checksums, their columns, and that none is too large to be read."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest
from jacdb.dataset.folder import FinishedRuns
from jacdb.dataset.layout import MODELS, PartPath, Run
from jacdb.dataset.schema_version import stored_version
from jacdb.errors import FailureError, first_line, told_with_remedy
from jacdb.progress import Event

MAX_GROUP_ROWS = 1_000_000  # jacdb writes 5,000 at most; a reader holds one row group in memory
MAX_GROUP_BYTES = 2**31  # decompressed


class FileProblem(NamedTuple):
    """A file, as a path below the dataset's folder, and what is wrong with it."""

    path: str
    wrong: str


def check_runs(root: Path, runs: list[Run], report: Callable[[str], None] = lambda path: None) -> Iterator[FileProblem]:
    """Yield what is wrong with the files of finished runs, compared with manifests and the tables' schemas.

    Args:
        root: the dataset's folder.
        report: called with each file before it is read.
    """
    for run in runs:
        try:
            sums = manifest.read(root, run)
        except FailureError as error:
            yield FileProblem(run.manifest, str(error))
            continue
        tables = schemas.TABLES + schemas.DERIVED
        present = {path for table in tables for path in _files(root, run.folder(table.name), "part-*.parquet")}
        present |= {*_files(root, run.folder(MODELS), "*.mjb")}
        # partials come to be before the checksums name them; until then nobody reads them
        for path in sorted(present - sums.keys() - {run.partials}):
            yield FileProblem(path, "the run's checksums do not name it")
        for path, expected in sorted(sums.items()):
            report(path)
            if wrong := check_file(root / path, path, expected):
                remedy = "; `jacdb partials` makes it anew" if path == run.partials else ""
                yield FileProblem(path, f"{wrong}{remedy}")


def refuse_damaged(finished: FinishedRuns, report: Callable[[Event], None], consequence: str) -> None:
    """Refuse finished runs of which a file is not what its run's checksums say.

    Args:
        finished: the runs.
        report: called with progress.
        consequence: what has not been done, for the message.

    Raises:
        FailureError: a file is damaged.
    """
    checked, total = itertools.count(), len(finished.sums)
    for path, wrong in check_runs(
        finished.path, finished.runs, lambda path: report(Event("checking", next(checked), total, "files"))
    ):
        raise FailureError(f"{path}: {wrong}; {consequence}")


def check_file(file: Path, path: str, sha256: str) -> str | None:
    """Return what is wrong with a run's file: it is missing, has changed, or is none; None if nothing is wrong.

    Args:
        file: the file to check.
        path: its path below a dataset's folder, which names its table.
        sha256: the checksum that it must have.
    """
    part = PartPath.parse(path)
    if part is None and Run.from_model(path) is None:
        return "a dataset has no such file"
    try:
        if not file.is_file():
            return "it is missing"
        if (digest := sha256_of(file)) != sha256:
            return f"its SHA-256 is {digest}, the run's checksums say {sha256}: it has changed"
        if part is None:  # a model, which its checksum alone vouches for
            return None
        with file.open("rb") as stream:
            return check_footer(stream, part)
    except OSError as error:
        return unreadable(error)


def unreadable(error: OSError) -> str:
    """Return what is wrong with a file that the system can't read: a bad disk, no right to it."""
    return f"it can't be read: {told_with_remedy(error)}"


def check_footer(stream: BinaryIO, part: PartPath) -> str | None:
    """Return what is wrong with a part, judged by its footer; None if nothing is wrong."""
    try:
        parquet = pq.ParquetFile(stream)
        schema, groups = parquet.schema_arrow, parquet.metadata
    except (OSError, pa.ArrowException, ValueError) as error:
        return f"it is not a Parquet file: {first_line(error)}"
    version = stored_version(schema)
    if version is None:
        return "jacdb did not write it: it carries no schema version"
    if version > schemas.SCHEMA_VERSION:
        return f"it is of schema version {version}, this jacdb reads up to {schemas.SCHEMA_VERSION}"
    if version not in part.run.layout.versions:
        return f"it is of schema version {version}, its name is of version {part.run.layout.words}"
    expected = _schemas(part.table, version)
    if not any(_same(schema, one) for one in expected):
        return f"its columns are not those of {part.table}: {_difference(schema, expected[0])}"
    for index in range(groups.num_row_groups):
        group = groups.row_group(index)
        if group.num_rows > MAX_GROUP_ROWS or group.total_byte_size > MAX_GROUP_BYTES:
            return (
                f"row group {index} has {group.num_rows:,} rows and {group.total_byte_size:,} bytes when it is"
                f" unpacked; jacdb writes none above {MAX_GROUP_ROWS:,} rows or {MAX_GROUP_BYTES:,} bytes"
            )
    return None


def _schemas(table: str, version: int) -> list[pa.Schema]:
    if table == "steps":
        kinds = (schemas.steps(kind).schema for kind in (pa.float32(), pa.float64()))
        return [schemas.of_version(table, schema, version) for schema in kinds]
    return [schemas.of_version(table, one.schema, version) for one in schemas.ALL_TABLES if one.name == table]


def _same(schema: pa.Schema, expected: pa.Schema) -> bool:
    """Return whether names and types of columns are equal; nullability may differ."""
    return bool(schema.names == expected.names and schema.types == expected.types)


def _difference(schema: pa.Schema, expected: pa.Schema) -> str:
    """Return the first difference in words."""
    for column in expected:
        if column.name not in schema.names:
            return f"{column.name} is missing"
        if schema.field(column.name).type != column.type:
            return f"{column.name} is {schema.field(column.name).type}, not {column.type}"
    return f"{', '.join(sorted(set(schema.names) - set(expected.names))) or 'their order'} is unknown"[:200]


def _files(root: Path, folder: str, pattern: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in (root / folder).glob(pattern)]
