"""The columns ``step`` and ``time``: whether an episode goes on from one Parquet file to the next.

They are read where an episode has rows in two files, and there alone: to other recordings they may be anything. Files
may have them in different types, and a file that has none, or something else by that name, says nothing.
"""

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# What a counter says where it starts anew: a reset sets a simulation's time back, but a file may count its own rows.
COUNTERS = {"time": False, "step": None}


class Boundaries:
    """Rows of files, one after the other, and whether an episode goes on where a file begins."""

    def __init__(self, files: Sequence[Path], starts: Set[int], begins: set[int]):
        """Read the counters.

        Args:
            files: in their order.
            starts: the first row of each file that has rows.
            begins: rows at which an episode begins, row 0 among them.
        """
        self._begins = np.array(sorted(begins))
        self._gaps = {name: np.r_[np.nan, np.diff(_counter(files, name))] for name in COUNTERS}
        self._inside, self._across = {}, {}  # rows of known distance from the row before: in its file, or in another
        for name, gaps in self._gaps.items():
            rows = np.flatnonzero(np.isfinite(gaps))
            rows = rows[~np.isin(rows, self._begins)]
            first = np.isin(rows, list(starts))
            self._inside[name], self._across[name] = rows[~first], rows[first]

    def goes_on(self, row: int) -> bool:
        """Return whether a file's first row follows the row before: a counter goes on, and none says otherwise."""
        said = [self._said(name, row) for name in COUNTERS]
        return True in said and False not in said

    def _said(self, name: str, row: int) -> bool | None:
        """Return whether a counter goes on; None where it says nothing: it is unknown, or the same in many rows."""
        gap = self._gaps[name][row]
        others = self._others(name, row)
        if np.isnan(gap) or (len(others) and (others <= 0).all()):
            return None
        if gap <= 0:
            return COUNTERS[name]
        if not len(others):
            return name == "time" or bool(gap == 1)
        return bool((abs(gap - others) < others / 2).any())

    def _others(self, name: str, row: int) -> np.ndarray:
        """Return the nearest distances on both sides: in the episode, or in any, or else between its other files."""
        at = np.searchsorted(self._begins, row, side="right")
        episode = self._begins[at - 1], np.append(self._begins, len(self._gaps[name]))[at]
        inside, across = self._inside[name], self._across[name]
        for rows, (begin, end) in ((inside, episode), (inside, (0, np.inf)), (across, episode)):
            place = np.searchsorted(rows, row)
            after = place + (place < len(rows) and rows[place] == row)
            near = [*rows[max(place - 1, 0) : place], *rows[after : after + 1]]
            if near := [each for each in near if begin <= each < end]:
                return np.asarray(self._gaps[name][near])
        return np.zeros(0)


def _counter(files: Sequence[Path], name: str) -> np.ndarray:
    """Return a counter of all rows, NaN where there is none; whole numbers stay so where all files have them."""
    return np.concatenate([_numbers(file, name) for file in files])


def _numbers(file: Path, name: str) -> np.ndarray:
    """Return a file's counter; points in time and durations are in nanoseconds."""
    whole = file.absolute()  # Arrow takes walk:1.parquet for an address
    unknown = np.full(pq.read_metadata(whole).num_rows, np.nan)
    if name not in pq.read_schema(whole).names:
        return unknown
    values = pq.read_table(whole, columns=[name], partitioning=None)[name].combine_chunks()
    try:
        if pa.types.is_nested(values.type):  # a list of one number a row is such a number
            one = pc.unique(pc.list_value_length(values)).to_pylist() == [1]
            return _as_numbers(values.flatten()) if one else unknown
        return _as_numbers(values)
    except pa.ArrowException:
        return unknown


def _as_numbers(values: pa.Array) -> np.ndarray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
    elif pa.types.is_duration(kind):
        values = values.cast(pa.duration("ns")).cast(pa.int64())
    elif pa.types.is_time(kind):
        values = values.cast(pa.time64("ns")).cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return np.full(len(values), np.nan)
    exact = pa.types.is_integer(values.type) and not values.null_count and not pa.types.is_uint64(values.type)
    return np.asarray(values.cast(pa.int64() if exact else pa.float64()).to_numpy(zero_copy_only=False))
