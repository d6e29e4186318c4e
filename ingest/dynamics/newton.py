"""MuJoCo's Newton constraint solver as MJX runs it, laid out for large batches of small robots.

The same algorithm as ``mujoco.mjx._src.solver.solve`` with pyramidal friction cones: the same start, line search,
iterations and tests for the end, so the same acceleration to rounding, where it has converged and where it was
stopped. What differs is the layout: samples are the last axis (:mod:`jacdb.ingest.linalg.batched`), the three trial
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

from jacdb.ingest.compat.mjx import full_mass_matrix, impl, mjx_solve, replace_impl
from jacdb.ingest.linalg import batched
from jacdb.ingest.linalg.batched import pairwise_sum

# Measured residuals lie under 1e-8 (where MJX stops by its own tolerance) or above 1e-4 (where it runs out of
# iterations before a Newton step lands): docs/jacobians.md.
RESIDUAL_TOLERANCE = 1e-6


def residual(imbalance: Array, smooth_force: Array, constraint_force: Array) -> Array:
    """How far a balance of forces is from 0, over the size of the forces, without a unit: joint forces first."""
    return _norm(imbalance) / jnp.maximum(_norm(smooth_force) + _norm(constraint_force), 1.0)


class ActiveSet(NamedTuple):
    """How the constraint rows act around some acceleration."""

    holds: Bool[Array, " nefc"]  # the force follows the row's violation: -D (J a - aref)
    force: Float[Array, " nefc"]  # where it does not: that of dry friction which slips, else 0

    @classmethod
    def of(cls, d: mjx.Data) -> "ActiveSet":
        """At the solver's solution."""
        force, bound = impl(d).efc_force, impl(d).efc_frictionloss
        equality = np.arange(impl(d).nefc) < impl(d).ne
        holds = jnp.where(bound > 0, jnp.abs(force) < bound, equality | (force > 0))
        return cls(holds, jnp.where(holds, 0.0, force))


class NewtonStep(NamedTuple):
    """From a_k to a_k + alpha s, along the Newton step s of the rows as they act at a_k.

    The line search ends where the slope vanishes, with the rows as they act at its last trial point but one.
    """

    acceleration: Float[Array, "*k nv"]  # a_k
    search: Float[Array, "*k nv"]  # s
    alpha: Float[Array, " *k"]  # 0 where no step improves, or none was taken any more
    rows: ActiveSet  # at a_k
    end_rows: ActiveSet  # those that alpha comes from
    end_gradient: Float[Array, "*k nv"]  # the cost's by a at a_k + alpha s, with end_rows
    rows_changed: Bool[Array, " *k"]  # end_rows are others than rows
    known: Bool[Array, " *k"]  # alpha is a Newton step's, and not the middle of a bracket
    solved: Bool[Array, " *k"]  # at a_k already


class NewtonTrace(NamedTuple):
    """What the solver did: enough to differentiate its result, solved or not."""

    from_warm_start: Bool[Array, ""]  # and not from the unconstrained acceleration
    steps: NewtonStep  # a leading axis of them


def supports(model: mjx.Model) -> bool:
    """Whether this is the solver, and not MJX's own."""
    newton = model.opt.solver == mjx.SolverType.NEWTON
    return bool(newton and model.opt.cone == mjx.ConeType.PYRAMIDAL)


