"""The environment's own step from stored numbers, compiled: by MJX's own code alone, with no solver of jacdb's.

Two programs are made of one step. XLA orders sums otherwise in each, and where MJX has to choose between equals - which
points of two boxes' contact to keep, whether to take one iteration more - a rounding decides: of a cube between two
fingers they may take steps a tenth of the state apart. Both are MJX's.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest import runtime
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System

SLOTS = 16  # states stepped at once: episodes side by side, or the sides of eight differences


class ReplayedStep(NamedTuple):
    """Steps that the environment took, one a slot.

    Attributes:
        state: after the step.
        physics_input: what the physics started from.
        vector: what is stored of ``state``.
    """

    state: State
    physics_input: PhysicsInput
    vector: Float[Array, "slots n_state"]


type StepProgram = Callable[[State, np.ndarray, np.ndarray], ReplayedStep]


class StepPrograms:
    """An environment's reset and step.

    Args:
        system: the environment.
        seed: of the run's resets.
    """

    def __init__(self, system: System, seed: int) -> None:
        spec, numbers = system.spec, np.zeros(SLOTS, int)
        self._system = system
        self._reset: Callable[[Int[np.ndarray, " slots"]], State] = runtime.compiled_quickly(
            jax.vmap(functools.partial(transition.episode_start(system), seed)), numbers
        )
        vectors, actions = np.zeros((SLOTS, spec.nq + spec.nv + spec.d_carried)), np.zeros((SLOTS, spec.d_action))
        self._like = self._reset(numbers), vectors, actions
        self._quick: StepProgram = runtime.compiled_quickly(jax.vmap(self._replayed_step), *self._like)

    def quick(self, before: State, vectors: np.ndarray, actions: np.ndarray) -> ReplayedStep:
        """Take steps by the program that is compiled quickly."""
        return self._quick(before, vectors, actions)

    def thorough(self, before: State, vectors: np.ndarray, actions: np.ndarray) -> ReplayedStep:
        """Take the same steps by a program that is compiled as ingest's are, which takes four times as long to make."""
        return self._thorough(before, vectors, actions)

    @functools.cached_property
    def _thorough(self) -> StepProgram:
        compiled: StepProgram = jax.jit(jax.vmap(self._replayed_step)).lower(*self._like).compile()
        return compiled

    def first_states(self, numbers: Int[np.ndarray, " slots"]) -> tuple[State, Float[np.ndarray, "slots n_state"]]:
        """Return the states in which episodes of these numbers begin, and what is stored of them."""
        states = self._reset(numbers)
        return states, np.asarray(jax.vmap(lambda state: transition.state_vector(self._system, state))(states))

    def _replayed_step(
        self, before: State, vector: Float[Array, " n_state"], action: Float[Array, " d_action"]
    ) -> ReplayedStep:
        """Take a step from the stored numbers."""
        physics_inputs: list[PhysicsInput] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = data.replace(ctrl=ctrl)
            physics_inputs.append(PhysicsInput.read(start))

            def substep(now: mjx.Data, _: None) -> tuple[mjx.Data, None]:
                return transition.cast_like(mjx.step(model, now), now), None

            return jax.lax.scan(substep, start, None, n_substeps)[0]

        start = transition.restored(self._system, before, vector)
        after = transition.env_step(self._system.env, start, action, physics)
        next_vector = transition.state_vector(self._system, after)
        return ReplayedStep(transition.cast_like(after, before), physics_inputs[0], next_vector)


@jax.jit
def repeated(states: State, slot: Array) -> State:
    """Return one slot's state in all slots."""
    copied: State = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[slot], leaf.shape), states)
    return copied


@jax.jit
def put(states: State, slot: Array, others: State, of: Array) -> State:
    """Return states, one slot of them from that of others."""
    joined: State = jax.tree.map(lambda leaf, other: leaf.at[slot].set(other[of]), states, others)
    return joined
