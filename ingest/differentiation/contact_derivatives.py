"""Derivatives of contact forces: what contacts add to the derivatives of inverse dynamics.

At a given acceleration MuJoCo's contact force is an explicit function of where the bodies are and how they move,

    f_r = -D (J_r a - aref_r) = -D (E_r . y + kappa)    where a pyramid's edge r pushes,

y the relative acceleration and velocity (a + b v) of the two bodies at the contact, in its frame; E_r the edge,
normal plus or minus friction times an axis; D and kappa functions of the distance. With one body held, a contact
depends on the other body's motion alone: six directions, in a plane three, whatever the number of joints. Only they
are differentiated through MJX's collision functions; joints follow by their motion axes. What a motion does to a
contact is told apart from carrying it along: a robot that slides over its floor carries every contact, and what is
left is exactly 0. (As a difference of two large terms, up to 6e6 in WalkerRun, it was 1e-11, and no zero.)
Reference: MuJoCo documentation, "Computation", "Constraint model" and "Contact".

Samples are the last axis, as in :mod:`jacdb.ingest.differentiation.rnea_derivatives`.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation.contact_geometry import Geometry, static_geoms
from jacdb.ingest.differentiation.rnea_derivatives import Kinematics, Tree, tree_sum
from jacdb.ingest.dynamics import forward
from jacdb.ingest.linalg import spatial
from jacdb.ingest.linalg.batched import materialize, sum_terms
from jacdb.ingest.linalg.spatial import Spatial, Vector, outer

UNROLLED = 8  # contacts whose sum is written out; more are summed in a loop, to keep the compiled code small


class ContactDerivatives(NamedTuple):
    """Of the joint forces that contacts add to r, rows first."""

    by_q: Float[Array, "nv nv n"]
    by_v: Float[Array, "nv nv n"]
    by_a: Float[Array, "nv nv n"]


def contacts(
    model: mjx.Model,
    mj_model: mujoco.MjModel,
    tree: Tree,
    kin: Kinematics,
    d: mjx.Data,
    geometry_rates: tuple[Array, Array, Array, Array],
) -> "list[Contacts]":
    """What the derivatives need of contacts, whatever the acceleration.

    Args:
        d: forward dynamics' results, samples last.
        geometry_rates: :func:`geometry_derivative`'s, samples last.
    """
    contact = impl(d).contact
    geoms = static_geoms(mj_model, contact.dist.shape[0])
    bodies = mj_model.geom_bodyid[geoms] if geoms is not None else jnp.asarray(mj_model.geom_bodyid)[contact.geom]
    dims, first = np.unique(contact.dim, return_index=True)  # by which MJX sorts them
    ends = [*first[1:], len(contact.dim)]
    return [
        Contacts.take(model, mj_model, tree, kin, d, bodies, geometry_rates, slice(start, end), int(dim))
        for dim, start, end in zip(dims, first, ends, strict=True)
    ]


def contact_derivatives(
    contacts: "list[Contacts]",
    tree: Tree,
    kin: Kinematics,
    qacc: Float[Array, "nv n"],
    holds: Bool[Array, "nefc n"],
) -> ContactDerivatives:
    """Differentiate the contacts' joint forces at an acceleration; ``holds``: constraint rows that push
    (:class:`~jacdb.ingest.dynamics.newton.ActiveSet`)."""
    accelerating = kin.axis * qacc
    acceleration, above = (tree_sum(mask, accelerating) for mask in (tree.carried, tree.above))
    parts = [some.derivatives(tree, kin, acceleration, above, holds) for some in contacts]
    return jax.tree.map(lambda *terms: sum_terms(terms), *parts)


@dataclass(frozen=True)
class Contacts:
    """Contacts of one dimension (1, 3, 4 or 6): arrays (contacts, n)."""

    dim: int
    geometry: Geometry
    rates: Geometry  # with a leading axis of motions; beyond what moving with body 2 makes of it
    turn: Vector  # of the tangents about the normal, by a rotation of both bodies as one
    body1: Array | np.ndarray
    body2: Array | np.ndarray
    carries1: Array | np.ndarray  # (contacts, nv, n or 1)
    carries2: Array | np.ndarray
    first_moves: bool  # whether body 1 may be other than the world
    friction: list[Array]
    damping: Array  # b of the reference acceleration
    kappa: Array  # the reference acceleration's part that follows the distance
    kappa_rate: Array
    weight: Array  # D
    weight_rate: Array
    touching: Array
    edge_rows: np.ndarray  # (edges, contacts): the constraint row of each edge of the pyramid
    pushes: list[Array]  # per edge; none until an acceleration is given

    @classmethod
    def take(
        cls,
        model: mjx.Model,
        mj_model: mujoco.MjModel,
        tree: Tree,
        kin: Kinematics,
        d: mjx.Data,
        bodies: Array | np.ndarray,
        rates: tuple[Array, Array, Array, Array],
        slots: slice,
        dim: int,
    ) -> "Contacts":
        contact = impl(d).contact
        dist, point, frame = contact.dist[slots], contact.pos[slots], contact.frame[slots]
        origin = kin.origin
        origin_point = jnp.stack(jnp.broadcast_arrays(*origin.components))[None]
        geometry = Geometry(
            dist,
            Vector(*(point[:, k] - origin[k] for k in range(3))),
            tuple(Vector(*(frame[:, row, k] for k in range(3))) for row in range(3)),  # type: ignore[arg-type]
        )
        d_dist, d_point, d_frame, turn = (rate[:, slots] for rate in rates)
        lever = point - origin_point
        point_with, frame_with = [], []  # body 2, by each motion
        for motion in tree.motions:
            unit = jnp.eye(3)[motion % 3]
            if motion < 3:
                point_with.append(jnp.cross(unit, lever, axisb=1, axisc=1))
                frame_with.append(jnp.cross(unit, frame, axisb=2, axisc=2))
            else:
                point_with.append(jnp.broadcast_to(unit[:, None], lever.shape))
                frame_with.append(jnp.zeros_like(frame))
        d_point, d_frame = d_point - jnp.stack(point_with), d_frame - jnp.stack(frame_with)
        geometry_rates = Geometry(
            d_dist,
            Vector(*(d_point[:, :, k] for k in range(3))),
            tuple(Vector(*(d_frame[:, :, row, k] for k in range(3))) for row in range(3)),  # type: ignore[arg-type]
        )
        body1, body2 = bodies[slots, 0], bodies[slots, 1]
        carries1, carries2 = _carries(tree, body1), _carries(tree, body2)
        friction = [jnp.asarray(contact.friction)[slots, k] for k in range(dim - 1)]
        body_weight = jnp.asarray(mj_model.body_invweight0[:, 0])
        invweight = body_weight[body1] + body_weight[body2]
        if invweight.ndim == 1:
            invweight = invweight[:, None]
        if dim > 1:
            square = friction[0] * friction[0]
            invweight = (invweight + square * invweight) * 2 * square / model.opt.impratio
        solref = jnp.moveaxis(jnp.asarray(contact.solref)[slots], 1, 0)
        solimp = jnp.moveaxis(jnp.asarray(contact.solimp)[slots], 1, 0)
        margin = contact.includemargin[slots]

        def impedance(distance: Array) -> tuple[Array, Array, Array]:
            position = distance - margin
            stiffness, damping, imp = forward.impedance(model, solref, solimp, position)
            weight = 1 / jnp.maximum(invweight * (1 - imp) / imp, mujoco.mjMINVAL)
            return stiffness * imp * position, weight, damping + jnp.zeros_like(distance)

        (kappa, weight, damping), (kappa_rate, weight_rate, _) = jax.jvp(impedance, (dist,), (jnp.ones_like(dist),))
        edges = 2 * (dim - 1) if dim > 1 else 1
        edge_rows = np.asarray(contact.efc_address)[slots] + np.arange(edges)[:, None]
        return cls(
            dim,
            geometry,
            geometry_rates,
            Vector(*turn),
            body1,
            body2,
            carries1,
            carries2,
            not isinstance(carries1, np.ndarray) or bool(carries1.any()),
            friction,
            damping,
            kappa,
            kappa_rate,
            weight,
            weight_rate,
            dist < margin,
            edge_rows,
            [],
        )

    # --- one contact's force -------------------------------------------------------------------------------

    def local(self, geometry: Geometry, motion: Spatial) -> list[Array]:
        """The relative motion at the contact in its frame: normal and tangents, then rotations where they count."""
        linear = motion.lin + motion.ang.cross(geometry.point)
        if self.dim == 1:
            return [geometry.frame[0].dot(linear)]
        moves = [axis.dot(linear) for axis in geometry.frame]
        return moves + [axis.dot(motion.ang) for axis in geometry.frame[: self.dim - 3]]

    def world(self, geometry: Geometry, local: list[Array]) -> Spatial:
        """A force in the contact's frame, as force and torque about the common point."""
        force = geometry.frame[0] * local[0]
        for axis, size in zip(geometry.frame[1:], local[1:3], strict=False):
            force = force + axis * size
        torque = geometry.point.cross(force)
        for axis, size in zip(geometry.frame, local[3:], strict=False):
            torque = torque + axis * size
        return Spatial(torque, force)

    def edges(self) -> tuple[list[Array], list[Array]]:
        """Sum of E_r E_r^T over the edges that push: its first row, and its diagonal; the rest is 0."""
        push = [p.astype(float) for p in self.pushes]
        if self.dim == 1:
            return [push[0]], [push[0]]
        count = sum(push[1:], start=push[0])
        pairs = [(push[2 * i], push[2 * i + 1], mu) for i, mu in enumerate(self.friction)]
        return [count, *(mu * (p - q) for p, q, mu in pairs)], [count, *(mu * mu * (p + q) for p, q, mu in pairs)]

    def response(self, motion: Spatial) -> Spatial:
        """By how much less body 2 is pushed for its acceleration ``motion``: D sum_r E_r (E_r . y)."""
        local = self.local(self.geometry, motion)
        row, diagonal = self.edges()
        normal = sum(r * y for r, y in zip(row, local, strict=True))
        rest = [r * local[0] + g * y for r, g, y in zip(row[1:], diagonal[1:], local[1:], strict=True)]
        return self.world(self.geometry, [self.weight * value for value in [normal, *rest]])

    def force(self, geometry: Geometry, weight: Array, kappa: Array, motion: Spatial) -> Spatial:
        """On body 2, about the common point."""
        local = self.local(geometry, motion)
        row, diagonal = self.edges()
        normal = sum(r * y for r, y in zip(row, local, strict=True)) + kappa * row[0]
        rest = [r * (local[0] + kappa) + g * y for r, g, y in zip(row[1:], diagonal[1:], local[1:], strict=True)]
        return self.world(geometry, [-weight * value for value in [normal, *rest]])

    def per_joint(self) -> "Contacts":
        """The same with an axis for joints: (contacts, 1, n)."""

        def spread[T](tree: T) -> T:
            return jax.tree.map(lambda x: x[..., None, :], tree)

        return dataclasses.replace(
            self,
            geometry=spread(self.geometry),
            friction=spread(self.friction),
            weight=spread(self.weight),
            pushes=spread(self.pushes),
        )

    # --- all of them, joint by joint -----------------------------------------------------------------------

    def derivatives(
        self, tree: Tree, kin: Kinematics, acceleration: Spatial, acceleration_above: Spatial, holds: Array
    ) -> ContactDerivatives:
        """Args: every body's sum of S a, and each dof's over the joints above it; the rows that push."""
        pushes = [holds[rows] & self.touching for rows in self.edge_rows]
        return dataclasses.replace(self, pushes=pushes)._derivatives(tree, kin, acceleration, acceleration_above)

    def _derivatives(
        self, tree: Tree, kin: Kinematics, acceleration: Spatial, acceleration_above: Spatial
    ) -> ContactDerivatives:
        b = self.damping

        def of_body(body: Array | np.ndarray) -> Spatial:
            return _at(acceleration, body) + _at(kin.velocity, body) * b

        first = of_body(self.body1)
        first, relative = materialize((first, of_body(self.body2) - first))

        def force(geometry: Geometry, weight: Array, kappa: Array) -> Spatial:
            return self.force(geometry, weight, kappa, relative)

        at = (self.geometry, self.weight, self.kappa)
        rates = (self.rates, self.weight_rate * self.rates.distance, self.kappa_rate * self.rates.distance)
        pushed = force(*at)
        by_motion = jax.vmap(lambda rate: jax.jvp(force, at, rate)[1])(rates)
        pushed, by_motion = materialize((pushed, by_motion))

        # From here on (contacts, nv, n): what each joint does to the force, the other body held.
        axis, axis_rate, lifted = (
            _lead(value) for value in (kin.axis, kin.axis_rate, materialize(acceleration_above.cross(kin.axis)))
        )
        moving = [axis.components[motion] for motion in tree.motions]
        geometric = Spatial.of([spatial.products(part[:, :, None], moving) for part in by_motion.components])
        joints, b = self.per_joint(), b[:, None]
        faster = axis.cross(_spread(first)) + lifted + axis_rate * b
        carries1, carries2 = jnp.asarray(self.carries1), jnp.asarray(self.carries2)
        sign = carries2 - carries1
        by_q = (geometric - joints.response(faster)) * sign
        if self.first_moves:  # carried along, a contact keeps its force, but not its tangents
            still = jax.tree.map(jnp.zeros_like, at)
            tangents = self.geometry.frame[1:]
            turning_frame = still[0]._replace(frame=(still[0].frame[0], tangents[1], -tangents[0]))
            by_turn = jax.jvp(force, at, (turning_frame, *still[1:]))[1]
            turn = _spread(self.turn).dot(axis.ang)
            by_q = by_q + _spread(by_turn) * turn * carries1
        by_a = joints.response(axis) * sign
        rows = axis * sign
        by_q, by_a, rows = materialize((by_q, by_a, rows))
        # A row is -S_i . K summed over contacts, and K goes with body 2. Joints that carry S_i as well change nothing.
        if self.first_moves:
            carrying = _contract(rows, materialize(axis.cross_force(_spread(pushed))), carries2, tree.moved[..., None])
        else:
            received = Spatial.of([(part[:, None] * sign).sum(axis=0) for part in pushed.components])
            carrying = outer(kin.axis, kin.axis.cross_force(received)) * tree.above.T[..., None]
        return ContactDerivatives(
            by_q=-carrying - _contract(rows, by_q),
            by_v=_contract(rows, by_a * b),
            by_a=_contract(rows, by_a),
        )


