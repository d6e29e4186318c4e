"""Derivatives of rigid-body inverse dynamics in closed form, for many samples at once.

tau = ID(q, v, a) are the joint forces that make bodies accelerate by a (Featherstone's recursive Newton-Euler
algorithm). Its derivatives need no automatic differentiation. Moving joint j turns everything below it rigidly by the
joint's motion axis S_j. A body's force turns with it, and changes otherwise only because of how the bodies above j
move. Sums over subtrees then give all of d tau / dq and d tau / dv from one pass over the bodies.

With V and A a body's velocity and acceleration, I its inertia, all about one point and along the world's axes, and
P_j, PA_j the velocity and acceleration above joint j::

    F   = I A + V x* (I V)                    the force that body needs
    w_j = P_j x S_j                           d S_j / dt
    z_j = PA_j x S_j + P_j x w_j
    dF/dq_j = S_j x* F + I z_j + B w_j        dF/dv_j = B S_j + I (w_j + Q_j x S_j)

where Q_j is the velocity below the joint, and B X = I (X x V) + X x* (I V) + V x* (I X) depends on X's rotation
alone. With F, I and B summed over the bodies that joint j moves, and y_j = w_j + Q_j x S_j, row i and column j of the
derivatives by q and by v are::

    (I S_i) . z_j + (B^T S_i) . w_j           (I S_i) . y_j + (B^T S_i) . S_j       i at or below j
    S_i . dF/dq_j                             S_i . dF/dv_j                         i above j

Compare Carpentier & Mansard, "Analytical Derivatives of Rigid Body Dynamics Algorithms", RSS 2018.

Arrays have the samples of the batch as their last axis, so that every operation is one long vector operation. In the
shapes below n is the number of samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx

from jacdb.ingest.environments.tangent_space import FREE, HINGE, SLIDE
from jacdb.ingest.linalg import spatial
from jacdb.ingest.linalg.batched import materialize
from jacdb.ingest.linalg.spatial import SYMMETRIC_ENTRIES, Force, Inertia, Known, Motion, Symmetric, Vector, outer
from jacdb.ingest.models.recognition import fluid, without_passive_forces


@dataclass(frozen=True)
class Tree:
    """The kinematic tree: which dofs move which bodies and which other dofs, as masks (rows first).

    Attributes:
        supports: (nbody, nv), 1 where the column's dof moves the row's body (Featherstone's support).
        subtree: (nv, nbody), 1 where the row's dof moves the column's body: the transpose.
        ancestor: (nv, nv), 1 where the column's dof comes before the row's in the chain, and is not moved by it.
        same_joint: (nv, nv), 1 where both are of one ball, of the same three translations, or the same dof.
        ancestor_or_same: (nv, nv), where the column's dof moves the row's axis: either of the last two.
        motions: the components (0 to 2 rotations, 3 to 5 translations) that dofs' motions have; the others are 0
            whatever the state.
    """

    supports: Float[np.ndarray, "nbody nv"]
    subtree: Float[np.ndarray, "nv nbody"]
    ancestor: Float[np.ndarray, "nv nv"]
    same_joint: Float[np.ndarray, "nv nv"]
    ancestor_or_same: Bool[np.ndarray, "nv nv"]
    motions: tuple[int, ...]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "Tree":
        """Read the tree off a model."""
        nv, dof_body = model.nv, model.dof_bodyid
        body_ancestors = np.eye(model.nbody, dtype=bool)
        for body in range(1, model.nbody):
            body_ancestors[body] |= body_ancestors[model.body_parentid[body]]
        supports = body_ancestors[:, dof_body]
        part = np.array([_joint_part(model, dof) for dof in range(nv)]).reshape(nv, 2)
        same_joint = (part[:, None] == part[None]).all(axis=-1)
        chain = supports[dof_body]  # (nv, nv): the column is in the row's chain, its own body included
        earlier = (part[:, None, 0] > part[None, :, 0]) | (
            (part[:, None, 0] == part[None, :, 0]) & (part[:, None, 1] > part[None, :, 1])
        )
        ancestor = chain & earlier
        return cls(
            supports=supports.astype(float),
            subtree=supports.T.astype(float),
            ancestor=ancestor.astype(float),
            same_joint=same_joint.astype(float),
            ancestor_or_same=ancestor | same_joint,
            motions=_motions(model),
        )


def _joint_part(model: mujoco.MjModel, dof: int) -> tuple[int, int]:
    """Return (joint, part) of a dof: dofs of one part turn, or shift, as one.

    A free joint has two parts; its translations come before its rotation.
    """
    jnt = int(model.dof_jntid[dof])
    part = int(model.jnt_type[jnt] == FREE and dof - model.jnt_dofadr[jnt] >= 3)
    return jnt, part


def _motions(model: mujoco.MjModel) -> tuple[int, ...]:
    """Return the components that dofs' motions have: rotations 0 to 2 about the world's axes, translations 3 to 5.

    Where nothing turns, slides keep their directions. Where all turns are about one of the world's axes, they stay so,
    and shift what is turned in the plane across it. A mocap body may turn the axes of joints that it carries anyhow.
    """
    on_mocap = model.body_mocapid[model.body_rootid[model.dof_bodyid]] >= 0
    if on_mocap.any() or not np.isin(model.jnt_type, (HINGE, SLIDE)).all():
        return tuple(range(6))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    has_component = np.abs(data.xaxis) > 1e-14  # beyond rounding
    turns, slides = (has_component[model.jnt_type == kind].any(axis=0) for kind in (HINGE, SLIDE))
    if turns.sum() > 1:
        return tuple(range(6))
    shifts = slides | (turns.any() & ~turns)
    return tuple(np.flatnonzero([*turns, *shifts]).tolist())


class Drag(NamedTuple):
    """The forces of a medium on bodies, and their derivatives by the bodies' velocity about the common point."""

    force: Force  # (nbody, n)
    by_velocity: tuple[tuple[Known, ...], ...]  # six by six, (nbody, n) each


class Kinematics(NamedTuple):
    """How bodies and dofs move about the common point: (dofs or bodies, n)."""

    origin: Vector  # (n,): the common point
    qvel: Float[Array, "nv n"]
    axis: Motion  # (nv, n): S
    axis_rate: Motion  # (nv, n): w
    inertia: Inertia  # (nbody, n): I
    velocity: Motion  # (nbody, n): V
    velocity_above: Motion  # (nv, n): P
    velocity_below: Motion  # (nv, n): Q


def common_root(model: mujoco.MjModel) -> int:
    """Return the root body of the tree whose centre of mass is the common point: a free body's, if there is one.

    A body that rests is held by forces around it whose torques cancel. About a point half a metre away, in an
    arm beside it, rounding leaves 1e-12 of them, where it should be zero.
    """
    free = model.jnt_dofadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
    return int(model.body_rootid[model.dof_bodyid[free[0] if len(free) else 0]])


def kinematics(model: mujoco.MjModel, tree: Tree, d: mjx.Data) -> Kinematics:
    """Read bodies and axes off ``d`` (forward dynamics' results, samples last), and move them to a common point."""
    roots = model.body_rootid[model.dof_bodyid]
    origin = Vector(*d.subtree_com[common_root(model)])
    axis = Motion.of([d.cdof[:, k] if k in tree.motions else None for k in range(6)])
    if (roots != roots[0]).any():  # MuJoCo has each tree about its own centre of mass
        shift = Vector(*(origin[k] - d.subtree_com[roots, k] for k in range(3)))
        axis = Motion(axis.ang, axis.lin + axis.ang.cross(shift))
    moving = axis * d.qvel
    above = tree_sum(tree.ancestor, moving)
    result = Kinematics(
        origin=origin,
        qvel=d.qvel,
        axis=axis,
        axis_rate=above.cross(axis),
        inertia=_inertia(model, d, origin),
        velocity=tree_sum(tree.supports, moving),
        velocity_above=above,
        velocity_below=above + tree_sum(tree.same_joint, moving),
    )
    return materialize(result)


def _inertia(model: mujoco.MjModel, d: mjx.Data, origin: Vector) -> Inertia:
    """Return every body's inertia: the one about its centre of mass, turned, and its mass at its distance."""
    mass = jnp.asarray(model.body_mass)[:, None]
    arm = Vector(*(d.xipos[:, k] - origin[k] for k in range(3)))
    principal = [jnp.asarray(model.body_inertia[:, k])[:, None] for k in range(3)]

    def entry(i: int, j: int) -> Array:
        turned = sum(d.ximat[:, i, k] * principal[k] * d.ximat[:, j, k] for k in range(3))
        return turned - mass * arm[i] * arm[j] + (mass * arm.dot(arm) if i == j else 0.0)

    return Inertia(mass + jnp.zeros_like(arm.x), arm * mass, Symmetric(*(entry(i, j) for i, j in SYMMETRIC_ENTRIES)))


class _Box(NamedTuple):
    """Every body's box of equal inertia, by which MuJoCo reckons its drag: (nbody,) each."""

    diameter: Float[np.ndarray, " nbody"]
    face: list[Float[np.ndarray, " nbody"]]  # area across each axis
    blade: list[Float[np.ndarray, " nbody"]]  # what resists a turn about each axis

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "_Box":
        mass = np.maximum(model.body_mass, 1e-12)
        sides = 6.0 * np.clip(model.body_inertia @ (np.ones((3, 3)) - 2 * np.eye(3)), 1e-12, None)
        box = np.sqrt(sides / mass[:, None]) * (model.body_mass > 0)[:, None]
        others = ((1, 2), (0, 2), (0, 1))
        face = [box[:, i] * box[:, j] for i, j in others]
        blade = [box[:, k] * (box[:, i] ** 4 + box[:, j] ** 4) for k, (i, j) in enumerate(others)]
        return cls(box.mean(axis=1), face, blade)


def medium_drag(model: mujoco.MjModel, kin: Kinematics, d: mjx.Data) -> Drag | None:
    """Return the viscosity and drag of a medium at rest, on each body's box of equal inertia, as MJX has them.

    None: there is no medium, or a flag disables it: MJX takes either of springs and dampers for all passive forces.

    Reference: MuJoCo documentation, "Computation", "Passive forces", inertia-based model.

    Raises:
        NotImplementedError: the medium moves (wind).
    """
    if not fluid(model) or without_passive_forces(model.opt.disableflags):
        return None
    if np.any(model.opt.wind):
        raise NotImplementedError("a medium that moves (wind)")
    box, viscosity, density = _Box.of(model), model.opt.viscosity, model.opt.density

    arm = Vector(*(d.xipos[:, k] - kin.origin[k] for k in range(3)))
    spin = kin.velocity.ang
    speed = kin.velocity.lin + spin.cross(arm)
    box_axes = [Vector(*(d.ximat[:, i, k] for i in range(3))) for k in range(3)]
    torque, force = Vector(None, None, None), Vector(None, None, None)
    by_spin, by_speed = [], []
    for k, axis in enumerate(box_axes):
        turn, slide = axis.dot(spin), axis.dot(speed)
        turn_viscous, slide_viscous = np.pi * box.diameter**3 * viscosity, 3.0 * np.pi * box.diameter * viscosity
        turn_drag, slide_drag = density * box.blade[k] / 64.0, 0.5 * density * box.face[k]
        turn_slow = turn_viscous[:, None] + turn_drag[:, None] * jnp.abs(turn)
        slide_slow = slide_viscous[:, None] + slide_drag[:, None] * jnp.abs(slide)
        torque, force = torque - axis * (turn_slow * turn), force - axis * (slide_slow * slide)
        by_spin.append(-turn_slow - turn_drag[:, None] * jnp.abs(turn))
        by_speed.append(-slide_slow - slide_drag[:, None] * jnp.abs(slide))

    def in_world(diagonal: list[Array]) -> Symmetric:
        return Symmetric(
            *(sum(g * a[i] * a[j] for g, a in zip(diagonal, box_axes, strict=True)) for i, j in SYMMETRIC_ENTRIES)
        )

    spin_matrix, speed_matrix = in_world(by_spin), in_world(by_speed)
    columns = []
    for k in range(6):
        motion = Motion.of([1.0 if i == k else None for i in range(6)])
        push = speed_matrix.times(motion.lin + motion.ang.cross(arm))
        columns.append(Force(spin_matrix.times(motion.ang) + arm.cross(push), push).components)
    return Drag(Force(torque + arm.cross(force), force), tuple(zip(*columns, strict=True)))


class RigidDerivatives(NamedTuple):
    """The derivatives of tau = ID(q, v, a), rows first."""

    by_q: Float[Array, "nv nv n"]
    by_v: Float[Array, "nv nv n"]
    by_a: Float[Array, "nv nv n"]  # the mass matrix, without motor inertias


def rigid_derivatives(
    tree: Tree,
    kin: Kinematics,
    acceleration: Float[Array, "nv n"],
    gravity: Float[np.ndarray, " 3"],
    drag: Drag | None = None,
) -> RigidDerivatives:
    """Differentiate inverse dynamics.

    Motor inertias (armature) are left out: their force depends on neither q nor v.

    Args:
        gravity: m/s^2, zeros where it is switched off.
        drag: forces of a medium, if there is one.
    """
    axis, rate = kin.axis, kin.axis_rate
    free_fall = Motion.of([None, None, None, *(-float(g) if g else None for g in gravity)])
    accelerating = axis * acceleration + rate * kin.qvel
    body_acceleration = tree_sum(tree.supports, accelerating) + free_fall
    acceleration_above = tree_sum(tree.ancestor, accelerating) + free_fall

    momentum = kin.inertia.times(kin.velocity)
    force = kin.inertia.times(body_acceleration) + kin.velocity.cross_force(momentum)
    if drag:
        force = force - drag.force
    inertia, coriolis, force = tree_sum(tree.subtree, (kin.inertia, _coriolis(kin, momentum, drag), force))

    z = acceleration_above.cross(axis) + kin.velocity_above.cross(rate)
    y = rate + kin.velocity_below.cross(axis)
    i_s, bt_s = inertia.times(axis), coriolis.transposed(axis)  # I S and B^T S
    df_dq = inertia.times(z) + coriolis.times(rate) + axis.cross_force(force)
    df_dv = inertia.times(y) + coriolis.times(axis)
    z, y, i_s, bt_s, df_dq, df_dv = materialize((z, y, i_s, bt_s, df_dq, df_dv))
    return RigidDerivatives(
        by_q=_by_sides(tree, outer(i_s, z) + outer(bt_s, rate), outer(axis, df_dq)),
        by_v=_by_sides(tree, outer(i_s, y) + outer(bt_s, axis), outer(axis, df_dv)),
        by_a=_by_sides(tree, outer(i_s, axis), outer(axis, i_s)),
    )


def mass_matrix_derivative(tree: Tree, kin: Kinematics, vector: Float[Array, "nv n"]) -> Float[Array, "nv nv n"]:
    """Return d (M(q) x) / dq at constant x: that of inverse dynamics at rest, without gravity."""
    axis, moving = kin.axis, kin.axis * vector
    force = kin.inertia.times(tree_sum(tree.supports, moving))
    inertia, force = tree_sum(tree.subtree, (kin.inertia, force))
    z = tree_sum(tree.ancestor, moving).cross(axis)
    df_dq = inertia.times(z) + axis.cross_force(force)
    i_s, z, df_dq = materialize((inertia.times(axis), z, df_dq))
    return _by_sides(tree, outer(i_s, z), outer(axis, df_dq))


def coriolis_derivative(
    model: mujoco.MjModel, tree: Tree, d: mjx.Data, vector: Float[Array, "nv n"]
) -> tuple[Float[Array, "nv nv n"], Float[Array, "nv nv n"]]:
    """Return d (C(q, v) x) / d(q, v) at constant x, where C is the velocity derivative of inverse dynamics.

    Inverse dynamics is quadratic in v, so that C x is a difference of its values at v + x and v - x, and linear in v.
    """
    at_rest = jnp.zeros_like(vector), np.zeros(3)

    def at(qvel: Float[Array, "nv n"]) -> RigidDerivatives:
        return rigid_derivatives(tree, kinematics(model, tree, d.replace(qvel=qvel)), *at_rest)

    ahead, behind = at(d.qvel + vector), at(d.qvel - vector)
    return 0.5 * (ahead.by_q - behind.by_q), 0.5 * (ahead.by_v - behind.by_v)


class _Coriolis(NamedTuple):
    """The matrix B, from motions to forces. Without drag it depends on their rotation alone."""

    symmetric: Symmetric
    momentum: Force
    drag: tuple[tuple[Known, ...], ...] | None

    def times(self, motion: Motion) -> Force:
        """Return B X."""
        turn = motion.ang
        force = Force(self.symmetric.times(turn) + turn.cross(self.momentum.ang), turn.cross(self.momentum.lin) * 2.0)
        return force - _matvec(self.drag, motion) if self.drag else force

    def transposed(self, motion: Motion) -> "Vector | Force":
        """Return B^T X; a torque alone where there is no drag."""
        turn = self.symmetric.times(motion.ang) + self.momentum.ang.cross(motion.ang)
        turn = turn + self.momentum.lin.cross(motion.lin) * 2.0
        if not self.drag:
            return turn
        back = _matvec(tuple(zip(*self.drag, strict=True)), motion)
        return Force(turn - back.ang, -back.lin)


def _matvec(matrix: Sequence[Sequence[Known]], motion: Motion) -> Force:
    return Force.of([spatial.products(row, motion.components) for row in matrix])


def _coriolis(kin: Kinematics, momentum: Force, drag: Drag | None) -> _Coriolis:
    """Return every body's B, given its momentum I V."""
    spin, speed, moment = kin.velocity.ang, kin.velocity.lin, kin.inertia.moment
    turned = kin.inertia.rotational.crossed(spin)  # [spin] I
    along = moment.dot(speed) * 2.0

    def entry(i: int, j: int) -> Known:
        value = spatial.plus(turned[i][j], turned[j][i])
        for a, b in ((speed[i], moment[j]), (moment[i], speed[j])):
            value = spatial.minus(value, spatial.times(a, b))
        return spatial.plus(value, along) if i == j else value

    symmetric = Symmetric(*(entry(i, j) for i, j in SYMMETRIC_ENTRIES))
    return _Coriolis(symmetric, momentum, drag.by_velocity if drag else None)


def tree_sum[T](mask: Float[np.ndarray, "rows columns"], values: T) -> T:
    """Return, for every row of the mask, the sum over its columns of each array in ``values``.

    One matrix product serves all arrays.
    """
    parts, structure = jax.tree.flatten(values)
    sums = jnp.einsum("rc,ckn->rkn", mask, jnp.stack(parts, axis=1))
    return jax.tree.unflatten(structure, [sums[:, k] for k in range(len(parts))])


def _by_sides(tree: Tree, at_or_below: Array, above: Array) -> Float[Array, "nv nv n"]:
    """Join what holds for rows at or below the column's joint with what holds for rows above it.

    Both are (nv, nv, n), or a scalar 0 (:func:`outer`).
    """
    is_at_or_below, is_above = (
        jnp.asarray(tree.ancestor_or_same)[..., None],
        jnp.asarray(tree.ancestor.T > 0)[..., None],
    )
    return jnp.where(is_at_or_below, at_or_below, jnp.where(is_above, above, 0.0))
