"""Turn a chunk's record into rows of `steps`: on the host, while the device steps on.

Where the run's method is not valid for a step, another one recomputes its Jacobian. That queues behind the chunk which
the device is at by then. So a chunk is received first (:meth:`RowMaker.receive`), and its rows are made when the next
chunk has been received (:meth:`RowMaker.rows`): neither waits for the other.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Bool, Shaped

from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.types import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.recording import device_shards, recomputation
from jacdb.ingest.recording.constraint_columns import ConstraintColumns
from jacdb.ingest.recording.device_shards import DeviceShard
from jacdb.ingest.recording.recomputation import Recompute, Replacement
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord, StepRecord, StoredJacobian, to_storage
from jacdb.ingest.storage import arrow, zero_patterns
from jacdb.ingest.storage.episodes import ROW, Piece, pieces
from jacdb.ingest.storage.zero_patterns import EntryStatistics, Patterns, ZeroBits

_OMITTED: Any = None  # in a record, in the place of leaves that are not gathered


class _RowJacobians(NamedTuple):
    """The Jacobians of a shard's rows.

    Attributes:
        j_state, j_action: an array for each row span.
        finite, zeros, method: of every row.
    """

    j_state: list[Shaped[np.ndarray, "rows d_state d_state"]]
    j_action: list[Shaped[np.ndarray, "rows d_state d_action"]]
    finite: Bool[np.ndarray, " rows"]
    zeros: ZeroBits
    method: Shaped[np.ndarray, " rows"]


class SlotRows(NamedTuple):
    """A slot's rows of a chunk.

    Attributes:
        slot: of the batch.
        patterns: that occur in the rows.
        statistics: of the recomputed rows; with the last row of an episode, those of all its other rows, too.
        is_over: whether the last row ends the episode.
    """

    slot: int
    piece: Piece
    patterns: Patterns
    statistics: list[EntryStatistics]
    is_over: bool


class RowMaker:
    """Makes the rows of one rollout.

    Args:
        settings: what determines the rows.
        recompute: gives the program that recomputes steps by a method (:meth:`Programs.recompute`).
    """

    def __init__(self, settings: RolloutSettings, recompute: Callable[[OnDevice], Recompute]) -> None:
        self._system, self._method, self._dtype = settings.system, settings.method, settings.dtype
        self._recompute = recompute
        self._constraints = ConstraintColumns(settings.system.mj_model)

    def receive(self, record: ChunkRecord) -> list[DeviceShard]:
        """Wait for a chunk, and have the device recompute the Jacobians of steps that the method is not valid for."""
        shards, methods = [], recomputation.FALLBACK_METHODS.get(self._method, ())
        for shard in device_shards.device_shards(record):
            invalid = np.flatnonzero(~np.asarray(shard.gather(shard.record.valid)))
            begun = self._begin(methods[0], shard, invalid) if methods and len(invalid) else None
            shards.append(shard._replace(recomputation=begun))
        return shards

    def rows(self, shard: DeviceShard) -> Iterator[SlotRows]:
        """Yield the rows of a shard, slot by slot."""
        flat = _flat_record(shard)
        replacement = self._replacement(shard)
        jacobian = self._jacobians(shard, flat.jacobian, replacement)
        finite = np.asarray(jacobian.finite & flat.finite)
        d_state, d_action = self._system.spec.d_state, self._system.spec.d_action
        identified = zero_patterns.identify(jacobian.zeros, d_state, d_action)

        def where_finite(values: np.ndarray) -> pa.Array:
            return pa.array(values, mask=~finite)

        columns = {
            "reward": np.asarray(flat.reward).astype(np.float64),
            "done": flat.done,
            "truncated": flat.truncated,
            "pattern_id": where_finite(identified.ids),
            "n_zero_state": where_finite(identified.n_zero[0]),
            "n_zero_action": where_finite(identified.n_zero[1]),
            **self._constraints.columns(flat.observed),
            "residual": flat.residual,
            "method": jacobian.method,
            "finite": finite,
            "replay_error": pa.nulls(len(finite), pa.float64()),
        }
        batch = arrow.batch(columns, ROW)
        ends = [end - 1 for _, end in shard.row_spans]
        is_over = np.asarray(flat.done | flat.truncated)[ends].tolist()
        record = shard.record
        vectors = shard.by_span(*map(np.asarray, (record.state, record.action, record.next_state)))
        made = pieces(batch, shard.starts, *vectors, jacobian.j_state, jacobian.j_action)
        patterns = identified.by_stretch(shard.span_of_row, finite)
        statistics = _entry_statistics(shard, replacement, finite, is_over)
        yield from map(SlotRows, [shard.first_slot + slot for slot in shard.slots], made, patterns, statistics, is_over)

    def _jacobians(self, shard: DeviceShard, flat: StoredJacobian, replacement: Replacement | None) -> _RowJacobians:
        """Return the recorded Jacobians of all rows, or those that replace them.

        Args:
            flat: of every row, without matrices.
        """
        method = np.full(len(shard.slot), self._method, dtype="U8")
        if self._method == "fd":
            computed = self._finite_differences(*shard.gather((shard.record.physics_input, shard.record.ctrl)))
            spans = shard.row_spans
            j_state, j_action = ([np.asarray(j[start:end]) for start, end in spans] for j in computed[:2])
            return _RowJacobians(j_state, j_action, np.asarray(computed.finite), computed.zeros, method)
        j_state, j_action = shard.by_span(*map(np.asarray, shard.record.jacobian[:2]))
        if replacement:
            rows = replacement.rows
            method[rows] = replacement.method
            for kept, new in zip(jax.tree.leaves(flat[2:]), jax.tree.leaves(replacement.jacobian[2:]), strict=True):
                kept[rows] = new
            span_of_row = shard.span_of_row[rows]
            for matrices, new in zip((j_state, j_action), replacement.jacobian[:2], strict=True):
                for span in np.unique(span_of_row):
                    in_span = span_of_row == span
                    matrices[span] = matrices[span].copy()
                    matrices[span][rows[in_span] - shard.starts[span]] = new[in_span]
        return _RowJacobians(j_state, j_action, np.asarray(flat.finite), flat.zeros, method)

    # --- other methods --------------------------------------------------------------------------------------

    def _begin(self, method: OnDevice, shard: DeviceShard, rows: np.ndarray) -> recomputation.Recomputation:
        inputs = shard.gather((shard.record.physics_input, shard.record.ctrl), rows)
        places = shard.slot[rows] + shard.step[rows]  # an episode's steps take turns: it may be the only one
        return recomputation.begin(method, self._recompute(method), inputs, rows, places)

    def _replacement(self, shard: DeviceShard) -> Replacement | None:
        """Recompute by one method after the other, each for the steps that the one before is not valid for."""
        begun = shard.recomputation
        if begun is None:
            return None
        jacobian, statistics, valid = begun.results()
        method = np.full(len(valid), begun.method, dtype="U8")
        for following in recomputation.FALLBACK_METHODS[self._method][1:]:
            if valid.all():
                break
            left = np.flatnonzero(~valid)
            results = self._begin(following, shard, begun.rows[left]).results()
            for kept, new in zip(jax.tree.leaves((jacobian, statistics, valid)), jax.tree.leaves(results), strict=True):
                kept[left] = new
            method[left] = following
        return Replacement(begun.rows, method, jacobian, statistics)

    def _finite_differences(self, inputs: PhysicsInput, ctrls: CtrlJacobian) -> StoredJacobian:
        """Differentiate by MuJoCo's C engine, row by row, under the environment's own map to ctrl."""

        def difference(row: int) -> tuple[Array, Array]:
            start, ctrl = jax.tree.map(lambda leaf: leaf[row], (inputs, ctrls))
            return control_step.compose(self._system, finite_differences.finite_difference(self._system, start), ctrl)

        matrices = [difference(row) for row in range(len(inputs.qpos))]
        round_off = jax.jit(jax.vmap(functools.partial(to_storage, dtype=self._dtype)))
        rounded = round_off(*(np.stack(parts) for parts in zip(*matrices, strict=True)))
        on_host: StoredJacobian = jax.tree.map(np.asarray, rounded)
        return on_host


def _flat_record(shard: DeviceShard) -> StepRecord:
    """Return the shard's record, row after row, without the arrays that are taken span by span, or not at all."""
    arrays = dict.fromkeys(("state", "action", "next_state", "physics_input", "ctrl"), _OMITTED)
    without = shard.record.jacobian._replace(j_state=_OMITTED, j_action=_OMITTED)
    return shard.gather(shard.record._replace(jacobian=without, **arrays))


def _entry_statistics(
    shard: DeviceShard, replacement: Replacement | None, finite: Bool[np.ndarray, " rows"], is_over: list[bool]
) -> list[list[EntryStatistics]]:
    """Return the statistics of each row span's recomputed rows and, where its episode is over, of all its others."""
    statistics: list[list[EntryStatistics]] = [[] for _ in shard.starts]
    if replacement:
        counts, span_of_row = finite[replacement.rows], shard.span_of_row[replacement.rows]
        for span in np.unique(span_of_row[counts]):
            statistics[span].append(replacement.statistics.at(counts & (span_of_row == span)).total())
    if any(is_over):
        of_slots, slots = shard.statistics(), shard.slots
        for span in np.flatnonzero(is_over):
            statistics[span].append(of_slots.at(slots[span]))
    return statistics
