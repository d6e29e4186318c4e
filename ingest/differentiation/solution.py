"""Differentiates forward dynamics at a solution that another engine found: an acceleration that solves the balance.

The balance r(q, v, u; a) = 0 and its derivatives are those of :mod:`jacdb.ingest.differentiation.control_step`. Nothing
here looks for a. Given the acceleration with which an integrator went on, the constraint rows are evaluated there: they
say which of them act, and by how much the balance is missed (``residual``). So the derivative is that of the other
engine's step, after however many iterations of whatever algorithm it found the solution, and MJX solves nothing.
Contacts are the other engine's too, where it is not MJX: which there are, where, and how they move.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation import contact_derivatives, implicit_damping, tendon_armature
from jacdb.ingest.differentiation.contact_geometry import GeometryRates
from jacdb.ingest.differentiation.joint_derivatives import n_rows_before_contacts
from jacdb.ingest.differentiation.muscle_activation import Muscles
from jacdb.ingest.differentiation.pose_equalities import are_of_poses
from jacdb.ingest.differentiation.solver_derivatives import AccelerationJacobian, LinearizationPoint
from jacdb.ingest.dynamics import forward, impedances, newton, observations
from jacdb.ingest.dynamics.constraint_problem import ActiveSet
from jacdb.ingest.dynamics.contacts import SlotsByDim
from jacdb.ingest.linalg import batched
from jacdb.ingest.models import recognition

_NONE = -1  # no type of equality: MJX makes no rows for it
_NOT_FLUSHED = 1e-300  # XLA takes smaller differences for 0: subnormal numbers
_CHANGE_NO_STEP = int(mujoco.mjtEnableBit.mjENBL_ENERGY | mujoco.mjtEnableBit.mjENBL_FWDINV)  # MJX refuses them


class Evaluation(NamedTuple):
    """One evaluation of forward dynamics: the state, and the acceleration a' with which the integrator went on."""

    qpos: Float[Array, " nq"]
    qvel: Float[Array, " nv"]
    act: Float[Array, " na"]
    ctrl: Float[Array, " nu"]
    mocap_pos: Float[Array, "nmocap 3"]
    mocap_quat: Float[Array, "nmocap 4"]
    qacc_integrator: Float[Array, " nv"]
    contacts: SlotsByDim | None  # those of another engine; None: MJX's own


class EvaluationDerivative(NamedTuple):
    """The derivative of one evaluation, and what was found out about it.

    Attributes:
        qacc: a' by (dq, v, ctrl, act).
        act_dot: of each activation, by itself and by its actuator's ctrl. Of a model with muscles there are two: where
            a muscle's clipped ctrl less its activation falls, and where it rises; of their ctrl, by the clipped one.
        residual: by how much the balance is missed, as :func:`newton.residual` measures it.
    """

    qacc: Float[Array, "nv inputs"]
    act_dot: tuple[Float[Array, "sides na"], Float[Array, "sides na"]]
    residual: Float[Array, ""]
    observed: observations.Observation


