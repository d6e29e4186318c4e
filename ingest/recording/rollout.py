"""Roll out many episodes side by side on the device, with the Jacobian of every step, in chunks of steps.

Each slot of the batch steps one episode. A chunk is one compiled scan; between chunks the host takes the rows out,
and slots whose episode is over get the next one. An episode depends on (seed, its number) alone, never on its
neighbours, and no row joins two.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jacdb.ingest.recording.chunk_rows import RowMaker
from jacdb.ingest.recording.device_shards import DeviceShard, begin_copies
from jacdb.ingest.recording.initial_states import InitialStates
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.slots import Slots
from jacdb.ingest.recording.step_records import ChunkRecord, ended_early
from jacdb.ingest.storage.episodes import Episode
from jacdb.progress import Event

CHUNK_BYTES = 2**24  # of a batch's matrices, that a chunk of more than 32 steps may take; three are there at once


class _SteppedChunk(NamedTuple):
    """A chunk that the device is at, or has done."""

    records: list[ChunkRecord]  # of each batch
    episodes: dict[int, Episode]  # by slot


class _ReceivedChunk(NamedTuple):
    """A chunk that is on the host, and whose rows are still to be made."""

    shards: list[DeviceShard]
    episodes: dict[int, Episode]  # by slot


class Rollout:
    """Episodes to be rolled out; a context, which frees the compiled programs at its end.

    Args:
        programs: what runs on the device, and the settings.
        numbers: the episodes wanted, by their numbers within the run.
    """

    def __init__(self, programs: Programs, numbers: Sequence[int]) -> None:
        self._programs, self._settings, self._numbers = programs, programs.settings, numbers
        self._done, self._total = 0, len(numbers) * programs.settings.steps  # steps

    def __enter__(self) -> "Rollout":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the compiled programs, which takes 0.1 s. Episodes stay: they are the host's."""
        self._programs.close()

    def run(self) -> Iterator[list[Episode]]:
        """Yield finished episodes, those of a chunk together. The host makes rows while the device steps on.

        At any time the device is at one chunk; the chunk before is received, and has steps recomputed behind that; and
        the rows of the one before that are made.

        Lanes share no chunk's end but the last: each begins the next chunk when it has done this one, which is there
        before its results are asked for. The price is a chunk in which the slot of an episode that ended
        before its time is idle; where one did, chunks are waited for.
        """
        block, lanes = self._programs.block, self._programs.lanes
        chunk = chunk_steps(block * self._step_bytes())
        slots = Slots(self._settings, chunk, self._numbers, block)
        row_maker = RowMaker(self._settings, self._programs.recompute)
        step_chunk = self._programs.step_chunk(chunk)
        initial_states = InitialStates(self._programs, self._numbers)
        batches = initial_states.place([initial_states.idle_batch()] * slots.n_blocks, slots.fill())
        self._report()
        stepped: _SteppedChunk | None = None
        received: _ReceivedChunk | None = None
        waits, copies = False, jax.default_backend() != "cpu"  # whose memory is the host's
        while slots.episodes:
            calls = [lanes.call(number, step_chunk, batch, slots.noise(number)) for number, batch in enumerate(batches)]
            done = [call.result() for call in calls]
            batches, records = [batch for batch, _ in done], [record for _, record in done]
            if copies:
                begin_copies(records)
            if stepped:
                shards = self._receive(row_maker, stepped)
                early = _ended_early(shards, stepped.episodes, slots)
                slots.free(early)
                waits |= bool(early)
                yield from self._finished(row_maker, received)
                received = _ReceivedChunk(shards, stepped.episodes)
            stepped = _SteppedChunk(records, dict(slots.episodes))
            over = slots.advance()
            if waits:
                over |= np.concatenate([ended_early(record.steps) for record in records])
            slots.free(np.flatnonzero(over).tolist())
            batches = initial_states.place(batches, slots.fill())
        yield from self._finished(row_maker, received)
        if stepped:
            last = _ReceivedChunk(self._receive(row_maker, stepped), stepped.episodes)
            yield from self._finished(row_maker, last)

    def _receive(self, row_maker: RowMaker, stepped: _SteppedChunk) -> list[DeviceShard]:
        """Wait for a chunk; return what every device has of every batch, its slots numbered through all batches."""
        return [
            shard._replace(first_slot=number * self._programs.block + shard.first_slot)
            for number, record in enumerate(stepped.records)
            for shard in row_maker.receive(record)
        ]

    def _finished(self, row_maker: RowMaker, received: _ReceivedChunk | None) -> Iterator[list[Episode]]:
        """Add a chunk's rows to their episodes, yield those that are over, then report."""
        if received is None:
            return
        over = []
        for shard in received.shards:
            for slot, piece, patterns, statistics, is_over in row_maker.rows(shard):
                episode = received.episodes[slot]
                episode.append(piece, patterns, statistics, is_over=is_over)
                self._done += len(piece.j_state)
                if episode.is_over:
                    self._total -= self._settings.steps - episode.n_steps  # it may end before its time
                    over.append(episode)
        yield over
        self._report()  # after they are taken: who interrupts it has these episodes

    def _report(self) -> None:
        self._programs.report(Event(f"rolling out {self._settings.system.spec.name}", self._done, self._total))

    def _step_bytes(self) -> int:
        """Return the size of the matrices of one step of one slot."""
        entries = sum(rows * columns for rows, columns in self._settings.matrix_shapes)
        return entries * np.dtype(self._settings.dtype).itemsize


def _ended_early(shards: list[DeviceShard], episodes: dict[int, Episode], slots: Slots) -> list[int]:
    """Return the slots whose episode ended before its time and still occupies them."""
    ended = [slot for shard in shards for slot in shard.slots_ended_early]
    return [slot for slot in ended if slots.episodes.get(slot) is episodes[slot]]


def chunk_steps(step_bytes: int) -> int:
    """Return how many steps to take between visits of the host: few visits, little memory.

    Args:
        step_bytes: what the matrices of one step of a batch's slots take.
    """
    return 64 if 64 * step_bytes <= CHUNK_BYTES else 32
