"""Where contacts are, and how that changes as one body moves against the other.

Motions are few: six directions, in a plane three, whatever the number of joints. Only they are differentiated through
MJX's collision functions (see :mod:`jacdb.ingest.differentiation.contact_derivatives`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Int
from mujoco import mjx

from jacdb.ingest.compat.mjx import collision, contact_points, geom_groups, impl, make_frame
from jacdb.ingest.differentiation import rnea_derivatives
from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.differentiation.rnea_derivatives import Tree
from jacdb.ingest.linalg.spatial import Vector


class Geometry(NamedTuple):
    """Where contacts are (contacts first, then samples)."""

    distance: Array
    point: Vector  # from the common point
    frame: tuple[Vector, Vector, Vector]  # normal, from geom 1 to geom 2, and two tangents


def geometry_derivative(
    model: mjx.Model, mj_model: mujoco.MjModel, tree: Tree, d: mjx.Data, colours: ContactColoring
) -> tuple[Float[Array, "m ncon"], Float[Array, "m ncon 3"], Float[Array, "m ncon 3 3"], Float[Array, "3 ncon"]]:
    """d (distance, point, frame) by each motion of geom 2, geom 1 held; and the frame's turn. One sample.

    Motions are those that joints can make, ``tree.motions``. Moved as one, two geoms keep their contact, but not its
    tangents: MJX takes these from the world's axes (``make_frame``) and not from the geoms'. The turn is theirs
    about the normal, by each of three rotations.
    """
    origin = d.subtree_com[rnea_derivatives.common_root(mj_model)]
    colour = jnp.asarray(colours.of_geom)

    def collide(xpos: Array, xmat: Array) -> tuple[Array, Array, Array]:
        found = impl(collision(model, d.replace(geom_xpos=xpos, geom_xmat=xmat))).contact
        return found.dist, found.pos, found.frame

    def turn(spin: Float[Array, " 3"]) -> Float[Array, " ncon"]:
        def of_contact(frame: Float[Array, "3 3"]) -> Array:
            rate = jax.jvp(make_frame, (frame[0],), (jnp.cross(spin, frame[0]),))[1]
            return frame[2] @ (rate[1] - jnp.cross(spin, frame[1]))

        return jax.vmap(of_contact)(impl(d).contact.frame)

    turns = jnp.zeros((3, impl(d).contact.dist.shape[0]))
    spins = np.array([motion for motion in tree.motions if motion < 3], int)
    if colours.first_moves and len(spins):
        turns = turns.at[spins].set(jax.vmap(turn)(jnp.eye(3)[spins]))

    def along(motion: Float[Array, " 6"]) -> tuple[Array, Array, Array]:
        spin, shift = motion[:3], motion[3:]
        xpos = (jnp.cross(spin, d.geom_xpos - origin) + shift) * colour[:, None]
        turned = jnp.cross(spin, d.geom_xmat, axisb=1, axisc=1) * colour[:, None, None]
        both = jax.jvp(collide, (d.geom_xpos, d.geom_xmat), (xpos, turned))[1]
        contact = impl(d).contact
        first, second = colour[contact.geom[:, 0]], colour[contact.geom[:, 1]]
        turned_frame = jnp.cross(spin, contact.frame, axisb=2, axisc=2)
        if colours.first_moves:
            turned_frame = turned_frame + (spin @ turns)[:, None, None] * _quarter_turn(contact.frame)
        together = (jnp.zeros_like(contact.dist), jnp.cross(spin, contact.pos - origin) + shift, turned_frame)

        def apart(moved: Array, as_one: Array) -> Array:
            shape = (-1, *[1] * (moved.ndim - 1))
            return (moved - first.reshape(shape) * as_one) / (second - first).reshape(shape)

        return jax.tree.map(apart, both, together)

    return *jax.vmap(along)(jnp.eye(6)[np.array(tree.motions)]), turns


def _quarter_turn(frame: Float[Array, "ncon 3 3"]) -> Float[Array, "ncon 3 3"]:
    """The rate of contact frames that turn about their normals."""
    return jnp.stack([jnp.zeros_like(frame[:, 0]), frame[:, 2], -frame[:, 1]], axis=1)


def static_geoms(model: mujoco.MjModel, n_contacts: int) -> Int[np.ndarray, "ncon 2"] | None:
    """The geoms of each contact slot; None where MJX picks the nearest pairs or the deepest points as it runs."""
    by_dim: dict[int, list[tuple[int, int]]] = {}
    for key, geoms in geom_groups(model).items():
        points = contact_points(key)
        by_dim.setdefault(key.condim, []).extend(pair[:2] for pair in geoms for _ in range(points))
    geoms = [pair for dim in sorted(by_dim) for pair in by_dim[dim]]
    return np.array(geoms) if len(geoms) == n_contacts else None
