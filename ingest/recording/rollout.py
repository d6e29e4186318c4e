"""Roll out many episodes side by side on the device, with the Jacobian of every step, in chunks of steps.

Each slot of the batch steps one episode. A chunk is one compiled scan; between chunks the host takes the rows out,
and slots whose episode is over get the next one. An episode depends on (seed, its number) alone, never on its
neighbours, and no row joins two.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.interpreters import partial_eval
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array
from mujoco_playground import State

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.registry import Method
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.recording.chunk_rows import ChunkRecord, DeviceShard, RowMaker, StepRecord, ended_early, to_storage
from jacdb.ingest.recording.zero_bits import no_statistics, with_step
from jacdb.ingest.storage.episodes import Episode
from jacdb.progress import Event

CHUNK_BYTES = 2**24  # of matrices, that a chunk of more than 32 steps may take; three chunks are there at once


class Batch(NamedTuple):
    """What the device keeps of every slot from chunk to chunk."""

    state: Any
    taken: Any  # steps of its episode; of one that is over, or where there is none, as many as an episode can have
    sizes: Any  # of its episode's entries so far: EntryStatistics, over the steps that the run's method does for


@dataclass
class _Count:
    total: int
    done: int = 0


@dataclass
class Rollout:
    """A batch of episodes to be rolled out.

    Attributes:
        system: the environment.
        policy: what chooses actions.
        method: how Jacobians are computed.
        seed: seed of resets and noise.
        episodes: the numbers of the episodes wanted.
        steps: the length at which an episode is cut.
        num_envs: slots of the batch.
        tolerance: residual above which an implicit Jacobian is computed again, through the solver's iterations.
        dtype: type in which matrix entries are kept; zeros are decided before, in float64.
        report: called with progress.
    """

    system: System
    policy: Policy
    method: Method
    seed: int
    episodes: Sequence[int]
    steps: int
    num_envs: int
    tolerance: float = RESIDUAL_TOLERANCE
    dtype: type = np.float32
    report: Callable[[Event], None] = field(default=lambda event: None)
    _held: tuple = field(default=(), init=False, repr=False)

    def run(self) -> Iterator[list[Episode]]:
        """Finished episodes, those of a chunk together. The host makes its rows while the device steps on.

        Cores that are devices share no chunk's end but the last: each begins the next chunk when it has done this one,
        which is there before its results are asked for. The price is a chunk in which the slot of an episode that ended
        before its time is idle; where one did, chunks are waited for.
        """
        d_state, d_action = self.system.spec.d_state, self.system.spec.d_action
        entries = self.num_envs * d_state * (d_state + d_action)
        chunk = chunk_steps(self.steps, entries * np.dtype(self.dtype).itemsize)
        waiting = deque(self.episodes)
        slots: dict[int, Episode] = {}
        taken = np.zeros(self.num_envs, int)  # where no episode ended before its time
        noise = np.zeros((self.num_envs, self.steps + chunk, self.system.spec.d_action))  # after an episode's end none
        starts = _Starts(self)
        rows = RowMaker(self.system, self.method, self.dtype, self.report)
        batch = starts.first_batch()
        step_chunk = self._compile(chunk, batch)
        self._held = starts, step_chunk, rows  # to free compiled code takes 0.1 s: the caller says when
        progress = _Count(len(self.episodes) * self.steps)
        at_work: tuple[ChunkRecord, dict[int, Episode]] | None = None
        stepped: tuple[list[DeviceShard], dict[int, Episode]] | None = None
        waits = False

        def filled(batch: Batch) -> Batch:
            free = [slot for slot in range(self.num_envs) if slot not in slots][: len(waiting)]
            for slot in free:
                slots[slot] = Episode(waiting.popleft())
                noise[slot, : self.steps] = self._noise(slots[slot].number)
                taken[slot] = 0
            return starts.place(batch, free) if free else batch

        batch = filled(batch)
        jax.block_until_ready(batch)  # resets, which take place while the chunk is compiled
        self._report(progress)
        while slots:
            window = np.minimum(taken, self.steps) + np.arange(chunk)[:, None]
            batch, record = step_chunk(batch, noise[np.arange(self.num_envs), window])
            if at_work:
                shares, of = rows.take(at_work[0]), at_work[1]
                early = [slot for share in shares for slot in share.ended_early if slots.get(slot) is of[slot]]
                waits |= bool(early)
                for slot in early:
                    del slots[slot]
                if stepped:
                    yield self._finished(rows, *stepped, progress)
                    self._report(progress)  # now: who interrupts it has these episodes
                stepped = shares, of
            at_work = record, dict(slots)
            taken += chunk
            ended = taken >= self.steps
            if waits:
                ended |= ended_early(record.steps)
            for slot in np.flatnonzero(ended).tolist():
                slots.pop(slot, None)
            batch = filled(batch)
        if stepped:
            yield self._finished(rows, *stepped, progress)
            self._report(progress)
        if at_work:
            yield self._finished(rows, rows.take(at_work[0]), at_work[1], progress)
            self._report(progress)

    def _finished(
        self, rows: RowMaker, shares: list[DeviceShard], slots: dict[int, Episode], progress: "_Count"
    ) -> list[Episode]:
        """Add a chunk's rows to their episodes, and give those that are over."""
        over = []
        for share in shares:
            for slot, piece, occurring, sizes, is_over in rows.rows(share):
                episode = slots[slot]
                episode.append(piece, occurring, sizes, is_over=is_over)
                progress.done += len(piece.j_state)
                if episode.is_over:
                    progress.total -= self.steps - episode.n_steps  # it may end before its time
                    over.append(episode)
        return over

    def _report(self, progress: "_Count") -> None:
        self.report(Event(f"rolling out {self.system.spec.name}", progress.done, progress.total))

    def _noise(self, episode: int) -> np.ndarray:
        return self.policy.noise(self.seed, episode, self.steps, self.system.spec.d_action)

    # --- on the device --------------------------------------------------------------------------------------

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices that share the slots."""
        return runtime.mesh(self.num_envs)

    def _compile(self, chunk: int, batch: Batch) -> Callable[..., tuple[Batch, ChunkRecord]]:
        """The compiled chunk, its slots spread over the devices."""
        noise = np.zeros((chunk, self.num_envs, self.system.spec.d_action))
        self.report(Event(f"compiling {self.system.spec.name}"))
        slots, steps = PartitionSpec(self.mesh.axis_names), PartitionSpec(None, self.mesh.axis_names)
        outputs = slots, ChunkRecord(steps=steps, sizes=slots)
        step_chunk = _spread(_keeping_what_is_read(self._chunk), self.mesh, (slots, steps), outputs)
        return step_chunk.lower(batch, noise).compile()

    def _chunk(self, batch: Batch, noise: Array) -> tuple[Batch, ChunkRecord]:
        """Step every slot as many times as there is noise; rows after an episode's end are not alive."""
        # finite differences are the host's; the device still says what to differentiate, and the ctrl map's part
        step_and_differentiate = control_step.control_step(
            self.system, "implicit" if self.method == "fd" else self.method
        )

        def one(carry: tuple, drawn: Array) -> tuple[tuple, StepRecord]:
            state, taken, alive, sizes = carry
            action = self.policy.act(state.obs, drawn)
            step = step_and_differentiate(state, action)
            vector, next_vector = (transition.state_vector(self.system, at) for at in (state, step.state))
            finite = jnp.isfinite(vector).all() & jnp.isfinite(next_vector).all() & jnp.isfinite(step.state.reward)
            exact = control_step.compose(self.system, step.physics, step.ctrl)
            jacobian = to_storage(*exact, self.dtype)
            applies = step.physics.valid
            if self.method == "implicit":
                applies &= ~(step.physics.residual > self.tolerance)
            counts = alive & finite & jacobian.finite & applies & (self.method != "fd")
            done, cut = step.state.done > 0, taken + 1 >= self.steps
            record = StepRecord(
                alive=alive,
                state=vector,
                action=action,
                next_state=next_vector,
                reward=step.state.reward,
                done=done,
                truncated=cut & ~done,
                finite=finite,
                jacobian=jacobian,
                residual=step.physics.residual,
                applies=applies,
                observed=step.observed,
                physics_input=step.physics_input,
                ctrl=step.ctrl,
            )
            sizes = with_step(sizes, jacobian[:2], exact, counts)
            return (transition.cast_like(step.state, state), taken + 1, alive & ~done & ~cut, sizes), record

        def slots(carry: tuple, drawn: Array) -> tuple[tuple, StepRecord]:
            return jax.vmap(one)(carry, drawn)

        first = batch.state, batch.taken, batch.taken < self.steps, batch.sizes
        (state, taken, alive, sizes), records = jax.lax.scan(slots, first, noise)
        return Batch(state, jnp.where(alive, taken, self.steps), sizes), ChunkRecord(records, sizes)


