"""Derivatives of the forces that joints, tendons and actuators exert on their own.

Springs, dampers, actuators, joint limits, dry friction and joint equalities act on few coordinates each: most on one.
They are differentiated by JAX, but many columns at once: coordinates that share no force move together, and the
result is taken apart again (Curtis, Powell & Reid, "On the Estimation of Sparse Jacobian Matrices", 1974). With one
colour in most robots that is one tangent instead of nv. Where a force depends on bodies' poses (spatial tendons,
sites, connects and welds, gravity compensation), every coordinate has a colour of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.compat.mjx import ConstraintRows, impl, replace_impl
from jacdb.ingest.differentiation.coloring import color_columns
from jacdb.ingest.dynamics import forward
from jacdb.ingest.dynamics.newton import ActiveSet
from jacdb.ingest.environments import tangent_space


@dataclass(frozen=True)
class Coupling:
    """Which coordinates' forces depend on which coordinates, and how few tangents that takes.

    Attributes:
        by_dof: (nv, nv), the row's force may depend on the column's position, velocity or acceleration.
        by_ctrl: (nv, nu).
        needs_poses: whether the forces depend on bodies' poses.
    """

    by_dof: Bool[np.ndarray, "nv nv"]
    by_ctrl: Bool[np.ndarray, "nv nu"]
    needs_poses: bool

    @classmethod
    def of(cls, model: mujoco.MjModel, kicked: bool) -> "Coupling":
        """``kicked``: whether forces on bodies (xfrc_applied) may be other than zero."""
        joints = [_dofs(model, joint) for joint in range(model.njnt)]
        spatial = bool((model.wrap_type[: model.nwrap] != mujoco.mjtWrap.mjWRAP_JOINT).any())
        sited = ~np.isin(
            model.actuator_trntype,
            (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT, mujoco.mjtTrn.mjTRN_TENDON),
        )
        placed = np.isin(model.eq_type, (mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtEq.mjEQ_WELD))
        needs_poses = bool(spatial or sited.any() or placed.any() or model.body_gravcomp.any() or kicked)
        if needs_poses:
            everything = np.ones((model.nv, model.nv + model.nu), dtype=bool)
            return cls(everything[:, : model.nv], everything[:, model.nv :], needs_poses)

        tendons = [
            np.concatenate([joints[model.wrap_objid[i]] for i in range(adr, adr + num)])
            for adr, num in zip(model.tendon_adr, model.tendon_num, strict=True)
        ]
        groups = [*joints, *tendons]
        for kind, one, two in zip(model.eq_type, model.eq_obj1id, model.eq_obj2id, strict=True):
            members = joints if kind == mujoco.mjtEq.mjEQ_JOINT else tendons
            groups.append(np.concatenate([members[i] for i in (one, two) if i >= 0]))
        by_dof = np.eye(model.nv, dtype=bool)
        for group in groups:
            by_dof[np.ix_(group, group)] = True
        by_ctrl = np.zeros((model.nv, model.nu), dtype=bool)
        for actuator, (kind, target) in enumerate(zip(model.actuator_trntype, model.actuator_trnid[:, 0], strict=True)):
            members = tendons if kind == mujoco.mjtTrn.mjTRN_TENDON else joints
            by_ctrl[members[target], actuator] = True
        return cls(by_dof, by_ctrl, needs_poses)


def _dofs(model: mujoco.MjModel, joint: int) -> np.ndarray:
    width = {tangent_space.FREE: 6, tangent_space.BALL: 3}.get(int(model.jnt_type[joint]), 1)
    return model.jnt_dofadr[joint] + np.arange(width)


class JointDerivatives(NamedTuple):
    """Of the balance's k rows, by what they are differentiated by; compressed, a leading axis of colours."""

    by_q: Float[Array, "k nv nv n"]
    by_v: Float[Array, "k nv nv n"]
    by_a: Float[Array, "k nv nv n"]
    by_ctrl: Float[Array, "k nv nu n"]


def compressed_jacobians(
    forces: Callable[[Array, Array, Array, Array], Array],
    coupling: Coupling,
    d: mjx.Data,
    qacc: Float[Array, " nv"],
) -> JointDerivatives:
    """Differentiate :func:`joint_forces` where ``d`` is: columns of one colour summed, (colours, k, nv). One sample."""
    at = (jnp.zeros(coupling.by_dof.shape[1]), d.qvel, qacc, d.ctrl)
    patterns = _patterns(coupling)

    def by(argument: int) -> Array:
        colours = color_columns(patterns[argument])
        seeds = colours == np.arange(colours.max(initial=-1) + 1)[:, None]

        def only(value: Array) -> Array:
            arguments = list(at)
            arguments[argument] = value
            return forces(*arguments)

        def along(seed: Array) -> Array:
            return jax.jvp(only, (at[argument],), (seed,))[1]

        return jax.vmap(along)(jnp.asarray(seeds, float))

    return JointDerivatives(*map(by, range(4)))


