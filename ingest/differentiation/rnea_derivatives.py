"""Derivatives of rigid-body inverse dynamics in closed form, for many samples at once.

tau = ID(q, v, a) is what joints must give for bodies to accelerate by a. Its derivatives need no automatic
differentiation: to move joint j turns everything below it rigidly by its motion axis S_j, so a body's force turns
with it, and changes besides only by what the bodies above j do. Sums over subtrees then give all of d tau / dq and
d tau / dv from one pass over the bodies.

With V and A a body's velocity and acceleration, I its inertia, all about one point and along the world's axes, and
P_j, PA_j the velocity and acceleration above joint j::

    F   = I A + V x* (I V)                    the force that body needs
    w_j = P_j x S_j                           d S_j / dt
    z_j = PA_j x S_j + P_j x w_j
    dF/dq_j = S_j x* F + I z_j + B w_j        dF/dv_j = B S_j + I (w_j + Q_j x S_j)

where Q_j is the velocity below the joint, and B X = I (X x V) + X x* (I V) + V x* (I X) depends on X's rotation
alone. Compare Carpentier & Mansard, "Analytical Derivatives of Rigid Body Dynamics Algorithms", RSS 2018.

Arrays have the samples of the batch as their last axis, so that every operation is one long vector operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx

from jacdb.ingest.environments.tangent_space import FREE, HINGE, SLIDE
from jacdb.ingest.linalg import spatial
from jacdb.ingest.linalg.batched import materialize
from jacdb.ingest.linalg.spatial import SYMMETRIC_ENTRIES, Inertia, Known, Spatial, Symmetric, Vector, outer


@dataclass(frozen=True)
class Tree:
    """Who moves whom, as masks of 0 and 1 (rows first).

    Attributes:
        carried: (nbody, nv), the dof moves the body.
        below: (nv, nbody), the body is the dof's or below it.
        moved: (nv, nv), the row's axis is moved by the column: it comes later in the chain, or is the column, or
            turns with it in one ball.
        above: (nv, nv), the column comes before the row in the chain, and is not moved by it.
        joint: (nv, nv), the same ball, the same three translations, or the same dof.
        motions: which of six components dofs' motions have; the others are 0 whatever the state.
    """

    carried: np.ndarray
    below: np.ndarray
    moved: np.ndarray
    above: np.ndarray
    joint: np.ndarray
    motions: tuple[int, ...]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "Tree":
        nv, body = model.nv, model.dof_bodyid
        ancestors = np.eye(model.nbody, dtype=bool)
        for b in range(1, model.nbody):
            ancestors[b] |= ancestors[model.body_parentid[b]]
        carried = ancestors[:, body]
        # dofs of one joint that turn, or shift, as one
        group = np.array([_group(model, dof) for dof in range(nv)]).reshape(nv, 2)
        joint = (group[:, None] == group[None]).all(axis=-1)
        chain = carried[body]  # (nv, nv): the column is in the row's chain, its own body included
        earlier = (group[:, None, 0] > group[None, :, 0]) | (
            (group[:, None, 0] == group[None, :, 0]) & (group[:, None, 1] > group[None, :, 1])
        )
        above = chain & earlier
        moved = above | joint
        return cls(
            carried=carried.astype(float),
            below=carried.T.astype(float),
            moved=moved,
            above=above.astype(float),
            joint=joint.astype(float),
            motions=_motions(model),
        )


def _group(model: mujoco.MjModel, dof: int) -> tuple[int, int]:
    """(joint, part): the translations of a free joint come before its rotation."""
    jnt = int(model.dof_jntid[dof])
    part = int(model.jnt_type[jnt] == FREE and dof - model.jnt_dofadr[jnt] >= 3)
    return jnt, part


def _motions(model: mujoco.MjModel) -> tuple[int, ...]:
    """Rotations 0 to 2 about the world's axes, translations 3 to 5.

    Where nothing turns, slides keep their directions. Where all turns are about one of the world's axes, they stay so,
    and shift what is turned in the plane across it. A mocap body may turn the axes of joints that it carries anyhow.
    """
    on_mocap = model.body_mocapid[model.body_rootid[model.dof_bodyid]] >= 0
    if on_mocap.any() or not np.isin(model.jnt_type, (HINGE, SLIDE)).all():
        return tuple(range(6))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    along = np.abs(data.xaxis) > 1e-14  # beyond rounding
    turns, slides = (along[model.jnt_type == kind].any(axis=0) for kind in (HINGE, SLIDE))
    if turns.sum() > 1:
        return tuple(range(6))
    shifts = slides | (turns.any() & ~turns)
    return tuple(np.flatnonzero([*turns, *shifts]).tolist())


class Drag(NamedTuple):
    """Forces of a medium on bodies, and how they change with the bodies' velocity about the common point."""

    force: Spatial  # (nbody, n)
    by_velocity: tuple[tuple[Known, ...], ...]  # six by six, (nbody, n) each


