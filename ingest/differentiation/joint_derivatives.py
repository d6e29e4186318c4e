"""Derivatives of the forces of joints, tendons and actuators, by automatic differentiation of few columns.

Springs, dampers, actuators, joint limits, dry friction and joint equalities act on few coordinates each: most on one.
JAX differentiates them, but many columns at once: coordinates that share no force move together, and the result is
taken apart again (:mod:`jacdb.ingest.differentiation.coloring`). Most robots have one color, and so one tangent instead
of nv. Where a force depends on bodies' poses (spatial tendons, sites, connects and welds, gravity compensation), every
coordinate has a color of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.compat.mjx import ConstraintRows, impl, replace_impl
from jacdb.ingest.differentiation import implicit_damping
from jacdb.ingest.differentiation.coloring import color_columns
from jacdb.ingest.differentiation.implicit_damping import Damping
from jacdb.ingest.differentiation.point_springs import PointSprings
from jacdb.ingest.differentiation.pose_equalities import are_of_poses
from jacdb.ingest.dynamics import impedances
from jacdb.ingest.dynamics.constraint_problem import ActiveSet
from jacdb.ingest.dynamics.impedances import Impedance
from jacdb.ingest.environments import tangent_space
from jacdb.ingest.models.recognition import without_passive_forces


@dataclass(frozen=True)
class Coupling:
    """The sparsity of the joint forces' derivatives: which coordinates' forces depend on which coordinates.

    Attributes:
        by_dof: (nv, nv), the row's force may depend on the column's position, velocity or acceleration.
        by_ctrl: (nv, nu + na), the row's force may depend on the column's ctrl or activation.
        needs_poses: whether the forces depend on bodies' poses.
    """

    by_dof: Bool[np.ndarray, "nv nv"]
    by_ctrl: Bool[np.ndarray, "nv n_ctrl"]
    needs_poses: bool

    @classmethod
    def of(cls, model: mujoco.MjModel, kicked: bool, poses_apart: bool = False) -> "Coupling":
        """Read the sparsity off a model.

        Args:
            kicked: whether forces on bodies (xfrc_applied) may be other than zero.
            poses_apart: whether connects and welds are none of these forces (:mod:`~.pose_equalities`).
        """
        joints = [_joint_dofs(model, joint) for joint in range(model.njnt)]
        spatial_tendon = bool((model.wrap_type[: model.nwrap] != mujoco.mjtWrap.mjWRAP_JOINT).any())
        at_site = ~np.isin(
            model.actuator_trntype,
            (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT, mujoco.mjtTrn.mjTRN_TENDON),
        )
        by_pose = are_of_poses(model)
        pulled = by_pose.any() and not poses_apart
        needs_poses = bool(spatial_tendon or at_site.any() or pulled or model.body_gravcomp.any() or kicked)
        if needs_poses:
            full = np.ones((model.nv, model.nv + model.nu + model.na), dtype=bool)
            return cls(full[:, : model.nv], full[:, model.nv :], needs_poses)

        tendons = [
            np.concatenate([joints[model.wrap_objid[i]] for i in range(adr, adr + num)])
            for adr, num in zip(model.tendon_adr, model.tendon_num, strict=True)
        ]
        groups = [*joints, *tendons]
        of_joints = (part[~by_pose] for part in (model.eq_type, model.eq_obj1id, model.eq_obj2id))
        for kind, one, two in zip(*of_joints, strict=True):
            members = joints if kind == mujoco.mjtEq.mjEQ_JOINT else tendons
            groups.append(np.concatenate([members[i] for i in (one, two) if i >= 0]))
        by_dof = np.eye(model.nv, dtype=bool)
        for group in groups:
            by_dof[np.ix_(group, group)] = True
        by_ctrl = np.zeros((model.nv, model.nu + model.na), dtype=bool)
        for actuator, (kind, target) in enumerate(zip(model.actuator_trntype, model.actuator_trnid[:, 0], strict=True)):
            members = tendons if kind == mujoco.mjtTrn.mjTRN_TENDON else joints
            first = int(model.actuator_actadr[actuator])
            own = [model.nu + first + i for i in range(int(model.actuator_actnum[actuator]))] if first >= 0 else []
            by_ctrl[np.ix_(members[target], [actuator, *own])] = True
        return cls(by_dof, by_ctrl, needs_poses)


def _joint_dofs(model: mujoco.MjModel, joint: int) -> Int[np.ndarray, " dofs"]:
    """Return the addresses of a joint's dofs."""
    width = {tangent_space.FREE: 6, tangent_space.BALL: 3}.get(int(model.jnt_type[joint]), 1)
    return model.jnt_dofadr[joint] + np.arange(width)


