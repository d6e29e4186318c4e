"""Contact forces as a function of where contacts are and how the two bodies move: MuJoCo's friction cones.

A pyramid's edge r is the normal plus or minus friction times another axis. Where it pushes, its force is
-D (E_r . y + kappa), with y the relative motion at the contact in its frame. All edges of a contact have one D and one
kappa, so that the sum over edges needs no more than the matrix sum_r E_r E_r^T, whose only entries are its first row,
its first column and its diagonal.

An elliptic cone has a row for each axis y_k, weighted by friction: U = (mu (y_0 + kappa), mu_1 y_1, ...). Where the
force stays inside the cone every row pushes by itself, -D_k y_k. On the cone's surface it is the gradient of a squared
distance from it, and no longer linear in y. Reference: MuJoCo documentation, "Computation", "Constraint model" and
"Contact".
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool
from mujoco import mjx

from jacdb.ingest.differentiation.contact_geometry import Geometry
from jacdb.ingest.dynamics import impedances
from jacdb.ingest.dynamics.contacts import ContactSlots
from jacdb.ingest.linalg.spatial import Force, Motion


class Impedance(NamedTuple):
    """How stiff contacts are, with derivatives by their distance: (contacts, n)."""

    kappa: Array  # the part of the reference acceleration that follows the distance
    weight: Array  # D
    damping: Array  # b of the reference acceleration
    kappa_rate: Array
    weight_rate: Array
    margin: Array  # m: contacts nearer than that touch

    @classmethod
    def of(
        cls,
        model: mjx.Model,
        mj_model: mujoco.MjModel,
        bodies: tuple[Array | np.ndarray, Array | np.ndarray],
        slots: ContactSlots,
        friction: list[Array],
        elliptic: bool = False,
        parameters: impedances.Impedance = impedances.of_mjx,
    ) -> "Impedance":
        """Compute the impedance of contacts.

        Args:
            bodies: body 1 and body 2 of each.
            slots: the contacts' distances and parameters, samples last.
            friction: the coefficient of each axis, none where contacts have no friction.
            elliptic: whether cones are elliptic, and the weight is that of the normal alone.
            parameters: gives stiffness, damping and impedance, of solref and solimp.
        """
        body_weight = jnp.asarray(mj_model.body_invweight0[:, 0])
        of_bodies = (body_weight[body] for body in bodies)
        weight1, weight2 = (weight[:, None] if weight.ndim == 1 else weight for weight in of_bodies)
        invweight = weight1 + weight2
        if friction and not elliptic:
            square = friction[0] * friction[0]
            invweight = (invweight + square * invweight) * 2 * square / model.opt.impratio
        distance, margin = slots.distance, slots.margin
        solref, solimp = (jnp.moveaxis(jnp.asarray(values), 1, 0) for values in (slots.solref, slots.solimp))

        def at(distance: Array) -> tuple[Array, Array, Array]:
            position = distance - margin
            stiffness, damping, imp = parameters(model, solref, solimp, position)
            weight = 1 / jnp.maximum(invweight * (1 - imp) / imp, mujoco.mjMINVAL)
            return stiffness * imp * position, weight, damping + jnp.zeros_like(distance)

        (kappa, weight, damping), (kappa_rate, weight_rate, _) = jax.jvp(at, (distance,), (jnp.ones_like(distance),))
        return cls(kappa, weight, damping, kappa_rate, weight_rate, margin)


@runtime_checkable
class ActingContacts(Protocol):
    """Contacts of one dimension, and how they act around some relative motion."""

    def force(self, geometry: Geometry, weight: Array, kappa: Array, motion: Motion) -> Force:
        """Return the force on body 2 about the common point, given the relative motion a + b v of the bodies.

        Geometry, weight and kappa are arguments so that the force can be differentiated by them.
        """
        ...

    def response(self, motion: Motion) -> Force:
        """Return by how much an acceleration of body 2 lessens the force on it."""
        ...


@dataclass(frozen=True)
class PushingContacts:
    """Contacts of one dimension on pyramids, whose pushing edges are known: arrays (contacts, n)."""

    dim: int  # 1, 3, 4 or 6
    geometry: Geometry
    friction: list[Array]  # per axis of the pyramid
    weight: Array  # D
    pushes: list[Bool[Array, "*contacts n"]]  # per edge

    @classmethod
    def at(
        cls,
        dim: int,
        geometry: Geometry,
        friction: list[Array],
        impedance: Impedance,
        touching: Bool[Array, "contacts n"],
        motion: Motion,
    ) -> "PushingContacts":
        """Return the contacts with those edges pushing that do so at a relative motion."""
        normal, *rest = local_motion(dim, geometry, motion)
        normal = normal + impedance.kappa
        edges = (
            [normal]
            if dim == 1
            else [normal + s * mu * y for mu, y in zip(friction, rest, strict=True) for s in (1, -1)]
        )
        return cls(dim, geometry, friction, impedance.weight, [(edge < 0) & touching for edge in edges])

    def force(self, geometry: Geometry, weight: Array, kappa: Array, motion: Motion) -> Force:
        """Return the force on body 2 (:class:`ActingContacts`)."""
        local = local_motion(self.dim, geometry, motion)
        row, diagonal = self._edge_products()
        normal = sum(r * y for r, y in zip(row, local, strict=True)) + kappa * row[0]
        rest = [r * (local[0] + kappa) + g * y for r, g, y in zip(row[1:], diagonal[1:], local[1:], strict=True)]
        return _world_force(geometry, [-weight * value for value in [normal, *rest]])

    def response(self, motion: Motion) -> Force:
        """Return D sum_r E_r (E_r . y): by how much an acceleration y of body 2 lessens the force on it."""
        local = local_motion(self.dim, self.geometry, motion)
        row, diagonal = self._edge_products()
        normal = sum(r * y for r, y in zip(row, local, strict=True))
        rest = [r * local[0] + g * y for r, g, y in zip(row[1:], diagonal[1:], local[1:], strict=True)]
        return _world_force(self.geometry, [self.weight * value for value in [normal, *rest]])

    def _edge_products(self) -> tuple[list[Array], list[Array]]:
        """Sum E_r E_r^T over the edges that push.

        Returns:
            The matrix's first row and its diagonal; the rest is 0.
        """
        push = [edge.astype(float) for edge in self.pushes]
        if self.dim == 1:
            return [push[0]], [push[0]]
        count = sum(push[1:], start=push[0])
        pairs = [(push[2 * i], push[2 * i + 1], mu) for i, mu in enumerate(self.friction)]
        return [count, *(mu * (p - q) for p, q, mu in pairs)], [count, *(mu * mu * (p + q) for p, q, mu in pairs)]


@dataclass(frozen=True)
class EllipticContacts:
    """Contacts of one dimension on elliptic cones, around a relative motion: arrays (contacts, n)."""

    dim: int  # 3, 4 or 6
    geometry: Geometry
    friction: list[Array]  # per axis
    impedance: Impedance
    impratio: float
    touching: Bool[Array, "contacts n"]
    motion: Motion

    def force(self, geometry: Geometry, weight: Array, kappa: Array, motion: Motion) -> Force:
        """Return the force on body 2 (:class:`ActingContacts`)."""
        local = local_motion(self.dim, geometry, motion)
        return _world_force(geometry, self._local_force(local, weight, kappa))

    def response(self, motion: Motion) -> Force:
        """Return by how much accelerations of body 2, (motions, …), lessen the force on it."""
        shape = self.geometry.distance.shape
        at = [jnp.broadcast_to(y, shape) for y in local_motion(self.dim, self.geometry, self.motion)]
        moved = local_motion(self.dim, self.geometry, motion)
        shape = jnp.broadcast_shapes(shape, *(jnp.shape(y) for y in moved))

        def along(rate: list[Array]) -> list[Array]:
            weight, kappa = self.impedance.weight, self.impedance.kappa
            return jax.jvp(lambda local: self._local_force(local, weight, kappa), (at,), (rate,))[1]

        rates = jax.vmap(along)([jnp.broadcast_to(y, shape) for y in moved])
        return _world_force(self.geometry, [-rate for rate in rates])

    def _local_force(self, local: list[Array], weight: Array, kappa: Array) -> list[Array]:
        """Return the force in the contact's frame: MuJoCo's mj_constraintUpdate, its three zones."""
        mu = self.friction[0] / jnp.sqrt(self.impratio)
        rows = [local[0] + kappa, *local[1:]]
        squares = [friction * friction / (self.friction[0] * self.friction[0]) for friction in self.friction]
        weights = [weight, *(weight * self.impratio * square for square in squares)]
        scaled = [mu * rows[0], *(friction * row for friction, row in zip(self.friction, rows[1:], strict=True))]
        square = sum(u * u for u in scaled[1:])
        slides = square > 0
        tangential = jnp.where(slides, jnp.sqrt(jnp.where(slides, square, 1.0)), 0.0)
        normal = scaled[0]
        inside = self.touching & (mu * normal + tangential <= 0) & (slides | (normal < 0))
        on_surface = self.touching & slides & (normal < mu * tangential) & ~inside
        stiffness = weight / (mu * mu * (1 + mu * mu))
        pressed = -stiffness * (normal - mu * tangential) * mu
        along = -pressed / jnp.where(slides, tangential, 1.0)
        surface = [pressed, *(along * u * friction for u, friction in zip(scaled[1:], self.friction, strict=True))]
        return [
            jnp.where(inside, -d * row, jnp.where(on_surface, value, 0.0))
            for d, row, value in zip(weights, rows, surface, strict=True)
        ]


def local_motion(dim: int, geometry: Geometry, motion: Motion) -> list[Array]:
    """Return y: the motion along the normal and the tangents, then the rotations that the dimension counts."""
    linear = motion.lin + motion.ang.cross(geometry.point)
    if dim == 1:
        return [geometry.frame[0].dot(linear)]
    moves = [axis.dot(linear) for axis in geometry.frame]
    return moves + [axis.dot(motion.ang) for axis in geometry.frame[: dim - 3]]


def _world_force(geometry: Geometry, local: list[Array]) -> Force:
    """Turn a force in the contact's frame into force and torque about the common point."""
    force = geometry.frame[0] * local[0]
    for axis, size in zip(geometry.frame[1:], local[1:3], strict=False):
        force = force + axis * size
    torque = geometry.point.cross(force)
    for axis, size in zip(geometry.frame, local[3:], strict=False):
        torque = torque + axis * size
    return Force(torque, force)
