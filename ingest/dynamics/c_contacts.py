"""Contacts as MuJoCo's C engine has them, where MJX has them otherwise.

A capsule on a plane: both engines align the contact's tangents with the capsule. MJX gives that up, and takes the
world's axes, where the capsule stands steeper than 60 degrees; C does not. Friction pyramids turn with the tangents,
and with them the force. Capsules against spheres and capsules: MJX adds 1e-6 to squared lengths, which moves contacts
by some 1e-5 of a length. Reference: engine_collision_primitive.c, mjc_PlaneCapsule, mjc_SphereCapsule,
mjc_CapsuleCapsule; engine_util_spatial.c, mju_makeFrame.
"""

import contextlib

import jax
import jax.numpy as jnp
import mujoco
from jaxtyping import Array
from mujoco import mjx

from jacdb.ingest.compat.mjx import GeomInfo, collider, collision_functions, make_frame, plane_sphere, sphere_sphere


def as_in_c() -> contextlib.AbstractContextManager[None]:
    """Within, MJX's collision functions are those of the C engine. For use while tracing, by one thread."""
    plane, sphere, capsule = mjx.GeomType.PLANE, mjx.GeomType.SPHERE, mjx.GeomType.CAPSULE
    return collision_functions(
        {
            (plane, capsule): _plane_capsule,
            (sphere, capsule): _sphere_capsule,
            (capsule, capsule): _capsule_capsule,
        }
    )


@collider(ncon=2)  # type: ignore[untyped-decorator]
def _plane_capsule(plane: GeomInfo, capsule: GeomInfo) -> tuple[Array, Array, Array]:
    """Return distances, points and frames of the contacts of a capsule's two ends."""
    normal, axis = plane.mat[:, 2], capsule.mat[:, 2]
    across = axis - normal * jnp.dot(normal, axis)
    square = jnp.dot(across, across)
    lies = square > mujoco.mjMINVAL**2
    tangent = jnp.where(lies, across / jnp.sqrt(jnp.where(lies, square, 1.0)), jnp.array([1.0, 0.0, 0.0]))
    frame = jnp.stack([normal, tangent, jnp.cross(normal, tangent)])
    segment = axis * capsule.size[1]
    ends = [plane_sphere(normal, plane.pos, capsule.pos + offset, capsule.size[0]) for offset in (segment, -segment)]
    distance, point = jax.tree.map(lambda *parts: jnp.stack(parts), *ends)
    return distance, point, jnp.stack([frame, frame])


@collider(ncon=1)  # type: ignore[untyped-decorator]
def _sphere_capsule(sphere: GeomInfo, capsule: GeomInfo) -> tuple[Array, Array, Array]:
    """Return distance, point and frame of the contact of a sphere with the nearest point of a capsule's segment."""
    axis, half = capsule.mat[:, 2], capsule.size[1]
    along = jnp.clip(jnp.dot(axis, sphere.pos - capsule.pos), -half, half)
    return _between(sphere.pos, sphere.size[0], capsule.pos + axis * along, capsule.size[0])


@collider(ncon=1)  # type: ignore[untyped-decorator]
def _capsule_capsule(one: GeomInfo, two: GeomInfo) -> tuple[Array, Array, Array]:
    """Return distance, point and frame of the contact of two capsules, at the nearest points of their segments.

    Where the segments are parallel C has two contacts, at the ends of what they share; here they have one.
    """
    axis1, axis2, apart = one.mat[:, 2] * one.size[1], two.mat[:, 2] * two.size[1], one.pos - two.pos
    aa, ab, bb = jnp.dot(axis1, axis1), -jnp.dot(axis1, axis2), jnp.dot(axis2, axis2)
    u, v = -jnp.dot(axis1, apart), jnp.dot(axis2, apart)
    det = aa * bb - ab * ab
    parallel = jnp.abs(det) < mujoco.mjMINVAL
    x1 = jnp.where(parallel, 0.0, (bb * u - ab * v) / jnp.where(parallel, 1.0, det))
    x2 = jnp.where(parallel, v / bb, (aa * v - ab * u) / jnp.where(parallel, 1.0, det))
    end = jnp.clip(x1, -1.0, 1.0)
    x1, x2 = end, jnp.where(end == x1, x2, (v - ab * end) / bb)
    end = jnp.clip(x2, -1.0, 1.0)
    x1, x2 = jnp.where(end == x2, x1, jnp.clip((u - ab * end) / aa, -1.0, 1.0)), end
    return _between(one.pos + axis1 * x1, one.size[0], two.pos + axis2 * x2, two.size[0])


def _between(point1: Array, radius1: Array, point2: Array, radius2: Array) -> tuple[Array, Array, Array]:
    """Return distance, point and frame of the contact of two spheres."""
    distance, point, normal = sphere_sphere(point1, radius1, point2, radius2)
    return distance, point, make_frame(normal)
