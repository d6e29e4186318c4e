"""The programs that a rollout runs on the device: taken from the store of compiled ones, or compiled side by side."""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled, Lowered
from jaxtyping import Array, Bool, Int
from mujoco_playground import State

from jacdb.ingest import provenance, runtime
from jacdb.ingest.differentiation.types import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.environments import transition
from jacdb.ingest.program_store import ProgramStore
from jacdb.ingest.recording import chunk_program, recomputation
from jacdb.ingest.recording.chunk_program import Batch, StepChunk
from jacdb.ingest.recording.lanes import Lanes
from jacdb.ingest.recording.recomputation import Recompute, Recomputed
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord
from jacdb.ingest.recording.zero_bits import no_statistics
from jacdb.progress import Event

type Reset = Callable[[Int[np.ndarray, " slots"]], State]
type Place = Callable[[Batch, State, Bool[np.ndarray, " slots"]], Batch]
type _Options = dict[str, bool | int | str]

# A reset runs once an episode: what it takes to compile counts for more than what it takes to run.
RESET_OPTIONS: _Options = {"xla_backend_optimization_level": 1}


@dataclass
class Programs:
    """Has the programs of one rollout, and holds them until it is closed.

    They are for blocks of slots of one size, whatever the number of episodes, of steps and the seed: these are
    arguments. A program that the store has is neither traced nor compiled.

    Whoever wants to keep programs for several rollouts, or to see what they are called with, hands :func:`ingest
    <jacdb.ingest.pipeline.ingest>` a subclass (benchmarks/ingest.py).

    Attributes:
        settings: what determines the rows.
        report: called with progress.
        store: of compiled programs.
    """

    settings: RolloutSettings
    report: Callable[[Event], None] = field(default=lambda event: None)
    store: ProgramStore = field(default_factory=ProgramStore.of_user)
    _chunks: dict[int, StepChunk] = field(default_factory=dict, init=False, repr=False)
    _recomputations: dict[OnDevice, Recompute] = field(default_factory=dict, init=False, repr=False)
    _reset_sought: Future[Compiled | None] | None = field(default=None, init=False, repr=False)
    _compiler: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "compile"), init=False, repr=False
    )

    @functools.cached_property
    def block(self) -> int:
        """Return the slots of a batch."""
        return runtime.block_slots(self.settings.num_envs)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """Return the devices that share the slots."""
        return runtime.mesh(self.block)

    @functools.cached_property
    def lanes(self) -> Lanes:
        """Return the threads that call programs."""
        return Lanes(runtime.lanes())

    @property
    def sharding(self) -> NamedSharding:
        """Return how the leaves of a batch are spread over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    @functools.cached_property
    def reset(self) -> Reset:
        """Return the function that gives the first states of episodes, one a slot."""
        compiled, seed = self._reset[1].result(), np.int64(self.settings.seed)

        def reset(numbers: Int[np.ndarray, " slots"]) -> State:
            states: State = compiled(seed, numbers)
            return states

        return reset

    @functools.cached_property
    def place(self) -> Place:
        """Return the function (batch, states, chosen) that begins new episodes in the chosen slots."""

        def put(batch: Batch, new: State, chosen: Array) -> Batch:
            def leaf(old: Array, new: Array) -> Array:
                return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new, old)

            nothing = jax.tree.map(jnp.zeros_like, (batch.n_steps, batch.statistics))
            placed: Batch = jax.tree.map(leaf, batch, Batch(new, *nothing))
            return placed

        return jax.jit(put, out_shardings=self.sharding)

    def step_chunk(self, chunk: int) -> StepChunk:
        """Return the program for chunks of so many steps.

        While it is traced and compiled, the reset is compiled beside it.
        """
        if chunk not in self._chunks:
            steps, made_of = np.int64(self.settings.steps), {"chunk": chunk, "policy": self._policy}
            self._seek_reset()
            compiled = self._found("chunk", made_of)
            if compiled is None:
                like = self._batch_like(self._reset[0])
                self.report(Event(f"compiling {self.settings.system.spec.name}"))
                lowered = chunk_program.lowered_chunk(self.settings, self.mesh, chunk, like)
                compiled = self._compiled("chunk", made_of, lowered)
            self._chunks[chunk] = functools.partial(_of_length, compiled, steps)
        return self._chunks[chunk]

    def recompute(self, method: OnDevice) -> Recompute:
        """Return the function that recomputes a batch of recorded steps by ``method``."""
        if method not in self._recomputations:
            made_of = {"recompute": method}
            compiled = self._found("recompute", made_of)

            def recompute(start: PhysicsInput, ctrl: CtrlJacobian) -> Recomputed:
                nonlocal compiled
                if compiled is None:
                    self.report(Event(f"compiling {method}, for steps whose constraint solver stopped early"))
                    lowered = recomputation.lowered_recompute(self.settings, method, start, ctrl)
                    compiled = self._compiled("recompute", made_of, lowered)
                recomputed: Recomputed = compiled(start, ctrl)
                return recomputed

            self._recomputations[method] = recompute
        return self._recomputations[method]

    def close(self) -> None:
        """Free all compiled code, which takes 0.1 s."""
        self._chunks.clear()
        self._recomputations.clear()
        self.lanes.close()
        self._reset_sought = None
        for name in ("lanes", "reset", "place", "_reset"):
            self.__dict__.pop(name, None)

    def _seek_reset(self) -> Future[Compiled | None]:
        """Begin to look for the reset in the store, beside what the caller does next; return what will be found."""
        if self._reset_sought is None:
            self._reset_sought = self._compiler.submit(self._found, "reset", {})
        return self._reset_sought

    @functools.cached_property
    def _reset(self) -> tuple[Any, Future[Compiled]]:
        """Return the states that the reset gives, or their shapes and types; and the reset, once it is compiled."""
        done: Future[Compiled] = Future()
        if found := self._seek_reset().result():
            done.set_result(found)
            return found(np.int64(self.settings.seed), np.zeros(self.block, int)), done
        self.report(Event(f"compiling the reset of {self.settings.system.spec.name}"))
        start, slots = transition.episode_start(self.settings.system), PartitionSpec(self.mesh.axis_names)
        spread = chunk_program.spread(jax.vmap(start, (None, 0)), self.mesh, (PartitionSpec(), slots), slots)
        lowered = spread.lower(np.int64(0), np.zeros(self.block, int))
        compiling = self._compiler.submit(self._compiled, "reset", {}, lowered, RESET_OPTIONS)
        return lowered.out_info, compiling

    def _batch_like(self, state: Any) -> Batch:
        shapes = tuple((self.block, *shape) for shape in self.settings.matrix_shapes)
        like = Batch(state, np.zeros(self.block, int), no_statistics(shapes, self.settings.dtype))  # type: ignore[arg-type]
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)

    # --- the store --------------------------------------------------------------------------------------------------

    def _found(self, program: str, made_of: Mapping[str, Any]) -> Compiled | None:
        return self.store.find(self._ingredients(program, made_of)) if self._is_known else None

    def _compiled(
        self, program: str, made_of: Mapping[str, Any], lowered: Lowered, options: _Options | None = None
    ) -> Compiled:
        ingredients = self._ingredients(program, made_of) if self._is_known else None
        return self.store.compile(ingredients, lowered, options)

    @property
    def _is_known(self) -> bool:
        """Return whether names say what programs are made of: not of environments and policies of one's own."""
        env, policy = self.settings.system.env, self.settings.policy
        return [type(each).__module__.partition(".")[0] for each in (env, policy)] == ["mujoco_playground", "jacdb"]

    @property
    def _policy(self) -> dict[str, Any]:
        return {"kind": type(self.settings.policy).__name__, **self.settings.policy.act_settings()}

    def _ingredients(self, program: str, made_of: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._common, "program": program, **made_of}

    @functools.cached_property
    def _common(self) -> dict[str, Any]:
        """Return what all programs of a rollout are made of."""
        settings = self.settings
        return {
            "env": settings.system.spec.name,
            "model": provenance.model_hash(settings.system),
            "method": settings.method,
            "tolerance": settings.tolerance,
            "dtype": np.dtype(settings.dtype).name,
            "block": self.block,
            "versions": provenance.versions_of_programs(),
        }


def _of_length(
    program: Compiled, steps: np.int64, batch: Batch, noise: Array | np.ndarray
) -> tuple[Batch, ChunkRecord]:
    """Take a chunk of episodes that are cut after so many steps."""
    stepped: tuple[Batch, ChunkRecord] = program(batch, noise, steps)
    return stepped
