"""Derivatives of the forces of connects and welds, in closed form: what they add to those of inverse dynamics.

A connect holds two points together, a weld two frames. The C engine's rows ask for the acceleration

    J a + dJ/dt v = -b J v - k imp r          r: how far the points, and the frames, are apart

and push by -D times what is missing. (MJX leaves out dJ/dt v.) So the force is a function of dp, du and dc, the offset,
velocity and acceleration of point 1 against point 2, and for a weld of both rotations and their rates. A joint changes
the motion of what it carries as in :mod:`jacdb.ingest.differentiation.rnea_derivatives`: it turns it, and adds w, z and
y. In the frame of body 1 a joint that carries both bodies moves neither, so that what does not depend on it has
derivatives of exactly 0. With e = s2 - s1, where s is 1 for a body that joint S carries, and X @ p the velocity at p::

    by q:   d dp = -e S @ p2
            d du = s1 w x dp - e (w @ p2 + S x u2)
            d dc = s1 (z x dp + 2 w x du) - e (z @ p2 + 2 w x u2 + S x c2)
    by v:   d du = s1 S x dp - e S @ p2,     d dc = s1 (y x dp + 2 S x du) - e (y @ p2 + 2 S x u2)
    by a:   d dc = s1 S x dp - e S @ p2

Samples are the last axis. Vectors are arrays (3, equalities, n), with an axis of joints in front where one moves.
Reference: MuJoCo documentation, "Computation", "Constraint model", "Equality", and changelog of 3.7.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from mujoco import mjx

from jacdb.ingest.differentiation.contact_derivatives import ContactDerivatives
from jacdb.ingest.differentiation.rnea_derivatives import Kinematics, Tree, tree_sum
from jacdb.ingest.dynamics import impedances
from jacdb.ingest.dynamics.impedances import Impedance
from jacdb.ingest.linalg.batched import materialize
from jacdb.ingest.linalg.spatial import Motion

Dense = Any  # a dense array of numbers, of JAX or NumPy: constants of a model are NumPy's
_CONNECT, _WELD = int(mujoco.mjtEq.mjEQ_CONNECT), int(mujoco.mjtEq.mjEQ_WELD)


def are_of_poses(model: mujoco.MjModel) -> Bool[np.ndarray, " neq"]:
    """Return which equalities are connects and welds."""
    return np.isin(model.eq_type, (_CONNECT, _WELD))


class _Screw(NamedTuple):
    """Motions as dense arrays: rotation, and translation of the common point."""

    ang: Dense
    lin: Dense

    def at(self, point: Dense) -> Dense:
        """Return the velocity of a point."""
        return self.lin + _cross(self.ang, point)


class _Pair(NamedTuple):
    """How two points, and the frames there, lie and move against each other: all that a force depends on."""

    offset: Dense  # dp
    velocity: Dense  # du
    acceleration: Dense  # dc
    spin1: Dense
    spin2: Dense
    spin_rate1: Dense
    spin_rate2: Dense
    orientation2: Dense  # a quaternion; in body 1's frame its own stays


class _Points(NamedTuple):
    """Where the points are, from the common point, and what a joint's motion turns with body 2."""

    point1: Dense
    point2: Dense
    orientation1: Dense
    velocity2: Dense  # of point 2
    acceleration2: Dense


class _Wrench(NamedTuple):
    """A force on body 1 at its point, and a torque beside it; body 2 has the opposite at its own."""

    force: Dense
    torque: Dense

    def about(self, point: Dense) -> _Screw:
        """Return the wrench about the common point, if the force acts at a point: torque, and force."""
        return _Screw(_cross(point, self.force) + self.torque, self.force)


