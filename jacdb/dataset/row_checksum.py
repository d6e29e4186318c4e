"""The checksum that the row of a learning run has of its own file, kept in the file's footer.

A run of an ingest has its checksums in a file beside the tables. A learning run has one row, in a file that is replaced
in one move: a checksum within it can't be left behind when scores are made anew, merged, published or pulled. It is
taken with zeros in its own place. Beside it stand the checksums of the checkpoint and of the parameters in
it, which were scored.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_FILE, _CHECKPOINT = b"jacdb:file_sha256", b"jacdb:checkpoint_sha256"
_PARAMETERS = b"jacdb:parameters_sha256"
_UNKNOWN = b"0" * 64


class RowChecksum(NamedTuple):
    """The checksums that a row's file has, compared with the file.

    Attributes:
        wrong: what is wrong with the file; None if nothing is.
        known: whether it has a checksum; those of before 1.0 have none.
        checkpoint: the checksum of the checkpoint; None where there was none, or it is not known.
        parameters: that of the parameters in it; None likewise.
    """

    wrong: str | None
    known: bool = True
    checkpoint: str | None = None
    parameters: str | None = None


def write(path: Path, table: pa.Table, checkpoint: str | None, parameters: str | None, **options: object) -> None:
    """Write a table as a Parquet file that has its own checksum.

    Args:
        path: the file.
        table: the table.
        checkpoint: the checksum of the checkpoint that belongs to it; None if none does.
        parameters: that of the parameters in it; None if there are none.
        options: Arrow's, of its writer.
    """
    # Arrow, writing a table anew, keeps the schema's metadata and not the footer's: then the file's checksum is missed
    of_checkpoint = {_CHECKPOINT: (checkpoint or "").encode(), _PARAMETERS: (parameters or "").encode()}
    schema = table.schema.with_metadata({**(table.schema.metadata or {}), **of_checkpoint})
    with pq.ParquetWriter(path, schema, **options) as writer:
        writer.write_table(table.cast(schema))
        writer.add_key_value_metadata({_FILE: _UNKNOWN})
    content = path.read_bytes()
    path.write_bytes(_with(content, _UNKNOWN, hashlib.sha256(content).hexdigest().encode()))


def check(path: Path) -> RowChecksum:
    """Return what the file of a row says of itself; it is Parquet.

    Raises:
        OSError, pa.ArrowException: it can't be read.
    """
    said = pq.read_metadata(path).metadata or {}
    stated, checkpoint = said.get(_FILE), said.get(_CHECKPOINT)
    if stated is None and checkpoint is None:
        return RowChecksum(None, known=False)
    content = path.read_bytes()
    if stated is None or checkpoint is None or len(stated) != len(_UNKNOWN) or stated not in content:
        return RowChecksum("its footer has not its own SHA-256: it has changed, or another program wrote it anew")
    digest = hashlib.sha256(_with(content, stated, _UNKNOWN)).hexdigest()
    if digest.encode() != stated:
        told = stated.decode(errors="replace")
        return RowChecksum(f"its SHA-256, without itself, is {digest}, its footer says {told}: it has changed")
    parameters = said.get(_PARAMETERS, b"").decode() or None
    return RowChecksum(None, checkpoint=checkpoint.decode() or None, parameters=parameters)


def _with(content: bytes, old: bytes, new: bytes) -> bytes:
    """Return a file's content with a checksum in its footer, the last that reads so, replaced."""
    place = content.rindex(old)
    return content[:place] + new + content[place + len(old) :]
