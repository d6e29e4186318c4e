"""Initial states of a rollout's episodes, reset a block at a time and put into slots as these become free.

An episode is reset in that place of a batch in which it is stepped: it is the same in every rollout (see slots.py).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import jax
import numpy as np
from mujoco_playground import State

from jacdb.ingest.recording.chunk_program import Batch
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.zero_bits import no_statistics

RESETS_KEPT = 4  # whose episodes wait for a slot; where episodes end early there may be more, which are reset again


class InitialStates:
    """Puts the episodes wanted into slots. Slots are numbered through all blocks; each block is a batch.

    Args:
        programs: of the rollout.
        numbers: the episodes wanted.
    """

    def __init__(self, programs: Programs, numbers: Sequence[int]) -> None:
        self._programs, self._settings = programs, programs.settings
        self._size = programs.block
        self._left = Counter(number // self._size for number in numbers)  # episodes to be placed, of each reset
        self._resets: dict[int, State] = {}
        state, action = ((self._size, *shape) for shape in self._settings.matrix_shapes)
        self._no_statistics = no_statistics((state, action), self._settings.dtype)
        self._states = self._reset(min(self._left))  # an idle batch's, too

    def idle_batch(self) -> Batch:
        """Return a batch whose slots have no episode."""
        return self._batch(self._states, n_steps=self._settings.steps)

    def place(self, batches: list[Batch], filled: dict[int, int]) -> list[Batch]:
        """Return the batches with the initial states of these episodes, by slot, in their places."""
        batches = list(batches)
        together: defaultdict[tuple[int, int], list[int]] = defaultdict(list)  # places, by block and reset
        for slot, number in filled.items():
            together[slot // self._size, number // self._size].append(slot % self._size)
        for (block, number), places in together.items():
            states = self._reset(number)
            if len(places) == self._size:  # as in large runs, which spares a compilation
                batches[block] = self._batch(states, n_steps=0)
            else:
                chosen = np.zeros(self._size, bool)
                chosen[places] = True
                batches[block] = self._programs.place(batches[block], states, chosen)
            self._left[number] -= len(places)
            if not self._left[number]:
                self._resets.pop(number, None)
        return batches

    def _reset(self, number: int) -> State:
        """Return the first states of the episodes that stand together in a batch, this many batches after the first."""
        if number in self._resets:
            self._resets[number] = self._resets.pop(number)  # the last to go
        else:
            numbers = np.arange(number * self._size, (number + 1) * self._size)
            self._resets[number] = self._programs.lanes.call(number, self._programs.reset, numbers).result()
            if len(self._resets) > RESETS_KEPT:
                del self._resets[next(iter(self._resets))]
        return self._resets[number]

    def _batch(self, states: State, n_steps: int) -> Batch:
        rest = np.full(self._size, n_steps), self._no_statistics
        return Batch(states, *jax.device_put(rest, self._programs.sharding))
