"""Differentiate recorded steps again, by another method, where the run's own is not valid."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Lowered
from jaxtyping import Array, Bool, Int, Shaped

from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.linalg import batched
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import StoredJacobian, to_storage
from jacdb.ingest.recording.zero_bits import no_statistics, with_step
from jacdb.ingest.storage.zero_patterns import EntryStatistics
from jacdb.methods import Method

RECOMPUTE_BATCH = 8  # steps recomputed at once: a vector unit's lanes, and few more than there are
# The methods that recompute, in turn, what a method is not valid for
FALLBACK_METHODS: dict[Method, tuple[OnDevice, ...]] = {
    "implicit": ("unrolled", "autodiff"),
    "unrolled": ("autodiff",),
}

type Recomputed = tuple[StoredJacobian, EntryStatistics, Bool[Array | np.ndarray, " rows"]]
type Recompute = Callable[[PhysicsInput, CtrlJacobian], Recomputed]


class Recomputation(NamedTuple):
    """Some steps that are being recomputed: the device is at work on them until someone asks for the results.

    Attributes:
        method: by which they are recomputed.
        rows: which rows of their shard they are.
        batches: results of RECOMPUTE_BATCH steps each, with whether the method is valid for each. Some are padding.
        positions: where each row is in the batches, one after the other.
    """

    method: OnDevice
    rows: Int[np.ndarray, " recomputed"]
    batches: list[Recomputed]
    positions: Int[np.ndarray, " recomputed"]

    def results(self) -> tuple[StoredJacobian, EntryStatistics, Bool[np.ndarray, " recomputed"]]:
        """Wait, and return Jacobians, statistics, and whether the method is valid, of every row."""
        joined: tuple[StoredJacobian, EntryStatistics, np.ndarray] = jax.tree.map(
            lambda *parts: np.concatenate(parts)[self.positions], *self.batches
        )
        return joined


class Replacement(NamedTuple):
    """Recomputed Jacobians, to replace those of the run's own method.

    Attributes:
        rows: which rows of their shard they belong to.
        method: by which each was computed.
        statistics: of each step's entries.
    """

    rows: Int[np.ndarray, " recomputed"]
    method: Shaped[np.ndarray, " recomputed"]
    jacobian: StoredJacobian
    statistics: EntryStatistics


def lowered_recompute(settings: RolloutSettings, method: OnDevice, start: PhysicsInput, ctrl: CtrlJacobian) -> Lowered:
    """Trace the program that recomputes RECOMPUTE_BATCH recorded steps, such as these."""
    differentiate = control_step.physics_jacobian(settings.system, method)

    def again(start: PhysicsInput, ctrl: CtrlJacobian) -> tuple[StoredJacobian, EntryStatistics, Array]:
        physics = differentiate(start)
        exact = control_step.compose(settings.system, physics, ctrl)
        jacobian = to_storage(*exact, settings.dtype)
        none = no_statistics((exact[0].shape, exact[1].shape), settings.dtype)
        statistics = with_step(none, jacobian[:2], exact, jacobian.finite)
        return jacobian, statistics, jnp.asarray(physics.valid)

    with batched.expecting(RECOMPUTE_BATCH):
        return jax.jit(jax.vmap(again)).lower(start, ctrl)


def begin(
    method: OnDevice,
    recompute: Recompute,
    inputs: tuple[PhysicsInput, CtrlJacobian],
    rows: Int[np.ndarray, " recomputed"],
    places: Int[np.ndarray, " recomputed"],
) -> Recomputation:
    """Have the device recompute some steps, without waiting for it.

    Args:
        inputs: of the steps to recompute, one after the other.
        rows: which rows of their shard they are.
        places: of each in a batch, modulo RECOMPUTE_BATCH. They are the step's own, whatever is recomputed beside it:
            code does not round alike in all places (see slots.py).
    """
    place, turn = places % RECOMPUTE_BATCH, np.zeros(len(rows), int)
    for one in range(RECOMPUTE_BATCH):  # the steps of one place have turns
        turn[place == one] = np.arange(np.count_nonzero(place == one))
    batches = []
    for number in range(turn.max() + 1):  # of one size, so that there is one compilation
        at = np.flatnonzero(turn == number)
        batch = np.full(RECOMPUTE_BATCH, at[0])
        batch[place[at]] = at
        batches.append(recompute(*jax.tree.map(lambda leaf, batch=batch: leaf[batch], inputs)))
    return Recomputation(method, rows, batches, turn * RECOMPUTE_BATCH + place)
