"""Stored steps, taken again from their episode's seeded reset: by the environment's own step and MJX's own code alone.

A step reads more than state and action: the acceleration that the solver starts from (qacc_warmstart), draws, the
environment's counters. They are not stored; they follow from the seed and the actions. So an episode is replayed from
its reset on: before every step positions, velocities and what is carried are set to the stored numbers, and the rest
goes on from the replay's own step before. A deviation is then one step's, however chaotic the motion, and rounding is
all that is left of it: 1e-13 even where MJX's solver stops early (WalkerRun), for both stop at the same iteration.

Where a solver stops by its tolerance, a rounding may decide whether it takes one iteration more. Such steps deviate by
what the tolerance is worth (1e-10 in FingerSpin, 1e-6 in one of 300 steps of SwimmerSwimmer6). Three ways to be right
are therefore allowed, in this order: MJX's own step is the stored one to SAME_STEP; MuJoCo's C engine takes it to
SAME_STEP from the same hidden state; MJX's own step moves about as far when its input is moved by a few roundings.

Of drawn steps the stored Jacobian is held against centred differences, along every axis of state and action, of the
environment's whole step, in both engines. In MJX its physics is the environment's own; in C it starts from what the
environment handed to its physics.
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

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import finite_differences
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System
from jacdb.verification.samples import EpisodePrefix

SLOTS = 16  # states stepped at once: episodes side by side, or the sides of eight differences
WIDTHS = (1e-6, 2e-7)  # half the differences' widths, in the units of the axes
SAME_STEP = 1e-9  # relative: two ways took the same step
SAME_IN_C = 1e-7  # relative: C's derivative says something of MJX's (benchmarks/environments.py)
STEADY = 1e-4  # relative: where two widths differ by more, along an axis, there is no derivative along it
WOBBLE = 10.0  # a deviation within so many times what roundings of the input do is rounding's


class ReplayedStep(NamedTuple):
    """Steps of the environment: the states after them, what their physics started from, and what is stored of them."""

    state: Any
    physics_input: PhysicsInput
    vector: Any


class StepReplay(NamedTuple):
    """A stored step, taken again. Deviations are norms over norms (at least 1) of next states."""

    beginning: EpisodePrefix
    step: int
    deviation: float  # of MJX's own step
    explained: str | None  # empty where it is none; else why it is not the data's; None where nothing explains it


class Reset(NamedTuple):
    """The first state of an episode against the one that the seed gives."""

    beginning: EpisodePrefix
    deviation: float


class JacobianCheck(NamedTuple):
    """A drawn step in both engines."""

    beginning: EpisodePrefix
    step: int
    confirmed: bool  # the stored step is MJX's, or its deviation is explained
    c_deviation: float  # of the C engine's step from the stored one
    error: float  # of the stored Jacobian: the best of the difference quotients, norm over norm
    jumps: int  # axes along which there is no derivative, left out


@dataclass
class Replay:
    """An environment, compiled to take stored steps again."""

    system: System
    seed: int
    _step: Callable[..., ReplayedStep] = field(init=False, repr=False)
    _reset: Callable[[np.ndarray], State] = field(init=False, repr=False)
    _scratch: mujoco.MjData = field(init=False, repr=False)

    @runtime.without_collector()
    def __post_init__(self) -> None:
        spec, numbers = self.system.spec, np.zeros(SLOTS, int)
        self._scratch = mujoco.MjData(self.system.mj_model)
        self._reset = runtime.compiled_quickly(jax.vmap(transition.episode_start(self.system, self.seed)), numbers)
        vectors, actions = np.zeros((SLOTS, spec.nq + spec.nv + spec.d_carried)), np.zeros((SLOTS, spec.d_action))
        self._step = runtime.compiled_quickly(jax.vmap(self._taken), self._reset(numbers), vectors, actions)

    def __call__(self, beginnings: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        """Replay episodes, SLOTS of them at a time; every step on the way, and the drawn ones closely."""
        for first in range(0, len(beginnings), SLOTS):
            yield from self._side_by_side(beginnings[first : first + SLOTS])

    def _side_by_side(self, some: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        slots = [some[slot % len(some)] for slot in range(SLOTS)]
        before = self._reset(np.array([one.number for one in slots]))
        for one, reset in zip(some, np.asarray(self._stored(before)), strict=False):
            yield Reset(one, _deviation(reset, one.state[0]))
        for step in range(max(len(one.state) for one in some)):
            # an episode that is through repeats its last step, and is not looked at
            rows = [min(step, len(one.state) - 1) for one in slots]
            vectors = np.stack([one.state[row] for one, row in zip(slots, rows, strict=True)])
            actions = np.stack([one.action[row] for one, row in zip(slots, rows, strict=True)])
            taken = self._step(before, vectors, actions)
            found = np.asarray(taken.vector)
            for slot, one in enumerate(some):
                if step < len(one.state) and one.finite[step]:
                    deviation = _deviation(found[slot], one.next_state[step])
                    why: str | None = ""
                    if not deviation <= SAME_STEP:
                        start = taken.physics_input.sample(slot)
                        why = self._explanation(_repeated(before, slot), one, step, start, deviation)
                    yield StepReplay(one, step, deviation, why)
                    if step in one.drawn:
                        start = taken.physics_input.sample(slot)
                        yield self._look(one, step, _repeated(before, slot), start, why is not None)
            before = taken.state

    def _explanation(
        self, before: State, one: EpisodePrefix, step: int, start: PhysicsInput, deviation: float
    ) -> str | None:
        if self._c_deviation(start, one.next_state[step]) <= SAME_STEP:
            return "C takes the stored step"
        noise = np.random.default_rng(0).standard_normal((SLOTS, one.state.shape[1]))
        noise[0] = 0
        moved = one.state[step] * (1 + 4 * np.finfo(float).eps * noise)
        ends = np.asarray(self._step(before, moved, np.tile(one.action[step], (SLOTS, 1))).vector)
        wobble = max(_deviation(end, ends[0]) for end in ends[1:])
        return "as far as roundings of the state move it" if deviation <= WOBBLE * wobble else None

    def _in_c(self, start: PhysicsInput) -> np.ndarray:
        """qpos and qvel after the C engine's step."""
        return np.concatenate(finite_differences.replay(self.system, start, self._scratch))

    def _c_deviation(self, start: PhysicsInput, stored: np.ndarray) -> float:
        moving = self._in_c(start)
        return _deviation(moving, stored[: len(moving)])

    # --- Jacobians ------------------------------------------------------------------------------------------

    def _look(
        self, one: EpisodePrefix, step: int, before: State, start: PhysicsInput, confirmed: bool
    ) -> JacobianCheck:
        stored = one.jacobians[one.drawn.index(step)]
        c_deviation = self._c_deviation(start, one.next_state[step])
        wide, narrow = (self._differences(one, step, before, width) for width in WIDTHS)
        one_sided = one.methods[one.drawn.index(step)] == "fd"
        engines = 2 if c_deviation <= SAME_IN_C else 1
        judged = [_error(stored, wide[engine], narrow[engine], one_sided) for engine in range(engines)]
        error, jumps = min(judged)
        return JacobianCheck(one, step, confirmed, c_deviation, error, jumps)

    def _differences(self, one: EpisodePrefix, step: int, before: State, width: float) -> tuple["Quotient", "Quotient"]:
        """By centred differences of MJX's step, and of C's."""
        d_state, d_action = self.system.spec.d_state, self.system.spec.d_action
        axes = np.eye(d_state + d_action)
        offsets = width * np.concatenate([axes, -axes, np.zeros_like(axes[:1])])
        vectors = np.stack(
            [
                finite_differences.displaced(self.system.mj_model, one.state[step], offset[:d_state])
                for offset in offsets
            ]
        )
        actions = one.action[step] + offsets[:, d_state:]
        ends, c_ends = [], []
        for first in range(0, len(offsets), SLOTS):
            own = np.minimum(np.arange(first, first + SLOTS), len(offsets) - 1)
            taken = self._step(before, vectors[own], actions[own])
            some = np.asarray(taken.vector)[: len(offsets) - first]
            starts = jax.tree.map(np.asarray, taken.physics_input)
            moving = [self._in_c(starts.sample(slot)) for slot in range(len(some))]
            ends.append(some)
            c_ends.append(np.concatenate([np.stack(moving), some[:, len(moving[0]) :]], axis=1))
        return self._quotient(np.concatenate(ends), width), self._quotient(np.concatenate(c_ends), width)

    def _quotient(self, ends: np.ndarray, width: float) -> "Quotient":
        ahead, behind = np.split(ends[:-1], 2)
        matrix = finite_differences.centred_quotient(self.system.mj_model, ahead, behind, width)
        return Quotient(matrix, np.linalg.norm(ahead + behind - 2 * ends[-1], axis=1) / width)

    def _stored(self, states: State) -> Array:
        return jax.vmap(lambda state: transition.state_vector(self.system, state))(states)

    # --- on the device --------------------------------------------------------------------------------------

    def _taken(self, before: State, vector: Array, action: Array) -> ReplayedStep:
        """The environment's own step, its physics MJX's own: no solver of jacdb's."""
        seen: list[PhysicsInput] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = data.replace(ctrl=ctrl)
            seen.append(PhysicsInput.read(start))

            def one(now: mjx.Data, _: None) -> tuple[mjx.Data, None]:
                return transition.cast_like(mjx.step(model, now), now), None

            return jax.lax.scan(one, start, None, n_substeps)[0]

        start = transition.restored(self.system, before, vector)
        after = transition.env_step(self.system.env, start, action, physics)
        return ReplayedStep(transition.cast_like(after, before), seen[0], transition.state_vector(self.system, after))


