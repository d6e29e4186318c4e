"""How contacts move with their bodies, in closed form: planes, spheres, capsules, and vertices on planes.

Near a contact each surface is a core at a radius: a sphere's is its centre, a capsule's its axis or an end of it, a
box's or a mesh's on a plane is a vertex. Let p1 and p2 be the nearest points, n the normal from 1 to 2, d the distance,
r1 and r2 the radii. Body 1 is held; body 2 moves with the velocity t at p2 and the angular velocity w. The nearest
points slide along their surfaces by x1 and x2, such that the normals stay opposite and the gap stays along them:

    x1 = r1 dn + s1 u1,  x2 = r2 (w x n - dn) + s2 u2,  x1 + d dn = t + x2  (in the tangent plane)
    u1 . dn = 0,  u2 . dn = u2 . (w x n)  where the core is an axis u; s = 0 where it is a point.

A plane is an infinite radius: dn = 0. The distance follows t alone, n . t. What is exactly 0 comes out as 0. Reference:
engine_collision_primitive.c; D. Montana, "The Kinematics of Contact and Grasp", 1988.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from jacdb.ingest.dynamics.contacts import ContactRates, FoundContacts

_GEOM = mujoco.mjtGeom
_PLANE, _SPHERE, _CAPSULE = (int(kind) for kind in (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_CAPSULE))
_BOX, _MESH = int(_GEOM.mjGEOM_BOX), int(_GEOM.mjGEOM_MESH)
IN_CLOSED_FORM = (
    (_PLANE, _SPHERE), (_PLANE, _CAPSULE), (_PLANE, _BOX), (_PLANE, _MESH), (_SPHERE, _SPHERE), (_SPHERE, _CAPSULE),
    (_CAPSULE, _CAPSULE),
)  # fmt: skip

_END = 1e-9  # m: nearer to a capsule's end, a contact is the end's
_APART = 1e-10  # m: nearer cores are one but for rounding, and MuJoCo takes the normal from the geoms' axes
_ROTATIONS = np.concatenate([np.eye(3), np.zeros((3, 3))])  # of the six motions
_TRANSLATIONS = np.concatenate([np.zeros((3, 3)), np.eye(3)])
_CROSS = np.cross(_ROTATIONS[None], np.eye(3)[:, None]).reshape(3, 18)  # v @ _CROSS is w x v, by each motion


def in_closed_form(model: mujoco.MjModel, contacts: FoundContacts) -> Bool[np.ndarray, " c"]:
    """Return which contacts :func:`contact_rates` is for.

    Of parallel capsules it is not, which have two contacts, nor of spheres and capsules whose cores meet, as a ball in
    its joint: their normal is not from one to the other.
    """
    kinds = model.geom_type[contacts.geoms]
    known: np.ndarray = np.any([(kinds == pair).all(axis=1) for pair in IN_CLOSED_FORM], axis=0)
    known &= (kinds[:, 0] == _PLANE) | (_radii(model, contacts).sum(axis=1) + contacts.distance > _APART)
    capsules = np.flatnonzero((kinds == _CAPSULE).all(axis=1))
    if len(capsules):
        pairs = np.concatenate([contacts.evaluation[capsules, None], contacts.geoms[capsules]], axis=1)
        _, index, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        known[capsules] &= counts[index.ravel()] == 1
    return known


def contact_rates(model: mujoco.MjModel, contacts: FoundContacts) -> ContactRates:
    """Return the rates of contacts in closed form."""
    kinds = model.geom_type[contacts.geoms]
    on_plane = kinds[:, 0] == _PLANE
    cores = _Cores.of(model, contacts)
    normal, gap = contacts.frame[:, None, 0], contacts.distance[:, None, None]
    turned = rotated(normal[:, 0])  # w x n: (c, 6, 3)
    at_end = _TRANSLATIONS + 0.5 * gap * turned  # t
    distance = (at_end @ normal.transpose(0, 2, 1))[:, :, 0]
    tilt, slip1, slip2 = _slips(contacts, cores, turned, at_end)
    tilt[on_plane] = 0.0
    # halfway between the nearest points, less the velocity that body 2 has there
    point = 0.5 * (slip1 + slip2 + 0.5 * gap * turned - _TRANSLATIONS)
    on_vertex = cores.radius[:, 1, None, None] * turned + 0.5 * (gap * turned - distance[:, :, None] * normal)
    point = np.where(on_plane[:, None, None], on_vertex, point)
    frame, turn = frame_rates(contacts.frame, tilt), tangents_turn(contacts.frame)
    capsules = np.flatnonzero(on_plane & (kinds[:, 1] == _CAPSULE))
    axis = contacts.rotation[capsules, 1, :, 2]
    across = axis - (axis * normal[capsules, 0]).sum(axis=1, keepdims=True) * normal[capsules, 0]
    length = np.linalg.norm(across, axis=1)
    lies = length > mujoco.mjMINVAL  # the tangents follow the capsule, and not the world's axes
    capsules, axis, length = capsules[lies], axis[lies], length[lies]
    frame[capsules] = _along_capsule(contacts.frame[capsules], axis, length)
    turn[capsules] = 0.0
    return ContactRates(distance, point, frame - rotated(contacts.frame).transpose(0, 2, 1, 3), turn)


def rotated(vectors: Float[np.ndarray, "*c 3"]) -> Float[np.ndarray, "*c 6 3"]:
    """Return the rates of vectors that are fixed to body 2, by each motion."""
    return (vectors @ _CROSS).reshape(*vectors.shape[:-1], 6, 3)


def _radii(model: mujoco.MjModel, contacts: FoundContacts) -> Float[np.ndarray, "c 2"]:
    """Return the radii at which surfaces are from their cores."""
    round_ones = np.isin(model.geom_type[contacts.geoms], (_SPHERE, _CAPSULE))
    return np.where(round_ones, model.geom_size[contacts.geoms][:, :, 0], 0.0)


class _Cores(NamedTuple):
    """The cores of both surfaces: (c, 2, …)."""

    radius: Float[np.ndarray, "c 2"]
    axis: Float[np.ndarray, "c 2 3"]
    slides: Bool[np.ndarray, "c 2"]  # along an axis; the core is a point otherwise

    @classmethod
    def of(cls, model: mujoco.MjModel, contacts: FoundContacts) -> "_Cores":
        kinds, sizes = model.geom_type[contacts.geoms], model.geom_size[contacts.geoms]
        axis = contacts.rotation[:, :, :, 2]
        to_end = 0.5 * contacts.distance[:, None] * contacts.frame[:, 0]
        ends = contacts.point[:, None] + np.stack([-to_end, to_end], axis=1)
        along = np.einsum("cbk,cbk->cb", ends - contacts.position, axis)
        between = np.abs(along) < sizes[:, :, 1] - _END
        return cls(_radii(model, contacts), axis, (kinds == _CAPSULE) & between & (kinds[:, :1] != _PLANE))


def _slips(
    contacts: FoundContacts, cores: _Cores, turned: Float[np.ndarray, "c 6 3"], at_end: Float[np.ndarray, "c 6 3"]
) -> tuple[Float[np.ndarray, "c 6 3"], Float[np.ndarray, "c 6 3"], Float[np.ndarray, "c 6 3"]]:
    """Return dn, x1 and x2 of the module's docstring, by each motion; no plane is among the surfaces."""
    tangents = contacts.frame[:, 1:]
    axis1, axis2 = (np.einsum("ctk,ck->ct", tangents, cores.axis[:, body]) for body in (0, 1))
    turned, at_end = (tangents @ vector.transpose(0, 2, 1) for vector in (turned, at_end))
    r1, r2 = cores.radius.T[:, :, None, None]
    n = len(contacts.distance)
    matrix, right = np.zeros((n, 4, 4)), np.zeros((n, 4, 6))  # of dn, s1, s2
    matrix[:, [0, 1], [0, 1]] = (r1 + r2)[:, :, 0] + contacts.distance[:, None]
    matrix[:, :2, 2], matrix[:, :2, 3] = axis1, -axis2
    right[:, :2] = at_end + r2 * turned
    for row, axis, slides in ((2, axis1, cores.slides[:, 0]), (3, axis2, cores.slides[:, 1])):
        matrix[slides, row, :2] = axis[slides]
        matrix[~slides, row, row] = 1.0
        matrix[~slides, :2, row] = 0.0
    right[:, 3] = np.where(cores.slides[:, 1, None], (axis2[:, None] @ turned)[:, 0], 0.0)
    plane = matrix[:, 0, 0] == 0
    matrix[plane] = np.eye(4)  # a vertex that touches a plane: not used
    solved = np.linalg.solve(matrix, right)
    tilt = solved[:, :2]
    slip1 = r1 * tilt + axis1[:, :, None] * solved[:, 2:3]
    slip2 = r2 * (turned - tilt) + axis2[:, :, None] * solved[:, 3:]
    return tuple(part.transpose(0, 2, 1) @ tangents for part in (tilt, slip1, slip2))


