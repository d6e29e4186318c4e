"""Roll out many episodes side by side on the device, with the Jacobian of every step, in chunks of steps.

Each slot of the batch steps one episode. A chunk is one compiled scan; between chunks the host takes the rows out,
and slots whose episode is over get the next one. An episode depends on (seed, its number) alone, never on its
neighbours, and no row joins two.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array
from mujoco_playground import State

from jacdb.ingest import constraints, dynamics, jacobians, oracle, patterns, runtime
from jacdb.ingest.dynamics import System
from jacdb.ingest.environments import Method
from jacdb.ingest.episodes import Columns, Episode
from jacdb.ingest.jacobians import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.patterns import Patterns, Sizes, ZeroBits
from jacdb.ingest.policies import Policy
from jacdb.ingest.solver import RESIDUAL_TOLERANCE
from jacdb.progress import Event

RECOMPUTE_BATCH = 16  # steps differentiated again at once; autodiff holds a tangent per axis of each
# By which methods, in turn, to differentiate the steps that a method does not cover
INSTEAD: dict[Method, tuple[OnDevice, ...]] = {"implicit": ("unrolled", "autodiff"), "unrolled": ("autodiff",)}


class Batch(NamedTuple):
    """What the device keeps of every slot from chunk to chunk."""

    state: Any
    taken: Any  # steps of its episode; of one that is over, or where there is none, as many as an episode can have


class StoredJacobian(NamedTuple):
    """A step's matrices as they are stored, rounded, and where they were zero before."""

    j_state: Any
    j_action: Any
    finite: Any  # whether every entry is a number
    zeros: ZeroBits
    below_state: Any  # how many entries are, by threshold
    below_action: Any


