"""The zero pattern of a step: one bit an entry, and few distinct patterns.

Statistics over patterns cost by the step; statistics over matrices, by the entry.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt8

from jacdb.schemas import pattern_id

type Patterns = dict[int, tuple[bytes, bytes]]  # {id: (bits of j_state, bits of j_action)}


class ZeroBits(NamedTuple):
    """Zeros of a step's matrices: a bit an entry, row by row, the first the highest, the last byte padded."""

    state: UInt8[Any, "*rows bytes_state"]
    action: UInt8[Any, "*rows bytes_action"]


class EntryStatistics(NamedTuple):
    """How large the entries of j_state and j_action are over the steps that count: what a sweep over thresholds needs.

    Leaves may have leading axes, of slots or of steps.

    Attributes:
        steps: how many count.
        largest: each entry's largest absolute value, as stored; 0 where no step counts.
        below: how many entries are below each threshold of the sweep, all steps together.
    """

    steps: Any
    largest: tuple[Any, ...]
    below: tuple[Any, ...]

    def at(self, index: Any) -> "EntryStatistics":
        """Return the statistics of one, or of some, along the first axis."""
        largest, below = (tuple(leaf[index] for leaf in leaves) for leaves in (self.largest, self.below))
        return EntryStatistics(self.steps[index], largest, below)

    def total(self) -> "EntryStatistics":
        """Return the statistics of all along the first axis together, on the host."""
        largest = tuple(leaf.max(axis=0) for leaf in self.largest)
        below = tuple(leaf.sum(axis=0, dtype=np.int64) for leaf in self.below)
        return EntryStatistics(self.steps.sum(), largest, below)

    @staticmethod
    def joined(pieces: "Sequence[EntryStatistics]") -> "EntryStatistics":
        if len(pieces) == 1:  # as of most episodes: arrays of small arrays take their time
            return pieces[0]
        steps, largest, below = zip(*pieces, strict=True)
        stacked = [tuple(np.stack(parts) for parts in zip(*leaves, strict=True)) for leaves in (largest, below)]
        return EntryStatistics(np.array(steps), stacked[0], stacked[1]).total()


class IdentifiedPatterns(NamedTuple):
    """The zero patterns of many rows.

    Attributes:
        ids: of every row (:func:`jacdb.schemas.pattern_id`).
        n_zero: of every row, how many entries of j_state and of j_action are zero.
        patterns: the bits of every distinct one.
        which: of every row, the place of its own among them.
    """

    ids: Int[np.ndarray, "rows"]
    n_zero: tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "rows"]]
    patterns: Patterns
    which: Int[np.ndarray, "rows"]

    def by_stretch(self, stretch: Int[np.ndarray, "rows"], counts: Bool[np.ndarray, "rows"]) -> list[Patterns]:
        """Return the patterns of each span of rows.

        Args:
            stretch: of every row, from 0, each one with a row.
            counts: the rows whose patterns count.
        """
        occurs = np.zeros((stretch[-1] + 1, len(self.patterns)), bool)
        occurs[stretch[counts], self.which[counts]] = True
        found: list[Patterns] = [{} for _ in occurs]
        known = list(self.patterns.items())
        for i, place in zip(*(of_each.tolist() for of_each in np.nonzero(occurs)), strict=True):
            pattern, bits = known[place]
            found[i][pattern] = bits
        return found


def identify(bits: ZeroBits, d_state: int, d_action: int) -> IdentifiedPatterns:
    """Name the zero patterns of many rows; each distinct one is worked out once, however many rows have it.

    Args:
        bits: of many rows, NumPy arrays.
        d_state, d_action: the matrices are d_state x d_state and d_state x d_action.
    """
    both = np.concatenate(bits, axis=1)
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(both.shape[1]), len(both), [None, pa.py_buffer(both)])
    found = keys.dictionary_encode()
    of_row, distinct, split = found.indices.to_numpy(), found.dictionary.to_pylist(), bits.state.shape[1]
    ids = [pattern_id(d_state, d_action, packed) for packed in distinct]
    pairs = [(packed[:split], packed[split:]) for packed in distinct]
    n_zero = (
        np.array([int.from_bytes(one).bit_count() for one in of_matrix], np.int32)[of_row]
        for of_matrix in zip(*pairs, strict=True)
    )
    return IdentifiedPatterns(np.array(ids)[of_row], tuple(n_zero), dict(zip(ids, pairs, strict=True)), of_row)
