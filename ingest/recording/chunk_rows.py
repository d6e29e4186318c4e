"""What the device recorded, as rows of `steps`: on the host, a chunk at a time, while the device steps on.

Where the run's method does not do for a step, another differentiates it again. That queues behind the chunk which the
device is at by then; so a chunk is taken over first (:meth:`RowMaker.take`), its rows are made when the next one has
been taken over (:meth:`RowMaker.rows`), and neither waits for the other.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array

from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.types import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.dynamics import observations
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.registry import Method
from jacdb.ingest.recording import constraint_columns, zero_bits
from jacdb.ingest.recording.zero_bits import no_statistics, with_step
from jacdb.ingest.storage import arrow, zero_patterns
from jacdb.ingest.storage.episodes import ROW, Piece, pieces
from jacdb.ingest.storage.zero_patterns import EntryStatistics, Patterns, ZeroBits
from jacdb.progress import Event

AGAIN_BATCH = 8  # steps differentiated again at once: a vector unit's lanes, and few more than there are
# By which methods, in turn, to differentiate the steps that a method does not cover
INSTEAD: dict[Method, tuple[OnDevice, ...]] = {"implicit": ("unrolled", "autodiff"), "unrolled": ("autodiff",)}


class StoredJacobian(NamedTuple):
    """A step's matrices as they are stored, rounded, and where they were zero before."""

    j_state: Any
    j_action: Any
    finite: Any  # whether every entry is a number
    zeros: ZeroBits


class StepRecord(NamedTuple):
    """What the device hands to the host, for every step of every slot."""

    alive: Any  # whether the row belongs to an episode
    state: Any
    action: Any
    next_state: Any
    reward: Any
    done: Any
    truncated: Any
    finite: Any  # whether all of these are numbers
    jacobian: StoredJacobian
    residual: Any
    applies: Any  # whether the run's method does for the step
    observed: observations.Observation
    physics_input: PhysicsInput
    ctrl: CtrlJacobian


class ChunkRecord(NamedTuple):
    """What the device hands to the host of a chunk."""

    steps: Any  # a StepRecord, its leaves (steps, slots, …)
    sizes: Any  # EntryStatistics of every slot's episode up to the chunk's end, over steps where the method is valid


def to_storage(j_state: Array, j_action: Array, dtype: type) -> StoredJacobian:
    """Rounded on the device, zeros told apart before: that halves what the host has to take over."""
    zeros = zero_bits.zero_bits(j_state, j_action)
    rounded = j_state.astype(dtype), j_action.astype(dtype)
    finite = jnp.isfinite(rounded[0]).all() & jnp.isfinite(rounded[1]).all()
    return StoredJacobian(*rounded, finite, zeros)


class Recomputation(NamedTuple):
    """Some steps, differentiated by another method: at work on the device until someone asks."""

    method: OnDevice
    rows: np.ndarray  # which of its share
    batches: list[tuple[StoredJacobian, EntryStatistics, Array]]  # and whether the method covers each

    def results(self) -> tuple[StoredJacobian, EntryStatistics, np.ndarray]:
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(self.rows)], *self.batches)


class Replacement(NamedTuple):
    """What to put in the place of what the run's method found."""

    rows: np.ndarray  # which of their share
    method: np.ndarray
    jacobian: StoredJacobian
    sizes: EntryStatistics


class DeviceShard(NamedTuple):
    """One device's share of a chunk. Its rows are slot after slot, in the order of steps."""

    first_slot: int
    record: StepRecord  # NumPy arrays (steps, slots, …): on a CPU views of the device's memory
    sizes: Callable[[], EntryStatistics]  # of every slot's episode; asked for when one is over
    slot: np.ndarray  # of every row, counted from the share's first
    step: np.ndarray  # of every row, within the chunk
    starts: np.ndarray  # the first row of every slot that has one
    again: Recomputation | None

    @property
    def slots(self) -> list[int]:
        """Those that have a row, counted from the share's first."""
        return self.slot[self.starts].tolist()

    @property
    def ended_early(self) -> list[int]:
        """Those whose episode ended before its time, counted from the batch's first."""
        return (self.first_slot + np.flatnonzero(ended_early(self.record))).tolist()

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """From which row to which a slot's are, of every slot that has one."""
        return list(itertools.pairwise([*self.starts.tolist(), len(self.slot)]))

    @property
    def stretch(self) -> np.ndarray:
        """Of every row, the number of the slot's that it belongs to among those that have one."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.slot)))

    def by_stretch(self, *leaves: np.ndarray) -> list[list[np.ndarray]]:
        """Leaves of the record, an array for each slot that has a row: views, the writer copies them in any case."""
        places = list(zip(self.slots, self.stretches, strict=True))
        return [[leaf[: end - start, slot] for slot, (start, end) in places] for leaf in leaves]

    def take(self, leaves: Any, rows: np.ndarray | slice = slice(None)) -> Any:
        """Copies of these rows of leaves of the record."""
        steps, slots = self.record.alive.shape
        place = (self.step * slots + self.slot)[rows]
        return jax.tree.map(lambda leaf: leaf.reshape(steps * slots, *leaf.shape[2:]).take(place, axis=0), leaves)


def ended_early(steps: StepRecord) -> np.ndarray:
    """Of every slot, whether its episode ended before its time. Waits for the chunk."""
    return (np.asarray(steps.alive) & np.asarray(steps.done)).any(axis=0)


class SlotRows(NamedTuple):
    """A slot's rows of a chunk."""

    slot: int
    piece: Piece
    patterns: Patterns
    sizes: list[
        EntryStatistics
    ]  # of the rows differentiated again; with the last row of an episode those of all others, too
    is_over: bool  # whether that is the last


