"""Vectors and matrices in Arrow are lists, and lists of lists; in NumPy they are arrays. No Python loop over rows."""

import numpy as np
import pyarrow as pa


def leaf_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of an entry: what is left of a type when all levels of lists are peeled off."""
    return leaf_and_depth(kind)[0]


def leaf_and_depth(kind: pa.DataType) -> tuple[pa.DataType, int]:
    """Return the type of an entry, and how many levels of lists stand above it."""
    depth = 0
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return kind, depth


def entries(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return all entries of a column, one after the other; lists may differ in length."""
    while pa.types.is_list(column.type):
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False)


def from_array(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """Return an array as a column of nested lists: each dimension after the first is a level of them.

    Args:
        values: (rows, …)
        kind: the column's type; None for that of the array's entries.
    """
    if values.ndim == 1:
        return pa.array(values, kind)
    rows, width = values.shape[:2]
    inner = from_array(values.reshape(rows * width, *values.shape[2:]), kind and kind.value_type)
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
    return pa.ListArray.from_arrays(offsets, inner, type=kind)


def from_lengths(lengths: np.ndarray, values: pa.Array) -> pa.Array:
    """Return the values as lists of these lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def to_array(column: pa.Array) -> np.ndarray:
    """Return a column of nested lists as an array (rows, …), without a copy.

    Raises:
        ValueError: its lists differ in length, or a value is null.
    """
    shape = [len(column)]
    while pa.types.is_list(column.type):
        lengths = np.diff(column.offsets.to_numpy())
        if column.null_count or (lengths != lengths[0]).any():
            raise ValueError("lists of one column differ in length")
        shape.append(int(lengths[0]))
        column = column.flatten()
    if column.null_count:
        raise ValueError("a value is null")
    return column.to_numpy(zero_copy_only=False).reshape(shape)
