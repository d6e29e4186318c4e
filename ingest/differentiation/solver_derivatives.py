"""Derivatives of the acceleration that the constraint solver finds, by position, velocity and ctrl.

The balance r(q, v, u; a) and its parts are described in :mod:`jacdb.ingest.differentiation.control_step`. There are two
derivatives of one batch:

:meth:`AccelerationJacobian.implicit` is exact where a solves r = 0.

:meth:`AccelerationJacobian.unrolled` takes a as Newton's method left it, after few iterations maybe. With the
constraint rows as they act at iterate a_k, r is linear in a. A whole Newton step would solve it, so
da* = -(dr/da)^-1 dr/dx at a* = a_k + s. The iterate itself goes part of the way,

    da_k+1 = da_k + alpha (da* - da_k) + dalpha s,      s . r(a_k+1) = 0 gives dalpha,

where r's rows act as they do at the trial point from which the line search made its last Newton step. This is the exact
derivative of what MJX computes, without differentiating a factorisation or a line search.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation import (
    contact_derivatives,
    implicit_damping,
    joint_derivatives,
    rnea_derivatives,
)
from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.differentiation.contact_derivatives import ContactGroup
from jacdb.ingest.differentiation.contact_geometry import ContactFinder, GeometryRates
from jacdb.ingest.differentiation.implicit_damping import Damping
from jacdb.ingest.differentiation.joint_derivatives import Coupling, JointDerivatives
from jacdb.ingest.differentiation.pose_equalities import PoseEqualities
from jacdb.ingest.differentiation.rnea_derivatives import Drag, Kinematics, Tree
from jacdb.ingest.dynamics import impedances
from jacdb.ingest.dynamics.constraint_problem import ActiveSet
from jacdb.ingest.dynamics.contacts import SlotsByDim
from jacdb.ingest.dynamics.impedances import Impedance
from jacdb.ingest.dynamics.newton import NewtonStep, NewtonTrace
from jacdb.ingest.linalg import batched


class LinearizedDynamics(NamedTuple):
    """The derivatives of the balance r at some acceleration, samples last. Inputs are (dq, v, ctrl, act)."""

    by_inputs: Float[Array, "nv inputs n"]
    by_a: Float[Array, "nv nv n"]
    mass: Float[Array, "nv nv n"]
    coriolis: Float[Array, "nv nv n"]  # the derivative of rigid bodies' inverse dynamics by v
    damping_by_inputs: Float[Array, "nv inputs n"] | None  # of h B a', where the integrator damps implicitly


class LinearizationPoint(NamedTuple):
    """The states at which the balance is linearized: everything that does not depend on the acceleration."""

    samples: mjx.Data  # samples first; in the rest they are last
    kinematics: Kinematics
    drag: Drag | None
    contacts: list[ContactGroup]


@dataclass(frozen=True)
class AccelerationJacobian:
    """Differentiates the accelerations of a model's batch. One is made for each model."""

    mj_model: mujoco.MjModel
    model: mjx.Model
    tree: Tree
    coloring: ContactColoring
    coupling: Coupling
    damps_implicitly: bool
    damping: Damping
    damped_coriolis: (
        Float[np.ndarray, "nv nv"] | None
    )  # 1 where the integrator damps Coriolis forces too; None: nowhere
    armature: Float[np.ndarray, "nv nv"]  # motors' inertias, of joints and of fixed tendons
    blocks: list[slice]  # of dofs that neither the mass matrix nor implicit damping joins with others
    impedance: Impedance  # of the constraint rows that are no contact's
    pose_equalities: PoseEqualities | None  # that MJX's stages do not have

    @classmethod
    def of(
        cls,
        mj: mujoco.MjModel,
        model: mjx.Model,
        kicked: bool,
        damping: Damping = implicit_damping.of_mjx,
        damped_coriolis: Float[np.ndarray, "nv nv"] | None = None,
        *,
        tendons: Float[np.ndarray, "nv nv"] | None,
        poses_apart: bool = False,
        impedance: Impedance = impedances.of_mjx,
    ) -> "AccelerationJacobian":
        """Read off the model what is the same for all states.

        Args:
            mj: the model whose step is differentiated.
            model: MJX's, of which its stages are.
            kicked: whether forces on bodies (xfrc_applied) may be other than zero.
            damping: what the engine that takes the step damps implicitly.
            damped_coriolis: where it does so with Coriolis forces (:func:`implicit_damping.coriolis_of_c`).
            tendons: what tendons' armature adds to the mass matrix of that engine; None: nothing.
            poses_apart: whether ``model`` is without connects and welds, which are then as the C engine has them.
            impedance: of constraint rows, as that engine has it.
        """
        coupling = Coupling.of(mj, kicked, poses_apart)
        damps = implicit_damping.damps_implicitly(model)
        same_tree = mj.body_rootid[mj.dof_bodyid][:, None] == mj.body_rootid[mj.dof_bodyid]
        blocks = batched.diagonal_blocks(same_tree | coupling.by_dof)
        tree, coloring, equalities = Tree.of(mj), ContactColoring.of(mj), PoseEqualities.of(mj) if poses_apart else None
        armature: np.ndarray = np.diag(mj.dof_armature)
        armature = armature if tendons is None else armature + tendons
        damped = damps, damping, damped_coriolis
        return cls(mj, model, tree, coloring, coupling, *damped, armature, blocks, impedance, equalities)

    def contact_finder(self) -> ContactFinder:
        """Return what finds one sample's contacts for forward dynamics, and keeps how they move."""
        return ContactFinder(self.mj_model, self.tree, self.coloring)

    def implicit(
        self, samples: mjx.Data, rates: GeometryRates | None, qaccs_integrator: Float[Array, "n nv"]
    ) -> Float[Array, "n nv inputs"]:
        """Differentiate the integrator's acceleration a' by (dq, v, ctrl, act), where forward dynamics solved for a.

        Args:
            samples: forward dynamics' results.
            rates: how their contacts move, of :meth:`contact_finder`.
            qaccs_integrator: a', the acceleration with which the integrator goes on: a itself, or damped implicitly.
        """
        point = self.linearization_point(samples, rates)
        return self.implicit_at(point, samples.qacc, qaccs_integrator, jax.vmap(ActiveSet.of)(samples))

    def implicit_at(
        self,
        point: LinearizationPoint,
        qaccs: Float[Array, "n nv"],
        qaccs_integrator: Float[Array, "n nv"],
        active_sets: ActiveSet,
        *,
        contacts_of_rows: bool = True,
    ) -> Float[Array, "n nv inputs"]:
        """Differentiate a' by (dq, v, ctrl, act) at an acceleration a that solves the balance, whoever found it.

        Args:
            active_sets: how the constraint rows act at a.
            contacts_of_rows: whether they say which contacts push; if not, that is found at a.
        """
        linear = self._linearize(point, qaccs, active_sets, qaccs_integrator, contacts_of_rows)
        by_inputs = -batched.cho_solve(batched.cholesky(linear.by_a), linear.by_inputs)
        return batched.samples_first(self._integrated(point, linear, by_inputs, qaccs, qaccs_integrator))

    def unrolled(
        self,
        samples: mjx.Data,
        rates: GeometryRates | None,
        qaccs_integrator: Float[Array, "n nv"],
        traces: NewtonTrace,
    ) -> tuple[Float[Array, "n nv all_inputs"], Float[Array, "n nv all_inputs"]]:
        """Differentiate a and a' as the solver's iterations left them.

        Args:
            samples: forward dynamics' results.
            rates: how their contacts move, of :meth:`contact_finder`.
            qaccs_integrator: a', the acceleration with which the integrator goes on.
            traces: the solver's iterations.

        Returns:
            da and da' by (dq, v, ctrl) and the warm start: 3 nv + nu.
        """
        point = self.linearization_point(samples, rates)
        from_warm_start, steps = batched.samples_last(traces)
        nv, n = point.kinematics.qvel.shape
        smooth = self._linearize(point, samples.qacc_smooth, None)
        by_inputs = -batched.cho_solve(batched.cholesky(smooth.by_a), smooth.by_inputs)
        by_warm_start = jnp.broadcast_to(jnp.eye(nv)[..., None], (nv, nv, n))
        start = jnp.concatenate(
            [jnp.where(from_warm_start, 0.0, by_inputs), jnp.where(from_warm_start, by_warm_start, 0.0)], axis=1
        )

        def step(da: Array, taken: NewtonStep) -> tuple[Array, None]:
            return self._step_derivative(point, da, taken, by_warm_start), None

        da, _ = jax.lax.scan(step, start, steps)
        if not self.damps_implicitly:
            return batched.samples_first((da, da))
        end = self._linearize(point, samples.qacc, jax.vmap(ActiveSet.of)(samples), qaccs_integrator)
        dr = batched.matmul(end.by_a, da) + jnp.pad(end.by_inputs, ((0, 0), (0, nv), (0, 0)))
        return batched.samples_first((da, self._integrated(point, end, da, samples.qacc, qaccs_integrator, dr)))

    def _step_derivative(
        self,
        point: LinearizationPoint,
        da: Float[Array, "nv all_inputs n"],
        step: NewtonStep,
        by_warm_start: Float[Array, "nv nv n"],
    ) -> Float[Array, "nv all_inputs n"]:
        """Return da_k+1 of da_k (the module's docstring)."""

        def linearize_at(end: tuple[Array, ActiveSet]) -> LinearizedDynamics:
            qaccs, active_sets = batched.samples_first(end)
            return self._linearize(point, qaccs, active_sets)

        # A step that begins at the solution goes nowhere, or anywhere in rounding; after any change it is a
        # whole Newton step. (Here jacfwd through the solver is wrong: docs/jacobians.md.)
        search, alpha = step.search, jnp.where(step.solved, 1.0, step.alpha)
        ends = (
            jnp.stack([step.acceleration + search, step.acceleration + alpha * search]),
            jax.tree.map(lambda *both: jnp.stack(both), step.active_set, step.end_active_set),
        )
        # one after the other in a loop: compiled once
        linear = jax.lax.map(linearize_at, ends)
        whole, end = (jax.tree.map(lambda leaf, i=i: leaf[i], linear) for i in range(2))
        solved = -batched.cho_solve(batched.cholesky(whole.by_a), whole.by_inputs)
        ds = jnp.concatenate([solved, jnp.zeros_like(by_warm_start)], axis=1) - da
        moved = da + alpha * ds
        stiff = batched.matvec(end.by_a, search)
        slope = (
            batched.matvec_transposed(ds, step.end_gradient)
            + batched.matvec_transposed(moved, stiff)
            + jnp.pad(batched.matvec_transposed(end.by_inputs, search), ((0, len(search)), (0, 0)))
        )
        # a step whose rows act alike all along ends at a*, whatever x: dalpha is 0, and not rounding
        turns = step.active_set_changed & (alpha != 0) & ~step.solved
        d_alpha = jnp.where(turns, -slope / jnp.where(turns, batched.pairwise_sum(search * stiff), 1.0), 0.0)
        return moved + search[:, None] * d_alpha[None]

    def coriolis(self, samples: mjx.Data) -> Float[Array, "nv nv n"]:
        """Return the velocity derivative of rigid bodies' inverse dynamics (samples first)."""
        kin = rnea_derivatives.kinematics(self.mj_model, self.tree, batched.samples_last(samples))
        return rnea_derivatives.rigid_derivatives(self.tree, kin, jnp.zeros_like(kin.qvel), np.zeros(3)).by_v

    def linearization_point(
        self, samples: mjx.Data, rates: GeometryRates | None, found: SlotsByDim | None = None
    ) -> LinearizationPoint:
        """Read the states off forward dynamics' results (samples first).

        Args:
            rates: how MJX's contacts move (samples first); None where there are none.
            found: the contacts, where another engine found them; None: MJX's.
        """
        mj, model, tree, d = self.mj_model, self.model, self.tree, batched.samples_last(samples)
        kin = rnea_derivatives.kinematics(mj, tree, d)
        contacts = []
        if found is not None:
            moves, of_model = self.coloring.first_moves, (model, mj, tree, kin)
            contacts = contact_derivatives.found_contact_groups(
                *of_model, batched.samples_last(found), first_moves=moves
            )
        elif rates is not None:
            contacts = contact_derivatives.contact_groups(model, mj, tree, kin, d, batched.samples_last(rates))
        drag = rnea_derivatives.medium_drag(mj, kin, d) if impl(model.opt).has_fluid_params else None
        return LinearizationPoint(samples, kin, drag, contacts)

    def _linearize(
        self,
        point: LinearizationPoint,
        qaccs: Float[Array, "n nv"],
        active_sets: ActiveSet | None,
        qaccs_integrator: Float[Array, "n nv"] | None = None,
        contacts_of_rows: bool = True,
    ) -> LinearizedDynamics:
        """Linearize the balance at accelerations (samples first).

        Args:
            active_sets: how the constraint rows act. None: a balance without constraints.
            qaccs_integrator: a', for the derivative of h B a' too, if the integrator damps implicitly.
            contacts_of_rows: whether ``active_sets`` say which contacts push; if not, that is found at ``qaccs``.
        """
        qaccs_integrator = qaccs_integrator if self.damps_implicitly else None

        def joints_compressed(
            d: mjx.Data, qacc: Array, active_set: ActiveSet | None, qacc_integrator: Array | None
        ) -> JointDerivatives:
            forces = joint_derivatives.joint_forces(
                self.mj_model, self.model, self.coupling, d, active_set, qacc_integrator, self.damping, self.impedance
            )
            return joint_derivatives.compressed_jacobians(forces, self.coupling, d, qacc)

        compressed = batched.samples_last(
            jax.vmap(joints_compressed)(point.samples, qaccs, active_sets, qaccs_integrator)
        )
        joints = joint_derivatives.expand(compressed, self.coupling)
        qacc = batched.samples_last(qaccs)
        gravity = self.mj_model.opt.gravity * (not self.mj_model.opt.disableflags & DisableBit.GRAVITY)
        rigid = rnea_derivatives.rigid_derivatives(self.tree, point.kinematics, qacc, gravity, point.drag)
        mass = rigid.by_a + self.armature[..., None]
        by_q, by_v, by_a = rigid.by_q + joints.by_q[0], rigid.by_v + joints.by_v[0], mass + joints.by_a[0]
        if point.contacts and active_sets is not None:
            active = batched.samples_last(active_sets.active) if contacts_of_rows else None
            contacts = batched.materialize(
                contact_derivatives.contact_derivatives(point.contacts, self.tree, point.kinematics, qacc, active)
            )
            by_q, by_v, by_a = by_q + contacts.by_q, by_v + contacts.by_v, by_a + contacts.by_a
        if self.pose_equalities and active_sets is not None:
            at = (self.model, self.tree, point.kinematics, batched.samples_last(point.samples), qacc)
            loops = batched.materialize(self.pose_equalities.derivatives(*at))
            by_q, by_v, by_a = by_q + loops.by_q, by_v + loops.by_v, by_a + loops.by_a
        damping = [joints.by_q[1], joints.by_v[1], joints.by_ctrl[1]] if qaccs_integrator is not None else None
        return LinearizedDynamics(
            jnp.concatenate([*batched.materialize((by_q, by_v)), joints.by_ctrl[0]], axis=1),
            by_a,
            mass,
            rigid.by_v,
            jnp.concatenate(damping, axis=1) if damping else None,
        )

    def _integrated(
        self,
        point: LinearizationPoint,
        linear: LinearizedDynamics,
        da: Float[Array, "nv all_inputs n"],
        qaccs: Float[Array, "n nv"],
        qaccs_integrator: Float[Array, "n nv"],
        dr: Float[Array, "nv all_inputs n"] | None = None,
    ) -> Float[Array, "nv all_inputs n"]:
        """Return da' of (M - h B) a' = M a - r, given da. A solver that stopped early leaves r.

        Args:
            dr: the total derivative of r; None where the solver left none.
        """
        if linear.damping_by_inputs is None:
            return da
        nv, h = len(linear.mass), self.model.opt.timestep
        damping = batched.samples_last(jax.vmap(lambda sample: self.damping(self.model, sample))(point.samples))
        difference = batched.samples_last(qaccs - qaccs_integrator)
        by_q = linear.damping_by_inputs[:, :nv]
        by_q = by_q + rnea_derivatives.mass_matrix_derivative(self.tree, point.kinematics, difference)
        by_v = linear.damping_by_inputs[:, nv : 2 * nv]
        if self.damped_coriolis is not None:
            taken = self.damped_coriolis[..., None]
            damping = damping - linear.coriolis * taken
            at = batched.samples_last((point.samples, qaccs_integrator))
            coriolis_by_q, coriolis_by_v = rnea_derivatives.coriolis_derivative(self.mj_model, self.tree, *at)
            by_q, by_v = by_q - h * taken * coriolis_by_q, by_v - h * taken * coriolis_by_v
        explicit = jnp.concatenate([by_q, by_v, linear.damping_by_inputs[:, 2 * nv :]], axis=1)
        explicit = jnp.pad(explicit, ((0, 0), (0, da.shape[1] - explicit.shape[1]), (0, 0)))
        accelerations = []
        for block in self.blocks:
            unsymmetric = self.damped_coriolis is not None and self.damped_coriolis[block, block].any()
            solve = batched.solve if unsymmetric else _solve_symmetric
            mass = linear.mass[block, block]
            driving = batched.matmul(mass, da[block]) + explicit[block]
            driving = driving if dr is None else driving - dr[block]
            accelerations.append(solve(mass - h * damping[block, block], driving))
        return jnp.concatenate(accelerations)


def _solve_symmetric(matrix: Float[Array, "m m n"], right: Float[Array, "m k n"]) -> Float[Array, "m k n"]:
    return batched.cho_solve(batched.cholesky(matrix), right)
