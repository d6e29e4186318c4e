"""Computes what an integrator damps implicitly: B in (M - h B) a' = M a, the velocity derivative of some forces.

MJX and MuJoCo's C engine do not agree on B where an actuator's force lies on its limit, or on that of its joint or
tendon (actuatorfrcrange): C leaves such actuators out. C takes a gain's velocity term by the ctrl within ctrlrange, MJX
by ctrl as it is given. MJX leaves muscles out. And C keeps B in part (:func:`_kept_by_c`), MJX all of it. So each
engine's step has its own B. Reference: MuJoCo documentation, "Computation", "Numerical integration";
engine_derivative.c, mjd_actuator_vel.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat.mjx import deriv_smooth_vel, impl, muscle_gain
from jacdb.ingest.models.recognition import chained_dofs, lone_free_bodies, mass_entries

_ROUNDING = 1e-12

type Damping = Callable[[mjx.Model, mjx.Data], Array]


def damps_implicitly(model: mjx.Model) -> bool:
    """Return whether the integrator solves for the velocity with damping taken at its end."""
    implicit = model.opt.integrator == mjx.IntegratorType.IMPLICITFAST
    return bool(implicit or not model.opt.disableflags & DisableBit.EULERDAMP)


def by_euler(model: mujoco.MjModel, engine: Literal["c", "mjx"]) -> bool:
    """Return whether Euler's method of an engine damps joints implicitly, and so takes another step than explicitly.

    C does all joints if any damping is positive, and none otherwise: negative damping alone is explicit. It counts a
    joint that an actuator may damp, by however much. MJX damps implicitly whatever the sign, and where dampers are
    disabled too. (engine_forward.c, mj_EulerSkip; mjx forward.py, euler)
    """
    if engine == "mjx":
        return bool(model.dof_damping.any())
    damps = (model.dof_damping > 0).any() or (model.jnt_actuatorid != -1).any()
    return bool(damps) and not model.opt.disableflags & DisableBit.DAMPER


def of_mjx(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"]:
    """Return B as MJX has it."""
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return deriv_smooth_vel(model, d)
    return -jnp.diag(model.dof_damping)


def of_c(mj_model: mujoco.MjModel) -> Damping:
    """Return what computes B as the C engine has it, but for the Coriolis forces (:func:`coriolis_of_c`)."""
    kept = _kept_by_c(mj_model)

    def damping_of_c(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"]:
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
        return damping * kept

    return damping_of_c


def _kept_by_c(model: mujoco.MjModel) -> Float[np.ndarray, "nv nv"]:
    """Return 1 where C keeps B, 0 where it leaves it out.

    ``implicit`` keeps it where one dof moves the other, and ``implicitfast`` where the mass matrix may have entries. A
    tendon that joins two fingers damps each finger implicitly, but not one by the other's velocity. A body whose mass
    matrix is diagonal in every state (dof_simplenum), such as two slides, keeps the diagonal by ``implicitfast``. A
    free body that carries no other keeps all, diagonal or not: C solves it apart.
    """
    if model.opt.integrator != mujoco.mjtIntegrator.mjINT_IMPLICITFAST:
        return chained_dofs(model).astype(float)
    kept: np.ndarray = mass_entries(model) | _in_lone_free_body(model)
    return kept.astype(float)


def _in_lone_free_body(model: mujoco.MjModel) -> Bool[np.ndarray, "nv nv"]:
    """Return which pairs of dofs are of one free body that carries no other."""
    of_body = model.dof_bodyid[:, None] == lone_free_bodies(model)
    within: np.ndarray = (of_body[:, None] & of_body[None]).any(axis=2)
    return within


def _actuator_damping(model: mjx.Model, d: mjx.Data) -> Float[Array, " nu"]:
    """Return the derivative of each actuator's force by its velocity, 0 where a limit holds the force."""
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
    drive = _clamped_ctrl(model, d)
    if model.na:
        last = model.actuator_actadr + model.actuator_actnum - 1
        drive = jnp.where(model.actuator_dyntype == mjx.DynType.NONE, drive, d.act[np.maximum(last, 0)])
    low, high = model.actuator_forcerange[:, 0], model.actuator_forcerange[:, 1]
    on_limit = (d.actuator_force <= low) | (d.actuator_force >= high)
    free = ~(model.actuator_forcelimited.astype(bool) & on_limit) & ~_transmission_on_limit(model, d)
    return jnp.where(free, bias_vel + gain_vel * drive, 0.0)


def _clamped_ctrl(model: mjx.Model, d: mjx.Data) -> Float[Array, " nu"]:
    """Return ctrl within ctrlrange, as it makes forces."""
    if model.opt.disableflags & DisableBit.CLAMPCTRL:
        return d.ctrl
    everywhere = jnp.array([-jnp.inf, jnp.inf])
    low, high = jnp.where(model.actuator_ctrllimited[:, None], model.actuator_ctrlrange, everywhere).T
    return jnp.clip(d.ctrl, low, high)


def _transmission_on_limit(model: mjx.Model, d: mjx.Data) -> Bool[Array, " nu"]:
    """Return whether each actuator's joint, or tendon, has all the force that its actuatorfrcrange lets it have.

    A tendon's actuator is not left out where a joint that the tendon moves has.
    """
    transmission = np.asarray(model.actuator_trnid)[:, 0]
    on_joint = np.isin(model.actuator_trntype, (mjx.TrnType.JOINT, mjx.TrnType.JOINTINPARENT))
    limited = np.zeros(model.nu, bool)
    limited[on_joint] = np.asarray(model.jnt_actfrclimited)[transmission[on_joint]]
    joint = np.where(limited, transmission, 0)
    force, limits = d.qfrc_actuator[np.asarray(model.jnt_dofadr)[joint]], model.jnt_actfrcrange[joint]
    held = limited & ((force <= limits[:, 0]) | (force >= limits[:, 1]))
    if not model.ntendon or not np.any(model.tendon_actfrclimited):
        return held
    on_tendon = np.asarray(model.actuator_trntype) == mjx.TrnType.TENDON
    tendon = np.where(on_tendon, transmission, 0)
    forces = jnp.zeros(model.ntendon).at[tendon].add(jnp.where(on_tendon, d.actuator_force, 0.0))
    limits = model.tendon_actfrcrange * (1 - _ROUNDING)  # forces are scaled to sum up to the limit
    ends = (forces <= limits[:, 0]) | (forces >= limits[:, 1])
    return held | (on_tendon & np.asarray(model.tendon_actfrclimited, bool)[tendon] & ends[tendon])


def coriolis_of_c(model: mujoco.MjModel) -> Float[np.ndarray, "nv nv"] | None:
    """Return 1 where C takes the velocity derivative of Coriolis and gyroscopic forces into B; None: nowhere.

    ``implicit`` takes it everywhere. Since MuJoCo 3.11 ``implicitfast`` takes it for each free body that carries no
    other (engine_derivative.c, mj_isFreeBody).
    """
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICIT:
        return np.ones((model.nv, model.nv))
    within = _in_lone_free_body(model)
    if model.opt.integrator != mujoco.mjtIntegrator.mjINT_IMPLICITFAST or not within.any():
        return None
    return within.astype(float)
