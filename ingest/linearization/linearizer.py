"""Linearizes control steps of one model, block by block on all cores, from solutions that an engine found."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.stages import Lowered
from jaxtyping import Array, Float, Int

from jacdb.ingest import provenance, runtime
from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.differentiation.solution import Evaluation, EvaluationDerivative, SolvedDynamics
from jacdb.ingest.dynamics.contacts import SlotsByDim
from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.linalg import batched
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.contact_motion import ContactMotion
from jacdb.ingest.linearization.contact_slots import Slots, lay_out
from jacdb.ingest.linearization.evaluations import (
    Ends,
    NextActivation,
    Solved,
    Start,
    control_step_jacobian,
    mean_rate,
)
from jacdb.ingest.linearization.mjx_engine import MjxEngine
from jacdb.ingest.linearization.vanishing_segments import VanishingSegments
from jacdb.ingest.models import features
from jacdb.ingest.models.loading import hash_of
from jacdb.ingest.program_store import ProgramStore

type Engine = Literal["c", "mjx"]

TURN = 1024  # control steps whose contacts are found at once, in turn with differentiating them: beside it takes longer
BLOCK = 32  # control steps that a program differentiates at once; a core is at work on one block


class Jacobians(NamedTuple):
    """The Jacobians of control steps, samples first, and what was found out about each.

    Attributes:
        j_state, j_action: of (q, v, act) after the step, in tangent space, by those before it and by ctrl.
        residual: by how much the engine's acceleration misses the balance of forces, without a unit.
        observed: constraints, with an axis of evaluations after the samples'.
    """

    j_state: Float[np.ndarray, "n d_state d_state"]
    j_action: Float[np.ndarray, "n d_state nu"]
    residual: Float[np.ndarray, " n"]
    observed: Observation


class Linearizer:
    """Linearizes control steps of one model, at whatever states: compiled once for each size of :class:`Slots`.

    What is compiled is kept in the user's store of programs, in which the next process finds it. JAX must be in float64
    whenever it is made or called: :func:`runtime.configure`, or :func:`runtime.lent`.

    Args:
        model: MuJoCo's; it is not changed, and must not be while this is in use.
        substeps: physics steps in a control step.
        engine: takes the steps: ``c``, MuJoCo's C engine, or ``mjx``.

    Raises:
        UsageError: a feature of the model is not covered.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int = 1, engine: Engine = "c") -> None:
        features.check(model, engine=engine)
        self.model, self.substeps = model, substeps
        self._made_of = {
            "program": "linearization",
            "model": hash_of(model),
            "substeps": substeps,
            "engine": engine,
            "block": BLOCK,
            "versions": provenance.versions_of_programs(),
        }
        self._store = ProgramStore.of_user()
        self._engine = CEngine(model, substeps) if engine == "c" else MjxEngine(model, substeps)
        self._dynamics = SolvedDynamics.of(model, engine)
        self._contacts = ContactMotion(model) if engine == "c" else None
        self._segments = VanishingSegments(model)
        self._compiled: dict[int | None, Callable[..., Any]] = {}
        self._compiling = threading.Lock()
        self._stepping = threading.Lock()  # MuJoCo's data are one caller's at a time

    def step(self, start: Start) -> Solved:
        """Take control steps, and keep all that their derivatives need."""
        with self._stepping:
            return self._engine.solve(start)

    def ends(self, start: Start) -> Ends:
        """Take control steps, and return the states after them alone."""
        with self._stepping:
            return self._engine.ends(start)

    def jacobians(self, start: Start, solved: Solved, places: Int[np.ndarray, " n"] | None = None) -> Jacobians:
        """Differentiate control steps that :meth:`step` took.

        A step that touched where MuJoCo's collision detection has an edge has an infinite residual, and so has one in
        which a segment of a tendon was pulled where it had no length, or one whose derivative is no number.

        Args:
            start, solved: of n control steps.
            places: a number for each, by which it gets its lane of a block: a step's result is the same to the last
                bit wherever it has the same number. By default its own place.
        """
        n = len(start.qpos)
        lanes_of = (np.arange(n) if places is None else places) % BLOCK
        turns = np.array_split(np.arange(n), -(-n // TURN))
        parts, lost = [], []
        with ThreadPoolExecutor(runtime.lanes()) as lanes:
            for rows in turns:
                groups, of_turn = self._with_contacts(start, solved, rows, lanes_of)
                with self._stepping:
                    lost += [of_turn, self._segments.without_derivative(start, solved, rows)]
                for slots in groups:
                    of_block = functools.partial(self._of_block, self._program(start, solved, slots), start, solved)
                    parts += [(block.rows, lanes.submit(of_block, block)) for block in slots.blocks()]
        j, residual, observed = _in_order(n, [(rows, block.result()) for rows, block in parts])
        residual[np.concatenate([*lost, np.flatnonzero(~np.isfinite(j).all(axis=(1, 2)))])] = np.inf
        d_state = 2 * self.model.nv + self.model.na
        return Jacobians(j[:, :, :d_state], j[:, :, d_state:], residual, observed)

    def _with_contacts(
        self, start: Start, solved: Solved, rows: np.ndarray, lanes: np.ndarray
    ) -> tuple[list[Slots], np.ndarray]:
        """Find the contacts of consecutive control steps; return them, and the steps in which one can't be followed."""
        if self._contacts is None:
            return [Slots(rows, None, None, lanes[rows])], rows[:0]
        n, evaluations = len(rows), solved.qacc.shape[1]
        mocap = [np.repeat(leaf[rows], evaluations, axis=0) for leaf in (start.mocap_pos, start.mocap_quat)]
        qpos = solved.qpos[rows].reshape(n * evaluations, -1)
        with self._stepping:
            contacts, rates, known = self._contacts.find(qpos, (mocap[0], mocap[1]))
        groups = lay_out(self._contacts.dims, contacts, rates, (n, evaluations), lanes[rows])
        lost = rows[np.unique(contacts.evaluation[~known] // evaluations)]
        return [slots._replace(rows=rows[slots.rows]) for slots in groups], lost

    @staticmethod
    def _arguments(start: Start, solved: Solved, slots: Slots) -> tuple[Any, ...]:
        """Return what a program is given for a block of control steps; the last fills the lanes that have none."""
        of_solved = (solved.qpos, solved.qvel, solved.act, solved.qacc, solved.act_before)
        leaves = (leaf[slots.rows] for leaf in (*of_solved, start.ctrl, start.mocap_pos, start.mocap_quat))
        filled = np.full(BLOCK, len(slots.rows) - 1)
        filled[slots.lanes] = np.arange(len(slots.rows))
        arguments: tuple[Any, ...] = jax.tree.map(lambda leaf: leaf[filled], (slots.by_dim, *leaves))
        return arguments

    def _of_block(
        self, program: Callable[..., Any], start: Start, solved: Solved, slots: Slots
    ) -> tuple[np.ndarray, np.ndarray, Observation]:
        """Return the whole Jacobian, the residual and the constraints of a block of control steps."""
        with runtime.float64():  # a thread of its own
            result = program(*self._arguments(start, solved, slots))
        cut: tuple[np.ndarray, np.ndarray, Observation] = jax.tree.map(
            lambda leaf: np.asarray(leaf)[slots.lanes], result
        )
        return cut

    def _program(self, start: Start, solved: Solved, slots: Slots) -> Callable[..., Any]:
        with self._compiling:
            if slots.size not in self._compiled:
                first = next(slots.blocks())
                like = jax.tree.map(
                    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._arguments(start, solved, first)
                )
                made_of = {**self._made_of, "shapes": [(leaf.shape, leaf.dtype.str) for leaf in jax.tree.leaves(like)]}
                self._compiled[slots.size] = self._store.find(made_of) or self._store.compile(
                    made_of, self._lowered(*like)
                )
            return self._compiled[slots.size]

    def _lowered(self, *like: Any) -> Lowered:
        with batched.expecting(BLOCK):
            return jax.jit(self._differentiate).lower(*like)

    def _differentiate(
        self,
        contacts: SlotsByDim | None,
        qpos: Array,
        qvel: Array,
        act: Array,
        qacc: Array,
        act_before: Array,
        ctrl: Array,
        *mocap: Array,
    ) -> tuple[Array, Array, Observation]:
        """Differentiate a block of control steps."""
        derivative = jax.vmap(self._dynamics.derivative())

        # One evaluation of all control steps at a time: more at once do not fit into a core's cache.
        def of_evaluations(at: tuple[Any, ...]) -> EvaluationDerivative:
            (contacts, qpos, qvel, act, qacc), (mocap_pos, mocap_quat) = at, mocap
            return derivative(Evaluation(qpos, qvel, act, ctrl, mocap_pos, mocap_quat, qacc, contacts))

        in_turn = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), (contacts, qpos, qvel, act, qacc))
        derivatives = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), jax.lax.map(of_evaluations, in_turn))
        activations = self._next_activation(act, act_before, ctrl)
        j = jax.vmap(control_step_jacobian(self.model))(derivatives, activations, qvel, qacc)
        return j, jnp.max(derivatives.residual, axis=1), derivatives.observed

    def _next_activation(self, act: Array, act_before: Array, ctrl: Array) -> NextActivation:
        """Differentiate how activations are advanced: clipped, and some by an exponential."""
        block, substeps = act_before.shape[:2]
        if not self.model.na:
            none = act_before[:, :, None]
            return NextActivation(act_before, act_before, none, none[:, 0])
        model, template, muscles = self._dynamics.model, self._dynamics.template, self._dynamics.muscles
        stages = act.reshape(block, substeps, -1, self.model.na)
        limited = np.array(self.model.actuator_actlimited)
        limited[muscles.actuators] = 0  # their clip is apart
        unclipped_muscles = model.replace(actuator_actlimited=limited)

        def rate(act: Array, ctrl: Array) -> Array:
            return mjx_private.fwd_actuation(model, template.replace(act=act, ctrl=ctrl)).act_dot

        def of_substep(before: Array, stages: Array, ctrl: Array) -> tuple[Array, ...]:
            rates = jax.vmap(rate, (0, None))(stages, ctrl)
            act_dot = mean_rate(rates)

            def advanced(act: Array, act_dot: Array) -> Array:
                now = template.replace(act=act, ctrl=ctrl)
                return mjx_private.next_activation(unclipped_muscles, now, act_dot)

            still, moves = jnp.zeros_like(before), jnp.ones_like(before)
            unclipped, by_act = jax.jvp(advanced, (before, act_dot), (moves, still))
            by_act_dot = jax.jvp(advanced, (before, act_dot), (still, moves))[1]
            return by_act, by_act_dot, muscles.among(moves, muscles.clipped_act(unclipped))

        advance: Callable[..., tuple[Array, ...]] = jax.vmap(lambda *of: jax.vmap(of_substep, (0, 0, None))(*of))
        by_act, by_act_dot, by_unclipped = advance(act_before, stages, ctrl)
        whole = jnp.ones(self.model.na)
        clipped_ctrl = jax.vmap(lambda ctrl: muscles.among(whole, muscles.clipped_ctrl(ctrl)))(ctrl)
        return NextActivation(by_act, by_act_dot, by_unclipped, clipped_ctrl)


