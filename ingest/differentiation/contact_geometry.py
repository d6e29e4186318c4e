"""Locates contacts, and differentiates their location by the motion of one body against the other.

There are few such motions: six directions, in a plane three, whatever the number of joints. Only they are
differentiated through MJX's collision functions (see :mod:`jacdb.ingest.differentiation.contact_derivatives`).

Contacts and their derivatives are one computation (:class:`ContactFinder`). Where a box lies on a height field or on
another box, MJX picks four of many points, some of which are equal: a rounding decides which. Of two computations, even
in one program, each may pick others, and the derivative would be that of contacts which the step has not.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Int
from mujoco import mjx

from jacdb.ingest.compat.mjx import collision, contact_points, geom_groups, impl, make_frame, replace_impl
from jacdb.ingest.differentiation import rnea_derivatives
from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.differentiation.rnea_derivatives import Tree
from jacdb.ingest.dynamics.contacts import ContactRates
from jacdb.ingest.linalg.spatial import Vector


class Geometry(NamedTuple):
    """Where contacts are: (contacts, n). As a derivative, with a leading axis of motions."""

    distance: Array
    point: Vector  # from the common point
    frame: tuple[Vector, Vector, Vector]  # normal, from geom 1 to geom 2, and two tangents

    @classmethod
    def of(cls, distance: Array, point: Vector, frame: Array) -> "Geometry":
        """Put a geometry together; ``frame`` is (…, 3 rows, 3, n)."""
        normal, *tangents = (Vector(*(frame[..., row, k, :] for k in range(3))) for row in range(3))
        return cls(distance, point, (normal, tangents[0], tangents[1]))


class GeometryRates(NamedTuple):
    """The derivatives of MJX's contacts by each motion (m of them) of geom 2, geom 1 held; and the tangents' turn."""

    distance: Float[Array, "m ncon *n"]
    point: Float[Array, "m ncon 3 *n"]
    frame: Float[Array, "m ncon 3 3 *n"]
    turn: Float[Array, "3 ncon *n"]  # about the normal, by each of three rotations of both geoms as one


@jax.custom_jvp
def _moved_by(value: Array, mover: Array) -> Array:
    """Return a value that is differentiated as if it were another."""
    return value


@_moved_by.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[1]


@dataclass(frozen=True)
class _ByGeom:
    """An array that MJX's collision functions index by geom, of which those geoms alone move that can meet.

    PandaPickCube has 83 geoms, of which five can.
    """

    values: Array
    moving: Array  # rows of those that can meet
    rows: Int[np.ndarray, " ngeom"]

    def __getitem__(self, geoms: Array | np.ndarray) -> Array:
        rows = self.rows if isinstance(geoms, np.ndarray) else jnp.asarray(self.rows)
        return _moved_by(self.values[geoms], self.moving[rows[geoms]])


@dataclass
class ContactFinder:
    """Finds the contacts of one sample as MJX's ``collision`` does, for forward dynamics, and how they move.

    Attributes:
        rates: of the contacts found last; None where no constraint comes of them.
    """

    mj_model: mujoco.MjModel
    tree: Tree
    coloring: ContactColoring
    rates: GeometryRates | None = None

    def __call__(self, model: mjx.Model, d: mjx.Data) -> mjx.Data:
        """Return the data with contacts."""
        if not (impl(d).ncon and impl(d).nefc):  # with constraints switched off MJX still collides
            return collision(model, d)
        collided, self.rates = self._differentiated(model, d)
        return collided

    def _differentiated(self, model: mjx.Model, d: mjx.Data) -> tuple[mjx.Data, GeometryRates]:
        """Find contacts, and differentiate them by each motion that joints can make, ``tree.motions``.

        Two geoms moved as one keep their contact, but not its tangents: MJX takes these from the world's axes
        (``make_frame``) and not from the geoms'.
        """
        origin = d.subtree_com[rnea_derivatives.common_root(self.mj_model)]
        meeting = np.unique([pair[:2] for pairs in geom_groups(self.mj_model).values() for pair in pairs])
        color = jnp.asarray(self.coloring.geom_color)
        rows = np.zeros(self.mj_model.ngeom, int)
        rows[meeting] = np.arange(len(meeting))
        at = d.geom_xpos[meeting], d.geom_xmat[meeting]

        def collide(xpos: Array, xmat: Array) -> tuple[tuple[Array, Array, Array], mjx.Contact]:
            moved = d.replace(geom_xpos=_ByGeom(d.geom_xpos, xpos, rows), geom_xmat=_ByGeom(d.geom_xmat, xmat, rows))
            contact = impl(collision(model, moved)).contact
            return (contact.dist, contact.pos, contact.frame), contact

        def along_colors(motion: Float[Array, " 6"]) -> tuple[tuple[Array, Array, Array], mjx.Contact]:
            spin, shift = motion[:3], motion[3:]
            xpos = (jnp.cross(spin, at[0] - origin) + shift) * color[meeting][:, None]
            turned = jnp.cross(spin, at[1], axisb=1, axisc=1) * color[meeting][:, None, None]
            _, rates, found = jax.jvp(collide, at, (xpos, turned), has_aux=True)
            return rates, found

        # the contacts themselves are the same along all motions: computed once, and given out with their rates
        motions = jnp.eye(6)[np.array(self.tree.motions)]
        by_color, contact = jax.vmap(along_colors, out_axes=(0, None))(motions)
        turns = jnp.zeros((3, contact.dist.shape[0]))
        spins = np.array([motion for motion in self.tree.motions if motion < 3], int)
        if self.coloring.first_moves and len(spins):
            turns = turns.at[spins].set(jax.vmap(lambda spin: _tangents_turn(contact.frame, spin))(jnp.eye(3)[spins]))

        def along(motion: Float[Array, " 6"], by_color: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            spin, shift = motion[:3], motion[3:]
            color1, color2 = color[contact.geom[:, 0]], color[contact.geom[:, 1]]
            apart = color2 - color1
            if self.coloring.rigid_pairs:  # no joint makes such a motion: all that matters is that rates are finite
                apart = jnp.where(apart == 0, 1.0, apart)
            turned_frame = jnp.cross(spin, contact.frame, axisb=2, axisc=2)
            if self.coloring.first_moves:
                turned_frame = turned_frame + (spin @ turns)[:, None, None] * _quarter_turn(contact.frame)
            moved_as_one = (jnp.zeros_like(contact.dist), jnp.cross(spin, contact.pos - origin) + shift, turned_frame)

            def by_second_geom(rate: Array, rate_as_one: Array) -> Array:
                shape = (-1, *[1] * (rate.ndim - 1))
                return (rate - color1.reshape(shape) * rate_as_one) / apart.reshape(shape)

            return jax.tree.map(by_second_geom, by_color, moved_as_one)

        rates = GeometryRates(*jax.vmap(along)(motions, by_color), turns)
        return replace_impl(d, contact=contact), rates


def _tangents_turn(frames: Float[Array, "ncon 3 3"], spin: Float[Array, " 3"]) -> Float[Array, " ncon"]:
    """Return how fast contacts' tangents turn about the normal, against geoms that both turn by ``spin``."""

    def of_contact(frame: Float[Array, "3 3"]) -> Array:
        rate = jax.jvp(make_frame, (frame[0],), (jnp.cross(spin, frame[0]),))[1]
        return frame[2] @ (rate[1] - jnp.cross(spin, frame[1]))

    return jax.vmap(of_contact)(frames)