@dataclass
class RowMaker:
    """Makes rows of the records of one environment.

    Attributes:
        system: the environment.
        method: how its Jacobians were computed.
        dtype: type in which matrix entries are kept.
        report: called with progress.
    """

    system: System
    method: Method
    dtype: type
    report: Callable[[Event], None]
    _compiled: dict[OnDevice, Callable] = field(default_factory=dict, init=False, repr=False)

    @functools.cached_property
    def _recorder(self) -> constraint_columns.ConstraintColumns:
        return constraint_columns.ConstraintColumns(self.system.mj_model)

    def take(self, record: ChunkRecord) -> list[DeviceShard]:
        """Wait for a chunk, and begin to differentiate again what has to be."""
        shares, methods = [], INSTEAD.get(self.method, ())
        for first_slot, steps, sizes in _by_device(record):
            slot, step = np.nonzero(steps.alive.T)
            starts = np.flatnonzero(np.diff(slot, prepend=-1))
            share = DeviceShard(first_slot, steps, sizes, slot, step, starts, None)
            wanting = np.flatnonzero(~share.take(steps.applies))
            again = self._begin(methods[0], share, wanting) if methods and len(wanting) else None
            shares.append(share._replace(again=again))
        return shares

    def rows(self, share: DeviceShard) -> Iterator[SlotRows]:
        """The rows of a share, slot by slot."""
        none: Any = None
        arrays = dict.fromkeys(("state", "action", "next_state", "physics_input", "ctrl"), none)
        without = share.record.jacobian._replace(j_state=none, j_action=none)
        flat = share.take(share.record._replace(jacobian=without, **arrays))
        instead = self._instead(share)
        jacobian, method = self._jacobians(share, flat.jacobian, instead)
        finite = jacobian.finite & flat.finite
        d_state, d_action = self.system.spec.d_state, self.system.spec.d_action
        identified = zero_patterns.identify(jacobian.zeros, d_state, d_action)

        def where_finite(values: np.ndarray) -> pa.Array:
            return pa.array(values, mask=~finite)

        own = {
            "reward": flat.reward.astype(np.float64),
            "done": flat.done,
            "truncated": flat.truncated,
            "pattern_id": where_finite(identified.ids),
            "n_zero_state": where_finite(identified.n_zero[0]),
            "n_zero_action": where_finite(identified.n_zero[1]),
            **self._recorder.columns(flat.observed),
            "residual": flat.residual,
            "method": method,
            "finite": finite,
        }
        batch = arrow.batch(own, ROW)
        is_over = (flat.done | flat.truncated)[[end - 1 for _, end in share.stretches]].tolist()
        slots, sizes = share.slots, _sizes(share, instead, finite)
        if any(is_over):
            of_slots = share.sizes()
            for i in np.flatnonzero(is_over):
                sizes[i].append(of_slots.at(slots[i]))
        record = share.record
        vectors = share.by_stretch(record.state, record.action, record.next_state)
        made = pieces(batch, share.starts, *vectors, jacobian.j_state, jacobian.j_action)
        numbers = [share.first_slot + slot for slot in slots]
        yield from map(SlotRows, numbers, made, identified.by_stretch(share.stretch, finite), sizes, is_over)

    def _jacobians(
        self, share: DeviceShard, flat: StoredJacobian, instead: Replacement | None
    ) -> tuple[StoredJacobian, np.ndarray]:
        """Every row's, matrices as an array for each stretch of rows, and by which method."""
        method = np.full(len(share.slot), self.method, dtype="U8")
        if self.method == "fd":
            found = self._finite_differences(*share.take((share.record.physics_input, share.record.ctrl)))
            by_stretch = [[j[start:end] for start, end in share.stretches] for j in found[:2]]
            return found._replace(j_state=by_stretch[0], j_action=by_stretch[1]), method
        matrices = share.by_stretch(*share.record.jacobian[:2])
        jacobian = flat._replace(j_state=matrices[0], j_action=matrices[1])
        if instead:
            rows = instead.rows
            method[rows] = instead.method
            for kept, new in zip(jax.tree.leaves(jacobian[2:]), jax.tree.leaves(instead.jacobian[2:]), strict=True):
                kept[rows] = new
            stretch = share.stretch[rows]
            for kept, new in zip(matrices, instead.jacobian[:2], strict=True):
                for i in np.unique(stretch):
                    own = stretch == i
                    kept[i] = kept[i].copy()
                    kept[i][rows[own] - share.starts[i]] = new[own]
        return jacobian, method

    # --- differentiated again -------------------------------------------------------------------------------

    def _begin(self, method: OnDevice, share: DeviceShard, rows: np.ndarray) -> Recomputation:
        """Batches of one size, so that there is one compilation."""
        differentiate = self._differentiate_again(method)
        inputs = share.take((share.record.physics_input, share.record.ctrl), rows)
        batches = []
        for first in range(0, len(rows), AGAIN_BATCH):
            some = np.minimum(np.arange(first, first + AGAIN_BATCH), len(rows) - 1)
            batches.append(differentiate(*jax.tree.map(lambda leaf, some=some: leaf[some], inputs)))
        return Recomputation(method, rows, batches)

    def _instead(self, share: DeviceShard) -> Replacement | None:
        """By one method after the other, each for the steps that the one before does not cover."""
        if share.again is None:
            return None
        jacobian, sizes, covered = share.again.results()
        method = np.full(len(covered), share.again.method, dtype="U8")
        for following in INSTEAD[self.method][1:]:
            if covered.all():
                break
            left = np.flatnonzero(~covered)
            found = self._begin(following, share, share.again.rows[left]).results()
            for kept, new in zip(jax.tree.leaves((jacobian, sizes, covered)), jax.tree.leaves(found), strict=True):
                kept[left] = new
            method[left] = following
        return Replacement(share.again.rows, method, jacobian, sizes)

    def _differentiate_again(self, method: OnDevice) -> Callable[..., tuple[StoredJacobian, EntryStatistics, Array]]:
        """For AGAIN_BATCH recorded steps; compiled when the first is needed."""
        if method in self._compiled:
            return self._compiled[method]
        self.report(Event(f"compiling {method}, for steps whose constraint solver stopped early"))
        differentiate = control_step.physics_jacobian(self.system, method)

        def again(start: PhysicsInput, ctrl: CtrlJacobian) -> tuple[StoredJacobian, EntryStatistics, Array]:
            physics = differentiate(start)
            exact = control_step.compose(self.system, physics, ctrl)
            jacobian = to_storage(*exact, self.dtype)
            none = no_statistics((exact[0].shape, exact[1].shape), self.dtype)
            sizes = with_step(none, jacobian[:2], exact, jacobian.finite)
            return jacobian, sizes, jnp.asarray(physics.valid)

        self._compiled[method] = jax.jit(jax.vmap(again))
        return self._compiled[method]

    def _finite_differences(self, inputs: PhysicsInput, ctrls: CtrlJacobian) -> StoredJacobian:
        """MuJoCo's C engine, row by row, under the environment's own map to ctrl."""

        def difference(row: int) -> tuple[Array, Array]:
            start, ctrl = jax.tree.map(lambda leaf: leaf[row], (inputs, ctrls))
            return control_step.compose(self.system, finite_differences.finite_difference(self.system, start), ctrl)

        matrices = [difference(row) for row in range(len(inputs.qpos))]
        round_off = jax.jit(jax.vmap(functools.partial(to_storage, dtype=self.dtype)))
        found = round_off(*(np.stack(parts) for parts in zip(*matrices, strict=True)))
        return jax.tree.map(np.asarray, found)


def _sizes(share: DeviceShard, instead: Replacement | None, finite: np.ndarray) -> list[list[EntryStatistics]]:
    """Of the rows that were differentiated again, by stretch."""
    found: list[list[EntryStatistics]] = [[] for _ in share.starts]
    if instead:
        counts, stretch = finite[instead.rows], share.stretch[instead.rows]
        for i in np.unique(stretch[counts]):
            found[i].append(instead.sizes.at(counts & (stretch == i)).total())
    return found


def _by_device(record: ChunkRecord) -> Iterator[tuple[int, StepRecord, Callable[[], EntryStatistics]]]:
    """Each device's share with the first of its slots, if it has a row."""
    for number, shard in enumerate(record.steps.alive.addressable_shards):
        if np.asarray(shard.data).any():
            yield shard.index[1].start or 0, _part(record.steps, number), functools.partial(_part, record.sizes, number)


def _part(leaves: Any, device: int) -> Any:
    """A device's: on a CPU views, and nothing is copied."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(device)), leaves)