class Kinematics(NamedTuple):
    """Bodies and dofs about the common point (dofs or bodies first, then samples)."""

    origin: Vector  # (n,): the common point
    qvel: Array  # (nv, n)
    axis: Spatial  # (nv, n): S
    axis_rate: Spatial  # (nv, n): w
    inertia: Inertia  # (nbody, n)
    velocity: Spatial  # (nbody, n): V
    velocity_above: Spatial  # (nv, n): P
    velocity_below: Spatial  # (nv, n): Q


def common_root(model: mujoco.MjModel) -> int:
    """The tree whose centre of mass is the common point: that of a free body, if there is one.

    A body that rests is held by forces around it whose torques cancel. About a point half a metre away, in an
    arm beside it, rounding leaves 1e-12 of them, where it should be zero.
    """
    free = model.jnt_dofadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
    return int(model.body_rootid[model.dof_bodyid[free[0] if len(free) else 0]])


def kinematics(model: mujoco.MjModel, tree: Tree, d: mjx.Data) -> Kinematics:
    """Read bodies and axes off ``d`` (samples last), moved to a common point."""
    roots = model.body_rootid[model.dof_bodyid]
    origin = Vector(*d.subtree_com[common_root(model)])
    axis = Spatial.of([d.cdof[:, k] if k in tree.motions else None for k in range(6)])
    if (roots != roots[0]).any():  # MuJoCo has each tree about its own centre of mass
        shift = Vector(*(origin[k] - d.subtree_com[roots, k] for k in range(3)))
        axis = Spatial(axis.ang, axis.lin + axis.ang.cross(shift))
    moving = axis * d.qvel
    above = tree_sum(tree.above, moving)
    found = Kinematics(
        origin=origin,
        qvel=d.qvel,
        axis=axis,
        axis_rate=above.cross(axis),
        inertia=_inertia(model, d, origin),
        velocity=tree_sum(tree.carried, moving),
        velocity_above=above,
        velocity_below=above + tree_sum(tree.joint, moving),
    )
    return materialize(found)


def _inertia(model: mujoco.MjModel, d: mjx.Data, origin: Vector) -> Inertia:
    """Of every body: its own, turned, and its mass at its distance."""
    mass = jnp.asarray(model.body_mass)[:, None]
    arm = Vector(*(d.xipos[:, k] - origin[k] for k in range(3)))
    own = [jnp.asarray(model.body_inertia[:, k])[:, None] for k in range(3)]

    def entry(i: int, j: int) -> Array:
        turned = sum(d.ximat[:, i, k] * own[k] * d.ximat[:, j, k] for k in range(3))
        return turned - mass * arm[i] * arm[j] + (mass * arm.dot(arm) if i == j else 0.0)

    return Inertia(mass + jnp.zeros_like(arm.x), arm * mass, Symmetric(*(entry(i, j) for i, j in SYMMETRIC_ENTRIES)))