def _carries(tree: Tree, body: Array | np.ndarray) -> Array | np.ndarray:
    """(contacts, nv, n or 1): 1 where the dof moves the contact's body."""
    if isinstance(body, np.ndarray):
        return tree.carried[body][..., None]
    return jnp.moveaxis(jnp.asarray(tree.carried)[body], -1, 1)


def _at(bodies: Spatial, body: Array | np.ndarray) -> Spatial:
    """Each contact's body: (contacts, n) of (nbody, n)."""
    if isinstance(body, np.ndarray):
        return jax.tree.map(lambda x: x[body], bodies)
    return jax.tree.map(lambda x: jnp.take_along_axis(x, body, axis=0), bodies)


def _lead(value: Spatial) -> Spatial:
    return jax.tree.map(lambda x: x[None], value)


def _spread[T](value: T) -> T:
    return jax.tree.map(lambda x: x[:, None], value)


def _contract(
    rows: Spatial, columns: Spatial, weight: Array | None = None, less: np.ndarray | float = 0.0
) -> Float[Array, "nv nv n"]:
    """Sum over contacts of every row's motion with every column's force.

    Args:
        weight: (contacts, nv, n or 1), of columns; None for 1.
        less: (nv, nv, 1), what to take from the weight.
    """

    def term(one: tuple[Spatial, Spatial, Array | None]) -> Array:
        row, column, weight = one
        return outer(row, column) if weight is None else outer(row, column) * (weight - less)

    def at(c: int) -> tuple[Spatial, Spatial, Array | None]:
        return jax.tree.map(lambda x: x[c], (rows, columns, weight))

    n_contacts = len(jax.tree.leaves(rows)[0])
    if n_contacts <= UNROLLED:
        return sum_terms(term(at(c)) for c in range(n_contacts))
    nothing = jnp.zeros_like(term(at(0)))
    return jax.lax.scan(lambda total, one: (total + term(one), None), nothing, (rows, columns, weight))[0]
