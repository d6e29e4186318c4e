"""MuJoCo's Newton constraint solver as MJX runs it, laid out for large batches of small robots.

It is the algorithm of ``mujoco.mjx._src.solver.solve`` with pyramidal friction cones: the same start, line search,
iterations and tests for the end. So the acceleration is the same to rounding, where MJX's solver has converged and
where it was stopped. What differs is the layout: samples are the last axis (:mod:`jacdb.ingest.linalg.batched`), and no
factorisation is made that is not used. Under ``vmap`` MJX's own takes most of a step's time (docs/performance.md).
MJX gives no trace of its iterations; :func:`solve_with_trace` does, and Jacobians of stopped solutions need it.
Reference: MuJoCo documentation, "Computation", "Solver algorithms".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
from mujoco import mjx

from jacdb.ingest.compat.mjx import mjx_solve, replace_impl
from jacdb.ingest.dynamics.constraint_problem import (
    ActiveSet,
    ConstraintCost,
    ConstraintProblem,
    Iterate,
    SolverSettings,
    read_problem,
)
from jacdb.ingest.dynamics.line_search import line_search
from jacdb.ingest.linalg import batched
from jacdb.ingest.linalg.batched import choose, norm

# Measured residuals lie under 1e-8 (where MJX stops by its own tolerance) or above 1e-4 (where it runs out of
# iterations before a Newton step lands): docs/jacobians.md.
RESIDUAL_TOLERANCE = 1e-6


def residual(
    imbalance: Float[Array, "nv *n"], smooth_force: Float[Array, "nv *n"], constraint_force: Float[Array, "nv *n"]
) -> Float[Array, "*n"]:
    """Return how far a balance of forces is from 0, over the size of the forces, without a unit."""
    return norm(imbalance) / jnp.maximum(norm(smooth_force) + norm(constraint_force), 1.0)


class NewtonStep(NamedTuple):
    """A step from a_k to a_k + alpha s, along the Newton step s of the rows as they act at a_k.

    The line search ends where the slope vanishes, with the rows as they act at its last trial point but one.
    """

    acceleration: Float[Array, "*k nv"]  # a_k
    search: Float[Array, "*k nv"]  # s
    alpha: Float[Array, " *k"]  # 0 where no step improves, or none was taken any more
    active_set: ActiveSet  # at a_k
    end_active_set: ActiveSet  # that which alpha comes from
    end_gradient: Float[Array, "*k nv"]  # the cost's by a at a_k + alpha s, with end_active_set
    active_set_changed: Bool[Array, " *k"]  # end_active_set is not active_set
    alpha_is_newton: Bool[Array, " *k"]  # alpha is a Newton step's, and not the middle of a bracket
    solved: Bool[Array, " *k"]  # at a_k already


class NewtonTrace(NamedTuple):
    """A record of what the solver did: enough to differentiate its result, solved or not."""

    from_warm_start: Bool[Array, ""]  # and not from the unconstrained acceleration
    steps: NewtonStep  # a leading axis of them


def supports(model: mjx.Model) -> bool:
    """Return whether this solver solves the model, and not MJX's own."""
    newton = model.opt.solver == mjx.SolverType.NEWTON
    return bool(newton and model.opt.cone == mjx.ConeType.PYRAMIDAL)


