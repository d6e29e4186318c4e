"""MuJoCo's tangent space: derivatives of positions in qvel's coordinates.

Quaternions have four numbers and three degrees of freedom, so derivatives live in the space of qvel (MuJoCo
documentation, "Computation", "Floating objects", and mjd_transitionFD).
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx

from jacdb.ingest.compat.mjx import quat_mul_axis, quat_to_axis_angle

# MuJoCo's joint types, as its arrays hold them
FREE, BALL, SLIDE, HINGE = (int(getattr(mujoco.mjtJoint, f"mjJNT_{k}")) for k in ("FREE", "BALL", "SLIDE", "HINGE"))


def _quaternions(model: mujoco.MjModel | mjx.Model) -> list[tuple[int, int]]:
    """Return (address in qpos, address in qvel) of every orientation."""
    addresses = []
    for kind, qadr, vadr in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
        if kind == FREE:
            addresses.append((int(qadr) + 3, int(vadr) + 3))
        elif kind == BALL:
            addresses.append((int(qadr), int(vadr)))
    return addresses


def orientation_dofs(model: mujoco.MjModel) -> list[slice]:
    """Return the dofs of every orientation, three each."""
    return [slice(vadr, vadr + 3) for _, vadr in _quaternions(model)]


def _plain(model: mujoco.MjModel | mjx.Model) -> tuple[np.ndarray, np.ndarray]:
    """Return the addresses in qpos and in qvel of all coordinates that are no part of an orientation."""
    quats = _quaternions(model)
    q = np.setdiff1d(np.arange(model.nq), [a + i for a, _ in quats for i in range(4)]).astype(int)
    v = np.setdiff1d(np.arange(model.nv), [a + i for _, a in quats for i in range(3)]).astype(int)
    return q, v


def _half_rotation(quat: Float[Array, " 4"]) -> Float[Array, "4 3"]:
    """Return d quat / d omega at a rotation of zero, omega in the body's frame: quat * (0, omega / 2)."""
    return 0.5 * jax.vmap(lambda axis: quat_mul_axis(quat, axis), out_axes=1)(jnp.eye(3))


def tangent_lift(model: mujoco.MjModel, qpos: Float[Array, " nq"]) -> Float[Array, "nq nv"]:
    """Return the matrix that turns a tangent of positions (in qvel's coordinates) into a change of qpos."""
    q, v = _plain(model)
    lift = jnp.zeros((model.nq, model.nv)).at[q, v].set(1.0)
    for qadr, vadr in _quaternions(model):
        lift = lift.at[qadr : qadr + 4, vadr : vadr + 3].set(_half_rotation(qpos[qadr : qadr + 4]))
    return lift


def tangent_project(model: mujoco.MjModel | mjx.Model, qpos: Float[Array, " nq"]) -> Float[Array, "nv nq"]:
    """Return the inverse of :func:`tangent_lift` on changes that keep quaternions on the sphere."""
    q, v = _plain(model)
    project = jnp.zeros((model.nv, model.nq)).at[v, q].set(1.0)
    for qadr, vadr in _quaternions(model):
        quat = qpos[qadr : qadr + 4]
        block = 4 * _half_rotation(quat).T / jnp.dot(quat, quat)
        project = project.at[vadr : vadr + 3, qadr : qadr + 4].set(block)
    return project


def transport(
    model: mujoco.MjModel, next_qvel: Float[Array, " nv"], h: float | None = None
) -> tuple[Float[Array, "nv nv"], Float[Array, "nv nv"]]:
    """Return how q' = q (+) h v' moves with q and with v', in tangent space.

    Coordinates without an orientation move as dq' = dq + h dv'. A quaternion turned by theta = h omega moves as
    dq' = exp(-[theta]) dq + h J_r(theta) domega, J_r the right Jacobian of SO(3). The closed form is exact at
    omega = 0, where differentiating MJX's own quat_integrate gives 0: it treats |omega| < 1e-8 as no rotation.

    Args:
        h: s; None for the model's timestep.

    Returns:
        (dq'/dq, dq'/dv'), the latter with the factor h, block diagonal.
    """
    h = model.opt.timestep if h is None else h
    by_q, by_v = jnp.eye(model.nv), h * jnp.eye(model.nv)
    for _, vadr in _quaternions(model):
        rotation, right = _rotation_and_right_jacobian(h * next_qvel[vadr : vadr + 3])
        block = (slice(vadr, vadr + 3), slice(vadr, vadr + 3))
        by_q, by_v = by_q.at[block].set(rotation.T), by_v.at[block].set(h * right)
    return by_q, by_v


@jax.custom_jvp
def rotation_vector(quat: Float[Array, " 4"]) -> Float[Array, " 3"]:
    """Return a quaternion's axis times its angle, rad, in -pi to pi, as MJX computes them; it may be of any length.

    The derivative is exact at a rotation of zero, too, where differentiating MJX's own gives 0: springs and servos of
    balls, and of sites against sites, would have no stiffness at their reference.
    """
    axis, angle = quat_to_axis_angle(quat)
    return axis * angle


@rotation_vector.defjvp
def _rotation_vector_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Differentiate f v, with v the vector part of the quaternion, s its length, w the rest, f = angle / s."""
    [quat], [dquat] = primals, tangents
    w, v, dw, dv = quat[0], quat[1:], dquat[0], dquat[1:]
    sq = jnp.dot(v, v)
    small = sq < 1e-6 * w * w
    s, safe_w = jnp.sqrt(jnp.where(small, 1.0, sq)), jnp.where(small, w, 1.0)
    angle = 2 * jnp.arctan2(s, w)
    angle = jnp.where(angle > jnp.pi, angle - 2 * jnp.pi, angle)
    of_unit = 2 * w / (sq + w * w)  # d angle / d s
    # f and df/ds / s, by their series in s / w where the quotients lose digits
    x = sq / (safe_w * safe_w)
    f = jnp.where(small, 2 / safe_w * (1 - x / 3 + x * x / 5), angle / s)
    slope = jnp.where(small, (-4 / 3 + 8 / 5 * x - 12 / 7 * x * x) / safe_w**3, (of_unit - angle / s) / (s * s))
    df = slope * jnp.dot(v, dv) - 2 / (sq + w * w) * dw
    return rotation_vector(*primals), f * dv + df * v


def _rotation_and_right_jacobian(theta: Float[Array, " 3"]) -> tuple[Float[Array, "3 3"], Float[Array, "3 3"]]:
    """Return the rotation matrix of the rotation vector theta, and the right Jacobian of SO(3) there."""
    sq = jnp.dot(theta, theta)
    small = sq < 1e-8
    safe = jnp.where(small, 1.0, sq)
    angle = jnp.sqrt(safe)
    # sin(a)/a, (1 - cos a)/a^2, (a - sin a)/a^3, by their series where the quotients lose digits
    a = jnp.where(small, 1 - sq / 6, jnp.sin(angle) / angle)
    b = jnp.where(small, 0.5 - sq / 24, (1 - jnp.cos(angle)) / safe)
    c = jnp.where(small, 1 / 6 - sq / 120, (angle - jnp.sin(angle)) / (safe * angle))
    x, y, z = theta
    zero = jnp.zeros(())
    cross = jnp.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    eye, square = jnp.eye(3), cross @ cross
    return eye + a * cross + b * square, eye - b * cross + c * square
