"""Replay stored steps from their episode's seeded reset, by the environment's own step and MJX's own code alone.

A step reads more than state and action: the acceleration that the solver starts from (qacc_warmstart), draws, the
environment's counters. They are not stored; they follow from the seed and the actions. So an episode is replayed from
its reset on: before every step positions, velocities and what is carried are set to the stored numbers, and the rest
goes on from the replay's own step before. A deviation is then one step's, however chaotic the motion, and rounding is
all that is left of it: 1e-13 even where MJX's solver stops early (WalkerRun), for both stop at the same iteration.

Where a solver stops by its tolerance, a rounding may decide whether it takes one iteration more. Such steps deviate by
what the tolerance is worth (1e-10 in FingerSpin, 1e-6 in one of 300 steps of SwimmerSwimmer6). Three ways to be right
are therefore allowed, in this order: MJX's own step is the stored one to SAME_STEP; MuJoCo's C engine takes it to
SAME_STEP from the same hidden state; MJX's own step moves about as far when its input is moved by a few roundings.

The stored Jacobian of drawn steps is compared with centred differences of the environment's whole step, along every
axis of state and action, in both engines. In MJX its physics is the environment's own; in C it starts from what the
environment handed to its physics.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Int
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import finite_differences
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System
from jacdb.ingest.replay.quotients import DifferenceQuotient, jacobian_error
from jacdb.verification.samples import EpisodePrefix

SLOTS = 16  # states stepped at once: episodes side by side, or the sides of eight differences
WIDTHS = (1e-6, 2e-7)  # half the differences' widths, in the units of the axes
SAME_STEP = 1e-9  # relative: two engines took the same step
SAME_IN_C = 1e-7  # relative: C's derivative says something of MJX's (benchmarks/environments.py)
ROUNDINGS = 10.0  # a deviation within so many times what roundings of the input cause is rounding's


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


class Reset(NamedTuple):
    """The first state of an episode, compared with the one that the seed gives.

    Attributes:
        deviation: norm of the difference over the norm of the stored state, at least 1.
    """

    prefix: EpisodePrefix
    deviation: float


class StepReplay(NamedTuple):
    """A stored step, compared with the replayed one.

    Attributes:
        deviation: of MJX's next state: norm of the difference over the norm of the stored one, at least 1.
        explanation: empty where the step is the same; else why the deviation is not the data's; None where nothing
            explains it.
    """

    prefix: EpisodePrefix
    step: int
    deviation: float
    explanation: str | None


class JacobianCheck(NamedTuple):
    """A drawn step and its stored Jacobian, compared with both engines.

    Attributes:
        confirmed: whether the stored step is MJX's, or its deviation is explained.
        c_deviation: of the C engine's next state from the stored one.
        error: of the stored Jacobian from the best of the difference quotients, norm over norm.
        n_jumps: how many axes have no derivative along them, and were left out.
    """

    prefix: EpisodePrefix
    step: int
    confirmed: bool
    c_deviation: float
    error: float
    n_jumps: int


class Replayer:
    """An environment, compiled to replay stored steps.

    Args:
        system: the environment.
        seed: of the run's resets.
    """

    @runtime.without_collector()
    def __init__(self, system: System, seed: int) -> None:
        spec, numbers = system.spec, np.zeros(SLOTS, int)
        self._system = system
        self._scratch = mujoco.MjData(system.mj_model)
        self._reset: Callable[[Int[np.ndarray, " slots"]], State] = runtime.compiled_quickly(
            jax.vmap(functools.partial(transition.episode_start(system), seed)), numbers
        )
        vectors, actions = np.zeros((SLOTS, spec.nq + spec.nv + spec.d_carried)), np.zeros((SLOTS, spec.d_action))
        self._step: Callable[[State, np.ndarray, np.ndarray], ReplayedStep] = runtime.compiled_quickly(
            jax.vmap(self._replayed_step), self._reset(numbers), vectors, actions
        )

    def replay(self, prefixes: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        """Replay episodes, SLOTS of them at a time, and yield a comparison of every reset and step on the way.

        Drawn steps are followed by a check of their Jacobian.
        """
        for first in range(0, len(prefixes), SLOTS):
            yield from self._side_by_side(prefixes[first : first + SLOTS])

    def _side_by_side(self, prefixes: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        slots = [prefixes[slot % len(prefixes)] for slot in range(SLOTS)]
        before = self._reset(np.array([prefix.number for prefix in slots]))
        for prefix, vector in zip(prefixes, np.asarray(self._state_vectors(before)), strict=False):
            yield Reset(prefix, state_deviation(vector, prefix.state[0]))
        for step in range(max(len(prefix.state) for prefix in prefixes)):
            # an episode that is through repeats its last step, and is not compared
            rows = [min(step, len(prefix.state) - 1) for prefix in slots]
            vectors = np.stack([prefix.state[row] for prefix, row in zip(slots, rows, strict=True)])
            actions = np.stack([prefix.action[row] for prefix, row in zip(slots, rows, strict=True)])
            replayed = self._step(before, vectors, actions)
            after = np.asarray(replayed.vector)
            for slot, prefix in enumerate(prefixes):
                if step < len(prefix.state) and prefix.finite[step]:
                    yield from self._compare(prefix, step, before, slot, replayed.physics_input, after[slot])
            before = replayed.state

    def _compare(
        self, prefix: EpisodePrefix, step: int, before: State, slot: int, starts: PhysicsInput, after: np.ndarray
    ) -> Iterator[StepReplay | JacobianCheck]:
        """Compare a stored step with the replayed one and, if it is drawn, check its Jacobian.

        Args:
            before: the states before the step, of all slots.
            starts: what their physics started from.
            after: the replayed next state.
        """
        deviation = state_deviation(after, prefix.next_state[step])
        explanation: str | None = ""
        if not deviation <= SAME_STEP:
            explanation = self._explanation(_repeated(before, slot), prefix, step, starts.sample(slot), deviation)
        yield StepReplay(prefix, step, deviation, explanation)
        if step in prefix.drawn:
            confirmed = explanation is not None
            yield self._check_jacobian(prefix, step, _repeated(before, slot), starts.sample(slot), confirmed)

    def _explanation(
        self, before: State, prefix: EpisodePrefix, step: int, start: PhysicsInput, deviation: float
    ) -> str | None:
        """Return why a deviation is not the data's; None where nothing explains it."""
        if self._c_deviation(start, prefix.next_state[step]) <= SAME_STEP:
            return "C takes the stored step"
        noise = np.random.default_rng(0).standard_normal((SLOTS, prefix.state.shape[1]))
        noise[0] = 0
        moved = prefix.state[step] * (1 + 4 * np.finfo(float).eps * noise)
        ends = np.asarray(self._step(before, moved, np.tile(prefix.action[step], (SLOTS, 1))).vector)
        from_roundings = max(state_deviation(end, ends[0]) for end in ends[1:])
        return "as far as roundings of the state move it" if deviation <= ROUNDINGS * from_roundings else None

    def _c_step(self, start: PhysicsInput) -> Float[np.ndarray, " n_moving"]:
        """Return qpos and qvel after the C engine's step."""
        return np.concatenate(finite_differences.replay(self._system, start, self._scratch))

    def _c_deviation(self, start: PhysicsInput, next_state: np.ndarray) -> float:
        after = self._c_step(start)
        return state_deviation(after, next_state[: len(after)])

    # --- Jacobians ------------------------------------------------------------------------------------------

    def _check_jacobian(
        self, prefix: EpisodePrefix, step: int, before: State, start: PhysicsInput, confirmed: bool
    ) -> JacobianCheck:
        place = prefix.drawn.index(step)
        c_deviation = self._c_deviation(start, prefix.next_state[step])
        wide, narrow = (self._quotients(prefix, step, before, width) for width in WIDTHS)
        one_sided = prefix.methods[place] == "fd"
        engines = 2 if c_deviation <= SAME_IN_C else 1
        error, n_jumps = min(
            jacobian_error(prefix.jacobians[place], wide[engine], narrow[engine], one_sided)
            for engine in range(engines)
        )
        return JacobianCheck(prefix, step, confirmed, c_deviation, error, n_jumps)

    def _quotients(
        self, prefix: EpisodePrefix, step: int, before: State, width: float
    ) -> tuple[DifferenceQuotient, DifferenceQuotient]:
        """Return the centred difference quotients of a step in MJX, and in C."""
        model, d_state = self._system.mj_model, self._system.spec.d_state
        axes = np.eye(d_state + self._system.spec.d_action)
        offsets = width * np.concatenate([axes, -axes, np.zeros_like(axes[:1])])
        state = prefix.state[step]
        vectors = np.stack([finite_differences.displaced(model, state, offset[:d_state]) for offset in offsets])
        actions = prefix.action[step] + offsets[:, d_state:]
        ends, c_ends = [], []
        for first in range(0, len(offsets), SLOTS):
            rows = np.minimum(np.arange(first, first + SLOTS), len(offsets) - 1)
            replayed = self._step(before, vectors[rows], actions[rows])
            after = np.asarray(replayed.vector)[: len(offsets) - first]
            starts = jax.tree.map(np.asarray, replayed.physics_input)
            c_after = np.stack([self._c_step(starts.sample(slot)) for slot in range(len(after))])
            ends.append(after)
            c_ends.append(np.concatenate([c_after, after[:, c_after.shape[1] :]], axis=1))
        mjx_ends, c_engine_ends = np.concatenate(ends), np.concatenate(c_ends)
        return DifferenceQuotient.of(model, mjx_ends, width), DifferenceQuotient.of(model, c_engine_ends, width)

    # --- on the device --------------------------------------------------------------------------------------

    def _state_vectors(self, states: State) -> Float[Array, "slots n_state"]:
        vectors: Array = jax.vmap(lambda state: transition.state_vector(self._system, state))(states)
        return vectors

    def _replayed_step(
        self, before: State, vector: Float[Array, " n_state"], action: Float[Array, " d_action"]
    ) -> ReplayedStep:
        """Take the environment's own step from the stored numbers, its physics MJX's own: no solver of jacdb's."""
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


def state_deviation(found: np.ndarray, stored: np.ndarray) -> float:
    """Return how far a state is from the stored one: the difference's norm over that of the stored one, at least 1."""
    return float(np.linalg.norm(found - stored) / max(1.0, float(np.linalg.norm(stored))))


@jax.jit
def _repeated(states: State, slot: Array) -> State:
    """Return one slot's state in all slots."""
    repeated: State = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[slot], leaf.shape), states)
    return repeated
