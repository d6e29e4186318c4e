"""The convex problem whose solution is the constrained acceleration: what MuJoCo's solvers minimise.

    1/2 (a - a_smooth)^T M (a - a_smooth) + s(J a - aref)    over the acceleration a,

where s charges every constraint row for its violation J a - aref: half of D times the square for a row that is active,
0 for a one-sided row that is satisfied, and linear for dry friction that slips. Reference: MuJoCo documentation,
"Computation", "Constraint model".

Samples are the last axis (:mod:`jacdb.ingest.linalg.batched`); n is their number.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx

from jacdb.ingest.compat.mjx import full_mass_matrix, impl
from jacdb.ingest.linalg import batched
from jacdb.ingest.linalg.batched import pairwise_sum


class ActiveSet(NamedTuple):
    """How the constraint rows act around some acceleration."""

    active: Bool[Array, "nefc *n"]  # the force follows the row's violation: -D (J a - aref)
    force: Float[Array, "nefc *n"]  # where it does not: that of dry friction which slips, else 0

    @classmethod
    def of(cls, d: mjx.Data) -> "ActiveSet":
        """Return how the rows act at the solver's solution (one sample)."""
        force, bound = impl(d).efc_force, impl(d).efc_frictionloss
        equality = np.arange(impl(d).nefc) < impl(d).ne
        active = jnp.where(bound > 0, jnp.abs(force) < bound, equality | (force > 0))
        return cls(active, jnp.where(active, 0.0, force))


class ConstraintProblem(NamedTuple):
    """The arrays of the problem. :func:`read_problem` has one sample, without the last axis."""

    mass: Float[Array, "nv nv *n"]  # M
    jacobian: Float[Array, "nefc nv *n"]  # J
    weight: Float[Array, "nefc *n"]  # D
    reference: Float[Array, "nefc *n"]  # aref
    friction: Float[Array, "nefc *n"]  # bound of dry friction, 0 in other rows
    smooth_force: Float[Array, "nv *n"]
    smooth_acceleration: Float[Array, "nv *n"]
    warm_start: Float[Array, "nv *n"]


class SolverSettings(NamedTuple):
    """When the solver stops, and which rows it has."""

    iterations: int
    search_iterations: int
    tolerance: Array
    search_tolerance: Array
    two_sided: Bool[np.ndarray, "nefc 1"]  # rows that push and pull: equalities and dry friction
    has_friction: bool


def read_problem(model: mjx.Model, d: mjx.Data) -> tuple[ConstraintProblem, SolverSettings]:
    """Read one sample's problem off data on which the stages before the solver have been run."""
    warm = not model.opt.disableflags & mjx.DisableBit.WARMSTART
    problem = ConstraintProblem(
        mass=full_mass_matrix(model, d),
        jacobian=impl(d).efc_J,
        weight=impl(d).efc_D,
        reference=impl(d).efc_aref,
        friction=impl(d).efc_frictionloss,
        smooth_force=d.qfrc_smooth,
        smooth_acceleration=d.qacc_smooth,
        warm_start=d.qacc_warmstart if warm else d.qacc_smooth,
    )
    settings = SolverSettings(
        iterations=int(model.opt.iterations),
        search_iterations=int(model.opt.ls_iterations),
        tolerance=model.opt.tolerance,
        search_tolerance=model.opt.ls_tolerance,
        two_sided=np.arange(impl(d).nefc)[:, None] < int(impl(d).ne + impl(d).nf),
        has_friction=bool(impl(d).nf),
    )
    return problem, settings


class Iterate(NamedTuple):
    """An acceleration, with the forces that belong to it and what it costs."""

    acceleration: Float[Array, "nv n"]
    momentum: Float[Array, "nv n"]  # M a
    violation: Float[Array, "nefc n"]  # J a - aref
    row_force: Float[Array, "nefc n"]
    constraint_force: Float[Array, "nv n"]  # J^T row_force
    active: Bool[Array, "nefc n"]  # rows whose force follows their violation
    gauss: Float[Array, " n"]  # the cost's first term
    cost: Float[Array, " n"]
    previous_cost: Float[Array, " n"]

    @property
    def solution(self) -> tuple[Array, Array, Array]:
        """Return what forward dynamics keeps: acceleration, joint forces, row forces."""
        return self.acceleration, self.constraint_force, self.row_force