type _Chunk = Callable[[Batch, Array], tuple[Batch, ChunkRecord]]


def _keeping_what_is_read(chunk: _Chunk) -> _Chunk:
    """``chunk``, which leaves alone whatever of the state no later step reads.

    Most of MJX's Data are results. A loop that carries them computes them all and writes them at every step: 16 kB in
    CheetahRun, of which the next step reads 0.6 (docs/jacobians.md).
    """

    def keeping(batch: Batch, noise: Array) -> tuple[Batch, ChunkRecord]:
        traced, like = jax.make_jaxpr(chunk, return_shape=True)(batch, noise)
        inputs, n_state = jax.tree.leaves((batch, noise)), len(jax.tree.leaves(batch.state))
        results = [number >= n_state for number in range(len(traced.jaxpr.outvars))]
        _, read = partial_eval.dce_jaxpr(traced.jaxpr, results)  # by these, in a loop at any step
        outputs = jaxpr_as_fun(traced)(*inputs)
        outputs[:n_state] = [
            new if is_read else old
            for new, old, is_read in zip(outputs[:n_state], inputs[:n_state], read[:n_state], strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(like), outputs)

    return keeping


def _spread(function: Callable, mesh: Mesh, inputs: Any, outputs: Any) -> Any:
    """Compiled to be done by every device for its share."""
    shares = jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)
    # Said again here, or leaves of no size come back on all devices, and everything has to be put anew.
    return jax.jit(shares, out_shardings=jax.tree.map(lambda spec: NamedSharding(mesh, spec), outputs))


