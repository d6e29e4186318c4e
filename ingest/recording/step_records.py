"""The record of a step, and of a chunk of steps, that the device hands to the host."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jacdb.ingest.differentiation.types import CtrlJacobian, PhysicsInput
from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.recording import zero_bits
from jacdb.ingest.storage.zero_patterns import EntryStatistics, ZeroBits


class StoredJacobian(NamedTuple):
    """A step's matrices as they are stored, rounded, and where they were zero before rounding."""

    j_state: Float[Array | np.ndarray, "*axes d_state d_state"]
    j_action: Float[Array | np.ndarray, "*axes d_state d_action"]
    finite: Bool[Array | np.ndarray, "*axes"]  # whether every entry is a number
    zeros: ZeroBits


class StepRecord(NamedTuple):
    """All that is recorded of a step. In a chunk's record leaves have the leading axes (steps, slots)."""

    in_episode: Bool[Array | np.ndarray, "*axes"]  # False where a slot has no episode, or its episode is over
    state: Float[Array | np.ndarray, "*axes n_state"]
    action: Float[Array | np.ndarray, "*axes d_action"]
    next_state: Float[Array | np.ndarray, "*axes n_state"]
    reward: Float[Array | np.ndarray, "*axes"]
    done: Bool[Array | np.ndarray, "*axes"]
    truncated: Bool[Array | np.ndarray, "*axes"]
    finite: Bool[Array | np.ndarray, "*axes"]  # whether states and reward are numbers
    jacobian: StoredJacobian
    residual: Float[Array | np.ndarray, "*axes"]
    valid: Bool[Array | np.ndarray, "*axes"]  # False where another method has to compute the Jacobian
    observed: Observation
    physics_input: PhysicsInput
    ctrl: CtrlJacobian


class ChunkRecord(NamedTuple):
    """All that is recorded of a chunk.

    Attributes:
        steps: leaves are (steps, slots, …).
        statistics: of every slot's episode up to the chunk's end, over the steps where the run's method is valid.
    """

    steps: StepRecord
    statistics: EntryStatistics


def to_storage(
    j_state: Float[Array, "d_state d_state"], j_action: Float[Array, "d_state d_action"], dtype: type[np.floating]
) -> StoredJacobian:
    """Return the matrices rounded to ``dtype``, with their zeros as they were before.

    On the device: this halves what the host has to take over.
    """
    zeros = zero_bits.zero_bits(j_state, j_action)
    rounded = j_state.astype(dtype), j_action.astype(dtype)
    finite = jnp.isfinite(rounded[0]).all() & jnp.isfinite(rounded[1]).all()
    return StoredJacobian(*rounded, finite, zeros)


def ended_early(steps: StepRecord) -> Bool[np.ndarray, " slots"]:
    """Return whether each slot's episode ended before its time. Waits for the chunk."""
    ended: np.ndarray = (np.asarray(steps.in_episode) & np.asarray(steps.done)).any(axis=0)
    return ended