def solve(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Find the acceleration and the constraint forces; ``mjx``'s own solver where this one has no method."""
    if not supports(model):
        return mjx_solve(model, d)
    problem, settings = _problem(model, d)

    def of_batch(problems: _Problem) -> tuple[Array, Array, Array]:
        return batched.samples_first(_Newton(batched.samples_last(problems), settings).solve().solution)

    return _with_solution(d, *batched.over_batches(of_batch)(problem))


def solve_with_trace(model: mjx.Model, d: mjx.Data) -> tuple[mjx.Data, NewtonTrace]:
    """The same, and how it went."""
    problem, settings = _problem(model, d)

    def of_batch(problems: _Problem) -> tuple[tuple[Array, Array, Array], NewtonTrace]:
        point, iterations = _Newton(batched.samples_last(problems), settings).solve_with_trace()
        return batched.samples_first((point.solution, iterations))

    solution, iterations = batched.over_batches(of_batch)(problem)
    return _with_solution(d, *solution), iterations


def _with_solution(d: mjx.Data, qacc: Array, qfrc_constraint: Array, efc_force: Array) -> mjx.Data:
    return replace_impl(d.replace(qacc=qacc, qfrc_constraint=qfrc_constraint), efc_force=efc_force)


def _problem(model: mjx.Model, d: mjx.Data) -> tuple["_Problem", "_Settings"]:
    warm = not model.opt.disableflags & mjx.DisableBit.WARMSTART
    problem = _Problem(
        mass=full_mass_matrix(model, d),
        jacobian=impl(d).efc_J,
        weight=impl(d).efc_D,
        reference=impl(d).efc_aref,
        friction=impl(d).efc_frictionloss,
        smooth_force=d.qfrc_smooth,
        smooth_acceleration=d.qacc_smooth,
        warm_start=d.qacc_warmstart if warm else d.qacc_smooth,
    )
    settings = _Settings(
        iterations=int(model.opt.iterations),
        search_iterations=int(model.opt.ls_iterations),
        tolerance=model.opt.tolerance,
        search_tolerance=model.opt.ls_tolerance,
        always=np.arange(impl(d).nefc)[:, None] < int(impl(d).ne + impl(d).nf),
        has_friction=bool(impl(d).nf),
    )
    return problem, settings


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

    @property
    def solution(self) -> tuple[Array, Array, Array]:
        return self.acceleration, self.constraint_force, self.row_force


class _Step(NamedTuple):
    """From one iterate to the next."""

    search: Float[Array, "nv n"]
    speed: Float[Array, "nefc n"]  # J search
    alpha: Float[Array, " n"]
    origin: Float[Array, " n"]


class _Trial(NamedTuple):
    """Trial points of a line search."""

    alpha: Array
    origin: Array  # alpha of the trial whose Newton step leads here; NaN for the middle of two
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
        self.trace = jnp.maximum(pairwise_sum(problem.mass[diagonal, diagonal]), mujoco.mjMINVAL)
        weight = problem.weight
        # where dry friction leaves its quadratic zone
        self.slip = problem.friction / (weight + (weight == 0.0) * mujoco.mjMINVAL)

    def solve(self) -> _Point:
        start = self._start()[0]
        if self.settings.iterations == 1:
            return self._iterate(start)[0]

        def body(state: tuple[_Point, Array]) -> tuple[_Point, Array]:
            point, count = state
            return _choose(self._going(point), self._iterate(point)[0], point), count + 1

        def going(state: tuple[_Point, Array]) -> Array:
            point, count = state
            return self._going(point).any() & (count < self.settings.iterations)

        return jax.lax.while_loop(going, body, (start, jnp.zeros((), int)))[0]

    def solve_with_trace(self) -> tuple[_Point, NewtonTrace]:
        """The same iterations, whose number is fixed: those too many are of length 0."""
        start, from_warm_start = self._start()

        def one(point: _Point, _: None) -> tuple[_Point, NewtonStep]:
            after, step = self._iterate(point)
            # MJX tests for the end between iterations, and takes the only one untested
            going = self._going(point) | (self.settings.iterations == 1)
            step = step._replace(alpha=jnp.where(going, step.alpha, 0.0))
            return _choose(going, after, point), self._told(point, step)

        end, steps = jax.lax.scan(one, start, None, self.settings.iterations)
        return end, NewtonTrace(from_warm_start, steps)

    def _start(self) -> tuple[_Point, Bool[Array, " n"]]:
        """The cheaper of last time's acceleration and the unconstrained one; whether it is the former."""
        warm, smooth = self._evaluate(self.problem.warm_start), self._evaluate(self.problem.smooth_acceleration)
        return _choose(warm.cost < smooth.cost, warm, smooth), warm.cost < smooth.cost

    def _going(self, point: _Point) -> Bool[Array, " n"]:
        """Not at the end by MJX's tests."""
        improvement = (point.previous_cost - point.cost) / self.trace
        gradient = _norm(self._gradient(point)) / self.trace
        return ~((improvement < self.settings.tolerance) | (gradient < self.settings.tolerance))

    def _told(self, point: _Point, step: _Step) -> NewtonStep:
        p, moves = self.problem, step.alpha != 0
        origin = jnp.where(moves, step.origin, 0.0)
        rows, end_rows = self._rows(point.violation), self._rows(point.violation + origin * step.speed)
        force = end_rows.force - p.weight * (point.violation + step.alpha * step.speed) * end_rows.holds
        momentum = point.momentum + step.alpha * batched.matvec(p.mass, step.search)
        return NewtonStep(
            acceleration=point.acceleration,
            search=step.search,
            alpha=step.alpha,
            rows=rows,
            end_rows=end_rows,
            end_gradient=momentum - p.smooth_force - batched.matvec_transposed(p.jacobian, force),
            rows_changed=((rows.holds != end_rows.holds) | (rows.force != end_rows.force)).any(axis=0),
            known=~jnp.isnan(origin),
            solved=residual(self._gradient(point), p.smooth_force, point.constraint_force) <= RESIDUAL_TOLERANCE,
        )

    def _rows(self, violation: Array) -> ActiveSet:
        holds, force = (violation < 0) | self.settings.always, jnp.zeros_like(violation)
        if self.settings.has_friction:
            sign, slipping = self._slipping(violation)
            holds, force = holds & ~slipping, jnp.where(slipping, -sign * self.problem.friction, force)
        return ActiveSet(holds, force)

    def _evaluate(self, acceleration: Array) -> _Point:
        p = self.problem
        momentum = batched.matvec(p.mass, acceleration)
        violation = batched.matvec(p.jacobian, acceleration) - p.reference
        infinite = jnp.full(acceleration.shape[1:], jnp.inf)
        return self._forces(acceleration, momentum, violation, infinite)

    def _forces(self, acceleration: Array, momentum: Array, violation: Array, previous_cost: Array) -> _Point:
        p = self.problem
        acceleration, momentum, violation = batched.materialize((acceleration, momentum, violation))
        quadratic, slipping_force = self._rows(violation)
        row_cost = 0.5 * p.weight * violation * violation * quadratic
        row_force = slipping_force - p.weight * violation * quadratic
        if self.settings.has_friction:
            slip_cost = -slipping_force * violation - 0.5 * p.friction * self.slip
            row_cost = jnp.where(slipping_force != 0, slip_cost, row_cost)
        row_force, row_cost = batched.materialize((row_force, row_cost))
        difference, above_smooth = momentum - p.smooth_force, acceleration - p.smooth_acceleration
        gauss = 0.5 * pairwise_sum(difference * above_smooth)
        return _Point(
            acceleration,
            momentum,
            violation,
            row_force,
            batched.matvec_transposed(p.jacobian, row_force),
            quadratic,
            gauss,
            gauss + pairwise_sum(row_cost),
            previous_cost,
        )

    def _slipping(self, violation: Array) -> tuple[Array, Array]:
        """The direction of slip and whether dry friction slips."""
        slipping = (jnp.abs(violation) >= self.slip) & (self.problem.friction > 0)
        return jnp.sign(violation), slipping

    def _gradient(self, point: _Point) -> Array:
        return point.momentum - self.problem.smooth_force - point.constraint_force

    def _iterate(self, point: _Point) -> tuple[_Point, _Step]:
        p = self.problem
        stiffness = p.weight * point.quadratic
        hessian = p.mass + batched.gram(p.jacobian, stiffness)
        gradient = self._gradient(point)
        search = -batched.cho_solve(batched.cholesky(hessian), gradient[:, None])[:, 0]
        search = batched.materialize(search)
        momentum = batched.matvec(p.mass, search)
        speed = batched.matvec(p.jacobian, search)
        alpha, origin = self._line_search(point, search, momentum, speed)
        after = self._forces(
            point.acceleration + alpha * search,
            point.momentum + alpha * momentum,
            point.violation + alpha * speed,
            point.cost,
        )
        return after, _Step(search, speed, alpha, origin)

    def _line_search(
        self, point: _Point, search: Array, momentum: Array, speed: Array
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """The step length, 0 where no step improves, and the trial that it is a Newton step from. MJX's bracketing
        with Newton steps from both ends."""
        p, settings = self.problem, self.settings
        gauss = (
            point.gauss,
            pairwise_sum(search * point.momentum) - pairwise_sum(search * p.smooth_force),
            0.5 * pairwise_sum(search * momentum),
        )
        gauss, speed = batched.materialize((gauss, speed))
        tolerance = settings.tolerance * settings.search_tolerance * _norm(search) * self.trace

        def trials(alpha: Float[Array, "*k n"], origin: Float[Array, "*k n"]) -> _Trial:
            return self._trials(point, speed, gauss, alpha, origin)

        none = jnp.zeros_like(point.cost)
        zero = trials(none, none)
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

        first = trials(-zero.slope / zero.curvature, none)
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
        best = _choose(low.cost < high.cost, low, high)
        return improved * best.alpha, best.origin

    @staticmethod
    def _narrow(state: _Bracket, trials: Callable[[Array, Array], _Trial], good: Callable[[_Trial], Array]) -> _Bracket:
        """One step: a Newton step from each end, and the middle, taken where they narrow the bracket."""
        low, high = state.low, state.high
        three = trials(
            jnp.stack(
                [
                    low.alpha - low.slope / low.curvature,
                    high.alpha - high.slope / high.curvature,
                    0.5 * (low.alpha + high.alpha),
                ]
            ),
            jnp.stack([low.alpha, high.alpha, jnp.full_like(low.alpha, jnp.nan)]),
        )
        three = batched.materialize(three)
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
        self, point: _Point, speed: Array, gauss: tuple[Array, Array, Array], alpha: Array, origin: Array
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
        rows = batched.materialize(rows)
        q0, q1, q2 = (pairwise_sum(row, axis=-2) + g for row, g in zip(rows, gauss, strict=True))
        return _Trial(
            alpha=alpha,
            origin=origin,
            cost=alpha * alpha * q2 + alpha * q1 + q0,
            slope=2 * alpha * q2 + q1,
            curvature=2 * q2 + (q2 == 0) * mujoco.mjMINVAL,
        )


def _norm(vector: Float[Array, "m n"]) -> Float[Array, " n"]:
    return jnp.sqrt(pairwise_sum(vector * vector))