@dataclass(frozen=True)
class SolvedDynamics:
    """Differentiates a model's forward dynamics where it has been solved.

    Attributes:
        mj_model: the model that was stepped.
        model: MJX's, of which the stages are: :func:`stages_model`.
        jacobian: the derivative of its accelerations.
        tendon_armature: what tendons' armature adds to C's mass matrix, where MJX's is without it; None: nothing.
        muscles: whose activations have derivatives of their own.
    """

    mj_model: mujoco.MjModel
    model: mjx.Model
    template: mjx.Data
    jacobian: AccelerationJacobian
    tendon_armature: Float[np.ndarray, "nv nv"] | None
    muscles: Muscles

    @classmethod
    def of(cls, mj_model: mujoco.MjModel, engine: Literal["c", "mjx"]) -> "SolvedDynamics":
        """Put the model on MJX.

        Args:
            engine: who steps the model. MuJoCo's C engine and MJX differ in contacts, impedances, and implicit damping.
        """
        stages = stages_model(mj_model, engine)
        apart = engine == "c"
        with mjx_private.no_collisions() if apart else contextlib.nullcontext():
            model = mjx.put_model(stages, impl="jax")
            if apart:
                model = model.replace(eq_type=np.where(are_of_poses(mj_model), _NONE, mj_model.eq_type))
                if mj_model.tendon_armature.any():
                    model = model.replace(tendon_armature=np.zeros(mj_model.ntendon))
            template = mjx.make_data(model, impl="jax")
        damping = implicit_damping.of_c(mj_model) if apart else implicit_damping.of_mjx
        coriolis = implicit_damping.coriolis_of_c(mj_model) if apart else None
        tendons = (tendon_armature.of_c if apart else tendon_armature.of_mjx)(mj_model)
        impedance = impedances.of_c(mj_model) if apart else impedances.of_mjx
        of_model = mj_model, model, False, damping, coriolis
        jacobian = AccelerationJacobian.of(*of_model, tendons=tendons, poses_apart=apart, impedance=impedance)
        return cls(mj_model, model, template, jacobian, tendons if apart else None, Muscles.of(mj_model))

    def derivative(self) -> Callable[[Evaluation], EvaluationDerivative]:
        """Return the derivative of one evaluation, as a function for ``vmap``."""
        return batched.over_batches(self._batch)

    def _batch(self, evaluations: Evaluation) -> EvaluationDerivative:
        samples, rates = jax.vmap(self._stages)(evaluations)
        qaccs_integrator = evaluations.qacc_integrator
        qaccs = self._solved_for(samples, qaccs_integrator)
        samples = samples.replace(qacc=qaccs)
        point = self.jacobian.linearization_point(samples, rates, evaluations.contacts)
        active_sets, row_forces = jax.vmap(self._rows)(samples)
        qacc = self.jacobian.implicit_at(point, qaccs, qaccs_integrator, active_sets, contacts_of_rows=False)
        contact_forces, normal_forces = self._contact_forces(point, qaccs)
        if equalities := self.jacobian.pose_equalities:
            at = (self.model, self.jacobian.tree, point.kinematics, *batched.samples_last((samples, qaccs)))
            contact_forces = contact_forces + batched.samples_first(equalities.joint_forces(*at))
        residuals = jax.vmap(self._residual)(samples, row_forces, contact_forces)
        observed = jax.vmap(lambda *of: observations.observe_solution(self.model, *of))(
            samples, row_forces, normal_forces, evaluations.contacts
        )
        return EvaluationDerivative(qacc, jax.vmap(self._act_dot)(samples), residuals, observed)

    def _stages(self, at: Evaluation) -> tuple[mjx.Data, GeometryRates | None]:
        """Compute everything that forward dynamics needs before it solves, and how MJX's contacts move."""
        data = self.template.replace(
            qpos=at.qpos, qvel=at.qvel, act=at.act, ctrl=at.ctrl, mocap_pos=at.mocap_pos, mocap_quat=at.mocap_quat
        )
        finder = self.jacobian.contact_finder()
        return forward.unsolved(self.model, data, finder, self.jacobian.impedance), finder.rates

    def _solved_for(self, samples: mjx.Data, qaccs_integrator: Float[Array, "n nv"]) -> Float[Array, "n nv"]:
        """Return the acceleration a that the solver found: M a = (M - h B) a'."""
        if not self.jacobian.damps_implicitly:
            return qaccs_integrator
        h = self.model.opt.timestep
        mass = batched.samples_last(jax.vmap(lambda d: mjx_private.full_mass_matrix(self.model, d))(samples))
        if self.tendon_armature is not None:
            mass = mass + self.tendon_armature[..., None]
        damping = batched.samples_last(jax.vmap(lambda d: self.jacobian.damping(self.model, d))(samples))
        if self.jacobian.damped_coriolis is not None:
            damping = damping - self.jacobian.coriolis(samples) * self.jacobian.damped_coriolis[..., None]
        damped = h * batched.matvec(damping, batched.samples_last(qaccs_integrator))
        parts = []
        for block in self.jacobian.blocks:
            factor = batched.cholesky(mass[block, block])
            parts.append(batched.cho_solve(factor, damped[block][:, None])[:, 0])
        return qaccs_integrator - batched.samples_first(jnp.concatenate(parts))

    def _rows(self, d: mjx.Data) -> tuple[ActiveSet, Float[Array, " rows"]]:
        """Return how the rows that are no contact's act at a, and their forces. (One sample.)"""
        n_rows = n_rows_before_contacts(d)
        jacobian, weight = impl(d).efc_J[:n_rows], impl(d).efc_D[:n_rows]
        violation = jacobian @ d.qacc - impl(d).efc_aref[:n_rows]
        bound = impl(d).efc_frictionloss[:n_rows]
        index = np.arange(n_rows)
        is_equality, is_friction = (
            index < int(impl(d).ne),
            (index >= int(impl(d).ne)) & (index < int(impl(d).ne + impl(d).nf)),
        )
        slips = is_friction & (jnp.abs(weight * violation) >= bound)
        active = jnp.where(is_friction, ~slips, is_equality | (violation < 0))
        slipping_force = jnp.where(slips, -jnp.sign(violation) * bound, 0.0)
        return ActiveSet(active, slipping_force), jnp.where(active, -weight * violation, slipping_force)

    def _contact_forces(
        self, point: LinearizationPoint, qaccs: Float[Array, "n nv"]
    ) -> tuple[Float[Array, "n nv"], Float[Array, "n ncon"]]:
        """Return the contacts' joint forces, and each contact's normal force (N)."""
        if not point.contacts:
            return jnp.zeros_like(qaccs), jnp.zeros((len(qaccs), 0))
        return batched.samples_first(
            contact_derivatives.contact_joint_forces(
                point.contacts, self.jacobian.tree, point.kinematics, batched.samples_last(qaccs)
            )
        )

    def _residual(self, d: mjx.Data, row_force: Array, contact_force: Array) -> Float[Array, ""]:
        constraint_force = contact_force
        if n_rows := n_rows_before_contacts(d):
            constraint_force = constraint_force + impl(d).efc_J[:n_rows].T @ row_force
        inertial_force = mjx_private.mul_mass_matrix(self.model, d, d.qacc)
        if self.tendon_armature is not None:
            inertial_force = inertial_force + self.tendon_armature @ d.qacc
        imbalance = inertial_force - d.qfrc_smooth - constraint_force
        return newton.residual(imbalance, d.qfrc_smooth, constraint_force)

    def _act_dot(self, d: mjx.Data) -> tuple[Float[Array, "sides na"], Float[Array, "sides na"]]:
        """Differentiate each activation's rate by the activation and by its actuator's ctrl: it depends on no other."""
        if not self.mj_model.na:
            return jnp.zeros((1, 0)), jnp.zeros((1, 0))

        def act_dot(act: Array, ctrl: Array) -> Array:
            return mjx_private.fwd_actuation(self.model, d.replace(act=act, ctrl=ctrl)).act_dot

        still = jnp.zeros_like(d.act), jnp.zeros_like(d.ctrl)
        by_act = jax.jvp(act_dot, (d.act, d.ctrl), (jnp.ones_like(d.act), still[1]))[1]
        by_ctrl = jax.jvp(act_dot, (d.act, d.ctrl), (still[0], jnp.ones_like(d.ctrl)))[1]
        muscles_by_act, muscles_by_ctrl = self.muscles.rates(d.act, d.ctrl)
        return self.muscles.among(by_act, muscles_by_act), self.muscles.among(by_ctrl, muscles_by_ctrl)