def medium_drag(model: mujoco.MjModel, kin: Kinematics, d: mjx.Data) -> Drag:
    """Viscosity and drag of a medium at rest, on each body's box of equal inertia, as MJX has them.

    Reference: MuJoCo documentation, "Computation", "Passive forces", inertia-based model.
    """
    if np.any(model.opt.wind):
        raise NotImplementedError("a medium that moves (wind)")
    mass = np.maximum(model.body_mass, 1e-12)
    sides = 6.0 * np.clip(model.body_inertia @ (np.ones((3, 3)) - 2 * np.eye(3)), 1e-12, None)
    box = np.sqrt(sides / mass[:, None]) * (model.body_mass > 0)[:, None]
    diameter, others = box.mean(axis=1), ((1, 2), (0, 2), (0, 1))
    face = [box[:, i] * box[:, j] for i, j in others]
    blade = [box[:, k] * (box[:, i] ** 4 + box[:, j] ** 4) for k, (i, j) in enumerate(others)]
    viscosity, density = model.opt.viscosity, model.opt.density

    arm = Vector(*(d.xipos[:, k] - kin.origin[k] for k in range(3)))
    spin = kin.velocity.ang
    speed = kin.velocity.lin + spin.cross(arm)
    frame = [Vector(*(d.ximat[:, i, k] for i in range(3))) for k in range(3)]  # axes of the box
    torque, force = Vector(None, None, None), Vector(None, None, None)
    by_spin, by_speed = [], []
    for k, axis in enumerate(frame):
        turn, slide = axis.dot(spin), axis.dot(speed)
        turn_viscous, slide_viscous = np.pi * diameter**3 * viscosity, 3.0 * np.pi * diameter * viscosity
        turn_drag, slide_drag = density * blade[k] / 64.0, 0.5 * density * face[k]
        turn_slow = turn_viscous[:, None] + turn_drag[:, None] * jnp.abs(turn)
        slide_slow = slide_viscous[:, None] + slide_drag[:, None] * jnp.abs(slide)
        torque, force = torque - axis * (turn_slow * turn), force - axis * (slide_slow * slide)
        by_spin.append(-turn_slow - turn_drag[:, None] * jnp.abs(turn))
        by_speed.append(-slide_slow - slide_drag[:, None] * jnp.abs(slide))

    def in_world(diagonal: list[Array]) -> Symmetric:
        return Symmetric(
            *(sum(g * a[i] * a[j] for g, a in zip(diagonal, frame, strict=True)) for i, j in SYMMETRIC_ENTRIES)
        )

    spin_matrix, speed_matrix = in_world(by_spin), in_world(by_speed)
    columns = []
    for k in range(6):
        motion = Spatial.of([1.0 if i == k else None for i in range(6)])
        push = speed_matrix.times(motion.lin + motion.ang.cross(arm))
        columns.append(Spatial(spin_matrix.times(motion.ang) + arm.cross(push), push).components)
    return Drag(Spatial(torque + arm.cross(force), force), tuple(zip(*columns, strict=True)))


class RigidDerivatives(NamedTuple):
    """Of tau = ID(q, v, a), rows first."""

    by_q: Float[Array, "nv nv n"]
    by_v: Float[Array, "nv nv n"]
    by_a: Float[Array, "nv nv n"]  # the mass matrix, without motor inertias