def _in_order(n: int, parts: list[tuple[np.ndarray, tuple[Any, ...]]]) -> tuple[Any, ...]:
    """Return results of blocks as those of all n control steps. Contacts are padded to the largest number of slots."""

    def put(*leaves: np.ndarray) -> np.ndarray:
        shape = [max(sizes) for sizes in zip(*(leaf.shape[1:] for leaf in leaves), strict=True)]
        whole = np.zeros((n, *shape), leaves[0].dtype)
        for (rows, _), leaf in zip(parts, leaves, strict=True):
            at: tuple[Any, ...] = (rows, *(slice(size) for size in leaf.shape[1:]))
            whole[at] = leaf
        return whole

    joined: tuple[Any, ...] = jax.tree.map(put, *(result for _, result in parts))
    return joined


def linearizer_of(model: mujoco.MjModel, substeps: int, engine: Engine = "c") -> Linearizer:
    """Return the process's linearizer of a model, which traces and compiles once for all runs and calls.

    Args:
        model: MuJoCo's. It is not changed, and may be: one that was is another model.
        substeps: physics steps in a control step.
        engine: takes the steps.

    Raises:
        UsageError: a feature of the model is not covered.
    """
    return _made(_Model(model), substeps, engine)


class _Model:
    """A model as a key: equal where MuJoCo would compute the same."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self._digest = model, hash_of(model)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Model) and self._digest == other._digest


@functools.lru_cache(maxsize=8)
@runtime.without_collector()
def _made(model: _Model, substeps: int, engine: Engine) -> Linearizer:
    return Linearizer(model.model.__copy__(), substeps, engine)
