"""The chunk of a rollout: a program that takes some control steps of every slot, with the Jacobian of each.

It runs on the device; slots are spread over the devices, of which a CPU core is one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from mujoco_playground import State

from jacdb.ingest.compat.jax import as_function, inputs_read
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.environments import transition
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


type _Carry = tuple[State, Array, Array, EntryStatistics]  # with, third, whether the slot is in an episode
type _Chunk = Callable[[Batch, Array], tuple[Batch, ChunkRecord]]  # as traced
type StepChunk = Callable[[Batch, Float[Array | np.ndarray, "steps slots d_action"]], tuple[Batch, ChunkRecord]]


def compiled_chunk(settings: RolloutSettings, mesh: Mesh, chunk: int, batch: Batch) -> StepChunk:
    """Compile the program for chunks of ``chunk`` steps.

    Args:
        mesh: the devices that share the slots.
        batch: like those that the program will be given.
    """
    noise = np.zeros((chunk, settings.num_envs, settings.system.spec.d_action))
    slots, steps = PartitionSpec(mesh.axis_names), PartitionSpec(None, mesh.axis_names)
    outputs = slots, ChunkRecord(steps=steps, statistics=slots)  # type: ignore[arg-type]  # specs in leaves' places
    step_chunk = spread(_keeping_what_is_read(_step_chunk(settings)), mesh, (slots, steps), outputs)
    compiled: StepChunk = step_chunk.lower(batch, noise).compile()
    return compiled


def _step_chunk(settings: RolloutSettings) -> _Chunk:
    """Return the function that steps every slot as many times as there is noise.

    Records of steps after an episode's end are not in an episode.
    """
    system, method, policy = settings.system, settings.method, settings.policy
    # Finite differences are the host's; the device still records what to differentiate, and the ctrl map's Jacobian.
    step_and_differentiate = control_step.control_step(system, "implicit" if method == "fd" else method)

    def one(carry: _Carry, drawn: Array) -> tuple[_Carry, StepRecord]:
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
        done, cut = step.state.done > 0, n_steps + 1 >= settings.steps
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

    def slots(carry: _Carry, drawn: Array) -> tuple[_Carry, StepRecord]:
        stepped: tuple[_Carry, StepRecord] = jax.vmap(one)(carry, drawn)
        return stepped

    def _chunk(batch: Batch, noise: Array) -> tuple[Batch, ChunkRecord]:
        first = batch.state, batch.n_steps, batch.n_steps < settings.steps, batch.statistics
        (state, n_steps, in_episode, statistics), records = jax.lax.scan(slots, first, noise)
        return Batch(state, jnp.where(in_episode, n_steps, settings.steps), statistics), ChunkRecord(
            records, statistics
        )

    return _chunk


def _keeping_what_is_read(chunk: _Chunk) -> _Chunk:
    """Return ``chunk`` such that it leaves alone whatever of the state no later step reads.

    Most of MJX's Data are results. A loop that carries them computes them all and writes them at every step: 16 kB in
    CheetahRun, of which the next step reads 0.6 (docs/performance.md).
    """

    def keeping(batch: Batch, noise: Array) -> tuple[Batch, ChunkRecord]:
        traced, like = jax.make_jaxpr(chunk, return_shape=True)(batch, noise)
        inputs, n_state = jax.tree.leaves((batch, noise)), len(jax.tree.leaves(batch.state))
        results = [number >= n_state for number in range(len(traced.jaxpr.outvars))]
        read = inputs_read(traced, results)
        outputs = as_function(traced)(*inputs)
        outputs[:n_state] = [
            new if is_read else old
            for new, old, is_read in zip(outputs[:n_state], inputs[:n_state], read[:n_state], strict=True)
        ]
        kept: tuple[Batch, ChunkRecord] = jax.tree.unflatten(jax.tree.structure(like), outputs)
        return kept

    return keeping


def spread(function: Callable[..., Any], mesh: Mesh, inputs: Any, outputs: Any) -> Any:
    """Return the jitted function, each device computing its share of the slots.

    Args:
        inputs, outputs: PartitionSpecs of the function's arguments and results.
    """
    shares = jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)
    # Said again here, or leaves of no size come back on all devices, and everything has to be put anew.
    return jax.jit(shares, out_shardings=jax.tree.map(lambda spec: NamedSharding(mesh, spec), outputs))
