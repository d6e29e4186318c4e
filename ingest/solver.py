"""MuJoCo's Newton constraint solver as MJX runs it, laid out for large batches of small robots.

The same algorithm as ``mujoco.mjx._src.solver.solve`` with pyramidal friction cones: the same start, line search,
iterations and tests for the end, so the same acceleration to rounding, where it has converged and where it was
stopped. What differs is the layout: samples are the last axis (:mod:`jacdb.ingest.batch_last`), the three trial
points of a line search step are one array, and no factorisation is made that is not used. Under ``vmap`` MJX's own
takes most of a step's time (docs/jacobians.md). Reference: MuJoCo documentation, "Computation", "Solver algorithms".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from mujoco import mjx
from mujoco.mjx._src import solver as mjx_solver
from mujoco.mjx._src import support

from jacdb.ingest import batch_last
from jacdb.ingest.batch_last import total


def solve(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Find the acceleration and the constraint forces; ``mjx``'s own solver where this one has no method."""
    newton = model.opt.solver == mjx.SolverType.NEWTON
    if not newton or model.opt.cone != mjx.ConeType.PYRAMIDAL:
        return mjx_solver.solve(model, d)
    warm = not model.opt.disableflags & mjx.DisableBit.WARMSTART
    problem = _Problem(
        mass=support.full_m(model, d),
        jacobian=d._impl.efc_J,
        weight=d._impl.efc_D,
        reference=d._impl.efc_aref,
        friction=d._impl.efc_frictionloss,
        smooth_force=d.qfrc_smooth,
        smooth_acceleration=d.qacc_smooth,
        warm_start=d.qacc_warmstart if warm else d.qacc_smooth,
    )
    settings = _Settings(
        iterations=int(model.opt.iterations),
        search_iterations=int(model.opt.ls_iterations),
        tolerance=model.opt.tolerance,
        search_tolerance=model.opt.ls_tolerance,
        always=np.arange(d._impl.nefc)[:, None] < int(d._impl.ne + d._impl.nf),
        has_friction=bool(d._impl.nf),
    )

    def of_batch(problems: _Problem) -> tuple[Array, Array, Array]:
        found = _Newton(batch_last.samples_last(problems), settings).solve()
        return batch_last.samples_first((found.acceleration, found.constraint_force, found.row_force))

    qacc, qfrc_constraint, efc_force = batch_last.over_batches(of_batch)(problem)
    return d.tree_replace({"qacc": qacc, "qfrc_constraint": qfrc_constraint, "_impl.efc_force": efc_force})


class _Problem(NamedTuple):
    """Minimise 1/2 (a - a_smooth)^T M (a - a_smooth) + s(J a - aref) over a."""

    mass: Float[Array, "nv nv n"]
    jacobian: Float[Array, "nefc nv n"]
    weight: Float[Array, "nefc n"]  # D
    reference: Float[Array, "nefc n"]  # aref
    friction: Float[Array, "nefc n"]  # bound of dry friction, 0 in other rows
    smooth_force: Float[Array, "nv n"]
    smooth_acceleration: Float[Array, "nv n"]
    warm_start: Float[Array, "nv n"]


class _Settings(NamedTuple):
    iterations: int
    search_iterations: int
    tolerance: Array
    search_tolerance: Array
    always: Bool[np.ndarray, "nefc 1"]  # rows that push and pull: equalities and dry friction
    has_friction: bool


class _Point(NamedTuple):
    """One iterate, and what it costs."""

    acceleration: Float[Array, "nv n"]
    momentum: Float[Array, "nv n"]  # M a
    violation: Float[Array, "nefc n"]  # J a - aref
    row_force: Float[Array, "nefc n"]
    constraint_force: Float[Array, "nv n"]  # J^T row_force
    quadratic: Bool[Array, "nefc n"]  # rows whose force follows their violation
    gauss: Float[Array, " n"]
    cost: Float[Array, " n"]
    previous_cost: Float[Array, " n"]


class _Trial(NamedTuple):
    """Trial points of a line search."""

    alpha: Array
    cost: Array
    slope: Array
    curvature: Array


class _Bracket(NamedTuple):
    low: _Trial
    high: _Trial
    moved: Bool[Array, " n"]
    steps: Int[Array, ""]


