"""NumPy arrays as columns of Arrow, without a Python loop over rows or entries."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa


def share_process_memory() -> None:
    """Let Arrow take its memory from the process's allocator, which keeps what is freed (see jacdb.ingest.runtime)."""
    pa.set_memory_pool(pa.system_memory_pool())


def batch(columns: Mapping[str, np.ndarray | pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Return these columns in the schema's order and types. Arrays of two and three dimensions become nested lists."""
    return pa.record_batch([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else dense(values, kind)


def dense(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return an array as nested lists: a dimension after the first is a level of them."""
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    rows, width = values.shape[:2]
    inner = dense(values.reshape(rows * width, *values.shape[2:]), kind.value_type)
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
    return pa.ListArray.from_arrays(offsets, inner, type=kind)


def lists(counts: np.ndarray, values: pa.Array) -> pa.Array:
    """Return the values as lists of these lengths."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
