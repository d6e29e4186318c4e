"""Derivatives of contact forces: what contacts add to the derivatives of inverse dynamics.

At a given acceleration MuJoCo's contact force is an explicit function of where the bodies are and how they move,

    f_r = -D (J_r a - aref_r) = -D (E_r . y + kappa)    where a pyramid's edge r pushes,

y the relative acceleration and velocity (a + b v) of the two bodies at the contact, in its frame; E_r the edge,
normal plus or minus friction times an axis; D and kappa functions of the distance. With one body held, a contact
depends on the other body's motion alone: six directions, in a plane three, whatever the number of joints. Only they
are differentiated through MJX's collision functions; joints follow by their motion axes.

What a motion does to a contact is kept apart from carrying the contact along. A robot that slides over its floor
carries every contact, and what is left is exactly 0. (As a difference of two large terms, up to 6e6 in WalkerRun, it
was 1e-11, and no zero.)

Samples are the last axis, as in :mod:`jacdb.ingest.differentiation.rnea_derivatives`.
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

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation.contact_forces import Impedance, PushingContacts
from jacdb.ingest.differentiation.contact_geometry import Geometry, GeometryRates, rates_against_body_2, static_geoms
from jacdb.ingest.differentiation.rnea_derivatives import Kinematics, Tree, tree_sum
from jacdb.ingest.linalg import spatial
from jacdb.ingest.linalg.batched import materialize, sum_terms
from jacdb.ingest.linalg.spatial import Force, Motion, Vector, outer

UNROLLED = 8  # contacts whose sum is written out; more are summed in a loop, to keep the compiled code small


class ContactDerivatives(NamedTuple):
    """The derivatives of the joint forces that contacts add to r, rows first."""

    by_q: Float[Array, "nv nv n"]
    by_v: Float[Array, "nv nv n"]
    by_a: Float[Array, "nv nv n"]


def contact_groups(
    model: mjx.Model, mj_model: mujoco.MjModel, tree: Tree, kin: Kinematics, d: mjx.Data, rates: GeometryRates
) -> "list[ContactGroup]":
    """Describe the contacts, one group for each dimension, as far as that does not depend on the acceleration.

    Args:
        d: forward dynamics' results, samples last.
        rates: :func:`geometry_derivative`'s, samples last.
    """
    contact = impl(d).contact
    geoms = static_geoms(mj_model, contact.dist.shape[0])
    bodies = mj_model.geom_bodyid[geoms] if geoms is not None else jnp.asarray(mj_model.geom_bodyid)[contact.geom]
    dims, first = np.unique(contact.dim, return_index=True)  # by which MJX sorts them
    ends = [*first[1:], len(contact.dim)]
    return [
        ContactGroup.read(model, mj_model, tree, kin, d, bodies, rates, slice(start, end), int(dim))
        for dim, start, end in zip(dims, first, ends, strict=True)
    ]


def contact_derivatives(
    groups: "list[ContactGroup]",
    tree: Tree,
    kin: Kinematics,
    qacc: Float[Array, "nv n"],
    active: Bool[Array, "nefc n"],
) -> ContactDerivatives:
    """Differentiate the contacts' joint forces at an acceleration.

    Args:
        active: the constraint rows that push (:class:`~jacdb.ingest.dynamics.constraint_problem.ActiveSet`).
    """
    accelerating = kin.axis * qacc
    acceleration, above = (tree_sum(mask, accelerating) for mask in (tree.supports, tree.ancestor))
    parts = [group.derivatives(tree, kin, acceleration, above, active) for group in groups]
    return jax.tree.map(lambda *terms: sum_terms(terms), *parts)


@dataclass(frozen=True)
class ContactGroup:
    """The contacts of one dimension, whatever the acceleration: arrays (contacts, n)."""

    dim: int  # 1, 3, 4 or 6
    geometry: Geometry
    geometry_rates: Geometry  # by each motion of body 2, beyond carrying the contact along
    tangents_turn: Vector  # about the normal, by a rotation of both bodies as one
    body1: Array | np.ndarray
    body2: Array | np.ndarray
    supports1: Array | np.ndarray  # (contacts, nv, n or 1): 1 where the dof moves body 1
    supports2: Array | np.ndarray
    friction: list[Array]
    impedance: Impedance
    touching: Bool[Array, "contacts n"]
    edge_rows: np.ndarray  # (edges, contacts): the constraint row of each edge of the pyramid

    @classmethod
    def read(
        cls,
        model: mjx.Model,
        mj_model: mujoco.MjModel,
        tree: Tree,
        kin: Kinematics,
        d: mjx.Data,
        bodies: Array | np.ndarray,
        rates: GeometryRates,
        slots: slice,
        dim: int,
    ) -> "ContactGroup":
        """Read the contacts of one dimension, those in ``slots``, off forward dynamics' results."""
        contact = impl(d).contact
        distance, point, frame = contact.dist[slots], contact.pos[slots], contact.frame[slots]
        origin = jnp.stack(jnp.broadcast_arrays(*kin.origin.components))[None]
        geometry = Geometry.of(distance, Vector(*(point[:, k] - kin.origin[k] for k in range(3))), frame)
        group_rates = GeometryRates(*(rate[:, slots] for rate in rates))
        geometry_rates = rates_against_body_2(tree, origin, point, frame, group_rates)
        body1, body2 = bodies[slots, 0], bodies[slots, 1]
        supports1, supports2 = _supports(tree, body1), _supports(tree, body2)
        friction = [jnp.asarray(contact.friction)[slots, k] for k in range(dim - 1)]
        impedance = Impedance.of(model, mj_model, d, (body1, body2), slots, distance, friction)
        edges = 2 * (dim - 1) if dim > 1 else 1
        return cls(
            dim=dim,
            geometry=geometry,
            geometry_rates=geometry_rates,
            tangents_turn=Vector(*group_rates.turn),
            body1=body1,
            body2=body2,
            supports1=supports1,
            supports2=supports2,
            friction=friction,
            impedance=impedance,
            touching=distance < impedance.margin,
            edge_rows=np.asarray(contact.efc_address)[slots] + np.arange(edges)[:, None],
        )

    @property
    def first_moves(self) -> bool:
        """Return whether body 1 may be other than the world."""
        return not isinstance(self.supports1, np.ndarray) or bool(self.supports1.any())

    def pushing(self, active: Bool[Array, "nefc n"]) -> PushingContacts:
        """Return the contacts with those edges pushing whose constraint rows are active."""
        pushes = [active[rows] & self.touching for rows in self.edge_rows]
        return PushingContacts(self.dim, self.geometry, self.friction, self.impedance.weight, pushes)

    def derivatives(
        self,
        tree: Tree,
        kin: Kinematics,
        acceleration: Motion,
        acceleration_above: Motion,
        active: Bool[Array, "nefc n"],
    ) -> ContactDerivatives:
        """Differentiate the joint forces of these contacts.

        Args:
            acceleration: each body's sum of S a over the joints that move it (nbody, n).
            acceleration_above: each dof's, over the joints above it (nv, n).
            active: the constraint rows that push.
        """
        contacts, impedance, b = self.pushing(active), self.impedance, self.impedance.damping

        def motion_of(body: Array | np.ndarray) -> Motion:
            return _of_body(acceleration, body) + _of_body(kin.velocity, body) * b

        motion1 = motion_of(self.body1)
        motion1, relative = materialize((motion1, motion_of(self.body2) - motion1))

        def force(geometry: Geometry, weight: Array, kappa: Array) -> Force:
            return contacts.force(geometry, weight, kappa, relative)

        at = (self.geometry, impedance.weight, impedance.kappa)
        distance_rates = self.geometry_rates.distance
        rates = (self.geometry_rates, impedance.weight_rate * distance_rates, impedance.kappa_rate * distance_rates)
        pushed = force(*at)
        by_motion = jax.vmap(lambda rate: jax.jvp(force, at, rate)[1])(rates)
        pushed, by_motion = materialize((pushed, by_motion))

        # From here on (contacts, nv, n): what each joint does to the force, the other body held.
        lifted = materialize(acceleration_above.cross(kin.axis))
        axis, axis_rate, lifted = map(_with_contact_axis, (kin.axis, kin.axis_rate, lifted))
        moving = [axis.components[motion] for motion in tree.motions]
        geometric = Force.of([spatial.products(part[:, :, None], moving) for part in by_motion.components])
        per_joint, b = contacts.per_joint(), b[:, None]
        faster = axis.cross(_with_joint_axis(motion1)) + lifted + axis_rate * b
        supports1, supports2 = jnp.asarray(self.supports1), jnp.asarray(self.supports2)
        sign = supports2 - supports1
        by_q = (geometric - per_joint.response(faster)) * sign
        if self.first_moves:  # carried along, a contact keeps its force, but not its tangents
            by_q = by_q + self._by_turning_tangents(force, at, axis) * supports1
        by_a = per_joint.response(axis) * sign
        rows = axis * sign
        by_q, by_a, rows = materialize((by_q, by_a, rows))
        # A row is -S_i . K summed over contacts, and K goes with body 2. Joints that carry S_i as well change nothing.
        if self.first_moves:
            carried = materialize(axis.cross_force(_with_joint_axis(pushed)))
            carrying = _contract(rows, carried, supports2, tree.ancestor_or_same[..., None])
        else:
            received = Force.of([(part[:, None] * sign).sum(axis=0) for part in pushed.components])
            carrying = outer(kin.axis, kin.axis.cross_force(received)) * tree.ancestor.T[..., None]
        return ContactDerivatives(
            by_q=-carrying - _contract(rows, by_q), by_v=_contract(rows, by_a * b), by_a=_contract(rows, by_a)
        )

    def _by_turning_tangents(
        self, force: Callable[[Geometry, Array, Array], Force], at: tuple[Geometry, Array, Array], axis: Motion
    ) -> Force:
        """Differentiate the force by the joints that carry both bodies: the tangents turn, nothing else does.

        Args:
            force: of geometry, weight and kappa.
            at: the arguments of ``force``.
            axis: (1, nv, n).
        """
        still = jax.tree.map(jnp.zeros_like, at)
        tangents = self.geometry.frame[1:]
        turning_frame = still[0]._replace(frame=(still[0].frame[0], tangents[1], -tangents[0]))
        by_turn = jax.jvp(force, at, (turning_frame, *still[1:]))[1]
        turn = _with_joint_axis(self.tangents_turn).dot(axis.ang)
        return _with_joint_axis(by_turn) * turn