def _choose[Tree](condition: Array, chosen: Tree, other: Tree) -> Tree:
    """By sample."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), chosen, other)


class _Newton:
    def __init__(self, problem: _Problem, settings: _Settings) -> None:
        self.problem, self.settings = problem, settings
        diagonal = np.arange(problem.mass.shape[0])
        self.trace = jnp.maximum(total(problem.mass[diagonal, diagonal]), mujoco.mjMINVAL)
        weight = problem.weight
        # where dry friction leaves its quadratic zone
        self.slip = problem.friction / (weight + (weight == 0.0) * mujoco.mjMINVAL)

    def solve(self) -> _Point:
        p, settings = self.problem, self.settings
        smooth = self._evaluate(p.smooth_acceleration)
        warm = self._evaluate(p.warm_start)
        start = _choose(warm.cost < smooth.cost, warm, smooth)
        if settings.iterations == 1:
            return self._iterate(start)

        def going(state: tuple[_Point, Array]) -> Array:
            point, count = state
            improvement = (point.previous_cost - point.cost) / self.trace
            gradient = _norm(self._gradient(point)) / self.trace
            small = (improvement < settings.tolerance) | (gradient < settings.tolerance)
            return ~small & (count < settings.iterations)

        def body(state: tuple[_Point, Array]) -> tuple[_Point, Array]:
            point, count = state
            return _choose(going(state), self._iterate(point), point), count + 1

        return jax.lax.while_loop(lambda state: going(state).any(), body, (start, jnp.zeros((), int)))[0]

    def _evaluate(self, acceleration: Array) -> _Point:
        p = self.problem
        momentum = batch_last.matvec(p.mass, acceleration)
        violation = batch_last.matvec(p.jacobian, acceleration) - p.reference
        infinite = jnp.full(acceleration.shape[1:], jnp.inf)
        return self._forces(acceleration, momentum, violation, infinite)

    def _forces(self, acceleration: Array, momentum: Array, violation: Array, previous_cost: Array) -> _Point:
        p = self.problem
        acceleration, momentum, violation = batch_last.stored((acceleration, momentum, violation))
        quadratic = (violation < 0) | self.settings.always
        row_cost = 0.5 * p.weight * violation * violation * quadratic
        row_force = -p.weight * violation * quadratic
        if self.settings.has_friction:
            sign, slipping = self._slipping(violation)
            quadratic = quadratic & ~slipping
            slip_cost = p.friction * (sign * violation - 0.5 * self.slip)
            row_cost = jnp.where(slipping, slip_cost, row_cost)
            row_force = jnp.where(slipping, -sign * p.friction, row_force)
        row_force, row_cost = batch_last.stored((row_force, row_cost))
        difference, above_smooth = momentum - p.smooth_force, acceleration - p.smooth_acceleration
        gauss = 0.5 * total(difference * above_smooth)
        return _Point(
            acceleration,
            momentum,
            violation,
            row_force,
            batch_last.matvec_transposed(p.jacobian, row_force),
            quadratic,
            gauss,
            gauss + total(row_cost),
            previous_cost,
        )

    def _slipping(self, violation: Array) -> tuple[Array, Array]:
        """The direction of slip and whether dry friction slips."""
        slipping = (jnp.abs(violation) >= self.slip) & (self.problem.friction > 0)
        return jnp.sign(violation), slipping

    def _gradient(self, point: _Point) -> Array:
        return point.momentum - self.problem.smooth_force - point.constraint_force

    def _iterate(self, point: _Point) -> _Point:
        p = self.problem
        stiffness = p.weight * point.quadratic
        hessian = p.mass + batch_last.gram(p.jacobian, stiffness)
        gradient = self._gradient(point)
        search = -batch_last.cho_solve(batch_last.cholesky(hessian), gradient[:, None])[:, 0]
        search = batch_last.stored(search)
        momentum = batch_last.matvec(p.mass, search)
        speed = batch_last.matvec(p.jacobian, search)
        step = self._line_search(point, search, momentum, speed)
        return self._forces(
            point.acceleration + step * search,
            point.momentum + step * momentum,
            point.violation + step * speed,
            point.cost,
        )

    def _line_search(self, point: _Point, search: Array, momentum: Array, speed: Array) -> Float[Array, " n"]:
        """The step length: 0 where no step improves. MJX's bracketing with Newton steps from both ends."""
        p, settings = self.problem, self.settings
        gauss = (
            point.gauss,
            total(search * point.momentum) - total(search * p.smooth_force),
            0.5 * total(search * momentum),
        )
        gauss, speed = batch_last.stored((gauss, speed))
        tolerance = settings.tolerance * settings.search_tolerance * _norm(search) * self.trace

        def trials(alpha: Float[Array, "*k n"]) -> _Trial:
            return self._trials(point, speed, gauss, alpha)

        zero = trials(jnp.zeros_like(point.cost))
        # a floor for the slope that counts as none: rounding of the rows that make it up
        rows_0 = jnp.maximum(zero.cost - gauss[0], 0.0)
        rows_2 = jnp.maximum(0.5 * zero.curvature - gauss[2], 0.0)
        size = 2.0 * jnp.sqrt(rows_0 * rows_2) + jnp.abs(gauss[1])
        tolerance = jnp.maximum(tolerance, 8 * jnp.finfo(size.dtype).eps * size)

        def good(trial: _Trial) -> Array:
            return (jnp.abs(trial.slope) < tolerance) & (trial.cost < zero.cost)

        def going(state: _Bracket) -> Array:
            done = ~state.moved | good(state.low) | good(state.high)
            return ~done & (state.steps < settings.search_iterations)

        def body(state: _Bracket) -> _Bracket:
            moved = self._narrow(state, trials, good)
            keep = going(state)
            return _Bracket(
                _choose(keep, moved.low, state.low),
                _choose(keep, moved.high, state.high),
                jnp.where(keep, moved.moved, state.moved),
                state.steps + 1,
            )

        first = trials(-zero.slope / zero.curvature)
        low_is_first = first.slope < zero.slope
        bracket = _Bracket(
            _choose(low_is_first, first, zero),
            _choose(low_is_first, zero, first),
            jnp.ones(point.cost.shape, bool),
            jnp.zeros((), int),
        )
        bracket = jax.lax.while_loop(lambda state: going(state).any(), body, bracket)
        low, high = bracket.low, bracket.high
        improved = (low.cost < zero.cost) | (high.cost < zero.cost)
        return improved * jnp.where(low.cost < high.cost, low.alpha, high.alpha)

    @staticmethod
    def _narrow(state: _Bracket, trials: Callable[[Array], _Trial], good: Callable[[_Trial], Array]) -> _Bracket:
        """One step: a Newton step from each end, and the middle, taken where they narrow the bracket."""
        low, high = state.low, state.high
        three = trials(
            jnp.stack(
                [
                    low.alpha - low.slope / low.curvature,
                    high.alpha - high.slope / high.curvature,
                    0.5 * (low.alpha + high.alpha),
                ]
            )
        )
        three = batch_last.stored(three)
        low_next, high_next, middle = (jax.tree.map(lambda x, i=i: x[i], three) for i in range(3))

        def nearer(old: _Trial, new: _Trial) -> Array:
            """On the same side of the minimum, and nearer."""
            return ((old.slope < new.slope) & (new.slope < 0)) | ((old.slope > new.slope) & (new.slope > 0))

        changed = jnp.zeros(low.alpha.shape, bool)
        for candidate in (low_next, middle, high_next):
            swap = nearer(low, candidate)
            low, changed = _choose(swap, candidate, low), changed | swap
        for candidate in (high_next, middle, low_next):
            swap = nearer(high, candidate)
            if candidate is high_next:  # a Newton step from below that lands beyond makes a bracket of both signs
                swap = swap | ((high.slope < 0) & (candidate.slope > 0))
            high, changed = _choose(swap, candidate, high), changed | swap

        # the best of the three that has converged, whichever side it is on
        converged = good(three)
        cost = jnp.where(converged, three.cost, jnp.inf)
        best = _choose(
            (cost[0] <= cost[1]) & (cost[0] <= cost[2]), low_next, _choose(cost[1] <= cost[2], high_next, middle)
        )
        done = converged.any(axis=0)
        return _Bracket(_choose(done, best, low), _choose(done, best, high), changed & ~done, state.steps)

    def _trials(
        self, point: _Point, speed: Array, gauss: tuple[Array, Array, Array], alpha: Float[Array, "*k n"]
    ) -> _Trial:
        """Cost along the search direction, a quadratic between the violations' changes of sign."""
        p = self.problem
        violation, weight = point.violation, p.weight
        at = violation + alpha[..., None, :] * speed
        active = (at < 0) | self.settings.always
        rows = [
            0.5 * weight * violation * violation * active,
            weight * speed * violation * active,
            0.5 * weight * speed * speed * active,
        ]
        if self.settings.has_friction:
            sign, slipping = self._slipping(at)
            slip_rows = [p.friction * (sign * violation - 0.5 * self.slip), sign * p.friction * speed, 0.0]
            rows = [jnp.where(slipping, slip, row) for slip, row in zip(slip_rows, rows, strict=True)]
        rows = batch_last.stored(rows)
        q0, q1, q2 = (total(row, axis=-2) + g for row, g in zip(rows, gauss, strict=True))
        return _Trial(
            alpha=alpha,
            cost=alpha * alpha * q2 + alpha * q1 + q0,
            slope=2 * alpha * q2 + q1,
            curvature=2 * q2 + (q2 == 0) * mujoco.mjMINVAL,
        )


def _norm(vector: Float[Array, "m n"]) -> Float[Array, " n"]:
    return jnp.sqrt(total(vector * vector))
