"""Computes what an integrator damps implicitly: B in (M - h B) a' = M a, the velocity derivative of some forces.

MJX and MuJoCo's C engine do not agree on B where an actuator's force lies on its limit: C leaves such actuators out.
MJX leaves muscles out. C keeps B where the mass matrix may have entries, and nowhere else. So each engine's step has
its own B. Reference: MuJoCo documentation, "Computation", "Numerical integration"; engine_derivative.c,
mjd_actuator_vel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat.mjx import deriv_smooth_vel, impl, muscle_gain

type Damping = Callable[[mjx.Model, mjx.Data], Array]


def damps_implicitly(model: mjx.Model) -> bool:
    """Return whether the integrator solves for the velocity with damping taken at its end."""
    implicit = model.opt.integrator == mjx.IntegratorType.IMPLICITFAST
    return bool(implicit or not model.opt.disableflags & DisableBit.EULERDAMP)


def of_mjx(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"]:
    """Return B as MJX has it."""
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return deriv_smooth_vel(model, d)
    return -jnp.diag(model.dof_damping)


def of_c(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"]:
    """Return B as the C engine has it, but for the Coriolis forces, which ``implicit`` alone takes along."""
    if model.opt.integrator != mjx.IntegratorType.IMPLICITFAST:
        return -jnp.diag(model.dof_damping)
    damping = jnp.zeros((model.nv, model.nv))
    if model.nu and not model.opt.disableflags & DisableBit.ACTUATION:
        moment = impl(d).actuator_moment
        damping = moment.T @ (moment * _actuator_damping(model, d)[:, None])
    if not model.opt.disableflags & DisableBit.DAMPER:
        damping = damping - jnp.diag(model.dof_damping)
        if model.ntendon:
            damping = damping - impl(d).ten_J.T @ (impl(d).ten_J * model.tendon_damping[:, None])
    return damping * _in_one_chain(model)


def _in_one_chain(model: mjx.Model) -> Float[np.ndarray, "nv nv"]:
    """Return 1 where one dof moves the other: C keeps B where the mass matrix may have entries, and nowhere else.

    A tendon that joins two fingers damps each finger implicitly, but not one by the other's velocity.
    """
    chain = np.eye(model.nv)
    for dof, parent in enumerate(model.dof_parentid):
        if parent >= 0:
            chain[dof] = np.maximum(chain[dof], chain[parent])
            chain[dof, dof] = 1.0
    return np.maximum(chain, chain.T)


def _actuator_damping(model: mjx.Model, d: mjx.Data) -> Float[Array, " nu"]:
    """Return the derivative of each actuator's force by its velocity, 0 where the force lies on its limit."""
    bias_vel = jnp.where(model.actuator_biastype == mjx.BiasType.AFFINE, model.actuator_biasprm[:, 2], 0.0)
    gain_vel = jnp.where(model.actuator_gaintype == mjx.GainType.AFFINE, model.actuator_gainprm[:, 2], 0.0)
    muscles = np.flatnonzero(model.actuator_gaintype == mjx.GainType.MUSCLE)
    if muscles.size:
        by_velocity = jax.vmap(jax.grad(muscle_gain, 1))(
            d.actuator_length[muscles],
            impl(d).actuator_velocity[muscles],
            jnp.asarray(model.actuator_lengthrange)[muscles],
            jnp.asarray(model.actuator_acc0)[muscles],
            jnp.asarray(model.actuator_gainprm)[muscles],
        )
        gain_vel = gain_vel.at[muscles].set(by_velocity)
    drive = d.ctrl
    if model.na:
        last = model.actuator_actadr + model.actuator_actnum - 1
        drive = jnp.where(model.actuator_dyntype == mjx.DynType.NONE, d.ctrl, d.act[np.maximum(last, 0)])
    low, high = model.actuator_forcerange[:, 0], model.actuator_forcerange[:, 1]
    on_limit = (d.actuator_force <= low) | (d.actuator_force >= high)
    free = ~(model.actuator_forcelimited.astype(bool) & on_limit)
    return jnp.where(free, bias_vel + gain_vel * drive, 0.0)


def takes_coriolis(model: mujoco.MjModel) -> bool:
    """Return whether the integrator takes the velocity derivative of Coriolis forces into B (``implicit``)."""
    return bool(model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICIT)
