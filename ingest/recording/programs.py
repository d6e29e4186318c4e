"""The programs that a rollout runs on the device, each compiled when it is first needed."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int
from mujoco_playground import State

from jacdb.ingest import runtime
from jacdb.ingest.differentiation.types import OnDevice
from jacdb.ingest.environments import transition
from jacdb.ingest.recording import chunk_program, recomputation
from jacdb.ingest.recording.chunk_program import Batch, StepChunk
from jacdb.ingest.recording.recomputation import Recompute
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.progress import Event

type Reset = Callable[[Int[np.ndarray, " slots"]], State]
type Place = Callable[[Batch, State, Int[np.ndarray, " slots"], Bool[np.ndarray, " slots"]], Batch]


@dataclass
class Programs:
    """Compiles the programs of one rollout, and holds them until it is closed.

    Whoever wants to keep programs for several rollouts, or to see what they are called with, hands :func:`ingest
    <jacdb.ingest.pipeline.ingest>` a subclass (benchmarks/ingest.py).

    Attributes:
        settings: what determines the rows.
        report: called with progress.
    """

    settings: RolloutSettings
    report: Callable[[Event], None] = field(default=lambda event: None)
    _chunks: dict[int, StepChunk] = field(default_factory=dict, init=False, repr=False)
    _recomputations: dict[OnDevice, Recompute] = field(default_factory=dict, init=False, repr=False)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """Return the devices that share the slots."""
        return runtime.mesh(self.settings.num_envs)

    @property
    def sharding(self) -> NamedSharding:
        """Return how the leaves of a batch are spread over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    @functools.cached_property
    def reset(self) -> Reset:
        """Return the function that gives the first states of episodes, one a slot."""
        system = self.settings.system
        self.report(Event(f"compiling the reset of {system.spec.name}"))
        reset, slots = transition.episode_start(system, self.settings.seed), PartitionSpec(self.mesh.axis_names)
        compiled: Reset = chunk_program.spread(jax.vmap(reset), self.mesh, slots, slots)
        return compiled

    @functools.cached_property
    def place(self) -> Place:
        """Return the function (batch, states, source, chosen) that begins new episodes in the chosen slots.

        A chosen slot gets the state at its place in ``source``.
        """

        def put(batch: Batch, new: State, source: Array, chosen: Array) -> Batch:
            def leaf(old: Array, new: Array) -> Array:
                return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new[source], old)

            nothing = jax.tree.map(jnp.zeros_like, (batch.n_steps, batch.statistics))
            placed: Batch = jax.tree.map(leaf, batch, Batch(new, *nothing))
            return placed

        return jax.jit(put, out_shardings=self.sharding)

    def step_chunk(self, chunk: int, batch: Batch) -> StepChunk:
        """Return the program for chunks of so many steps, and batches like ``batch``."""
        if chunk not in self._chunks:
            self.report(Event(f"compiling {self.settings.system.spec.name}"))
            self._chunks[chunk] = chunk_program.compiled_chunk(self.settings, self.mesh, chunk, batch)
        return self._chunks[chunk]

    def recompute(self, method: OnDevice) -> Recompute:
        """Return the function that recomputes a batch of recorded steps by ``method``."""
        if method not in self._recomputations:
            self.report(Event(f"compiling {method}, for steps whose constraint solver stopped early"))
            self._recomputations[method] = recomputation.compiled_recompute(self.settings, method)
        return self._recomputations[method]

    def close(self) -> None:
        """Free all compiled code, which takes 0.1 s."""
        self._chunks.clear()
        self._recomputations.clear()
        for name in ("reset", "place"):
            self.__dict__.pop(name, None)
