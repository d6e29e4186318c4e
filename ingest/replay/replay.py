"""Replay stored steps from their episode's seeded reset, by the environment's own step and MJX's own code alone.

A step reads more than state and action: the acceleration that the solver starts from (qacc_warmstart), draws, the
environment's counters. They are not stored; they follow from the seed and the actions. So an episode is replayed from
its reset on: before every step positions, velocities and what is carried are set to the stored numbers, and the rest
goes on from the replay's own step before. A deviation is then one step's, however chaotic the motion, and rounding is
all that is left of it: 1e-13 even where MJX's solver stops early (WalkerRun), for both stop at the same iteration.

Where a rounding decides whether a solver takes one iteration more, or which of equal points is a contact's, MJX itself
takes one step or another. Such steps deviate by what the tolerance is worth (1e-10 in FingerSpin, 1e-6 in one of 300
steps of SwimmerSwimmer6), or as far as a contact is wide (PandaPickCube's grasps). So a step that deviates is right all
the same where one of these holds, in this order: MuJoCo's C engine takes it to SAME_STEP from the same hidden state, as
its solver is set or at its end; MJX's step takes it, compiled otherwise or a few roundings of the state away, and the
replay goes on from there; MJX's own step moves about as far when its input is moved by a few roundings. After the last
the hidden rest is not known: it is one of those to which the roundings led, and the next step is tried from these too.

The stored Jacobian of drawn steps is compared with centred differences of the environment's whole step, along every
axis of state and action, in both engines: of that program which takes the stored step. In MJX its physics is the
environment's own; in C it starts from what the environment handed to its physics.
"""

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import jax
import mujoco
import numpy as np
from jaxtyping import Float
from mujoco_playground import State

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import finite_differences
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments.loading import System
from jacdb.ingest.replay.programs import SLOTS, StepProgram, StepPrograms, put, repeated
from jacdb.ingest.replay.quotients import DifferenceQuotient, jacobian_error
from jacdb.verification.samples import EpisodePrefix

