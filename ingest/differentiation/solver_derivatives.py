"""Derivatives of the acceleration that the constraint solver finds, by position, velocity and ctrl.

The balance r(q, v, u; a) and what it is made of: see :mod:`jacdb.ingest.differentiation.control_step`. Two functions
of one batch:

``of_solution`` takes a to solve r = 0.

``of_iterations`` takes a as Newton's method left it, after few iterations maybe. With the constraint rows as they act
at iterate a_k, r is linear in a; a whole Newton step would solve it, so da* = -(dr/da)^-1 dr/dx at a* = a_k + s. The
iterate itself goes part of the way,

    da_k+1 = da_k + alpha (da* - da_k) + dalpha s,      s . r(a_k+1) = 0 gives dalpha,

where r's rows act as they do at the trial point from which the line search made its last Newton step. An exact
derivative of what MJX computes, without differentiating a factorisation or a line search.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation import contact_derivatives, contact_geometry, joint_derivatives, rnea_derivatives
from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.differentiation.contact_derivatives import Contacts
from jacdb.ingest.differentiation.joint_derivatives import Coupling
from jacdb.ingest.differentiation.rnea_derivatives import Drag, Kinematics, Tree
from jacdb.ingest.dynamics.newton import ActiveSet, NewtonStep, NewtonTrace
from jacdb.ingest.environments.loading import System
from jacdb.ingest.linalg import batched


class Linear(NamedTuple):
    """The balance's derivatives at some acceleration, samples last."""

    by_inputs: Float[Array, "nv inputs n"]  # dq, v, ctrl: 2 nv + nu
    by_a: Float[Array, "nv nv n"]
    mass: Float[Array, "nv nv n"]
    lag: Float[Array, "nv inputs n"] | None  # of the second equation, where the integrator damps implicitly


class _Place(NamedTuple):
    """What does not depend on the acceleration, samples last but for ``samples``."""

    samples: mjx.Data
    kinematics: Kinematics
    drag: Drag | None
    contacts: list[Contacts]


