"""Initial states of a rollout's episodes, reset a batch at a time and put into slots as these become free."""

from collections.abc import Sequence

import jax
import numpy as np

from jacdb.ingest.recording.chunk_program import Batch
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.zero_bits import no_statistics


class InitialStates:
    """Puts the episodes wanted, in order, into slots of a batch.

    Args:
        programs: of the rollout.
        numbers: the episodes wanted.
    """

    def __init__(self, programs: Programs, numbers: Sequence[int]) -> None:
        self._programs, self._settings = programs, programs.settings
        self._numbers = np.asarray(numbers)
        self._size = self._settings.num_envs
        self._placed = 0  # episodes that were put into a slot
        state, action = ((self._size, *shape) for shape in self._settings.matrix_shapes)
        self._no_statistics = no_statistics((state, action), self._settings.dtype)
        self._reset_next()

    def idle_batch(self) -> Batch:
        """Return a batch whose slots have no episode."""
        return self._batch(n_steps=self._settings.steps)

    def place(self, batch: Batch, slots: list[int]) -> Batch:
        """Return the batch with the next initial states in these slots."""
        while slots:
            position = self._placed % self._size
            if position == 0 and self._placed > 0:
                self._reset_next()
            now, slots = slots[: self._size - position], slots[self._size - position :]
            if len(now) == self._size:  # as in most runs, which spares a compilation
                batch = self._batch(n_steps=0)
            else:
                source, chosen = np.zeros(self._size, int), np.zeros(self._size, bool)
                source[now], chosen[now] = np.arange(position, position + len(now)), True
                batch = self._programs.place(batch, self._states, source, chosen)
            self._placed += len(now)
        return batch

    def _reset_next(self) -> None:
        numbers = self._numbers[self._placed : self._placed + self._size]
        self._states = self._programs.reset(np.resize(numbers, self._size))

    def _batch(self, n_steps: int) -> Batch:
        rest = np.full(self._size, n_steps), self._no_statistics
        return Batch(self._states, *jax.device_put(rest, self._programs.sharding))
