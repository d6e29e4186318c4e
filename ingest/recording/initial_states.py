"""Initial states of a rollout's episodes, reset a block at a time and put into slots as these become free."""

from collections.abc import Sequence

import jax
import numpy as np
from mujoco_playground import State

from jacdb.ingest.recording.chunk_program import Batch
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.zero_bits import no_statistics


class InitialStates:
    """Puts the episodes wanted, in order, into slots. Slots are numbered through all blocks; each block is a batch.

    Args:
        programs: of the rollout.
        numbers: the episodes wanted.
    """

    def __init__(self, programs: Programs, numbers: Sequence[int]) -> None:
        self._programs, self._settings = programs, programs.settings
        self._numbers = np.asarray(numbers)
        self._size = programs.block
        self._placed = 0  # episodes that were put into a slot
        state, action = ((self._size, *shape) for shape in self._settings.matrix_shapes)
        self._no_statistics = no_statistics((state, action), self._settings.dtype)
        self._states: State = self._reset_next()

    def idle_batch(self) -> Batch:
        """Return a batch whose slots have no episode."""
        return self._batch(n_steps=self._settings.steps)

    def place(self, batches: list[Batch], slots: list[int]) -> list[Batch]:
        """Return the batches with the next initial states in these slots."""
        batches = list(batches)
        while slots:
            position = self._placed % self._size
            if position == 0 and self._placed > 0:
                self._states = self._reset_next()
            block = slots[0] // self._size
            # so many as are of one block, and of one reset
            count = next((i for i, slot in enumerate(slots) if slot // self._size != block), len(slots))
            count = min(count, self._size - position)
            now, slots = slots[:count], slots[count:]
            if count == self._size:  # as in large runs, which spares a compilation
                batches[block] = self._batch(n_steps=0)
            else:
                source, chosen = np.zeros(self._size, int), np.zeros(self._size, bool)
                within = [slot % self._size for slot in now]
                source[within], chosen[within] = np.arange(position, position + count), True
                batches[block] = self._programs.place(batches[block], self._states, source, chosen)
            self._placed += count
        return batches

    def _reset_next(self) -> State:
        numbers = np.resize(self._numbers[self._placed : self._placed + self._size], self._size)
        return self._programs.lanes.call(self._placed // self._size, self._programs.reset, numbers).result()

    def _batch(self, n_steps: int) -> Batch:
        rest = np.full(self._size, n_steps), self._no_statistics
        return Batch(self._states, *jax.device_put(rest, self._programs.sharding))