def frame_rates(frame: Float[np.ndarray, "c 3 3"], tilt: Float[np.ndarray, "c m 3"]) -> Float[np.ndarray, "c m 3 3"]:
    """Return the rates of frames whose tangents follow from the normal, as MuJoCo's mju_makeFrame has them.

    Args:
        tilt: the rates of the normal, by each of m motions.
    """
    normal, tangent = frame[:, None, 0], frame[:, None, 1]
    steep = (frame[:, 0, 1] > -0.5) & (frame[:, 0, 1] < 0.5)
    reference = np.where(steep[:, None], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])[:, None]
    along = (reference * normal).sum(axis=2, keepdims=True)
    length = np.linalg.norm(reference - along * normal, axis=2, keepdims=True)
    rate = -(tilt @ reference.transpose(0, 2, 1)) * normal - along * tilt
    first = (rate - (rate @ tangent.transpose(0, 2, 1)) * tangent) / length
    return _with_second_tangent(frame, tilt, first)


def _with_second_tangent(frame: np.ndarray, tilt: np.ndarray, first: np.ndarray) -> Float[np.ndarray, "c m 3 3"]:
    """Return the rates of whole frames, given those of normal and first tangent: a frame stays one."""
    second = frame[:, 2, :, None]
    by_normal, by_tangent = tilt @ second, first @ second
    return np.stack([tilt, first, -by_normal * frame[:, None, 0] - by_tangent * frame[:, None, 1]], axis=2)


def tangents_turn(frame: Float[np.ndarray, "c 3 3"]) -> Float[np.ndarray, "c 3"]:
    """Return how fast such tangents turn about the normal, against bodies that both rotate about the world's axes."""
    rates = frame_rates(frame, rotated(frame[:, 0])[:, :3])
    against = rates[:, :, 1] - rotated(frame[:, 1])[:, :3]
    return np.asarray((against @ frame[:, 2, :, None])[:, :, 0])


def _along_capsule(
    frame: Float[np.ndarray, "c 3 3"], axis: Float[np.ndarray, "c 3"], length: Float[np.ndarray, " c"]
) -> Float[np.ndarray, "c 6 3 3"]:
    """Return the rates of frames on a plane whose first tangent follows a capsule, as its axis turns.

    Args:
        length: of the axis's part in the plane.
    """
    normal, tangent = frame[:, None, 0], frame[:, None, 1]
    rate = rotated(axis)
    for known in (normal, tangent):
        rate = rate - (rate @ known.transpose(0, 2, 1)) * known
    first = rate / length[:, None, None]
    return _with_second_tangent(frame, np.zeros_like(first), first)