@dataclass(frozen=True)
class PoseEqualities:
    """The connects and welds of a model that are active.

    Attributes:
        body: both bodies.
        anchor, turn: the point and the frame (a quaternion) in each body's frame.
        torque_scale: 0 for connects.
        invweight: of translations, and of rotations.
    """

    body: Int[np.ndarray, "2 e"]
    anchor: Float[np.ndarray, "2 e 3"]
    turn: Float[np.ndarray, "2 e 4"]
    torque_scale: Float[np.ndarray, " e"]
    invweight: Float[np.ndarray, "2 e"]
    solref: Float[np.ndarray, "e 2"]
    solimp: Float[np.ndarray, "e 5"]
    impedance: Impedance

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "PoseEqualities | None":
        """Read them off a model; None if it has none that acts."""
        off = mujoco.mjtDisableBit.mjDSBL_CONSTRAINT | mujoco.mjtDisableBit.mjDSBL_EQUALITY
        chosen = np.flatnonzero(are_of_poses(model) & np.asarray(model.eq_active0, bool))
        if not chosen.size or model.opt.disableflags & int(off):
            return None
        data, is_weld = model.eq_data[chosen], model.eq_type[chosen] == _WELD
        halves = np.stack([data[:, :3], data[:, 3:6]])
        anchor = np.where(is_weld[:, None], halves[::-1], halves)  # a weld has its anchors the other way round
        turn = np.tile([1.0, 0.0, 0.0, 0.0], (2, len(chosen), 1))
        turn[0, is_weld] = data[is_weld, 6:10]
        body = np.stack([model.eq_obj1id[chosen], model.eq_obj2id[chosen]])
        at_sites = model.eq_objtype[chosen] == int(mujoco.mjtObj.mjOBJ_SITE)
        sites = body[:, at_sites]
        anchor[:, at_sites], turn[:, at_sites] = model.site_pos[sites], model.site_quat[sites]
        body[:, at_sites] = model.site_bodyid[sites]
        invweight = model.body_invweight0[body].sum(axis=0).T
        scale = np.where(is_weld, data[:, 10], 0.0)
        parameters = model.eq_solref[chosen], model.eq_solimp[chosen]
        return cls(body, anchor, turn, scale, invweight, *parameters, impedances.of_c(model))

    def joint_forces(
        self, model: mjx.Model, tree: Tree, kin: Kinematics, d: mjx.Data, qacc: Float[Array, "nv n"]
    ) -> Float[Array, "nv n"]:
        """Return the joint forces at an acceleration.

        Args:
            d: forward dynamics' results, samples last.
        """
        points, pair = self._at(tree, kin, d, qacc)
        received = self._received(tree, points, pair, self._wrench(model, points, pair))
        axis = _dense(kin.axis, qacc.shape)
        return (axis.ang * received.ang + axis.lin * received.lin).sum(axis=0)

    def derivatives(
        self, model: mjx.Model, tree: Tree, kin: Kinematics, d: mjx.Data, qacc: Float[Array, "nv n"]
    ) -> ContactDerivatives:
        """Differentiate what these forces add to the balance r, at an acceleration.

        Args:
            d: forward dynamics' results, samples last.
        """
        points, pair = self._at(tree, kin, d, qacc)

        def push(pair: _Pair) -> _Wrench:
            return self._wrench(model, points, pair)

        def changes(tangents: _Pair) -> _Wrench:
            return materialize(jax.vmap(lambda tangent: jax.jvp(push, (pair,), (tangent,))[1])(tangents))

        by_q, by_v, by_a = map(changes, self._moved(tree, kin, qacc, points, pair))
        wrench, axis = push(pair), _dense(kin.axis, qacc.shape)
        # A joint carries the forces on what it carries. Joints below it go along, and nothing changes for them.
        received = self._received(tree, points, pair, wrench)
        carried = _Screw(
            _cross(axis.ang, received.ang) + _cross(axis.lin, received.lin), _cross(axis.ang, received.lin)
        )
        carrying = _powers(axis, carried)
        # The force on body 2 was turned with body 1.
        first, second = self._supports(tree)
        turns = (second - first) * _per_joint(axis.ang)
        turned = _Wrench(_cross(turns, wrench.force), _cross(turns, wrench.torque))
        return ContactDerivatives(
            by_q=-carrying * tree.ancestor.T[..., None] - self._on_joints(axis, tree, points, pair, by_q, turned),
            by_v=-self._on_joints(axis, tree, points, pair, by_v),
            by_a=-self._on_joints(axis, tree, points, pair, by_a),
        )

    def _supports(self, tree: Tree) -> tuple[np.ndarray, np.ndarray]:
        """Return which joints carry each body: (nv, 1, equalities, 1)."""
        first, second = (tree.supports[body].T[:, None, :, None] for body in self.body)
        return first, second

    def _at(self, tree: Tree, kin: Kinematics, d: mjx.Data, qacc: Float[Array, "nv n"]) -> tuple[_Points, _Pair]:
        """Return where the points and frames are, and how they move."""
        origin = jnp.stack(jnp.broadcast_arrays(*kin.origin.components))[:, None]
        of_bodies = len(tree.supports), qacc.shape[1]
        accelerations = tree_sum(tree.supports, kin.axis * qacc + kin.axis_rate * kin.qvel)
        velocity, acceleration = _dense(kin.velocity, of_bodies), _dense(accelerations, of_bodies)
        points, frames, spins, velocities, spin_rates, rates = [], [], [], [], [], []
        for body, anchor, turn in zip(self.body, self.anchor, self.turn, strict=True):
            moves, accelerates = (_Screw(*(part[:, body] for part in of)) for of in (velocity, acceleration))
            point = jnp.moveaxis(d.xpos[body], 1, 0) - origin + jnp.einsum("eijn,ej->ien", d.xmat[body], anchor)
            points.append(point)
            frames.append(_quat_mul(jnp.moveaxis(d.xquat[body], 1, 0), turn.T[..., None]))
            spins.append(moves.ang)
            spin_rates.append(accelerates.ang)
            velocities.append(moves.at(point))
            rates.append(accelerates.at(point) + _cross(moves.ang, velocities[-1]))
        (offset, du, dc) = (of[0] - of[1] for of in (points, velocities, rates))
        pair = _Pair(offset, du, dc, spins[0], spins[1], spin_rates[0], spin_rates[1], frames[1])
        return materialize((_Points(points[0], points[1], frames[0], velocities[1], rates[1]), pair))

    def _wrench(self, model: mjx.Model, points: _Points, pair: _Pair) -> _Wrench:
        """Return the forces on body 1, along the world's axes."""
        rows = self._rotation_rows(points, pair)
        squared = (pair.offset**2).sum(axis=0)
        if rows:
            squared = squared + (rows[0] ** 2).sum(axis=0)
        apart = squared > 0
        distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)
        parameters = self.solref.T[..., None], self.solimp.T[..., None]
        stiffness, damping, impedance = self.impedance(model, *parameters, distance)

        def force(invweight: np.ndarray, position: Dense, velocity: Dense, acceleration: Dense) -> Dense:
            missing = acceleration + damping * velocity + stiffness * impedance * position
            return -missing / jnp.maximum(invweight[:, None] * (1 - impedance) / impedance, mujoco.mjMINVAL)

        pushed = force(self.invweight[0], pair.offset, pair.velocity, pair.acceleration)
        if not rows:
            return _Wrench(pushed, jnp.zeros_like(pushed))
        twisted = _quat_mul(pair.orientation2, _pure(force(self.invweight[1], *rows)))
        torque = _quat_mul(twisted, _conjugate(points.orientation1))[1:]
        return _Wrench(pushed, 0.5 * self.torque_scale[:, None] * torque)

    def _rotation_rows(self, points: _Points, pair: _Pair) -> tuple[Dense, Dense, Dense] | None:
        """Return how far the frames are turned, its first and its second rate; None where there is no weld."""
        if not self.torque_scale.any():
            return None
        back, scale = _conjugate(pair.orientation2), self.torque_scale[:, None]

        def between(quaternion: Dense) -> Dense:
            return scale * _quat_mul(_quat_mul(back, quaternion), points.orientation1)[1:]

        spin = pair.spin1 - pair.spin2
        turning = _quat_mul(_pure(spin), _pure(pair.spin1)) - _quat_mul(_pure(pair.spin2), _pure(spin))
        rate = 0.5 * between(_pure(pair.spin_rate1 - pair.spin_rate2)) + 0.25 * between(turning)
        return scale * _quat_mul(back, points.orientation1)[1:], 0.5 * between(_pure(spin)), rate

    def _moved(
        self, tree: Tree, kin: Kinematics, qacc: Float[Array, "nv n"], points: _Points, pair: _Pair
    ) -> tuple[_Pair, _Pair, _Pair]:
        """Return how the pair changes with each joint's position, velocity and acceleration: see the module."""
        first, second = self._supports(tree)
        other = second - first
        above = tree_sum(tree.ancestor, kin.axis * qacc + kin.axis_rate * kin.qvel)
        lifted = above.cross(kin.axis) + kin.velocity_above.cross(kin.axis_rate)
        coriolis = kin.axis_rate + kin.velocity_below.cross(kin.axis)
        s, w, z, y = (
            _Screw(*map(_per_joint, _dense(motion, qacc.shape)))
            for motion in (kin.axis, kin.axis_rate, lifted, coriolis)
        )

        def apart(motion: _Screw, more1: Dense = 0.0, more2: Dense = 0.0) -> Dense:
            """Return the change of point 1 less that of point 2."""
            return first * (_cross(motion.ang, pair.offset) + more1) - other * (motion.at(points.point2) + more2)

        def turned(vector: Dense) -> Dense:
            return _cross(s.ang, vector)

        none, still = jnp.zeros_like(turned(pair.offset) * first), jnp.zeros_like(pair.orientation2) * first
        by_q = _Pair(
            offset=-other * s.at(points.point2),
            velocity=apart(w, 0.0, turned(points.velocity2)),
            acceleration=apart(
                z,
                2 * _cross(w.ang, pair.velocity),
                2 * _cross(w.ang, points.velocity2) + turned(points.acceleration2),
            ),
            spin1=first * w.ang + none,
            spin2=other * turned(pair.spin2) + second * w.ang,
            spin_rate1=first * (z.ang + _cross(w.ang, pair.spin1)),
            spin_rate2=other * turned(pair.spin_rate2) + second * (z.ang + _cross(w.ang, pair.spin2)),
            orientation2=0.5 * other * _quat_mul(_pure(s.ang), pair.orientation2),
        )
        spun = first * s.ang + none, second * s.ang + none
        by_v = _Pair(
            none,
            apart(s),
            apart(y, 2 * turned(pair.velocity), 2 * turned(points.velocity2)),
            *spun,
            first * (y.ang + turned(pair.spin1)),
            second * (y.ang + turned(pair.spin2)),
            still,
        )
        return by_q, by_v, _Pair(none, none, apart(s), none, none, *spun, still)

    def _received(self, tree: Tree, points: _Points, pair: _Pair, wrench: _Wrench) -> _Screw:
        """Return the wrench that each joint receives, about the common point: (3, nv, n)."""
        first, second = (tree.supports[body] for body in self.body)
        on_both = _cross(pair.offset, wrench.force)  # forces at two points: a torque is left

        def total(weight: np.ndarray, of: Dense) -> Dense:
            return jnp.einsum("ej,cen->cjn", weight, of)

        on_one = wrench.about(points.point1)
        lin = total(first - second, on_one.lin)
        return _Screw(total(first - second, on_one.ang) + total(second, on_both), lin)

    def _on_joints(
        self, axis: _Screw, tree: Tree, points: _Points, pair: _Pair, change: _Wrench, turned: _Wrench | None = None
    ) -> Float[Array, "nv nv n"]:
        """Return what changes of the forces do to each joint (rows), by each joint (columns).

        Args:
            change: of the force on body 1, by each joint.
            turned: what is to be taken off the opposite of it, for the force on body 2.
        """
        first, second = (tree.supports[body] for body in self.body)
        on_one = change.about(points.point1)
        on_both = _Screw(_cross(pair.offset, change.force), jnp.zeros_like(change.force))
        if turned is not None:
            on_both = _Screw(*(a + b for a, b in zip(on_both, turned.about(points.point2), strict=True)))

        def total(of_one: Dense, of_both: Dense) -> Dense:
            by_one, by_both = jnp.asarray(first - second), jnp.asarray(second)
            return jnp.einsum("ei,jcen->icjn", by_one, of_one) + jnp.einsum("ei,jcen->icjn", by_both, of_both)

        return _powers(axis, _Screw(*materialize(tuple(map(total, on_one, on_both)))))


