"""Arrow as storage uses it: record batches of NumPy arrays, and memory of the process's own allocator."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from jacdb.nested_lists import from_array


def share_process_memory() -> None:
    """Let Arrow take its memory from the process's allocator, which keeps what is freed (see jacdb.ingest.runtime)."""
    pa.set_memory_pool(pa.system_memory_pool())


def batch(columns: Mapping[str, np.ndarray | pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Return these columns in the schema's order and types. Arrays of two and three dimensions become nested lists."""
    return pa.record_batch([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else from_array(values, kind)