class JointDerivatives(NamedTuple):
    """The derivatives of the k rows of :func:`joint_forces`. Compressed, they have a leading axis of colors."""

    by_q: Float[Array, "k nv nv *n"]
    by_v: Float[Array, "k nv nv *n"]
    by_a: Float[Array, "k nv nv *n"]
    by_ctrl: Float[Array, "k nv n_ctrl *n"]  # ctrl, then activations


def compressed_jacobians(
    forces: Callable[[Array, Array, Array, Array], Array],
    coupling: Coupling,
    d: mjx.Data,
    qacc: Float[Array, " nv"],
) -> JointDerivatives:
    """Differentiate :func:`joint_forces` of one sample where ``d`` is.

    Returns:
        The columns of one color, summed: (colors, k, nv).
    """
    at = (jnp.zeros(coupling.by_dof.shape[1]), d.qvel, qacc, jnp.concatenate([d.ctrl, d.act]))
    patterns = _patterns(coupling)

    def by(argument: int) -> Array:
        colors = color_columns(patterns[argument])
        seeds = colors == np.arange(colors.max(initial=-1) + 1)[:, None]

        def with_argument(value: Array) -> Array:
            arguments = list(at)
            arguments[argument] = value
            return forces(*arguments)

        def along(seed: Array) -> Array:
            return jax.jvp(with_argument, (at[argument],), (seed,))[1]

        return jax.vmap(along)(jnp.asarray(seeds, float))

    return JointDerivatives(*map(by, range(4)))


def expand(compressed: JointDerivatives, coupling: Coupling) -> JointDerivatives:
    """Take the columns of one color apart again (samples last)."""

    def separate(summed_columns: Array, pattern: Bool[np.ndarray, "rows columns"]) -> Array:
        colors = color_columns(pattern)
        parts = [
            summed[:, :, None] * (pattern & (colors == color))[None, :, :, None].astype(float)
            for color, summed in enumerate(summed_columns)
        ]
        if not parts:  # by the ctrl of a model without actuators
            return jnp.zeros((summed_columns.shape[1], *pattern.shape, summed_columns.shape[-1]))
        return sum(parts[1:], start=parts[0])

    return JointDerivatives(*(separate(*pair) for pair in zip(compressed, _patterns(coupling), strict=True)))


def _patterns(coupling: Coupling) -> tuple[np.ndarray, ...]:
    """Return the sparsity by each argument of :func:`joint_forces`."""
    return coupling.by_dof, coupling.by_dof, coupling.by_dof, coupling.by_ctrl