@dataclass(frozen=True)
class AccelerationJacobian:
    """An environment's balance of forces."""

    mj_model: mujoco.MjModel
    model: mjx.Model
    tree: Tree
    colours: ContactColoring
    coupling: Coupling
    damps_implicitly: bool

    @classmethod
    def of(cls, system: System, model: mjx.Model) -> "AccelerationJacobian":
        mj = system.mj_model
        coupling = Coupling.of(mj, kicked="kick" in system.spec.held)
        damps = joint_derivatives.damps_implicitly(model)
        return cls(mj, model, Tree.of(mj), ContactColoring.of(mj), coupling, damps)

    def of_solution(self, samples: mjx.Data, lags: Float[Array, "n nv"]) -> Float[Array, "n nv inputs"]:
        """da' by (dq, v, ctrl), where forward dynamics solved for a.

        Args:
            samples: forward dynamics' results.
            lags: a', the acceleration with which the integrator goes on: a itself, or damped implicitly.
        """
        place = self._place(samples)
        rows = jax.vmap(ActiveSet.of)(samples)
        linear = self._linear(place, samples.qacc, rows, lags)
        by_inputs = -batched.cho_solve(batched.cholesky(linear.by_a), linear.by_inputs)
        return batched.samples_first(self._damped(place, linear, by_inputs, samples.qacc, lags))

    def of_iterations(
        self, samples: mjx.Data, lags: Float[Array, "n nv"], iterations: NewtonTrace
    ) -> tuple[Float[Array, "n nv all_inputs"], Float[Array, "n nv all_inputs"]]:
        """da and da' by (dq, v, ctrl) and the warm start: 3 nv + nu. Arguments as :meth:`of_solution`."""
        place = self._place(samples)
        warm, steps = batched.samples_last(iterations)
        nv, n = place.kinematics.qvel.shape
        start = self._linear(place, samples.qacc_smooth, None)
        by_inputs = -batched.cho_solve(batched.cholesky(start.by_a), start.by_inputs)
        by_warm_start = jnp.broadcast_to(jnp.eye(nv)[..., None], (nv, nv, n))
        first = jnp.concatenate([jnp.where(warm, 0.0, by_inputs), jnp.where(warm, by_warm_start, 0.0)], axis=1)

        def linear_at(point: tuple[Array, ActiveSet]) -> Linear:
            qaccs, rows = batched.samples_first(point)
            return self._linear(place, qaccs, rows)

        def one(da: Array, step: NewtonStep) -> tuple[Array, None]:
            # A step that begins at the solution goes nowhere, or anywhere in rounding; after any change it is a
            # whole Newton step. (Here jacfwd through the solver is wrong: docs/jacobians.md.)
            search, alpha = step.search, jnp.where(step.solved, 1.0, step.alpha)
            points = (
                jnp.stack([step.acceleration + search, step.acceleration + alpha * search]),
                jax.tree.map(lambda *ends: jnp.stack(ends), step.rows, step.end_rows),
            )
            # one after the other in a loop: compiled once
            linear = jax.lax.map(linear_at, points)
            whole, end = (jax.tree.map(lambda leaf, i=i: leaf[i], linear) for i in range(2))
            solved = -batched.cho_solve(batched.cholesky(whole.by_a), whole.by_inputs)
            ds = jnp.concatenate([solved, jnp.zeros_like(by_warm_start)], axis=1) - da
            moved = da + alpha * ds
            stiff = batched.matvec(end.by_a, search)
            slope = (
                batched.matvec_transposed(ds, step.end_gradient)
                + batched.matvec_transposed(moved, stiff)
                + jnp.pad(batched.matvec_transposed(end.by_inputs, search), ((0, nv), (0, 0)))
            )
            # a step whose rows act alike all along ends at a*, whatever x: dalpha is 0, and not rounding
            turns = step.rows_changed & (alpha != 0) & ~step.solved
            d_alpha = jnp.where(turns, -slope / jnp.where(turns, batched.pairwise_sum(search * stiff), 1.0), 0.0)
            return moved + search[:, None] * d_alpha[None], None

        da, _ = jax.lax.scan(one, first, steps)
        if not self.damps_implicitly:
            return batched.samples_first((da, da))
        left = self._linear(place, samples.qacc, jax.vmap(ActiveSet.of)(samples), lags)
        dr = batched.matmul(left.by_a, da) + jnp.pad(left.by_inputs, ((0, 0), (0, nv), (0, 0)))
        return batched.samples_first((da, self._damped(place, left, da, samples.qacc, lags, dr)))

    def _place(self, samples: mjx.Data) -> _Place:
        mj, model, tree, d = self.mj_model, self.model, self.tree, batched.samples_last(samples)

        def rates(sample: mjx.Data) -> tuple[Array, Array, Array, Array]:
            return contact_geometry.geometry_derivative(model, mj, tree, sample, self.colours)

        kin = rnea_derivatives.kinematics(mj, tree, d)
        contacts = []
        if impl(samples).ncon and impl(samples).nefc:  # with constraints switched off MJX still collides
            geometry_rates = batched.samples_last(jax.vmap(rates)(samples))
            contacts = contact_derivatives.contacts(model, mj, tree, kin, d, geometry_rates)
        drag = rnea_derivatives.medium_drag(mj, kin, d) if impl(model.opt).has_fluid_params else None
        return _Place(samples, kin, drag, contacts)

    def _linear(self, place: _Place, qaccs: Array, rows: ActiveSet | None, lags: Array | None = None) -> Linear:
        """At accelerations, with rows that act so (samples first).

        Args:
            rows: None for a balance without constraints.
            lags: a', for the second equation too, if the integrator has one.
        """
        lags = lags if self.damps_implicitly else None

        def of_sample(
            d: mjx.Data, qacc: Array, rows: ActiveSet | None, lag: Array | None
        ) -> joint_derivatives.JointDerivatives:
            """What is left to automatic differentiation, compressed."""
            forces = joint_derivatives.joint_forces(self.mj_model, self.model, self.coupling, d, rows, lag)
            return joint_derivatives.compressed_jacobians(forces, self.coupling, d, qacc)

        compressed = batched.samples_last(jax.vmap(of_sample)(place.samples, qaccs, rows, lags))
        joints = joint_derivatives.expand(compressed, self.coupling)
        qacc = batched.samples_last(qaccs)
        gravity = self.mj_model.opt.gravity * (not self.mj_model.opt.disableflags & DisableBit.GRAVITY)
        rigid = rnea_derivatives.rigid_derivatives(self.tree, place.kinematics, qacc, gravity, place.drag)
        mass = rigid.by_a + jnp.diag(self.mj_model.dof_armature)[..., None]
        by_q, by_v, by_a = rigid.by_q + joints.by_q[0], rigid.by_v + joints.by_v[0], mass + joints.by_a[0]
        if place.contacts and rows is not None:
            holds = batched.samples_last(rows.holds)
            contacts = batched.materialize(
                contact_derivatives.contact_derivatives(place.contacts, self.tree, place.kinematics, qacc, holds)
            )
            by_q, by_v, by_a = by_q + contacts.by_q, by_v + contacts.by_v, by_a + contacts.by_a
        second = [joints.by_q[1], joints.by_v[1], joints.by_ctrl[1]] if lags is not None else None
        return Linear(
            jnp.concatenate([*batched.materialize((by_q, by_v)), joints.by_ctrl[0]], axis=1),
            by_a,
            mass,
            jnp.concatenate(second, axis=1) if second else None,
        )

    def _damped(
        self, place: _Place, linear: Linear, da: Array, qaccs: Array, lags: Array, dr: Array | float = 0.0
    ) -> Array:
        """da' of (M - h B) a' = M a - r, the forces at a: a solver that stopped early leaves r.

        Args:
            dr: of r, all told; 0 where the solver left none.
        """
        if linear.lag is None:
            return da
        nv = len(linear.mass)
        damping = batched.samples_last(
            jax.vmap(lambda sample: joint_derivatives.implicit_damping(self.model, sample))(place.samples)
        )
        difference = batched.samples_last(qaccs - lags)
        turning = rnea_derivatives.mass_matrix_derivative(self.tree, place.kinematics, difference)
        lag = jnp.concatenate([linear.lag[:, :nv] + turning, linear.lag[:, nv:]], axis=1)
        lag = jnp.pad(lag, ((0, 0), (0, da.shape[1] - lag.shape[1]), (0, 0)))
        h = self.model.opt.timestep
        driving = batched.matmul(linear.mass, da) + lag - dr
        return batched.cho_solve(batched.cholesky(linear.mass - h * damping), driving)
