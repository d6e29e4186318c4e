"""Assign episodes to the slots of the batches.

An episode's place in a batch follows from its number, given the batch's size, which on a CPU is one for all runs.
Compiled code does not round alike in all places: on a CPU XLA's rounds otherwise in the last few
(`findings/xla_cpu_last_of_a_batch.sh`). An episode that stood elsewhere, in a shard or in a run that goes on, would
soon be another.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from jacdb.ingest import runtime
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.storage.episodes import Episode


class Slots:
    """Gives waiting episodes to free slots, and to each of their steps its noise.

    Attributes:
        episodes: the episode that each occupied slot steps.
        n_blocks: how many batches there are.

    Args:
        settings: of the rollout.
        chunk: steps from one visit of the host to the next.
        numbers: the episodes wanted, in order.
        block: slots of a batch; some may never be filled.
    """

    def __init__(self, settings: RolloutSettings, chunk: int, numbers: Sequence[int], block: int) -> None:
        self.episodes: dict[int, Episode] = {}
        self._settings, self._chunk = settings, chunk
        self._waiting: defaultdict[int, deque[int]] = defaultdict(deque)  # by their place in a batch
        for number in numbers:
            self._waiting[number % block].append(number)
        self._most = min(settings.num_envs, len(numbers))  # episodes at once
        of_one_place = max(Counter(number % block for number in sorted(numbers)[: self._most]).values())
        self._block, self.n_blocks = block, max(-(-self._most // block), min(of_one_place, runtime.lanes()))
        count, d_action = self.n_blocks * block, settings.system.spec.d_action
        self._n_steps = np.zeros(count, int)  # of each slot's episode; right where it did not end before its time
        self._noise = np.zeros((count, settings.steps + chunk, d_action))  # none after an episode's end

    def fill(self) -> dict[int, int]:
        """Give free slots the next episodes that may be there; return their numbers, by slot."""
        free: defaultdict[int, list[int]] = defaultdict(list)
        for slot in range(len(self._n_steps)):
            if slot not in self.episodes:
                free[slot % self._block].append(slot)
        possible = [pair for place, slots in free.items() for pair in zip(self._waiting[place], slots, strict=False)]
        filled = {slot: number for number, slot in sorted(possible)[: self._most - len(self.episodes)]}
        for slot, number in filled.items():
            self._waiting[slot % self._block].popleft()
            self.episodes[slot] = Episode(number)
            self._noise[slot, : self._settings.steps] = self._draw(number)
            self._n_steps[slot] = 0
        return filled

    def noise(self, block: int) -> Float[np.ndarray, "chunk slots d_action"]:
        """Return the noise of a batch's next chunk."""
        slots = np.arange(block * self._block, (block + 1) * self._block)
        window = np.minimum(self._n_steps[slots], self._settings.steps) + np.arange(self._chunk)[:, None]
        drawn: np.ndarray = self._noise[slots, window]
        return drawn

    def advance(self) -> Bool[np.ndarray, " slots"]:
        """Count a chunk's steps, and return the slots whose episode has as many as it can have."""
        self._n_steps += self._chunk
        over: np.ndarray = self._n_steps >= self._settings.steps
        return over

    def free(self, slots: Iterable[int]) -> None:
        """Make room in these slots, where they are not free already."""
        for slot in slots:
            self.episodes.pop(slot, None)

    def _draw(self, number: int) -> Float[np.ndarray, "steps d_action"]:
        settings = self._settings
        return settings.policy.noise(settings.seed, number, settings.steps, settings.system.spec.d_action)