def stages_model(model: mujoco.MjModel, engine: Literal["c", "mjx"]) -> mujoco.MjModel:
    """Return the model in a form whose stages MJX computes: what looks for a solution is replaced, and nothing else.

    The solver and the friction cone are jacdb's affair (:mod:`~jacdb.ingest.differentiation.contact_forces`), and so is
    how an integrator puts its evaluations together.
    """
    stages = model.__copy__()
    stages.opt.enableflags &= ~_CHANGE_NO_STEP
    if not recognition.fluid(model):
        stages.opt.wind[:] = 0  # MJX takes it for a medium
    _act_at_rest_lengths(stages)
    stages.sensor_type[:] = mujoco.mjtSensor.mjSENS_CLOCK  # no stage reads a sensor, and MJX has not all of them
    if engine == "c":  # its contacts are taken as they are
        stages.opt.disableflags |= DisableBit.CONTACT
    stages.opt.solver, stages.opt.cone = mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtCone.mjCONE_PYRAMIDAL
    integrators = mujoco.mjtIntegrator
    if model.opt.integrator == integrators.mjINT_RK4:  # it has no implicit damping
        stages.opt.integrator = integrators.mjINT_EULER
        stages.opt.disableflags |= DisableBit.EULERDAMP
    elif model.opt.integrator == integrators.mjINT_IMPLICIT:
        stages.opt.integrator = integrators.mjINT_IMPLICITFAST
    elif model.opt.integrator == integrators.mjINT_EULER and not implicit_damping.by_euler(model, engine):
        stages.opt.disableflags |= DisableBit.EULERDAMP  # the step is explicit: an equation less to solve
    return stages


def _act_at_rest_lengths(model: mujoco.MjModel) -> None:
    """Let each tendon's spring act at its rest length, too, where that is one length and no range.

    MJX's spring acts below the range and above it. At a single rest length, such as that of qpos0, its derivative would
    be 0, between two sides that both have the stiffness. So "below" ends a rounding higher.
    """
    lower, upper = model.tendon_lengthspring.T
    single = lower == upper
    model.tendon_lengthspring[single, 0] += np.maximum(np.spacing(np.abs(lower[single])), _NOT_FLUSHED)
