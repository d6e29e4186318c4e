"""Apply the zero threshold: say which entries of a step's Jacobians are zero, and how large entries are.

On the device, in float64, before matrices are rounded for storage.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jacdb.ingest.linalg.batched import sum_terms
from jacdb.ingest.storage.zero_patterns import EntryStatistics, ZeroBits
from jacdb.schemas import SWEEP, ZERO_THRESHOLD


def zero_bits(j_state: Float[Array, "x x"], j_action: Float[Array, "x a"]) -> ZeroBits:
    """Return which entries are zero. On the device, before matrices are rounded: their float64 need not leave it."""
    return ZeroBits(*(jnp.packbits(jnp.abs(j) < ZERO_THRESHOLD) for j in (j_state, j_action)))


def no_statistics(shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: type) -> EntryStatistics:
    """Return the statistics of no step yet.

    Args:
        shapes: of j_state and j_action, with leading axes.
        dtype: of the matrices as stored.
    """
    leading = shapes[0][:-2]
    below = jnp.zeros((*leading, len(SWEEP)), jnp.int32)
    largest = jnp.zeros(shapes[0], dtype), jnp.zeros(shapes[1], dtype)
    return EntryStatistics(jnp.zeros(leading, jnp.int32), largest, (below, below))


def with_step(
    statistics: EntryStatistics,
    stored: tuple[Array | np.ndarray, Array | np.ndarray],
    exact: tuple[Array, Array],
    counts: Bool[Array | np.ndarray, ""],
) -> EntryStatistics:
    """Return the statistics with one step added to them, if it counts.

    Args:
        stored: its matrices as stored, rounded.
        exact: its matrices before rounding.
        counts: whether the step counts.
    """
    largest = (
        jnp.maximum(so_far, jnp.where(counts, jnp.abs(j), 0))
        for so_far, j in zip(statistics.largest, stored, strict=True)
    )
    below = (so_far + jnp.where(counts, _below(j), 0) for so_far, j in zip(statistics.below, exact, strict=True))
    return EntryStatistics(statistics.steps + counts, tuple(largest), tuple(below))


def _below(j: Float[Array, "x y"]) -> Int[Array, "thresholds"]:
    """Return how many entries are below each threshold of the sweep, in absolute value.

    Several counts go into one integer: a pass over the matrix for each threshold took 1.6 times as long.
    """
    size = jnp.abs(j)
    bits = j.size.bit_length()
    together = 63 // bits
    counts = []
    for thresholds in itertools.batched(SWEEP, together):
        terms = ((size < threshold).astype(jnp.int64) << (bits * k) for k, threshold in enumerate(thresholds))
        packed = sum_terms(terms).sum()
        counts += [packed >> (bits * k) & (2**bits - 1) for k in range(len(thresholds))]
    return jnp.stack(counts).astype(jnp.int32)
