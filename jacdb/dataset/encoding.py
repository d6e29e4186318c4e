"""How tables become Parquet: columns compressed and encoded, bits of patterns as words."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.checksum import sha256_of
from jacdb.nested_lists import from_array, leaf_and_depth
from jacdb.schemas import WORDS, pattern_words


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Return Arrow's options: zstd throughout; floats split by byte, without a dictionary: mantissas do not repeat."""
    split, dictionary = [], []
    for column in schema:
        leaf, depth = leaf_and_depth(column.type)
        path = column.name + ".list.element" * depth
        if pa.types.is_floating(leaf):
            split.append(path)
        elif not pa.types.is_struct(leaf):
            dictionary.append(path)
        else:
            dictionary += [f"{path}.{part.name}" for part in leaf if not pa.types.is_floating(part.type)]
    return {
        "compression": "zstd",
        "use_dictionary": dictionary or False,
        "use_byte_stream_split": split or False,
        "write_statistics": [column.name for column in schema if _has_bounds(column)],
        "write_page_index": True,
        "write_batch_size": 16_384,  # leaves at once: a matrix has hundreds
    }


def _has_bounds(column: pa.Field) -> bool:
    """Return whether the least and the largest value are written with a column.

    Nobody looks for the rows whose matrices have an entry below some bound. Where floats have NaN, DuckDB, DataFusion
    and pyarrow take the bounds of the others for those of all rows, and conditions lose rows
    (``findings/parquet_bounds_without_nan.sh``). `replay_error` never has NaN, and ``jacdb runs`` reads its bounds.
    """
    return column.name == "replay_error" or not (pa.types.is_nested(column.type) or pa.types.is_floating(column.type))


def write_table(path: Path, table: pa.Table) -> str:
    """Write a small table as a Parquet file, on the disk when this returns; return its SHA-256."""
    with path.open("wb") as stream:
        pq.write_table(table, stream, **parquet_options(table.schema))
        stream.flush()
        os.fsync(stream.fileno())
    return sha256_of(path)


def words_column(bits: Sequence[bytes], entries: int) -> pa.Array:
    """Return the bits of a matrix's patterns as lists of words (:func:`jacdb.schemas.pattern_words`)."""
    packed = np.frombuffer(b"".join(bits), np.uint8).reshape(len(bits), -1)
    return from_array(pattern_words(packed, entries), WORDS)