def rigid_derivatives(
    tree: Tree, kin: Kinematics, acceleration: Float[Array, "nv n"], gravity: np.ndarray, drag: Drag | None = None
) -> RigidDerivatives:
    """Differentiate inverse dynamics. Motor inertias (armature) are left out: they depend on neither q nor v.

    Args:
        gravity: (3,) m/s^2, zeros where it is switched off.
        drag: forces of a medium, if there is one.
    """
    axis, rate = kin.axis, kin.axis_rate
    free_fall = Spatial.of([None, None, None, *(-float(g) if g else None for g in gravity)])
    accelerating = axis * acceleration + rate * kin.qvel
    body_acceleration = tree_sum(tree.carried, accelerating) + free_fall
    acceleration_above = tree_sum(tree.above, accelerating) + free_fall

    momentum = kin.inertia.times(kin.velocity)
    force = kin.inertia.times(body_acceleration) + kin.velocity.cross_force(momentum)
    if drag:
        force = force - drag.force
    inertia, coriolis, force = tree_sum(tree.below, (kin.inertia, _coriolis(kin, momentum, drag), force))

    z = acceleration_above.cross(axis) + kin.velocity_above.cross(rate)
    y = rate + kin.velocity_below.cross(axis)
    lever, swing = inertia.times(axis), coriolis.transposed(axis)
    z_force = inertia.times(z) + coriolis.times(rate) + axis.cross_force(force)
    y_force = inertia.times(y) + coriolis.times(axis)
    z, y, lever, swing, z_force, y_force = materialize((z, y, lever, swing, z_force, y_force))
    return RigidDerivatives(
        by_q=_by_sides(tree, outer(lever, z) + outer(swing, rate), outer(axis, z_force)),
        by_v=_by_sides(tree, outer(lever, y) + outer(swing, axis), outer(axis, y_force)),
        by_a=_by_sides(tree, outer(lever, axis), outer(axis, lever)),
    )


def mass_matrix_derivative(tree: Tree, kin: Kinematics, vector: Float[Array, "nv n"]) -> Float[Array, "nv nv n"]:
    """d (M(q) x) / dq at constant x: inverse dynamics at rest, without gravity."""
    axis, moving = kin.axis, kin.axis * vector
    force = kin.inertia.times(tree_sum(tree.carried, moving))
    inertia, force = tree_sum(tree.below, (kin.inertia, force))
    z = tree_sum(tree.above, moving).cross(axis)
    z_force = inertia.times(z) + axis.cross_force(force)
    lever, z, z_force = materialize((inertia.times(axis), z, z_force))
    return _by_sides(tree, outer(lever, z), outer(axis, z_force))


class _Coriolis(NamedTuple):
    """B, a motion to a force. Without drag it takes rotations alone."""

    symmetric: Symmetric
    momentum: Spatial
    drag: tuple[tuple[Known, ...], ...] | None

    def times(self, motion: Spatial) -> Spatial:
        turn = motion.ang
        force = Spatial(self.symmetric.times(turn) + turn.cross(self.momentum.ang), turn.cross(self.momentum.lin) * 2.0)
        return force - _matvec(self.drag, motion) if self.drag else force

    def transposed(self, motion: Spatial) -> "Vector | Spatial":
        turn = self.symmetric.times(motion.ang) + self.momentum.ang.cross(motion.ang)
        turn = turn + self.momentum.lin.cross(motion.lin) * 2.0
        if not self.drag:
            return turn
        back = _matvec(tuple(zip(*self.drag, strict=True)), motion)
        return Spatial(turn - back.ang, -back.lin)


def _matvec(matrix: Sequence[Sequence[Known]], motion: Spatial) -> Spatial:
    return Spatial.of([spatial.products(row, motion.components) for row in matrix])


def _coriolis(kin: Kinematics, momentum: Spatial, drag: Drag | None) -> _Coriolis:
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
    """For every row, the sum over the mask's columns of each array. One matrix product for all."""
    parts, structure = jax.tree.flatten(values)
    total = jnp.einsum("rc,ckn->rkn", mask, jnp.stack(parts, axis=1))
    return jax.tree.unflatten(structure, [total[:, k] for k in range(len(parts))])


def _by_sides(tree: Tree, moved: Array, carrying: Array) -> Array:
    """Put together what holds for rows at or below the column's joint, and for rows above it."""
    at_or_below, above = jnp.asarray(tree.moved)[..., None], jnp.asarray(tree.above.T > 0)[..., None]
    return jnp.where(at_or_below, moved, jnp.where(above, carrying, 0.0))
