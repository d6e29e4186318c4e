"""The zero pattern of a step: one bit an entry, and few distinct patterns.

Statistics over patterns cost by the step; statistics over matrices, by the entry.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Bool, Float, Int, UInt8

from jacdb.ingest.batch_last import add_up
from jacdb.schemas import SWEEP, ZERO_THRESHOLD, pattern_id

type Patterns = dict[int, tuple[bytes, bytes]]  # {id: (bits of j_state, bits of j_action)}


class ZeroBits(NamedTuple):
    """Zeros of a step's matrices: a bit an entry, row by row, the first the highest, the last byte padded."""

    state: UInt8[Array | np.ndarray, "*rows bytes_state"]
    action: UInt8[Array | np.ndarray, "*rows bytes_action"]


def zero_bits(j_state: Float[Array, "x x"], j_action: Float[Array, "x a"]) -> ZeroBits:
    """Which entries are zero. On the device, before matrices are rounded: their float64 need not leave it."""
    return ZeroBits(*(jnp.packbits(jnp.abs(j) < ZERO_THRESHOLD) for j in (j_state, j_action)))


class Sizes(NamedTuple):
    """How large entries are over the steps that count, of j_state and j_action: what a sweep over thresholds needs.

    Leaves may have leading axes, of slots or of steps.

    Attributes:
        steps: how many count.
        largest: each entry's largest absolute value, as stored; 0 where no step counts.
        below: how many entries are below each threshold of the sweep, all steps together.
    """

    steps: Any
    largest: tuple[Any, ...]
    below: tuple[Any, ...]

    @staticmethod
    def of_none(shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: type) -> "Sizes":
        """Of no step yet, on the device. ``shapes``: the matrices', with leading axes; ``dtype``: as stored."""
        leading = shapes[0][:-2]
        below = jnp.zeros((*leading, len(SWEEP)), jnp.int32)
        largest = jnp.zeros(shapes[0], dtype), jnp.zeros(shapes[1], dtype)
        return Sizes(jnp.zeros(leading, jnp.int32), largest, (below, below))

    def and_step(self, stored: tuple[Array, Array], exact: tuple[Array, Array], counts: Bool[Array, ""]) -> "Sizes":
        """With one step more, if it counts. On the device, where it is made.

        Args:
            stored: its matrices, rounded.
            exact: the same before.
        """
        largest = (
            jnp.maximum(so_far, jnp.where(counts, jnp.abs(j), 0))
            for so_far, j in zip(self.largest, stored, strict=True)
        )
        below = (so_far + jnp.where(counts, _below(j), 0) for so_far, j in zip(self.below, exact, strict=True))
        return Sizes(self.steps + counts, tuple(largest), tuple(below))

    def at(self, index: Any) -> "Sizes":
        """Of one, or of some, along the first axis."""
        largest, below = (tuple(leaf[index] for leaf in leaves) for leaves in (self.largest, self.below))
        return Sizes(self.steps[index], largest, below)

    def total(self) -> "Sizes":
        """Of all along the first axis, on the host."""
        largest = tuple(leaf.max(axis=0) for leaf in self.largest)
        below = tuple(leaf.sum(axis=0, dtype=np.int64) for leaf in self.below)
        return Sizes(self.steps.sum(), largest, below)

    @staticmethod
    def joined(pieces: "Sequence[Sizes]") -> "Sizes":
        if len(pieces) == 1:  # as of most episodes: arrays of small arrays take their time
            return pieces[0]
        steps, largest, below = zip(*pieces, strict=True)
        stacked = [tuple(np.stack(parts) for parts in zip(*leaves, strict=True)) for leaves in (largest, below)]
        return Sizes(np.array(steps), stacked[0], stacked[1]).total()


def _below(j: Float[Array, "x y"]) -> Int[Array, "thresholds"]:
    """How many entries are below each threshold of the sweep, in absolute value.

    Several counts go into one integer: a pass over the matrix for each threshold took 1.6 times as long.
    """
    size = jnp.abs(j)
    bits = j.size.bit_length()
    together = 63 // bits
    counts = []
    for some in itertools.batched(SWEEP, together):
        packed = add_up((size < threshold).astype(jnp.int64) << (bits * k) for k, threshold in enumerate(some)).sum()
        counts += [packed >> (bits * k) & (2**bits - 1) for k in range(len(some))]
    return jnp.stack(counts).astype(jnp.int32)


class Identified(NamedTuple):
    """The patterns of many rows.

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
        """The patterns of each stretch of rows.

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


def identify(bits: ZeroBits, d_state: int, d_action: int) -> Identified:
    """What is said of a pattern is worked out once, however many rows have it.

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
    return Identified(np.array(ids)[of_row], tuple(n_zero), dict(zip(ids, pairs, strict=True)), of_row)
