"""The chunk of a rollout: a program that takes some control steps of every slot, with the Jacobian of each.

It runs on the device. Where there are several, slots are spread over them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Lowered
from jaxtyping import Array, Float, Int
from mujoco_playground import State

from jacdb.ingest.compat.jax import as_function, without_unread
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.environments import transition
from jacdb.ingest.linalg import batched
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord, StepRecord, to_storage
from jacdb.ingest.recording.zero_bits import with_step
from jacdb.ingest.storage.zero_patterns import EntryStatistics


class Batch(NamedTuple):
    """The state that the device keeps of every slot from chunk to chunk.

    Attributes:
        state: the environments' states.
        n_steps: of every slot's episode so far; the most that it can have where it is over, or where there is none.
        statistics: of the entries of every slot's episode so far, over the steps where the run's method is valid.
    """

    state: State
    n_steps: Int[Array, " slots"]
    statistics: EntryStatistics


class _Turns(NamedTuple):
    """Turns so far: how many, the leaves that are carried on, and the records, whose leaves are (turns, slots, …)."""

    number: Int[Array, ""]
    carry: list[Array]
    records: list[Array]


type _Carry = tuple[State, Array, Array, EntryStatistics]  # with, third, whether the slot is in an episode
type _Chunk = Callable[[Batch, Array, Array], tuple[Batch, ChunkRecord]]  # as traced
type StepChunk = Callable[[Batch, Float[Array | np.ndarray, "steps slots d_action"]], tuple[Batch, ChunkRecord]]


def lowered_chunk(settings: RolloutSettings, mesh: Mesh, chunk: int, batch: Batch) -> Lowered:
    """Trace the program (batch, noise, steps) for chunks of ``chunk`` steps, of episodes that are cut after ``steps``.

    Args:
        mesh: the devices that share the slots.
        batch: shapes and types of those that the program will be given.
    """
    noise = np.zeros((chunk, len(batch.n_steps), settings.system.spec.d_action))
    slots, turns, whole = PartitionSpec(mesh.axis_names), PartitionSpec(None, mesh.axis_names), PartitionSpec()
    outputs = slots, ChunkRecord(steps=turns, statistics=slots)  # type: ignore[arg-type]  # specs in leaves' places
    program = spread(_step_chunk(settings), mesh, (slots, turns, whole), outputs)
    with batched.expecting(len(batch.n_steps) // mesh.size):
        return program.lower(batch, noise, np.int64(0))


def _step_chunk(settings: RolloutSettings) -> _Chunk:
    """Return the function that steps every slot as many times as there is noise, or until no episode is left.

    Records of steps after an episode's end are not in an episode.
    """
    system, method, policy = settings.system, settings.method, settings.policy
    # Finite differences are the host's; the device still records what to differentiate, and the ctrl map's Jacobian.
    step_and_differentiate = control_step.control_step(system, "implicit" if method == "fd" else method)

    def one(carry: _Carry, drawn: Array, steps: Array) -> tuple[_Carry, StepRecord]:
        state, n_steps, in_episode, statistics = carry
        action = policy.act(state.obs, drawn)
        step = step_and_differentiate(state, action)
        vector, next_vector = (transition.state_vector(system, at) for at in (state, step.state))
        finite = jnp.isfinite(vector).all() & jnp.isfinite(next_vector).all() & jnp.isfinite(step.state.reward)
        exact = control_step.compose(system, step.physics, step.ctrl)
        jacobian = to_storage(*exact, settings.dtype)
        valid = step.physics.valid
        if method == "implicit":
            valid &= ~(step.physics.residual > settings.tolerance)
        counts = in_episode & finite & jacobian.finite & valid & (method != "fd")
        done, cut = step.state.done > 0, n_steps + 1 >= steps
        record = StepRecord(
            in_episode=in_episode,
            state=vector,
            action=action,
            next_state=next_vector,
            reward=step.state.reward,
            done=done,
            truncated=cut & ~done,
            finite=finite,
            jacobian=jacobian,
            residual=step.physics.residual,
            valid=valid,
            observed=step.observed,
            physics_input=step.physics_input,
            ctrl=step.ctrl,
        )
        statistics = with_step(statistics, jacobian[:2], exact, counts)
        return (transition.cast_like(step.state, state), n_steps + 1, in_episode & ~done & ~cut, statistics), record

    def chunk(batch: Batch, noise: Array, steps: Array) -> tuple[Batch, ChunkRecord]:
        def turn(carry: _Carry, drawn: Array) -> tuple[_Carry, StepRecord]:
            stepped: tuple[_Carry, StepRecord] = jax.vmap(one, (0, 0, None))(carry, drawn, steps)
            return stepped

        first = batch.state, batch.n_steps, batch.n_steps < steps, batch.statistics
        (state, n_steps, in_episode, statistics), records = _turns(turn, first, noise)
        after = Batch(state, jnp.where(in_episode, n_steps, steps), statistics)
        return after, ChunkRecord(records, statistics)

    return chunk


def _turns(
    turn: Callable[[_Carry, Array], tuple[_Carry, StepRecord]], first: _Carry, noise: Array
) -> tuple[_Carry, StepRecord]:
    """Take turns for as long as there is noise and a slot in an episode; return the carry, and the turns' records.

    It is ``jax.lax.scan``, but for its early end, and for what of the state no later turn reads: that stays as it was.
    Most of MJX's Data are results. A loop that carries them computes them all and writes them at every step: 16 kB in
    CheetahRun, of which the next step reads 0.6 (docs/performance.md).
    """
    program, (_, record) = jax.make_jaxpr(turn, return_shape=True)(first, noise[0])
    start, like = jax.tree.leaves(first), jax.tree.leaves(record)
    carried = [number >= len(jax.tree.leaves(first[0])) for number in range(len(start))]  # of the state none as yet
    while True:
        step, read = without_unread(program, [*carried, *[True] * len(like)])
        reads_more = [was or is_read for was, is_read in zip(carried, read[:-1], strict=True)]
        if reads_more == carried:
            break
        carried = reads_more
    inputs = [number for number, is_read in enumerate(read[:-1]) if is_read]
    outputs = [number for number, is_carried in enumerate(carried) if is_carried]
    n_carried, in_episode = len(outputs), len(jax.tree.leaves(first[:2]))

    def goes_on(now: _Turns) -> Array:
        return (now.number < len(noise)) & now.carry[outputs.index(in_episode)].any()

    def go(now: _Turns) -> _Turns:
        at = dict(zip(outputs, now.carry, strict=True))
        drawn = [noise[now.number]] if read[-1] else []
        stepped = as_function(step)(*(at.get(number, start[number]) for number in inputs), *drawn)
        records = [
            jax.lax.dynamic_update_index_in_dim(leaf, new, now.number, 0)
            for leaf, new in zip(now.records, stepped[n_carried:], strict=True)
        ]
        return _Turns(now.number + 1, stepped[:n_carried], records)

    none = [jnp.zeros((len(noise), *leaf.shape), leaf.dtype) for leaf in like]
    end = jax.lax.while_loop(goes_on, go, _Turns(jnp.int64(0), [start[number] for number in outputs], none))
    for number, leaf in zip(outputs, end.carry, strict=True):
        start[number] = leaf
    carry: _Carry = jax.tree.unflatten(jax.tree.structure(first), start)
    records: StepRecord = jax.tree.unflatten(jax.tree.structure(record), end.records)
    return carry, records


def spread(function: Callable[..., Any], mesh: Mesh, inputs: Any, outputs: Any) -> Any:
    """Return the jitted function, each device computing its share of the slots.

    Args:
        inputs, outputs: PartitionSpecs of the function's arguments and results.
    """
    shares = jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)

    # Said again here, or leaves of no size come back on all devices, and everything has to be put anew.
    def placed(specs: Any) -> Any:
        return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)

    return jax.jit(shares, in_shardings=placed(inputs), out_shardings=placed(outputs))