class Quotient(NamedTuple):
    """A difference quotient, and how far apart the quotients of its two sides are along each axis."""

    matrix: np.ndarray  # (d_state, d_state + d_action)
    bend: np.ndarray  # (d_state + d_action,)


def _error(stored: np.ndarray, wide: Quotient, narrow: Quotient, one_sided: bool) -> tuple[float, int]:
    """How far a stored matrix is from difference quotients, and along how many axes these jump.

    Differences are cast to the stored type first. The better of the two widths counts: the wide one has less rounding,
    the narrow one less curvature. Of one-sided matrices (C's own take the inner side of a clip that an action lies on)
    axes along which the sides differ are left out, too.
    """
    size = np.linalg.norm(wide.matrix)
    steady = np.linalg.norm(wide.matrix - narrow.matrix, axis=0) <= STEADY * size
    if one_sided:
        steady &= wide.bend <= STEADY * size
    errors = []
    for quotient in (wide, narrow):
        truth = quotient.matrix.astype(stored.dtype).astype(float)[:, steady]
        size = np.linalg.norm(truth)
        errors.append(float(np.linalg.norm(stored[:, steady] - truth) / size) if size else 0.0)
    return min(errors), int((~steady).sum())


def _deviation(found: np.ndarray, stored: np.ndarray) -> float:
    return float(np.linalg.norm(found - stored) / max(1.0, float(np.linalg.norm(stored))))


@jax.jit
def _repeated(states: State, slot: Array) -> State:
    """One slot's state in all slots."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[slot], leaf.shape), states)