@dataclass(frozen=True)
class ConstraintCost:
    """The function to be minimised, for a batch: its value, its forces, its gradient."""

    problem: ConstraintProblem
    settings: SolverSettings
    mass_trace: Float[Array, " n"]  # the scale of MJX's tolerances
    slip: Float[Array, "nefc n"]  # the violation at which dry friction leaves its quadratic zone

    @classmethod
    def of(cls, problem: ConstraintProblem, settings: SolverSettings) -> "ConstraintCost":
        diagonal = np.arange(problem.mass.shape[0])
        mass_trace = jnp.maximum(pairwise_sum(problem.mass[diagonal, diagonal]), mujoco.mjMINVAL)
        weight = problem.weight
        slip = problem.friction / (weight + (weight == 0.0) * mujoco.mjMINVAL)
        return cls(problem, settings, mass_trace, slip)

    def at(self, acceleration: Float[Array, "nv n"]) -> Iterate:
        """Evaluate the cost at an acceleration."""
        p = self.problem
        momentum = batched.matvec(p.mass, acceleration)
        violation = batched.matvec(p.jacobian, acceleration) - p.reference
        infinite = jnp.full(acceleration.shape[1:], jnp.inf)
        return self.evaluate(acceleration, momentum, violation, infinite)

    def evaluate(
        self,
        acceleration: Float[Array, "nv n"],
        momentum: Float[Array, "nv n"],
        violation: Float[Array, "nefc n"],
        previous_cost: Float[Array, " n"],
    ) -> Iterate:
        """Evaluate the cost at an acceleration whose momentum and violation are known."""
        p = self.problem
        acceleration, momentum, violation = batched.materialize((acceleration, momentum, violation))
        active, slipping_force = self.active_set(violation)
        row_cost = 0.5 * p.weight * violation * violation * active
        row_force = slipping_force - p.weight * violation * active
        if self.settings.has_friction:
            slip_cost = -slipping_force * violation - 0.5 * p.friction * self.slip
            row_cost = jnp.where(slipping_force != 0, slip_cost, row_cost)
        row_force, row_cost = batched.materialize((row_force, row_cost))
        difference, above_smooth = momentum - p.smooth_force, acceleration - p.smooth_acceleration
        gauss = 0.5 * pairwise_sum(difference * above_smooth)
        return Iterate(
            acceleration,
            momentum,
            violation,
            row_force,
            batched.matvec_transposed(p.jacobian, row_force),
            active,
            gauss,
            gauss + pairwise_sum(row_cost),
            previous_cost,
        )

    def active_set(self, violation: Float[Array, "nefc n"]) -> ActiveSet:
        """Return how the rows act at a violation."""
        active, force = (violation < 0) | self.settings.two_sided, jnp.zeros_like(violation)
        if self.settings.has_friction:
            sign, slipping = self.slipping(violation)
            active, force = active & ~slipping, jnp.where(slipping, -sign * self.problem.friction, force)
        return ActiveSet(active, force)

    def slipping(
        self, violation: Float[Array, "*k nefc n"]
    ) -> tuple[Float[Array, "*k nefc n"], Bool[Array, "*k nefc n"]]:
        """Return the direction of slip, and whether dry friction slips."""
        slipping = (jnp.abs(violation) >= self.slip) & (self.problem.friction > 0)
        return jnp.sign(violation), slipping

    def gradient(self, iterate: Iterate) -> Float[Array, "nv n"]:
        """Return the cost's derivative by the acceleration."""
        return iterate.momentum - self.problem.smooth_force - iterate.constraint_force