def _supports(tree: Tree, body: Array | np.ndarray) -> Array | np.ndarray:
    """Return 1 where the dof moves the contact's body: (contacts, nv, n or 1)."""
    if isinstance(body, np.ndarray):
        return tree.supports[body][..., None]
    return jnp.moveaxis(jnp.asarray(tree.supports)[body], -1, 1)


def _of_body(bodies: Motion, body: Array | np.ndarray) -> Motion:
    """Take each contact's body: (contacts, n) of (nbody, n)."""
    if isinstance(body, np.ndarray):
        return jax.tree.map(lambda x: x[body], bodies)
    return jax.tree.map(lambda x: jnp.take_along_axis(x, body, axis=0), bodies)


def _with_contact_axis(value: Motion) -> Motion:
    """Add an axis for contacts: (1, nv, n)."""
    return jax.tree.map(lambda x: x[None], value)


def _with_joint_axis[T](value: T) -> T:
    """Add an axis for joints: (contacts, 1, n)."""
    return jax.tree.map(lambda x: x[:, None], value)


def _contract(
    rows: Motion, columns: Force, weight: Array | None = None, less: np.ndarray | float = 0.0
) -> Float[Array, "nv nv n"]:
    """Sum, over contacts, the products of every row's motion with every column's force.

    Args:
        weight: (contacts, nv, n or 1), of columns; None for 1.
        less: (nv, nv, 1), what to take from the weight.
    """

    def term(contact: tuple[Motion, Force, Array | None]) -> Array:
        row, column, weight = contact
        return outer(row, column) if weight is None else outer(row, column) * (weight - less)

    def single(index: int) -> tuple[Motion, Force, Array | None]:
        return jax.tree.map(lambda x: x[index], (rows, columns, weight))

    n_contacts = len(jax.tree.leaves(rows)[0])
    if n_contacts <= UNROLLED:
        return sum_terms(term(single(index)) for index in range(n_contacts))
    zero = jnp.zeros_like(term(single(0)))
    return jax.lax.scan(lambda so_far, contact: (so_far + term(contact), None), zero, (rows, columns, weight))[0]