def joint_forces(
    mj_model: mujoco.MjModel,
    model: mjx.Model,
    coupling: Coupling,
    forwarded: mjx.Data,
    active_set: ActiveSet | None,
    qacc_integrator: Float[Array, " nv"] | None,
    damping: Damping = implicit_damping.of_mjx,
    impedance: Impedance = impedances.of_mjx,
) -> Callable[[Array, Array, Array, Array], Float[Array, "k nv"]]:
    """Return what these forces contribute to the balance of one sample, as a function of (dq, v, a, ctrl).

    Args:
        forwarded: forward dynamics' results.
        active_set: how constraints act; they go on acting so. None: as if there were no constraints.
        qacc_integrator: where the integrator damps implicitly, the acceleration a' with which it goes on. A second
            row, h B a', comes with it: B is the derivative of the damped forces by velocity.
        damping: gives B.
        impedance: of the constraint rows.
    """
    n_rows = n_rows_before_contacts(forwarded) if active_set is not None else 0
    lift = tangent_space.tangent_lift(mj_model, forwarded.qpos)
    springs, hold = PointSprings.of(mj_model), jax.lax.stop_gradient

    @mjx_private.rotations_by(tangent_space.rotation_vector)
    def forces(dq: Array, qvel: Array, qacc: Array, ctrl: Array) -> Array:
        ctrl, act = ctrl[: mj_model.nu], ctrl[mj_model.nu :]
        d = forwarded.replace(qpos=forwarded.qpos + lift @ dq, qvel=qvel, ctrl=ctrl, act=act)
        if coupling.needs_poses:
            d = mjx_private.com_pos(model, mjx_private.kinematics(model, d))
        d = mjx_private.tendon(model, d)
        # where a tendon wraps by no angle MJX's derivative of its length is NaN; its Jacobian is the same derivative
        d = d.replace(ten_length=hold(d.ten_length) + hold(impl(d).ten_J) @ dq)
        if springs is not None:
            d = springs.hold_lengths(d, forwarded)
        d = mjx_private.transmission(model, d)
        d = replace_impl(d, actuator_velocity=impl(d).actuator_moment @ qvel, ten_velocity=impl(d).ten_J @ qvel)
        d = mjx_private.fwd_actuation(model, _with_passive(model, d))
        force = d.qfrc_passive + d.qfrc_actuator
        if coupling.needs_poses:
            force = force + mjx_private.xfrc_accumulate(model, d)
        if springs is not None:
            force = force + springs.forces(model, d, forwarded)
        if active_set is not None and n_rows:
            jacobian, weight, reference = _constraint_rows(model, d, impedance)
            row_force = jnp.where(
                active_set.active[:n_rows], -weight * (jacobian @ qacc - reference), active_set.force[:n_rows]
            )
            force = force + jacobian.T @ row_force
        if qacc_integrator is None:
            return -force[None]
        return jnp.stack([-force, model.opt.timestep * damping(model, d) @ qacc_integrator])

    return forces


def n_rows_before_contacts(d: mjx.Data) -> int:
    """Return how many constraint rows are no contact's; MJX has them first."""
    return int(impl(d).ne + impl(d).nf + impl(d).nl) if impl(d).nefc else 0


def _with_passive(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Compute springs, dampers and gravity compensation: the passive forces without the medium's."""
    if without_passive_forces(model.opt.disableflags):
        return d.replace(qfrc_passive=jnp.zeros(model.nv), qfrc_gravcomp=jnp.zeros(model.nv))
    force, compensation = mjx_private.spring_damper(model, d), jnp.zeros(model.nv)
    if model.flg_gravcomp and not model.opt.disableflags & DisableBit.GRAVITY:
        compensation = mjx_private.gravcomp(model, d)
        force = force + compensation * (1 - model.jnt_actgravcomp[model.dof_jntid])
    return d.replace(qfrc_passive=force, qfrc_gravcomp=compensation)


def _constraint_rows(model: mjx.Model, d: mjx.Data, impedance: Impedance) -> tuple[Array, Array, Array]:
    """Return (J, D, aref) of the rows that are no contact's, as MJX makes them."""
    kinds = [rows for kind in mjx_private.ROWS_BEFORE_CONTACTS if (rows := kind(model, d)) is not None]
    rows = jax.tree.map(lambda *parts: jnp.concatenate(parts), *kinds)

    def weight_and_reference(row: ConstraintRows) -> tuple[Array, Array]:
        stiffness, damping, imp = impedance(model, row.solref, row.solimp, row.pos_imp)
        weight = 1 / jnp.maximum(row.invweight * (1 - imp) / imp, mujoco.mjMINVAL)
        return weight, -damping * (row.J @ d.qvel) - stiffness * imp * row.pos_aref

    return rows.J, *jax.vmap(weight_and_reference)(rows)
