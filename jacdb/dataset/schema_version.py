"""The schema version that a dataset's files carry, and the refusal of one that is newer than this jacdb reads."""

import os
import re
import shlex
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.dataset import listing
from jacdb.dataset.layout import CURRENT, Layout, layout_of
from jacdb.errors import FailureError, UsageError, first_line

# In a footer, Thrift's compact protocol puts a field's number and the length of the value between the two
_VERSION = re.compile(re.escape(schemas.VERSION_KEY) + rb"\x18[\x01-\x09](\d{1,9})")


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
    for _, run in listing.run_folders(root / "axes", layout.key):
        for part in listing.parts(run.path):
            version = _version_of(part.path)
            if version in found:
                continue
            path = Path(part.path)
            _check_one(root, path, version, layout)
            found[version or 0] = path.relative_to(root)
    if len(found) > 1:
        said = " and ".join(f"{path} of version {version}" for version, path in sorted(found.items()))
        raise UsageError(f"{root} mixes schema versions: {said}; move the files of one into a folder of their own")
    return next(iter(found), layout.versions[-1])


def refuse_former(folder: Path, root: Path | str, purpose: str, then: str = "", option: str = "--data ") -> None:
    """Refuse a dataset of a former schema version, where only the present one will do.

    Args:
        folder: the dataset's folder.
        root: the folder to upgrade, as it was given.
        purpose: of the present version, in words: "version {} is published".
        then: what the remedy goes on with.
        option: by which it was given.

    Raises:
        UsageError: it is of a former version, or :func:`check_version` refuses it.
        FailureError: a file can't be read.
    """
    if (version := check_version(folder)) != schemas.SCHEMA_VERSION:
        raise UsageError(
            f"{option}{root} is of schema version {version}, {purpose.format(schemas.SCHEMA_VERSION)}:"
            f" rewrite it with `jacdb upgrade {shlex.quote(str(root))} --out NEW`{then}"
        )


def _version_of(path: str) -> int | None:
    """Return the version that a Parquet file carries; its footer alone is read, which takes a tenth of Arrow's time.

    Raises:
        FailureError: it can't be read.
    """
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (a Path takes three times as long)
            stream.seek(-8, os.SEEK_END)
            length, magic = struct.unpack("<I4s", stream.read(8))
            stream.seek(-8 - length, os.SEEK_END)
            match = _VERSION.search(stream.read(length)) if magic == b"PAR1" else None
        return int(match[1]) if match else stored_version(pq.read_schema(path))
    except (OSError, struct.error, pa.ArrowException, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error


def _check_one(root: Path, path: Path, version: int | None, layout: Layout) -> None:
    """Refuse a version that this jacdb does not read, or that the file's name does not fit.

    Raises:
        UsageError: it does not.
    """
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
