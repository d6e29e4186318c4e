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

What motions do to a contact is a matrix, six by six. Joints move all contacts of one pair of bodies alike, so where
MJX picks contacts as it runs, and has fewer pairs than contacts, matrices are summed by pair before joints come in.

Samples are the last axis, as in :mod:`jacdb.ingest.differentiation.rnea_derivatives`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from mujoco import mjx

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation.contact_clusters import Clusters
from jacdb.ingest.differentiation.contact_forces import ActingContacts, EllipticContacts, Impedance, PushingContacts
from jacdb.ingest.differentiation.contact_geometry import (
    Geometry,
    GeometryRates,
    body_pairs,
    rates_about_common_point,
    rates_against_body_2,
    static_geoms,
)
from jacdb.ingest.differentiation.rnea_derivatives import Kinematics, Tree, tree_sum
from jacdb.ingest.dynamics import impedances
from jacdb.ingest.dynamics.contacts import ContactSlots, SlotsByDim
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
    """Describe MJX's contacts, one group for each dimension, as far as that does not depend on the acceleration.

    Args:
        mj_model: says which friction cones there are.
        d: forward dynamics' results, samples last.
        rates: :class:`ContactFinder`'s, samples last.
    """
    contact = impl(d).contact
    geoms = static_geoms(mj_model, contact.dist.shape[0])
    bodies = mj_model.geom_bodyid[geoms] if geoms is not None else jnp.asarray(mj_model.geom_bodyid)[contact.geom]
    dims, first = np.unique(contact.dim, return_index=True)  # by which MJX sorts them
    ends = [*first[1:], len(contact.dim)]
    origin = jnp.stack(jnp.broadcast_arrays(*kin.origin.components))[None]
    groups = []
    for dim, start, end in zip(dims.tolist(), first, ends, strict=True):
        own = slice(start, end)
        slots = ContactSlots(
            *(getattr(contact, name)[own] for name in ("geom", "dist", "pos", "frame")),
            *(jnp.asarray(getattr(contact, name))[own] for name in ("friction", "solref", "solimp", "includemargin")),
        )
        own_rates = GeometryRates(*(rate[:, own] for rate in rates))
        geometry_rates = rates_against_body_2(tree, origin, slots.point, slots.frame, own_rates)
        of_slots = (bodies[own, 0], bodies[own, 1]), geometry_rates, Vector(*own_rates.turn)
        group = ContactGroup.of(model, mj_model, tree, kin, dim, slots, *of_slots, body_pairs(mj_model, dim))
        edges = 2 * (dim - 1) if dim > 1 else 1
        rows = np.asarray(contact.efc_address)[own] + np.arange(edges)[:, None]
        groups.append(replace(group, edge_rows=rows))
    return groups


def found_contact_groups(
    model: mjx.Model, mj_model: mujoco.MjModel, tree: Tree, kin: Kinematics, found: SlotsByDim, *, first_moves: bool
) -> "list[ContactGroup]":
    """Describe the contacts that the C engine found, as :func:`contact_groups` does.

    Args:
        found: the contacts of each dimension, samples last.
        first_moves: whether body 1 may be other than the world.
    """
    groups = []
    for dim, (slots, rates) in found.items():
        bodies = jnp.asarray(mj_model.geom_bodyid)[slots.geoms]
        body1 = bodies[:, 0] if first_moves else np.zeros(len(bodies), int)
        arm = slots.point - jnp.stack(jnp.broadcast_arrays(*kin.origin.components))[None]
        moved = rates_about_common_point(tree, arm, rates), Vector(*jnp.moveaxis(rates.turn, 1, 0))
        of_slots = model, mj_model, tree, kin, dim, slots, (body1, bodies[:, 1])
        groups.append(ContactGroup.of(*of_slots, *moved, parameters=impedances.of_c(mj_model)))
    return groups


