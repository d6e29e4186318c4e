"""A chunk's record on the host, one device's share at a time, and where the rows of each slot are in it."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int, Shaped

from jacdb.ingest.recording.recomputation import Recomputation
from jacdb.ingest.recording.step_records import ChunkRecord, StepRecord, ended_early
from jacdb.ingest.storage.zero_patterns import EntryStatistics


class DeviceShard(NamedTuple):
    """One device's share of a chunk. Its rows are slot after slot, in the order of steps.

    Attributes:
        first_slot: of the batch's slots, the first that is in this shard.
        record: NumPy arrays (steps, slots, …): copies from a GPU, views on a CPU, whose memory is the host's.
        statistics: gives those of every slot's episode; called when one is over.
        slot: of every row, counted from the shard's first.
        step: of every row, within the chunk.
        starts: the first row of every slot that has one.
        recomputation: of the rows for which the run's method is not valid, if there are any.
    """

    first_slot: int
    record: StepRecord
    statistics: Callable[[], EntryStatistics]
    slot: Int[np.ndarray, " rows"]
    step: Int[np.ndarray, " rows"]
    starts: Int[np.ndarray, " spans"]
    recomputation: Recomputation | None = None

    @property
    def slots(self) -> list[int]:
        """Return the slots that have a row, counted from the shard's first."""
        return [int(slot) for slot in self.slot[self.starts]]

    @property
    def slots_ended_early(self) -> list[int]:
        """Return the slots whose episode ended before its time, counted from the batch's first."""
        return [self.first_slot + int(slot) for slot in np.flatnonzero(ended_early(self.record))]

    @property
    def row_spans(self) -> list[tuple[int, int]]:
        """Return the first row, and the one after the last, of every slot that has one."""
        return list(itertools.pairwise([*self.starts.tolist(), len(self.slot)]))

    @property
    def span_of_row(self) -> Int[np.ndarray, " rows"]:
        """Return the number of the span that each row is in."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.slot)))

    def by_span(self, *leaves: Shaped[np.ndarray, "steps slots ..."]) -> list[list[np.ndarray]]:
        """Return an array for each row span of each leaf of the record: views, for the writer copies them anyway."""
        places = list(zip(self.slots, self.row_spans, strict=True))
        return [[leaf[: end - start, slot] for slot, (start, end) in places] for leaf in leaves]

    def gather[Leaves](self, leaves: Leaves, rows: np.ndarray | slice = slice(None)) -> Leaves:
        """Return copies of these rows of leaves of the record, one row after the other."""
        steps, slots = self.record.in_episode.shape
        place = (self.step * slots + self.slot)[rows]
        gathered: Leaves = jax.tree.map(
            lambda leaf: leaf.reshape(steps * slots, *leaf.shape[2:]).take(place, axis=0), leaves
        )
        return gathered


def begin_copies(records: list[ChunkRecord]) -> None:
    """Begin to copy the steps of records to the host, all arrays at once, for when the device has done them.

    Asked for when a chunk is received, they would be copied one after the other, while the host waits for each.
    """
    leaves = jax.tree.leaves([record.steps for record in records])
    # JAX keeps the copy with the very array that was asked for it: these are the ones that are read later
    jax.copy_to_host_async([leaf.addressable_data(n) for leaf in leaves for n in range(len(leaf.addressable_shards))])


def device_shards(record: ChunkRecord) -> Iterator[DeviceShard]:
    """Wait for a chunk, and yield the share of each device that has a row."""
    in_episode: jax.Array = record.steps.in_episode  # type: ignore[assignment]  # not yet NumPy's
    for number, device in enumerate(in_episode.addressable_shards):
        if not np.asarray(in_episode.addressable_data(number)).any():
            continue
        steps = _of_device(record.steps, number)
        slot, step = np.nonzero(np.asarray(steps.in_episode).T)
        starts = np.flatnonzero(np.diff(slot, prepend=-1))
        statistics = functools.partial(_of_device, record.statistics, number)
        yield DeviceShard(device.index[1].start or 0, steps, statistics, slot, step, starts)


def _of_device[Leaves](leaves: Leaves, device: int) -> Leaves:
    """Return one device's shards as NumPy arrays: on a CPU views, and nothing is copied."""
    shards: Leaves = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(device)), leaves)
    return shards