def expand(compressed: JointDerivatives, coupling: Coupling) -> JointDerivatives:
    """Take the columns apart again (samples last)."""

    def apart(columns: Array, pattern: Bool[np.ndarray, "rows columns"]) -> Array:
        colours = color_columns(pattern)
        parts = [
            column[:, :, None] * (pattern & (colours == number))[None, :, :, None].astype(float)
            for number, column in enumerate(columns)
        ]
        return sum(parts[1:], start=parts[0])

    return JointDerivatives(*(apart(*pair) for pair in zip(compressed, _patterns(coupling), strict=True)))


def _patterns(coupling: Coupling) -> tuple[np.ndarray, ...]:
    return coupling.by_dof, coupling.by_dof, coupling.by_dof, coupling.by_ctrl


def joint_forces(
    mj_model: mujoco.MjModel,
    model: mjx.Model,
    coupling: Coupling,
    forwarded: mjx.Data,
    rows: ActiveSet | None,
    lag: Array | None,
) -> Callable[[Array, Array, Array, Array], Float[Array, "k nv"]]:
    """What these forces contribute to the balance, as a function of (dq, v, a, ctrl). One sample.

    Args:
        forwarded: forward dynamics' results.
        rows: how constraints act; they go on acting so. None: as if there were no constraints.
        lag: (nv,) where the integrator damps implicitly, the discrete acceleration a'. A second row, h B a', comes
            with it: B is the derivative of the damped forces by velocity.
    """
    own = _own_rows(forwarded) if rows is not None else 0
    lift = tangent_space.tangent_lift(mj_model, forwarded.qpos)

    def forces(dq: Array, qvel: Array, qacc: Array, ctrl: Array) -> Array:
        d = forwarded.replace(qpos=forwarded.qpos + lift @ dq, qvel=qvel, ctrl=ctrl)
        if coupling.needs_poses:
            d = mjx_private.com_pos(model, mjx_private.kinematics(model, d))
        d = mjx_private.transmission(model, mjx_private.tendon(model, d))
        d = replace_impl(d, actuator_velocity=impl(d).actuator_moment @ qvel, ten_velocity=impl(d).ten_J @ qvel)
        d = mjx_private.fwd_actuation(model, _with_passive(model, d))
        total = d.qfrc_passive + d.qfrc_actuator
        if coupling.needs_poses:
            total = total + mjx_private.xfrc_accumulate(model, d)
        if rows is not None and own:
            jacobian, weight, reference = _constraint_rows(model, d)
            force = jnp.where(rows.holds[:own], -weight * (jacobian @ qacc - reference), rows.force[:own])
            total = total + jacobian.T @ force
        if lag is None:
            return -total[None]
        damping = implicit_damping(model, d)
        return jnp.stack([-total, model.opt.timestep * damping @ lag])

    return forces


def _own_rows(d: mjx.Data) -> int:
    """How many constraint rows are no contact's; MJX has them first."""
    return int(impl(d).ne + impl(d).nf + impl(d).nl) if impl(d).nefc else 0


def _with_passive(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Springs, dampers and gravity compensation: passive forces without the medium's."""
    if model.opt.disableflags & (DisableBit.SPRING | DisableBit.DAMPER):  # as MJX has it
        return d.replace(qfrc_passive=jnp.zeros(model.nv), qfrc_gravcomp=jnp.zeros(model.nv))
    force, compensation = mjx_private.spring_damper(model, d), jnp.zeros(model.nv)
    if model.flg_gravcomp and not model.opt.disableflags & DisableBit.GRAVITY:
        compensation = mjx_private.gravcomp(model, d)
        force = force + compensation * (1 - model.jnt_actgravcomp[model.dof_jntid])
    return d.replace(qfrc_passive=force, qfrc_gravcomp=compensation)


def _constraint_rows(model: mjx.Model, d: mjx.Data) -> tuple[Array, Array, Array]:
    """(J, D, aref) of the rows that are no contact's, as MJX makes them."""
    found = [rows for kind in mjx_private.ROWS_BEFORE_CONTACTS if (rows := kind(model, d)) is not None]
    rows = jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)

    def reference(row: ConstraintRows) -> tuple[Array, Array]:
        stiffness, damping, imp = forward.impedance(model, row.solref, row.solimp, row.pos_imp)
        weight = 1 / jnp.maximum(row.invweight * (1 - imp) / imp, mujoco.mjMINVAL)
        return weight, -damping * (row.J @ d.qvel) - stiffness * imp * row.pos_aref

    return rows.J, *jax.vmap(reference)(rows)


def damps_implicitly(model: mjx.Model) -> bool:
    """Whether the integrator solves for the velocity with damping taken at its end."""
    implicit = model.opt.integrator == mjx.IntegratorType.IMPLICITFAST
    return bool(implicit or not model.opt.disableflags & DisableBit.EULERDAMP)


def implicit_damping(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"]:
    """B in (M - h B) a' = M a: the velocity derivative of the forces that the integrator damps implicitly."""
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return mjx_private.deriv_smooth_vel(model, d)
    return -jnp.diag(model.dof_damping)