class StepRecord(NamedTuple):
    """What the device hands to the host, for every step of every slot."""

    alive: Any  # whether the row belongs to an episode
    state: Any
    action: Any
    next_state: Any
    reward: Any
    done: Any
    truncated: Any
    jacobian: "StoredJacobian"
    residual: Any
    covered: Any  # whether the method applies to the step
    observed: constraints.Observation
    physics_input: PhysicsInput
    ctrl: CtrlJacobian


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
    _compiled: dict[OnDevice, Callable] = field(default_factory=dict, init=False, repr=False)
    _held: tuple = field(default=(), init=False, repr=False)

    def run(self) -> Iterator[list[Episode]]:
        """Finished episodes, those of a chunk together. The host takes its rows out while the device steps the next.

        Cores that are devices share no chunk's end but the last: each begins the next chunk when it has done this one,
        which is there before its results are asked for. The price is a chunk in which the slot of an episode that ended
        before its time is idle; where one did, chunks are waited for.
        """
        chunk = chunk_steps(self.steps)
        waiting = deque(self.episodes)
        slots: dict[int, Episode] = {}
        taken = np.zeros(self.num_envs, int)  # where no episode ended before its time
        noise = [np.zeros((0, self.system.spec.d_action))] * self.num_envs
        starts = _Starts(self)
        batch = starts.first_batch()
        step_chunk, sharding = self._compile(chunk, batch)
        self._held = starts, step_chunk  # to free compiled code takes 0.1 s: the caller says when
        progress = _Count(len(self.episodes) * self.steps)
        behind: tuple[StepRecord, dict[int, Episode]] | None = None
        waits = False

        while waiting or slots:
            free = [slot for slot in range(self.num_envs) if slot not in slots][: len(waiting)]
            batch = jax.device_put(starts.place(batch, free), sharding) if free else batch
            for slot in free:
                slots[slot] = Episode(waiting.popleft())
                noise[slot] = self._noise(slots[slot].number)
                taken[slot] = 0
            drawn = [_window(noise[slot], int(taken[slot]), chunk) for slot in range(self.num_envs)]
            batch, record = step_chunk(batch, np.stack(drawn, axis=1))
            if behind:
                yield self._finished(*behind, progress)
                self._report(progress)  # now: who interrupts it has these episodes
                early = [slot for slot, episode in slots.items() if episode.is_over]
                waits |= bool(early)
                for slot in early:
                    del slots[slot]
            behind = record, dict(slots)
            taken += chunk
            ended = taken >= self.steps
            if waits:
                ended |= (np.asarray(record.alive) & np.asarray(record.done)).any(axis=0)
            slots = {slot: episode for slot, episode in slots.items() if not ended[slot]}
        if behind:
            yield self._finished(*behind, progress)
            self._report(progress)

    def _finished(self, record: StepRecord, slots: dict[int, Episode], progress: "_Count") -> list[Episode]:
        """Add a chunk's rows to their episodes, and give those that are over."""
        over = []
        for first_slot, share in _by_device(record):
            for slot, columns, occurring, sizes in self._rows(share):
                episode = slots[first_slot + slot]
                episode.append(columns, occurring, sizes)
                progress.done += len(columns["done"])
                if episode.is_over:
                    progress.total -= self.steps - episode.n_steps  # it may end before its time
                    over.append(episode)
        return over

    def _report(self, progress: "_Count") -> None:
        self.report(Event(f"rolling out {self.system.spec.name}", progress.done, progress.total))

    @functools.cached_property
    def _recorder(self) -> constraints.Recorder:
        return constraints.Recorder(self.system.mj_model)

    def _noise(self, episode: int) -> np.ndarray:
        return self.policy.noise(self.seed, episode, self.steps, self.system.spec.d_action)

    # --- on the device --------------------------------------------------------------------------------------

    def _compile(self, chunk: int, batch: Batch) -> tuple[Callable[..., tuple[Batch, StepRecord]], NamedSharding]:
        """The compiled chunk, its slots spread over the devices, and where it wants the batch."""
        noise = np.zeros((chunk, self.num_envs, self.system.spec.d_action))
        self.report(Event(f"compiling {self.system.spec.name}"))
        mesh = runtime.mesh(self.num_envs)
        slots, steps_of_slots = PartitionSpec(mesh.axis_names), PartitionSpec(None, mesh.axis_names)
        specs = slots, steps_of_slots
        spread = jax.shard_map(self._chunk, mesh=mesh, in_specs=specs, out_specs=specs, check_vma=False)
        sharding = NamedSharding(mesh, slots)
        # Said again here, or leaves of no size come back on all devices, and everything has to be put anew.
        step_chunk = jax.jit(spread, out_shardings=tuple(NamedSharding(mesh, spec) for spec in specs))
        return step_chunk.lower(jax.device_put(batch, sharding), noise).compile(), sharding

    def _chunk(self, batch: Batch, noise: Array) -> tuple[Batch, StepRecord]:
        """Step every slot as many times as there is noise; rows after an episode's end are not alive."""
        # finite differences are the host's; the device still says what to differentiate, and the ctrl map's part
        control_step = jacobians.control_step(self.system, "implicit" if self.method == "fd" else self.method)

        def one(carry: tuple, drawn: Array) -> tuple[tuple, StepRecord]:
            state, taken, alive = carry
            action = self.policy.act(state.obs, drawn)
            step = control_step(state, action)
            done, cut = step.state.done > 0, taken + 1 >= self.steps
            record = StepRecord(
                alive=alive,
                state=dynamics.state_vector(self.system, state),
                action=action,
                next_state=dynamics.state_vector(self.system, step.state),
                reward=step.state.reward,
                done=done,
                truncated=cut & ~done,
                jacobian=self._stored(*jacobians.compose(self.system, step.physics, step.ctrl)),
                residual=step.physics.residual,
                covered=step.physics.covered,
                observed=step.observed,
                physics_input=step.physics_input,
                ctrl=step.ctrl,
            )
            return (dynamics.typed_like(step.state, state), taken + 1, alive & ~done & ~cut), record

        def slots(carry: tuple, drawn: Array) -> tuple[tuple, StepRecord]:
            return jax.vmap(one)(carry, drawn)

        first = batch.state, batch.taken, batch.taken < self.steps
        (state, taken, alive), records = jax.lax.scan(slots, first, noise)
        return Batch(state, jnp.where(alive, taken, self.steps)), records

    def _stored(self, j_state: Array, j_action: Array) -> StoredJacobian:
        """Rounded on the device, zeros told apart before: that halves what the host has to take over."""
        zeros = patterns.zero_bits(j_state, j_action)
        below = patterns.below(j_state), patterns.below(j_action)
        rounded = j_state.astype(self.dtype), j_action.astype(self.dtype)
        finite = jnp.isfinite(rounded[0]).all() & jnp.isfinite(rounded[1]).all()
        return StoredJacobian(*rounded, finite, zeros, *below)

    def _differentiate_again(self, method: OnDevice) -> Callable[..., tuple[StoredJacobian, Array]]:
        """For RECOMPUTE_BATCH recorded steps; compiled when the first is needed."""
        if method in self._compiled:
            return self._compiled[method]
        self.report(Event(f"compiling {method}, for steps whose constraint solver stopped early"))
        differentiate = jacobians.physics_jacobian(self.system, method)

        def again(start: PhysicsInput, ctrl: CtrlJacobian) -> tuple[StoredJacobian, Array]:
            physics = differentiate(start)
            return self._stored(*jacobians.compose(self.system, physics, ctrl)), jnp.asarray(physics.covered)

        self._compiled[method] = jax.jit(jax.vmap(again))
        return self._compiled[method]

    # --- on the host ----------------------------------------------------------------------------------------

    def _rows(self, record: StepRecord) -> Iterator[tuple[int, Columns, Patterns, Sizes]]:
        """The rows of a chunk, slot by slot. Leaves of the record are (steps, slots, …)."""
        slot_of_row, step_of_row = np.nonzero(record.alive.T)
        place = step_of_row * record.alive.shape[1] + slot_of_row

        def taken(what: Any, rows: np.ndarray) -> Any:
            return jax.tree.map(
                lambda leaf: leaf.reshape(record.alive.size, *leaf.shape[2:]).take(place[rows], axis=0), what
            )

        inputs = record.physics_input, record.ctrl
        for_later: Any = None  # few rows are differentiated again
        flat = taken(record._replace(physics_input=for_later, ctrl=for_later), np.arange(len(place)))
        (j_state, j_action, finite, zeros, *below), method = self._jacobians(flat, lambda rows: taken(inputs, rows))

        finite = finite & np.isfinite(flat.reward)
        for values in (flat.state, flat.next_state):
            finite &= np.isfinite(values).all(axis=1)
        pattern_id, occurring = patterns.identify(zeros, j_state.shape[2], j_action.shape[2])

        def where_finite(values: np.ndarray) -> pa.Array:
            return pa.array(values, mask=~finite)

        columns: Columns = {
            "state": flat.state,
            "action": flat.action,
            "next_state": flat.next_state,
            "reward": flat.reward.astype(np.float64),
            "done": flat.done,
            "truncated": flat.truncated,
            "j_state": j_state,
            "j_action": j_action,
            "pattern_id": where_finite(pattern_id),
            "n_zero_state": where_finite(patterns.count(zeros.state)),
            "n_zero_action": where_finite(patterns.count(zeros.action)),
            **self._recorder.columns(flat.observed),
            "residual": flat.residual,
            "method": method,
            "finite": finite,
        }
        starts = np.flatnonzero(np.diff(slot_of_row, prepend=-1))
        sizes = patterns.sizes((j_state, j_action), (below[0], below[1]), finite & (method != "fd"), starts)
        for (start, end), size in zip(itertools.pairwise([*starts, len(slot_of_row)]), sizes, strict=True):
            own = {name: values[start:end] for name, values in columns.items()}
            yield int(slot_of_row[start]), own, occurring, size

    def _jacobians(
        self, flat: StepRecord, inputs: Callable[[np.ndarray], tuple[PhysicsInput, CtrlJacobian]]
    ) -> tuple[StoredJacobian, np.ndarray]:
        """Every row's, and by which method: by another than the run's own where that one does not do."""
        method = np.full(len(flat.done), self.method, dtype="U8")
        if self.method == "fd":
            return self._finite_differences(*inputs(np.arange(len(method)))), method
        wanting = ~flat.covered
        if self.method == "implicit":
            wanting |= flat.residual > self.tolerance
        rows = np.flatnonzero(wanting)
        for instead in INSTEAD.get(self.method, ()):
            if len(rows):
                again, covered = self._differentiated_again(instead, inputs(rows), len(rows))
                for kept, new in zip(jax.tree.leaves(flat.jacobian), jax.tree.leaves(again), strict=True):
                    kept[rows] = new
                method[rows] = instead
                rows = rows[~covered]
        return flat.jacobian, method

    def _differentiated_again(self, method: OnDevice, inputs: tuple, count: int) -> tuple[StoredJacobian, np.ndarray]:
        """Jacobians of so many steps, in batches of one size, and whether the method covers each."""
        batches = []
        for first in range(0, count, RECOMPUTE_BATCH):
            some = np.minimum(np.arange(first, first + RECOMPUTE_BATCH), count - 1)
            batch = jax.tree.map(lambda leaf, some=some: leaf[some], inputs)
            batches.append(self._differentiate_again(method)(*batch))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *batches)

    def _finite_differences(self, inputs: PhysicsInput, ctrls: CtrlJacobian) -> StoredJacobian:
        """MuJoCo's C engine, row by row, under the environment's own map to ctrl."""

        def difference(row: int) -> tuple[Array, Array]:
            start, ctrl = jax.tree.map(lambda leaf: leaf[row], (inputs, ctrls))
            return jacobians.compose(self.system, oracle.finite_difference(self.system, start), ctrl)

        matrices = [difference(row) for row in range(len(inputs.qpos))]
        stored = jax.jit(jax.vmap(self._stored))(*(np.stack(parts) for parts in zip(*matrices, strict=True)))
        return jax.tree.map(np.asarray, stored)


