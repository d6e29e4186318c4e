"""The transition function x' = F(x, u) of one control step, taken from the environment itself.

No environment's step is written again here. Every Playground environment turns its action into ctrl and hands
that to ``mjx_env.step``, which alone runs the physics. While JAX traces an environment's own ``step``, that function
is replaced (:func:`~jacdb.ingest.compat.playground.intercept_physics`), so that jacdb sees every substep. Rewards,
terminations and the map from action to ctrl stay the environment's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco_playground import MjxEnv, State

from jacdb.ingest.compat.playground import Physics, intercept_physics
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.tangent_space import tangent_lift


def env_step(env: MjxEnv, state: State, action: Float[Array, " d_action"], physics: Physics) -> State:
    """Take the environment's own step with the given physics. ``state`` is not changed."""
    # Some environments write into the state's dictionaries: they get a copy.
    copy = jax.tree.map(lambda leaf: leaf, state)
    with intercept_physics(physics):
        return env.step(copy, action)


def cast_like[Tree](new: Tree, old: Tree) -> Tree:
    """Return ``new`` in the types of ``old``, for a scan's carry: in float64 MJX does not keep them all."""
    return jax.tree.map(lambda value, like: value.astype(like.dtype), new, old)


def memory(system: System, state: State) -> Float[Array, " d_memory"]:
    """Return the part of the state that the environment's own bookkeeping holds (:class:`registry.Memory`)."""
    return jnp.concatenate([jnp.zeros(0), *(state.info[m.entry][: m.size] for m in system.spec.memory)])


def carried(system: System, state: State) -> Float[Array, " d_carried"]:
    """Return the state beyond positions and velocities: ctrl where it is state, then memory."""
    kept = memory(system, state)
    return jnp.concatenate([state.data.ctrl, kept]) if system.spec.ctrl_is_state else kept


def _with_carried(system: System, state: State, values: Float[Array, " d_carried"]) -> State:
    """Return the state with these values carried; the inverse of :func:`carried`."""
    data, info = state.data, dict(state.info)
    if system.spec.ctrl_is_state:
        data, values = data.replace(ctrl=values[: system.spec.nu]), values[system.spec.nu :]
    for entry, size, _ in system.spec.memory:
        info[entry], values = info[entry].at[:size].set(values[:size]), values[size:]
    return state.replace(data=data, info=info)


def ctrl_map(system: System, state: State) -> Callable[..., Float[Array, " d_mapped"]]:
    """Return the environment's own map from action to ctrl, as a function of (dq, carried, action).

    dq is in tangent space. The function gives the ctrl that the environment hands to the physics and, after it, the
    next memory.
    """

    def mapped(dq: Float[Array, " nv"], values: Float[Array, " d_carried"], action: Array) -> Float[Array, " d_mapped"]:
        qpos = state.data.qpos + tangent_lift(system.mj_model, state.data.qpos) @ dq
        seen: list[Array] = []

        def look(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            seen.append(ctrl)
            return data

        start = _with_carried(system, state, values)
        after = env_step(system.env, start.replace(data=start.data.replace(qpos=qpos)), action, look)
        return jnp.concatenate([*seen, memory(system, after)])

    return mapped


def state_vector(system: System, state: State) -> Float[Array, " n"]:
    """Return the vector that is stored of a state: qpos, qvel, and what is carried."""
    return jnp.concatenate([state.data.qpos, state.data.qvel, carried(system, state)])


def restored(system: System, state: State, vector: Float[Array, " n"]) -> State:
    """Return the state with these numbers in it, the rest as it is; the inverse of :func:`state_vector`."""
    nq, nv = system.spec.nq, system.spec.nv
    data = state.data.replace(qpos=vector[:nq], qvel=vector[nq : nq + nv])
    return _with_carried(system, state.replace(data=data), vector[nq + nv :])


def episode_start(system: System) -> Callable[[Array | int, Array], State]:
    """Return the function of (seed, an episode's number) that gives its first state: it depends on these two alone."""

    def start(seed: Array | int, number: Array) -> State:
        state = system.env.reset(jax.random.fold_in(jax.random.key(seed), number))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), state)

    return start
