"""The zero pattern of a step: one bit an entry, and few distinct patterns.

Statistics over patterns cost by the step; statistics over matrices, by the entry.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jacdb.schemas import SWEEP, ZERO_THRESHOLD, pattern_id

type Patterns = dict[int, tuple[bytes, bytes]]  # {id: (bits of j_state, bits of j_action)}


class ZeroBits(NamedTuple):
    """Zeros of a step's matrices: a bit an entry, row by row, the first the highest, the last byte padded."""

    state: UInt8[Array | np.ndarray, "*rows bytes_state"]
    action: UInt8[Array | np.ndarray, "*rows bytes_action"]


def zero_bits(j_state: Float[Array, "x x"], j_action: Float[Array, "x a"]) -> ZeroBits:
    """Which entries are zero. On the device, before matrices are rounded: their float64 need not leave it."""
    return ZeroBits(*(jnp.packbits(jnp.abs(j) < ZERO_THRESHOLD) for j in (j_state, j_action)))


def below(j: Float[Array, "x y"]) -> Int[Array, "thresholds"]:
    """How many entries are below each threshold of the sweep, in absolute value."""
    return jnp.stack([(jnp.abs(j) < threshold).sum(dtype=jnp.int32) for threshold in SWEEP])


class Sizes(NamedTuple):
    """How large entries are over the steps that count, of j_state and j_action: what a sweep over thresholds needs.

    Attributes:
        steps: how many count.
        largest: each entry's largest absolute value; 0 where no step counts.
        below: how many entries are below each threshold of the sweep, all steps together.
    """

    steps: int
    largest: tuple[np.ndarray, np.ndarray]
    below: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def joined(pieces: "Sequence[Sizes]") -> "Sizes":
        steps, largest, below = zip(*pieces, strict=True)
        state, action = (np.max(parts, axis=0) for parts in zip(*largest, strict=True))
        below_state, below_action = (np.sum(parts, axis=0) for parts in zip(*below, strict=True))
        return Sizes(sum(steps), (state, action), (below_state, below_action))


def sizes(
    matrices: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    below: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    starts: np.ndarray,
) -> list[Sizes]:
    """The sizes of stretches of rows.

    Args:
        matrices: j_state and j_action, an array for each stretch.
        below: what :func:`below` said of them, of all rows.
        counts: whether a row counts.
        starts: the first row of each stretch.
    """
    kept = [
        None if whole else own
        for whole, own in zip(np.logical_and.reduceat(counts, starts), np.split(counts, starts[1:]), strict=True)
    ]
    largest = [list(map(_largest, of, kept)) for of in matrices]
    sums = [np.add.reduceat(np.where(counts[:, None], part, 0), starts, dtype=np.int64) for part in below]
    steps = np.add.reduceat(counts.astype(int), starts).tolist()
    return [
        Sizes(n, largest, below)
        for n, largest, below in zip(steps, zip(*largest, strict=True), zip(*sums, strict=True), strict=True)
    ]


def _largest(j: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Each entry's largest absolute value over the rows that count, all if None; 0 where none does."""
    size = np.abs(j)
    if counts is not None:
        size[~counts] = 0
    return size.max(axis=0)


def count(bits: UInt8[Array | np.ndarray, "rows bytes"]) -> np.ndarray:
    """How many entries are zero, (rows,) int32."""
    return np.bitwise_count(np.asarray(bits)).sum(axis=-1, dtype=np.int32)


def identify(bits: ZeroBits, d_state: int, d_action: int) -> tuple[np.ndarray, Patterns]:
    """The pattern of every row, and the bits of every distinct pattern.

    Args:
        bits: of many rows, NumPy arrays.
        d_state, d_action: the matrices are d_state x d_state and d_state x d_action.

    Returns:
        Pattern ids (rows,) int64 (:func:`jacdb.schemas.pattern_id`); and {id: (bits of j_state, bits of j_action)}.
    """
    both = np.concatenate(bits, axis=1)
    keys = both.view(np.dtype((np.void, both.shape[1]))).ravel()
    distinct, inverse = np.unique(keys, return_inverse=True)
    ids, patterns, split = [], {}, bits.state.shape[1]
    for key in distinct:
        packed = key.tobytes()
        ident = pattern_id(d_state, d_action, packed)
        ids.append(ident)
        patterns[ident] = (packed[:split], packed[split:])
    return np.asarray(ids, np.int64)[inverse], patterns