def _powers(axis: _Screw, wrench: _Screw) -> Float[Array, "nv nv n"]:
    """Return the power of wrenches, (3, nv, n) or of each row (nv, 3, nv, n), on each joint's motion: rows first."""
    rows = _Screw(*(jnp.moveaxis(part, 0, 1)[:, :, None] for part in axis))
    return (rows.ang * wrench.ang + rows.lin * wrench.lin).sum(axis=1)


def _dense(motion: Motion, shape: tuple[int, ...]) -> _Screw:
    """Return a motion with its zeros: (3, *shape) each."""
    parts = [jnp.zeros(shape) if part is None else jnp.broadcast_to(part, shape) for part in motion.components]
    return _Screw(jnp.stack(parts[:3]), jnp.stack(parts[3:]))


def _per_joint(vectors: Float[Array, "3 nv n"]) -> Float[Array, "nv 3 1 n"]:
    return jnp.moveaxis(vectors, 1, 0)[:, :, None]


def _cross(a: Dense, b: Dense) -> Dense:
    """Return the cross product of vectors along the third axis from the end."""
    return jnp.cross(a, b, axis=-3)


def _pure(vector: Dense) -> Dense:
    """Return the quaternion without a scalar part."""
    return jnp.concatenate([jnp.zeros_like(vector[..., :1, :, :]), vector], axis=-3)


def _conjugate(quaternion: Dense) -> Dense:
    return quaternion * np.array([1.0, -1.0, -1.0, -1.0])[:, None, None]


def _quat_mul(a: Dense, b: Dense) -> Dense:
    """Return the product of quaternions along the third axis from the end."""
    (scalar_a, vector_a), (scalar_b, vector_b) = ((q[..., :1, :, :], q[..., 1:, :, :]) for q in (a, b))
    scalar = scalar_a * scalar_b - (vector_a * vector_b).sum(axis=-3, keepdims=True)
    return jnp.concatenate([scalar, scalar_a * vector_b + scalar_b * vector_a + _cross(vector_a, vector_b)], axis=-3)