def contact_derivatives(
    groups: "list[ContactGroup]",
    tree: Tree,
    kin: Kinematics,
    qacc: Float[Array, "nv n"],
    active: Bool[Array, "nefc n"] | None,
) -> ContactDerivatives:
    """Differentiate the contacts' joint forces at an acceleration.

    Args:
        active: the constraint rows that push (:class:`~jacdb.ingest.dynamics.constraint_problem.ActiveSet`); None:
            those that do at this acceleration.
    """
    accelerating = kin.axis * qacc
    acceleration, above = (tree_sum(mask, accelerating) for mask in (tree.supports, tree.ancestor))
    parts = [group.derivatives(tree, kin, acceleration, above, active) for group in groups]
    return jax.tree.map(lambda *terms: sum_terms(terms), *parts)


def contact_joint_forces(
    groups: "list[ContactGroup]", tree: Tree, kin: Kinematics, qacc: Float[Array, "nv n"]
) -> tuple[Float[Array, "nv n"], Float[Array, "ncon n"]]:
    """Return the contacts' joint forces at an acceleration, and the normal force (N) of each contact."""
    acceleration = tree_sum(tree.supports, kin.axis * qacc)
    joint_forces, normals = zip(*(group.joint_forces(tree, kin, acceleration) for group in groups), strict=True)
    return sum_terms(joint_forces), jnp.concatenate(normals)


