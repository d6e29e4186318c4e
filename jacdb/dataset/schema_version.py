"""The schema version that a dataset's files carry, and the refusal of one that is newer than this jacdb reads."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.dataset.layout import CURRENT, layout_of
from jacdb.errors import FailureError, UsageError, first_line


def stored_version(schema: pa.Schema) -> int | None:
    """Return the schema version that a Parquet file carries; None if it carries none, so jacdb did not write it."""
    version = (schema.metadata or {}).get(schemas.VERSION_KEY, b"").decode(errors="replace")
    return int(version) if version.isdigit() else None


def check_version(root: Path) -> int:
    """Return a dataset's schema version; refuse one that a later jacdb wrote: its tables may mean something else.

    Args:
        root: the dataset's folder; one without files is of the present version.

    Raises:
        UsageError: the dataset is newer than this jacdb reads, mixes versions, or jacdb did not write it.
        FailureError: a file can't be read.
    """
    layout, found = layout_of(root) or CURRENT, dict[int, Path]()
    # `axes` has one small file per run, and it is the first that a run writes.
    for path in root.glob(f"axes/{layout.parts}"):
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise FailureError(f"{path} can't be read: {first_line(error)}") from error
        version = stored_version(schema)
        if version is None:
            raise UsageError(f"{path} was not written by jacdb: it carries no schema version")
        if version > schemas.SCHEMA_VERSION:
            raise UsageError(
                f"{root} is of schema version {version}, this jacdb reads up to {schemas.SCHEMA_VERSION}:"
                " upgrade with `pip install -U jacdb`"
            )
        if version not in layout.versions:
            raise UsageError(
                f"{root} mixes schema versions: {path.relative_to(root)} is of version {version}, its name is of"
                f" version {layout.words}; move it into a folder of its own"
            )
        found.setdefault(version, path.relative_to(root))
    if len(found) > 1:
        said = " and ".join(f"{path} of version {version}" for version, path in sorted(found.items()))
        raise UsageError(f"{root} mixes schema versions: {said}; move the files of one into a folder of their own")
    return next(iter(found), layout.versions[-1])