def _by_device(record: StepRecord) -> Iterator[tuple[int, StepRecord]]:
    """Each device's share with the first of its slots, if it has a row: on CPU devices views, and nothing is copied."""
    leaves, structure = jax.tree.flatten(record)
    for shards in zip(*(leaf.addressable_shards for leaf in leaves), strict=True):
        share: StepRecord = jax.tree.unflatten(structure, [np.asarray(shard.data) for shard in shards])
        if share.alive.any():
            yield shards[0].index[1].start or 0, share


class _Starts:
    """Initial states of the episodes wanted, in order; reset a batch at a time."""

    def __init__(self, rollout: Rollout) -> None:
        self._numbers = np.asarray(rollout.episodes)
        self._size = rollout.num_envs
        self._next = 0
        reset = dynamics.episode_start(rollout.system, rollout.seed)

        def put(batch: Batch, new: State, source: Array, chosen: Array) -> Batch:
            def leaf(old: Array, new: Array) -> Array:
                return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new[source], old)

            return jax.tree.map(leaf, batch, Batch(new, jnp.zeros_like(batch.taken)))

        rollout.report(Event(f"compiling the reset of {rollout.system.spec.name}"))
        self._reset, self._put = jax.jit(jax.vmap(reset)), jax.jit(put)
        self._none = np.full(self._size, rollout.steps)

    def first_batch(self) -> Batch:
        """Of no episode yet."""
        self._states = self._reset(np.resize(self._numbers[: self._size], self._size))
        return Batch(self._states, self._none)

    def place(self, batch: Batch, slots: list[int]) -> Batch:
        """Put the next initial states into these slots."""
        while slots:
            position = self._next % self._size
            if position == 0 and self._next > 0:
                numbers = self._numbers[self._next : self._next + self._size]
                self._states = self._reset(np.resize(numbers, self._size))
            now, slots = slots[: self._size - position], slots[self._size - position :]
            source, chosen = np.zeros(self._size, int), np.zeros(self._size, bool)
            source[now], chosen[now] = np.arange(position, position + len(now)), True
            batch = self._put(batch, self._states, source, chosen)
            self._next += len(now)
        return batch


def chunk_steps(steps: int) -> int:
    """How many steps to take between visits of the host: few idle at an episode's end, few visits."""
    return min(range(min(8, steps), min(32, steps) + 1), key=lambda k: (-(-steps // k) * k, -k))


def _window(noise: np.ndarray, first: int, length: int) -> np.ndarray:
    """``length`` rows from ``first`` on, zeros where there are no more."""
    window = np.zeros((length, noise.shape[1]))
    rows = noise[first : first + length]
    window[: len(rows)] = rows
    return window
