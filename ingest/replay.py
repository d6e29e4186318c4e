"""Stored steps, taken again: by the environment's own step and MJX's own code, from the seeded reset on.

A step reads more than state and action: the acceleration that the solver starts from (qacc_warmstart), draws, the
environment's counters. That is not stored. It follows from the seed and the actions, so an episode is replayed from its
reset: before every step positions, velocities and what is carried are set to the stored numbers, so that no deviation
grows; the rest goes on from the replay's own step before. What is left of a deviation is one step's rounding, however
chaotic the motion.

Of the steps that are looked at closely, MuJoCo's C engine takes the same, from the same hidden state, and both engines'
steps are differenced along every axis of state and action: the oracle of the stored Jacobians.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest import dynamics, oracle, runtime
from jacdb.ingest.dynamics import System
from jacdb.ingest.jacobians import PhysicsInput

SLOTS = 16  # states stepped at once: episodes side by side, or the two sides of eight differences
WIDTHS = (1e-6, 2e-7)  # half the differences' widths, in the units of the axes


class Taken(NamedTuple):
    """A step of the environment: the state after it, what its physics started from, and its stored form."""

    state: Any
    physics_input: PhysicsInput
    vector: Any


@dataclass
class Replay:
    """An environment, compiled to take stored steps again."""

    system: System
    seed: int
    _step: Callable = field(init=False, repr=False)
    _reset: Callable = field(init=False, repr=False)

    def __post_init__(self) -> None:
        start = dynamics.episode_start(self.system, self.seed)
        numbers = np.zeros(SLOTS, int)
        self._reset = runtime.compiled_quickly(jax.vmap(start), numbers)
        state = self._reset(numbers)
        vector = np.zeros((SLOTS, self.system.spec.nq + self.system.spec.nv + self.system.spec.d_carried))
        action = np.zeros((SLOTS, self.system.spec.d_action))
        import os

        self._step = (
            runtime.compiled_quickly(jax.vmap(self._taken), state, vector, action)
            if os.environ.get("Q")
            else jax.jit(jax.vmap(self._taken)).lower(state, vector, action).compile()
        )

    def _taken(self, state: State, vector: Array, action: Array) -> Taken:
        seen: list[PhysicsInput] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = data.replace(ctrl=ctrl)
            seen.append(PhysicsInput(*(getattr(start, name) for name in PhysicsInput._fields)))

            def one(now: mjx.Data, _: None) -> tuple[mjx.Data, None]:
                return dynamics.typed_like(mjx.step(model, now), now), None

            return jax.lax.scan(one, start, None, n_substeps)[0]

        start = dynamics.restored(self.system, state, vector)
        after = dynamics.env_step(self.system.env, start, action, physics)
        return Taken(dynamics.typed_like(after, state), seen[0], dynamics.state_vector(self.system, after))