class _Starts:
    """Initial states of the episodes wanted, in order; reset a batch at a time."""

    def __init__(self, rollout: Rollout) -> None:
        self._numbers = np.asarray(rollout.episodes)
        self._size = rollout.num_envs
        self._next = 0
        reset = transition.episode_start(rollout.system, rollout.seed)
        slots = PartitionSpec(rollout.mesh.axis_names)

        def put(batch: Batch, new: State, source: Array, chosen: Array) -> Batch:
            def leaf(old: Array, new: Array) -> Array:
                return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new[source], old)

            nothing = jax.tree.map(jnp.zeros_like, (batch.taken, batch.sizes))
            return jax.tree.map(leaf, batch, Batch(new, *nothing))

        rollout.report(Event(f"compiling the reset of {rollout.system.spec.name}"))
        self._reset = _spread(jax.vmap(reset), rollout.mesh, slots, slots)
        self._sharding = NamedSharding(rollout.mesh, slots)
        self._put = jax.jit(put, out_shardings=self._sharding)
        self._steps = rollout.steps
        n, d_state, d_action = self._size, rollout.system.spec.d_state, rollout.system.spec.d_action
        self._no_sizes = no_statistics(((n, d_state, d_state), (n, d_state, d_action)), rollout.dtype)

    def first_batch(self) -> Batch:
        """Of no episode yet."""
        self._states = self._reset(np.resize(self._numbers[: self._size], self._size))
        return self._batch(taken=self._steps)

    def _batch(self, taken: int) -> Batch:
        return Batch(self._states, *jax.device_put((np.full(self._size, taken), self._no_sizes), self._sharding))

    def place(self, batch: Batch, slots: list[int]) -> Batch:
        """Put the next initial states into these slots."""
        while slots:
            position = self._next % self._size
            if position == 0 and self._next > 0:
                numbers = self._numbers[self._next : self._next + self._size]
                self._states = self._reset(np.resize(numbers, self._size))
            now, slots = slots[: self._size - position], slots[self._size - position :]
            if len(now) == self._size:  # as in most runs, which spares a compilation
                batch = self._batch(taken=0)
            else:
                source, chosen = np.zeros(self._size, int), np.zeros(self._size, bool)
                source[now], chosen[now] = np.arange(position, position + len(now)), True
                batch = self._put(batch, self._states, source, chosen)
            self._next += len(now)
        return batch


def chunk_steps(steps: int, step_bytes: int) -> int:
    """How many steps to take between visits of the host: few idle at an episode's end, few visits, little memory.

    Args:
        steps: the length at which an episode is cut.
        step_bytes: what the matrices of one step of all slots take.
    """
    most = min(max(32, min(64, CHUNK_BYTES // step_bytes)), steps)
    return min(range(min(8, steps), most + 1), key=lambda k: (-(-steps // k) * k, -k))