def solve(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Find the acceleration and the constraint forces of one sample.

    Models that :func:`supports` excludes are given to MJX's own solver.
    """
    if not supports(model):
        return mjx_solve(model, d)
    problem, settings = read_problem(model, d)

    def solve_batch(problems: ConstraintProblem) -> tuple[Array, Array, Array]:
        return batched.samples_first(_Newton(batched.samples_last(problems), settings).solve().solution)

    return _with_solution(d, *batched.over_batches(solve_batch)(problem))


def solve_with_trace(model: mjx.Model, d: mjx.Data) -> tuple[mjx.Data, NewtonTrace]:
    """Find the acceleration and the constraint forces, and return the solver's trace with them.

    The model must be one that this solver :func:`supports`.
    """
    problem, settings = read_problem(model, d)

    def solve_batch(problems: ConstraintProblem) -> tuple[tuple[Array, Array, Array], NewtonTrace]:
        end, trace = _Newton(batched.samples_last(problems), settings).solve_with_trace()
        return batched.samples_first((end.solution, trace))

    solution, trace = batched.over_batches(solve_batch)(problem)
    return _with_solution(d, *solution), trace


def _with_solution(d: mjx.Data, qacc: Array, qfrc_constraint: Array, efc_force: Array) -> mjx.Data:
    """Write a solution into the data."""
    return replace_impl(d.replace(qacc=qacc, qfrc_constraint=qfrc_constraint), efc_force=efc_force)


class _Step(NamedTuple):
    """From one iterate to the next."""

    search: Float[Array, "nv n"]
    speed: Float[Array, "nefc n"]  # J search
    alpha: Float[Array, " n"]
    origin: Float[Array, " n"]  # alpha of the line search's trial whose Newton step alpha is; NaN if of none


class _Newton:
    """The solver's iterations on a batch, samples last."""

    def __init__(self, problem: ConstraintProblem, settings: SolverSettings) -> None:
        self.problem, self.settings = problem, settings
        self.cost = ConstraintCost.of(problem, settings)

    def solve(self) -> Iterate:
        """Iterate until every sample has converged, or the iterations are used up."""
        start = self._start()[0]
        if self.settings.iterations == 1:
            return self._iterate(start)[0]

        def iterate(state: tuple[Iterate, Array]) -> tuple[Iterate, Array]:
            current, count = state
            return choose(self._unfinished(current), self._iterate(current)[0], current), count + 1

        def unfinished(state: tuple[Iterate, Array]) -> Array:
            current, count = state
            return self._unfinished(current).any() & (count < self.settings.iterations)

        return jax.lax.while_loop(unfinished, iterate, (start, jnp.zeros((), int)))[0]

    def solve_with_trace(self) -> tuple[Iterate, NewtonTrace]:
        """Run the same iterations in a fixed number: steps after the end have length 0."""
        start, from_warm_start = self._start()

        def iterate(current: Iterate, _: None) -> tuple[Iterate, NewtonStep]:
            after, step = self._iterate(current)
            # MJX tests for the end between iterations, and takes the only one untested
            unfinished = self._unfinished(current) | (self.settings.iterations == 1)
            step = step._replace(alpha=jnp.where(unfinished, step.alpha, 0.0))
            return choose(unfinished, after, current), self._traced(current, step)

        end, steps = jax.lax.scan(iterate, start, None, self.settings.iterations)
        return end, NewtonTrace(from_warm_start, steps)

    def _start(self) -> tuple[Iterate, Bool[Array, " n"]]:
        """Return the cheaper of last time's acceleration and the unconstrained one, and whether it is the former."""
        warm, smooth = self.cost.at(self.problem.warm_start), self.cost.at(self.problem.smooth_acceleration)
        return choose(warm.cost < smooth.cost, warm, smooth), warm.cost < smooth.cost

    def _unfinished(self, current: Iterate) -> Bool[Array, " n"]:
        """Return whether an iterate is not the end by MJX's tests."""
        improvement = (current.previous_cost - current.cost) / self.cost.mass_trace
        gradient = norm(self.cost.gradient(current)) / self.cost.mass_trace
        return ~((improvement < self.settings.tolerance) | (gradient < self.settings.tolerance))

    def _iterate(self, current: Iterate) -> tuple[Iterate, _Step]:
        """Take a Newton step, as far as the line search goes along it."""
        p = self.problem
        stiffness = p.weight * current.active
        hessian = p.mass + batched.gram(p.jacobian, stiffness)
        gradient = self.cost.gradient(current)
        search = -batched.cho_solve(batched.cholesky(hessian), gradient[:, None])[:, 0]
        search = batched.materialize(search)
        momentum = batched.matvec(p.mass, search)
        speed = batched.matvec(p.jacobian, search)
        alpha, origin = line_search(self.cost, current, search, momentum, speed)
        after = self.cost.evaluate(
            current.acceleration + alpha * search,
            current.momentum + alpha * momentum,
            current.violation + alpha * speed,
            current.cost,
        )
        return after, _Step(search, speed, alpha, origin)

    def _traced(self, current: Iterate, step: _Step) -> NewtonStep:
        """Return what the trace keeps of a step from ``current``."""
        p, moves = self.problem, step.alpha != 0
        origin = jnp.where(moves, step.origin, 0.0)
        active_set = self.cost.active_set(current.violation)
        end_active_set = self.cost.active_set(current.violation + origin * step.speed)
        end_violation = current.violation + step.alpha * step.speed
        force = end_active_set.force - p.weight * end_violation * end_active_set.active
        momentum = current.momentum + step.alpha * batched.matvec(p.mass, step.search)
        end_gradient = momentum - p.smooth_force - batched.matvec_transposed(p.jacobian, force)
        changed = (active_set.active != end_active_set.active) | (active_set.force != end_active_set.force)
        return NewtonStep(
            acceleration=current.acceleration,
            search=step.search,
            alpha=step.alpha,
            active_set=active_set,
            end_active_set=end_active_set,
            end_gradient=end_gradient,
            active_set_changed=changed.any(axis=0),
            alpha_is_newton=~jnp.isnan(origin),
            solved=residual(self.cost.gradient(current), p.smooth_force, current.constraint_force)
            <= RESIDUAL_TOLERANCE,
        )