WIDTHS = (1e-6, 2e-7)  # half the differences' widths, in the units of the axes
SAME_STEP = 1e-9  # relative: two engines took the same step
SAME_IN_C = 1e-7  # relative: C's derivative says something of MJX's (benchmarks/environments.py)
ROUNDINGS = 10.0  # a deviation within so many times what roundings of the input cause is rounding's
DRAWS = 12  # of SLOTS roundings each, before a step is wrong: one of LeapCubeReorient's has 73 ends among 384 roundings
AT_THE_END = {"tolerance": 1e-20, "iterations": 100}  # C's solver, until little improves: 1e-15 may leave 1e-8


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
        error: of the stored Jacobian from the best of the difference quotients, norm over norm; None where neither
            engine takes the stored step.
        n_jumps: how many axes have no derivative along them, and were left out.
    """

    prefix: EpisodePrefix
    step: int
    confirmed: bool
    c_deviation: float
    error: float | None
    n_jumps: int


@dataclass
class _Way:
    """How MJX takes a stored step: by a program, from a slot's state, itself or a few roundings away.

    Attributes:
        explanation: why that is not the way of the replay, which has none.
        takes_it: whether that leads to the stored step.
        before, after: all slots before and after it; ``slot`` is its own.
        others: where nothing takes the stored step, states to which roundings lead; their hidden rests may be the
            stored run's.
    """

    program: StepProgram
    vector: Float[np.ndarray, " n_state"]
    before: State
    explanation: str | None
    takes_it: bool
    after: State
    slot: int
    others: list[State]


class Replayer:
    """An environment, compiled to replay stored steps.

    Args:
        system: the environment.
        seed: of the run's resets.
    """

    @runtime.without_collector()
    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._scratch = mujoco.MjData(system.mj_model)
        self._programs = StepPrograms(system, seed)

    def replay(self, prefixes: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        """Replay episodes, SLOTS of them at a time, and yield a comparison of every reset and step on the way.

        Drawn steps are followed by a check of their Jacobian.
        """
        for first in range(0, len(prefixes), SLOTS):
            yield from self._side_by_side(prefixes[first : first + SLOTS])

    def _side_by_side(self, prefixes: list[EpisodePrefix]) -> Iterator[Reset | StepReplay | JacobianCheck]:
        slots = [prefixes[slot % len(prefixes)] for slot in range(SLOTS)]
        before, firsts = self._programs.first_states(np.array([prefix.number for prefix in slots]))
        for prefix, vector in zip(prefixes, firsts, strict=False):
            yield Reset(prefix, state_deviation(vector, prefix.state[0]))
        others: dict[int, list[State]] = {}  # states before a slot's step, beside the replay's own
        for step in range(max(len(prefix.state) for prefix in prefixes)):
            # an episode that is through repeats its last step, and is not compared
            rows = [min(step, len(prefix.state) - 1) for prefix in slots]
            vectors = np.stack([prefix.state[row] for prefix, row in zip(slots, rows, strict=True)])
            actions = np.stack([prefix.action[row] for prefix, row in zip(slots, rows, strict=True)])
            replayed = self._programs.quick(before, vectors, actions)
            after, following = np.asarray(replayed.vector), replayed.state
            for slot, prefix in enumerate(prefixes):
                if step < len(prefix.state) and prefix.finite[step]:
                    start = replayed.physics_input.sample(slot)
                    way = _Way(self._programs.quick, vectors[slot], before, "", True, following, slot, [])
                    way = yield from self._compare(prefix, step, way, others.get(slot, []), start, after[slot])
                    others[slot] = way.others
                    if way.after is not replayed.state:
                        following = put(following, slot, way.after, way.slot)
            before = following

    def _compare(
        self,
        prefix: EpisodePrefix,
        step: int,
        way: _Way,
        others: list[State],
        start: PhysicsInput,
        after: np.ndarray,
    ) -> Generator[StepReplay | JacobianCheck, None, _Way]:
        """Compare a stored step with the replayed one and, if it is drawn, check its Jacobian.

        Args:
            way: the replay's.
            others: states before the step that may have the stored run's hidden rest, if the replay's has not.
            start: what its physics started from.
            after: what would be stored of the replayed next state.

        Returns:
            How MJX takes it.
        """
        deviation = state_deviation(after, prefix.next_state[step])
        if not deviation <= SAME_STEP:
            way = self._other_way(prefix, step, way, others, start, deviation)
        yield StepReplay(prefix, step, deviation, way.explanation)
        if step in prefix.drawn:
            yield self._check_jacobian(prefix, step, start, way)
        return way

    def _other_way(
        self, prefix: EpisodePrefix, step: int, way: _Way, others: list[State], start: PhysicsInput, deviation: float
    ) -> _Way:
        """Return how MJX takes a step that deviates; with no explanation where nothing explains it."""
        stored = prefix.next_state[step]
        way.takes_it = False
        if self._c_deviation(start, stored) <= SAME_STEP or self._c_deviation(start, stored, AT_THE_END) <= SAME_STEP:
            way.explanation = "C takes the stored step"
            return way
        reached, explained, first = 0.0, False, None
        actions, led_to = np.tile(prefix.action[step], (SLOTS, 1)), deque[State](maxlen=2)
        befores = (repeated(way.before, way.slot), *others)
        for moved in _a_few_roundings_away(prefix.state[step]):
            for before, program in itertools.product(befores, (self._programs.thorough, self._programs.quick)):
                taken = program(before, moved, actions)
                vectors = np.asarray(taken.vector)
                apart = [state_deviation(vector, stored) for vector in vectors]
                nearest = int(np.argmin(apart))
                if apart[nearest] <= SAME_STEP:
                    why = "MJX takes it, with other roundings"
                    return _Way(program, moved[nearest], before, why, True, taken.state, nearest, [])
                led_to.append(taken.state)
                first = vectors[0] if first is None else first
                reached = max(reached, *(state_deviation(vector, first) for vector in vectors))
            if explained := deviation <= ROUNDINGS * reached:
                break
        way.explanation = "as far as roundings of the state move it" if explained else None
        way.others = list(led_to)  # from the last of the others, if there were any: these differ in both steps
        return way

    def _c_step(self, start: PhysicsInput) -> Float[np.ndarray, " n_moving"]:
        """Return qpos and qvel after the C engine's step."""
        return np.concatenate(finite_differences.replay(self._system, start, self._scratch))

    def _c_deviation(
        self, start: PhysicsInput, next_state: np.ndarray, settings: Mapping[str, float] = MappingProxyType({})
    ) -> float:
        """Return how far C's step is from the stored one.

        Args:
            settings: of its solver, if not the model's own.
        """
        options = self._system.mj_model.opt
        own = {name: getattr(options, name) for name in settings}
        try:
            for name, value in settings.items():
                setattr(options, name, value)
            after = self._c_step(start)
        finally:
            for name, value in own.items():
                setattr(options, name, value)
        return state_deviation(after, next_state[: len(after)])

    # --- Jacobians ------------------------------------------------------------------------------------------

    def _check_jacobian(self, prefix: EpisodePrefix, step: int, start: PhysicsInput, way: _Way) -> JacobianCheck:
        place, confirmed = prefix.drawn.index(step), way.explanation is not None
        c_deviation = self._c_deviation(start, prefix.next_state[step])
        wide, narrow = (self._quotients(prefix, step, width, way) for width in WIDTHS)
        one_sided = prefix.methods[place] == "fd"
        engines = [engine for engine, takes_it in enumerate((way.takes_it, c_deviation <= SAME_IN_C)) if takes_it]
        compared = [
            jacobian_error(prefix.jacobians[place], wide[engine], narrow[engine], one_sided) for engine in engines
        ]
        error, n_jumps = min(compared) if compared else (None, 0)
        return JacobianCheck(prefix, step, confirmed, c_deviation, error, n_jumps)

    def _quotients(
        self, prefix: EpisodePrefix, step: int, width: float, way: _Way
    ) -> tuple[DifferenceQuotient, DifferenceQuotient]:
        """Return the centred difference quotients of a step in MJX, and in C."""
        model, d_state = self._system.mj_model, self._system.spec.d_state
        axes = np.eye(d_state + self._system.spec.d_action)
        offsets = width * np.concatenate([axes, -axes, np.zeros_like(axes[:1])])
        vectors = np.stack([finite_differences.displaced(model, way.vector, offset[:d_state]) for offset in offsets])
        actions = prefix.action[step] + offsets[:, d_state:]
        before, ends, c_ends = repeated(way.before, way.slot), [], []
        for first in range(0, len(offsets), SLOTS):
            rows = np.minimum(np.arange(first, first + SLOTS), len(offsets) - 1)
            replayed = way.program(before, vectors[rows], actions[rows])
            after = np.asarray(replayed.vector)[: len(offsets) - first]
            starts = jax.tree.map(np.asarray, replayed.physics_input)
            c_after = np.stack([self._c_step(starts.sample(slot)) for slot in range(len(after))])
            ends.append(after)
            c_ends.append(np.concatenate([c_after, after[:, c_after.shape[1] :]], axis=1))
        mjx_ends, c_engine_ends = np.concatenate(ends), np.concatenate(c_ends)
        return DifferenceQuotient.of(model, mjx_ends, width), DifferenceQuotient.of(model, c_engine_ends, width)


def state_deviation(found: np.ndarray, stored: np.ndarray) -> float:
    """Return how far a state is from the stored one: the difference's norm over that of the stored one, at least 1."""
    return float(np.linalg.norm(found - stored) / max(1.0, float(np.linalg.norm(stored))))


def _a_few_roundings_away(vector: Float[np.ndarray, " n_state"]) -> Iterator[Float[np.ndarray, "slots n_state"]]:
    """Yield DRAWS times SLOTS states, about four units in the last place away; the first is the state itself."""
    generator = np.random.default_rng(0)
    for draw in range(DRAWS):
        noise = generator.standard_normal((SLOTS, len(vector)))
        noise[0] *= draw > 0
        yield vector * (1 + 4 * np.finfo(float).eps * noise)
