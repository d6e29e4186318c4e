"""Linearizes control steps of one model, block by block on all cores, from solutions that an engine found."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from jacdb.ingest import runtime
from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.differentiation.solution import Evaluation, EvaluationDerivative, SolvedDynamics
from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.evaluations import (
    NextActivation,
    Solved,
    Start,
    control_step_jacobian,
    evaluations_of_step,
    mean_rate,
)
from jacdb.ingest.linearization.mjx_engine import MjxEngine
from jacdb.ingest.models import features

type Engine = Literal["c", "mjx"]

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
    """Linearizes control steps of one model, at whatever states: compiled once.

    Args:
        model: MuJoCo's; it is not changed, and must not be while this is in use.
        substeps: physics steps in a control step.
        engine: takes the steps: ``c``, MuJoCo's C engine, or ``mjx``.

    Raises:
        UsageError: a feature of the model is not covered.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int = 1, engine: Engine = "c") -> None:
        features.check(model, engine=engine)
        runtime.configure()
        self.model, self.substeps = model, substeps
        self._engine = CEngine(model, substeps) if engine == "c" else MjxEngine(model, substeps)
        self._dynamics = SolvedDynamics.of(model, engine)
        self._compiled: Callable[..., Any] | None = None
        self._compiling = threading.Lock()

    def step(self, start: Start) -> Solved:
        """Take control steps."""
        return self._engine.solve(start)

    def jacobians(self, start: Start, solved: Solved) -> Jacobians:
        """Differentiate control steps that :meth:`step` took."""
        n = len(start.qpos)
        blocks = [np.minimum(np.arange(first, first + BLOCK), n - 1) for first in range(0, n, BLOCK)]
        program = self._program

        def of_block(rows: np.ndarray) -> tuple[np.ndarray, ...]:
            return jax.tree.map(np.asarray, program(*self._arguments(start, solved, rows)))

        with ThreadPoolExecutor(runtime.lanes()) as lanes:
            results = list(lanes.map(of_block, blocks))
        j, residual, observed = jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *results)
        d_state = 2 * self.model.nv + self.model.na
        return Jacobians(j[:, :, :d_state], j[:, :, d_state:], residual, observed)

    @staticmethod
    def _arguments(start: Start, solved: Solved, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        of_solved = (solved.qpos, solved.qvel, solved.act, solved.qacc, solved.act_before)
        return tuple(leaf[rows] for leaf in (*of_solved, start.ctrl, start.mocap_pos, start.mocap_quat))

    @property
    def _program(self) -> Callable[..., Any]:
        with self._compiling:
            if self._compiled is None:
                model, n = self.model, self.substeps * evaluations_of_step(self.model)
                sizes: list[tuple[int, ...]] = [(n, model.nq), (n, model.nv), (n, model.na), (n, model.nv)]
                sizes += [(self.substeps, model.na), (model.nu,), (model.nmocap, 3), (model.nmocap, 4)]
                like = [jax.ShapeDtypeStruct((BLOCK, *size), np.float64) for size in sizes]
                self._compiled = jax.jit(self._differentiate).lower(*like).compile()
            return self._compiled

    def _differentiate(
        self, qpos: Array, qvel: Array, act: Array, qacc: Array, act_before: Array, ctrl: Array, *mocap: Array
    ) -> tuple[Array, Array, Observation]:
        """Differentiate a block of control steps."""
        derivative = jax.vmap(self._dynamics.derivative())

        # One evaluation of all control steps at a time: more at once do not fit into a core's cache.
        def of_evaluations(at: tuple[Array, ...]) -> EvaluationDerivative:
            (qpos, qvel, act, qacc), (mocap_pos, mocap_quat) = at, mocap
            return derivative(Evaluation(qpos, qvel, act, ctrl, mocap_pos, mocap_quat, qacc))

        in_turn = tuple(jnp.moveaxis(leaf, 1, 0) for leaf in (qpos, qvel, act, qacc))
        derivatives = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), jax.lax.map(of_evaluations, in_turn))
        activations = self._next_activation(act, act_before, ctrl)
        j = jax.vmap(control_step_jacobian(self.model))(derivatives, activations, qvel, qacc)
        return j, jnp.max(derivatives.residual, axis=1), derivatives.observed

    def _next_activation(self, act: Array, act_before: Array, ctrl: Array) -> NextActivation:
        """Differentiate how activations are advanced: clipped, and some by an exponential."""
        block, substeps = act_before.shape[:2]
        if not self.model.na:
            return NextActivation(act_before, act_before)
        model, template = self._dynamics.model, self._dynamics.template
        stages = act.reshape(block, substeps, -1, self.model.na)

        def rate(act: Array, ctrl: Array) -> Array:
            return mjx_private.fwd_actuation(model, template.replace(act=act, ctrl=ctrl)).act_dot

        def of_substep(before: Array, stages: Array, ctrl: Array) -> tuple[Array, Array]:
            rates = jax.vmap(rate, (0, None))(stages, ctrl)
            act_dot = mean_rate(rates)

            def advanced(act: Array, act_dot: Array) -> Array:
                return mjx_private.next_activation(model, template.replace(act=act, ctrl=ctrl), act_dot)

            still = jnp.zeros_like(before), jnp.ones_like(before)
            return tuple(jax.jvp(advanced, (before, act_dot), of)[1] for of in (still[::-1], still))

        return NextActivation(*jax.vmap(lambda *of: jax.vmap(of_substep, (0, 0, None))(*of))(act_before, stages, ctrl))