@dataclass(frozen=True)
class ContactGroup:
    """The contacts of one dimension, whatever the acceleration: arrays (contacts, n)."""

    dim: int  # 1, 3, 4 or 6
    geometry: Geometry
    geometry_rates: Geometry  # by each motion of body 2, beyond carrying the contact along
    tangents_turn: Vector  # about the normal, by a rotation of both bodies as one
    body1: Array | np.ndarray
    body2: Array | np.ndarray
    clusters: Clusters
    friction: list[Array]
    impedance: Impedance
    touching: Bool[Array, "contacts n"]
    elliptic_impratio: float | None  # of an elliptic cone; None for a pyramid, and for contacts without friction
    edge_rows: np.ndarray | None = None  # (edges, contacts): of MJX, the constraint row of each edge of the pyramid

    @classmethod
    def of(
        cls,
        model: mjx.Model,
        mj_model: mujoco.MjModel,
        tree: Tree,
        kin: Kinematics,
        dim: int,
        slots: ContactSlots,
        bodies: tuple[Array | np.ndarray, Array | np.ndarray],
        geometry_rates: Geometry,
        tangents_turn: Vector,
        pairs: Int[np.ndarray, "pairs 2"] | None = None,
        parameters: impedances.Impedance = impedances.of_mjx,
    ) -> "ContactGroup":
        """Put the contacts of one dimension together.

        Args:
            slots: the contacts, samples last.
            bodies: body 1 and body 2 of each.
            pairs: all pairs of bodies that may touch; None: contacts are not grouped by them.
            parameters: gives stiffness, damping and impedance, of solref and solimp.
        """
        point = Vector(*(slots.point[:, k] - kin.origin[k] for k in range(3)))
        geometry = Geometry.of(slots.distance, point, slots.frame)
        if len(tree.motions) == 6:  # in a plane half of the components are never read, and would be computed
            geometry, geometry_rates = materialize((geometry, geometry_rates))
        body1, body2 = bodies
        friction = [slots.friction[:, k] for k in range(dim - 1)]
        elliptic = dim > 1 and mj_model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
        impedance = Impedance.of(model, mj_model, bodies, slots, friction, elliptic, parameters)
        return cls(
            dim=dim,
            geometry=geometry,
            geometry_rates=geometry_rates,
            tangents_turn=tangents_turn,
            body1=body1,
            body2=body2,
            clusters=Clusters.of(tree, body1, body2, pairs),
            friction=friction,
            impedance=impedance,
            touching=slots.distance < impedance.margin,
            elliptic_impratio=float(mj_model.opt.impratio) if elliptic else None,
        )

    @property
    def first_moves(self) -> bool:
        """Return whether body 1 may be other than the world."""
        supports1 = self.clusters.supports1
        return not isinstance(supports1, np.ndarray) or bool(supports1.any())

    def acting(self, relative: Motion, active: Bool[Array, "nefc n"] | None) -> ActingContacts:
        """Return the contacts as they act.

        Args:
            relative: the motion a + b v of body 2 against body 1.
            active: constraint rows that push, of pyramids; None: those that do at ``relative``.
        """
        at = (self.dim, self.geometry, self.friction)
        if self.elliptic_impratio is not None:
            return EllipticContacts(*at, self.impedance, self.elliptic_impratio, self.touching, relative)
        if active is None or self.edge_rows is None:
            return PushingContacts.at(*at, self.impedance, self.touching, relative)
        return PushingContacts(*at, self.impedance.weight, [active[rows] & self.touching for rows in self.edge_rows])

    def relative_motion(self, kin: Kinematics, acceleration: Motion) -> Motion:
        """Return a + b v of body 2 against body 1, given each body's sum of S a (nbody, n)."""

        def motion_of(body: Array | np.ndarray) -> Motion:
            return _of_body(acceleration, body) + _of_body(kin.velocity, body) * self.impedance.damping

        return materialize(motion_of(self.body2) - motion_of(self.body1))

    def joint_forces(
        self, tree: Tree, kin: Kinematics, acceleration: Motion
    ) -> tuple[Float[Array, "nv n"], Float[Array, "contacts n"]]:
        """Return the joint forces of these contacts, and their normal forces.

        Args:
            acceleration: each body's sum of S a over the joints that move it (nbody, n).
        """
        relative = self.relative_motion(kin, acceleration)
        at = (self.geometry, self.impedance.weight, self.impedance.kappa)
        force = self.acting(relative, None).force(*at, relative)
        of_clusters = _with_joint_axis(self.clusters.total(force))
        sign = jnp.asarray(self.clusters.supports2) - jnp.asarray(self.clusters.supports1)
        received = Force.of([None if part is None else (part * sign).sum(axis=0) for part in of_clusters.components])
        power = spatial.products(kin.axis.components, received.components)
        return power, self.geometry.frame[0].dot(force.lin)

    def derivatives(
        self,
        tree: Tree,
        kin: Kinematics,
        acceleration: Motion,
        acceleration_above: Motion,
        active: Bool[Array, "nefc n"] | None,
    ) -> ContactDerivatives:
        """Differentiate the joint forces of these contacts.

        Args:
            acceleration: each body's sum of S a over the joints that move it (nbody, n).
            acceleration_above: each dof's, over the joints above it (nv, n).
            active: the constraint rows that push; None: those that do at this acceleration.
        """
        clusters = self.clusters
        of_clusters = materialize(self._response(tree, kin, acceleration, active))

        # From here on (clusters, nv, n): what each joint does to the force, the other body held.
        axis = _with_contact_axis(kin.axis)
        lifted = acceleration_above.cross(kin.axis)
        accelerated, carried_along = (
            axis.cross(_with_joint_axis(_of_body(bodies, clusters.body1))) + _with_contact_axis(rate)
            for bodies, rate in ((acceleration, lifted), (kin.velocity, kin.axis_rate))
        )
        accelerated, carried_along = materialize((accelerated, carried_along))
        supports1, supports2 = jnp.asarray(clusters.supports1), jnp.asarray(clusters.supports2)
        sign = supports2 - supports1
        stiffness, damping = of_clusters.stiffness, of_clusters.damping
        moving, by_acceleration, by_velocity = (
            [motion.components[k] for k in tree.motions] for motion in (axis, accelerated, carried_along)
        )
        by_q = _times(of_clusters.geometric, moving) - _times(stiffness, by_acceleration) - _times(damping, by_velocity)
        by_q = by_q * sign
        if of_clusters.turning is not None:  # carried along, a contact keeps its force, but not its tangents
            by_q = by_q + _times(of_clusters.turning, [axis.ang[k] for k in tree.motions if k < 3]) * supports1
        by_v, by_a = _times(damping, moving) * sign, _times(stiffness, moving) * sign
        rows = axis * sign
        by_q, by_v, by_a, rows = materialize((by_q, by_v, by_a, rows))
        # A row is -S_i . K summed over contacts, and K goes with body 2. Joints that carry S_i as well change nothing.
        force = _with_joint_axis(of_clusters.force)
        if self.first_moves:
            carried = materialize(axis.cross_force(force))
            carrying = _contract(rows, carried, supports2, tree.ancestor_or_same[..., None])
        else:
            received = Force.of([None if part is None else (part * sign).sum(axis=0) for part in force.components])
            carrying = outer(kin.axis, kin.axis.cross_force(received)) * tree.ancestor.T[..., None]
        return ContactDerivatives(
            by_q=-carrying - _contract(rows, by_q), by_v=_contract(rows, by_v), by_a=_contract(rows, by_a)
        )

    def _response(
        self, tree: Tree, kin: Kinematics, acceleration: Motion, active: Bool[Array, "nefc n"] | None
    ) -> "_Response":
        """Differentiate the contact forces by the motions of the bodies, and sum them over each cluster."""
        impedance, b = self.impedance, self.impedance.damping
        relative = self.relative_motion(kin, acceleration)
        contacts = self.acting(relative, active)

        def force(geometry: Geometry, weight: Array, kappa: Array) -> Force:
            return contacts.force(geometry, weight, kappa, relative)

        at = (self.geometry, impedance.weight, impedance.kappa)
        distance_rates = self.geometry_rates.distance
        rates = (self.geometry_rates, impedance.weight_rate * distance_rates, impedance.kappa_rate * distance_rates)
        geometric = jax.vmap(lambda rate: jax.jvp(force, at, rate)[1])(rates)
        units = np.eye(6)[list(tree.motions), :, None, None]
        stiffness = contacts.response(Motion.of([units[:, k] if k in tree.motions else None for k in range(6)]))
        geometric, stiffness, pushed = materialize((geometric, stiffness, force(*at)))
        turns = self.first_moves and min(tree.motions) < 3
        turning = self._by_turning_tangents(tree, force, at) if turns else None
        return self.clusters.total(_Response(pushed, geometric, stiffness, stiffness * b, turning))

    def _by_turning_tangents(
        self, tree: Tree, force: Callable[[Geometry, Array, Array], Force], at: tuple[Geometry, Array, Array]
    ) -> Force:
        """Differentiate the force by rotations of both bodies as one: the tangents turn, nothing else does.

        Args:
            force: of geometry, weight and kappa.
            at: the arguments of ``force``.
        """
        still = jax.tree.map(jnp.zeros_like, at)
        tangents = self.geometry.frame[1:]
        turning_frame = still[0]._replace(frame=(still[0].frame[0], tangents[1], -tangents[0]))
        by_turn = jax.jvp(force, at, (turning_frame, *still[1:]))[1]
        return by_turn * jnp.stack([self.tangents_turn[motion] for motion in tree.motions if motion < 3])


class _Response(NamedTuple):
    """How contact forces answer to the bodies' motions, ``tree.motions`` each by itself: (motions, contacts, n)."""

    force: Force  # (contacts, n): as it is
    geometric: Force  # by how far body 2 has moved
    stiffness: Force  # by how much an acceleration of body 2 lessens the force
    damping: Force  # by how much a velocity does
    turning: Force | None  # by rotations of both bodies alone; None where body 1 is the world


def _times(matrix: Force, moving: Sequence[spatial.Known]) -> Force:
    """Return the forces that motions make, (clusters, nv, n), given those of single motions and how much of each."""
    return Force.of(
        [None if part is None else spatial.products(part[:, :, None], moving) for part in matrix.components]
    )


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