def _quarter_turn(frame: Float[Array, "ncon 3 3"]) -> Float[Array, "ncon 3 3"]:
    """Return the rate of contact frames that turn about their normals."""
    return jnp.stack([jnp.zeros_like(frame[:, 0]), frame[:, 2], -frame[:, 1]], axis=1)


def rates_against_body_2(
    tree: Tree,
    origin: Float[Array, "1 3 n"],
    point: Float[Array, "ncon 3 n"],
    frame: Float[Array, "ncon 3 3 n"],
    rates: GeometryRates,
) -> Geometry:
    """Return what each motion of body 2 does to contacts, beyond carrying them along with body 2.

    The difference is taken here, before anything large is made of it, so that what is 0 is exactly 0.

    Args:
        origin: the common point, in the world's coordinates as ``point``.
        rates: samples last.
    """
    arm = point - origin
    carried_point, carried_frame = [], []  # by each motion
    for motion in tree.motions:
        unit = jnp.eye(3)[motion % 3]
        if motion < 3:
            carried_point.append(jnp.cross(unit, arm, axisb=1, axisc=1))
            carried_frame.append(jnp.cross(unit, frame, axisb=2, axisc=2))
        else:
            carried_point.append(jnp.broadcast_to(unit[:, None], arm.shape))
            carried_frame.append(jnp.zeros_like(frame))
    d_point, d_frame = rates.point - jnp.stack(carried_point), rates.frame - jnp.stack(carried_frame)
    return Geometry.of(rates.distance, Vector(*(d_point[:, :, k] for k in range(3))), d_frame)


def rates_about_common_point(tree: Tree, arm: Float[Array, "ncon 3 n"], rates: ContactRates) -> Geometry:
    """Return what each motion of body 2 about the common point does to contacts, as :func:`rates_against_body_2` does.

    Args:
        arm: from the common point.
        rates: of contacts that another engine found, by motions about each contact's own point; samples last.
    """

    def about(values: Array) -> Array:
        of_motions = []
        for motion in tree.motions:
            rate = values[:, motion]
            if motion < 3:  # a rotation moves the contact's point
                ahead, behind = (motion + 1) % 3, (motion + 2) % 3
                arms = (arm[:, axis].reshape(len(arm), *[1] * (rate.ndim - 2), -1) for axis in (ahead, behind))
                along, against = arms
                rate = rate - against * values[:, 3 + ahead] + along * values[:, 3 + behind]
            of_motions.append(rate)
        return jnp.stack(of_motions)

    point = about(rates.point)
    return Geometry.of(about(rates.distance), Vector(*(point[:, :, k] for k in range(3))), about(rates.frame))


def static_geoms(model: mujoco.MjModel, n_contacts: int) -> Int[np.ndarray, "ncon 2"] | None:
    """Return the geoms of each contact slot; None where MJX picks the nearest pairs or deepest points as it runs."""
    by_dim: dict[int, list[tuple[int, int]]] = {}
    for key, geoms in geom_groups(model).items():
        points = contact_points(key)
        by_dim.setdefault(key.condim, []).extend(pair[:2] for pair in geoms for _ in range(points))
    pairs = [pair for dim in sorted(by_dim) for pair in by_dim[dim]]
    return np.array(pairs) if len(pairs) == n_contacts else None


def body_pairs(model: mujoco.MjModel, dim: int) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs of bodies between which MJX looks for contacts of this dimension."""
    geoms = [pair[:2] for key, pairs in geom_groups(model).items() if key.condim == dim for pair in pairs]
    return np.unique(model.geom_bodyid[np.array(geoms)], axis=0)
