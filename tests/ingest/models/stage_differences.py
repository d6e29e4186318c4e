"""How far MJX's stages are from those of MuJoCo's C engine, at the same states."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from jacdb.ingest.compat import mjx as compat
from jacdb.ingest.compat.mjx import impl

INPUTS = ("qpos", "qvel", "ctrl", "act", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat")
FORCES = ("qfrc_passive", "qfrc_actuator", "qfrc_bias", "act_dot")
OF_CONTACTS = (
    mujoco.mjtConstraint.mjCNSTR_CONTACT_FRICTIONLESS,
    mujoco.mjtConstraint.mjCNSTR_CONTACT_PYRAMIDAL,
    mujoco.mjtConstraint.mjCNSTR_CONTACT_ELLIPTIC,
)


@jax.jit
def _stages(model: mjx.Model, data: mjx.Data) -> tuple[mjx.Data, dict[str, jax.Array]]:
    d = compat.fwd_actuation(model, compat.fwd_velocity(model, compat.fwd_position(model, data)))
    integrated = compat.euler(model, d.replace(qacc=jnp.zeros(model.nv), qfrc_constraint=jnp.zeros(model.nv)))
    return d, {"M": compat.full_mass_matrix(model, d), "next_act": integrated.act}


_damping = jax.jit(compat.deriv_smooth_vel)


def on_mjx(model: mujoco.MjModel) -> tuple[mjx.Model, mjx.Data]:
    """Put a model on MJX, all but what looks for a solution: that is not MJX's affair here."""
    stages = model.__copy__()
    stages.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    if stages.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICIT:
        stages.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    return mjx.put_model(stages, impl="jax"), mjx.make_data(stages, impl="jax")


def states(model: mujoco.MjModel, count: int, contact: bool = False, spread: float = 0.3) -> Iterable[mujoco.MjData]:
    """States off every equilibrium, with forces applied; in contact: the last body's lowered until it touches."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        data = mujoco.MjData(model)
        mujoco.mj_integratePos(model, data.qpos, spread * rng.normal(size=model.nv), 1.0)
        data.qvel, data.ctrl, data.act = (
            rng.normal(size=model.nv),
            rng.normal(size=model.nu),
            rng.uniform(size=model.na),
        )
        data.qfrc_applied = 0.1 * rng.normal(size=model.nv)
        data.xfrc_applied[1:] = 0.1 * rng.normal(size=(model.nbody - 1, 6))
        data.mocap_pos += 0.1 * rng.normal(size=data.mocap_pos.shape)
        if contact:
            lower_until_contact(model, data, rng)
        yield data


def lower_until_contact(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Turn the free body at the start of qpos any way, and lower it 4 mm into what is below."""
    orientation = rng.normal(size=4)
    data.qpos[3:7] = orientation / np.linalg.norm(orientation)
    data.qpos[:2] = rng.uniform(-0.06, 0.06, 2)
    low, high = 0.0, 1.0
    for _ in range(40):
        data.qpos[2] = (low + high) / 2
        mujoco.mj_forward(model, data)
        touching = any(contact.dist < contact.includemargin for contact in data.contact[: data.ncon])
        low, high = (data.qpos[2], high) if touching else (low, data.qpos[2])
    data.qpos[2] = low - 0.004


def difference(model: mujoco.MjModel, at: Iterable[mujoco.MjData], integrates: bool = False) -> float:
    """Return the largest difference of any stage over some states, relative to C's (absolute below 1).

    Args:
        integrates: compare the next velocity too, from C's acceleration.
    """
    mjx_model, template = on_mjx(model)
    return max(_at(model, mjx_model, template, data, integrates) for data in at)


def _at(
    model: mujoco.MjModel, mjx_model: mjx.Model, template: mjx.Data, data: mujoco.MjData, integrates: bool
) -> float:
    ours, more = _stages(mjx_model, template.replace(**{name: jnp.asarray(getattr(data, name)) for name in INPUTS}))
    theirs = _copy(model, data)
    mujoco.mj_forward(model, theirs)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, theirs, mass)
    stepped = _copy(model, data)
    mujoco.mj_step(model, stepped)
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in FORCES]
    pairs += [(more["M"], mass), (more["next_act"], stepped.act)]
    pairs += zip(_mjx_rows(ours), _c_rows(model, theirs), strict=True)
    if integrates:
        step = model.opt.timestep
        qacc = np.linalg.solve(mass - step * np.asarray(_damping(mjx_model, ours)), mass @ theirs.qacc)
        pairs.append((data.qvel + step * qacc, stepped.qvel))
    return max(map(_relative, pairs)) if not _contacts_differ(ours, theirs) else np.inf


def _copy(model: mujoco.MjModel, data: mujoco.MjData) -> mujoco.MjData:
    """A new MjData at the same state: nothing left in it of what was computed."""
    copied = mujoco.MjData(model)
    for name in INPUTS:
        getattr(copied, name)[:] = getattr(data, name)
    return copied


def _relative(pair: tuple[object, object]) -> float:
    ours, theirs = np.asarray(pair[0]), np.asarray(pair[1])
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())) if theirs.size else 0.0


def _act(jacobian: np.ndarray, weight: np.ndarray, reference: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """What rows do, in whatever order, and whether or not rows that do nothing are among them."""
    weighted = jacobian.T * weight
    return np.concatenate([(weighted @ jacobian).ravel(), weighted @ reference, np.abs(jacobian).T @ bound])


def _mjx_rows(d: mjx.Data) -> tuple[np.ndarray, np.ndarray]:
    """What the rows do that are no contact's, and what those of contacts do."""
    if not impl(d).nefc:
        return np.zeros(1), np.zeros(1)
    first = int(impl(d).ne + impl(d).nf + impl(d).nl)
    rows = [np.asarray(getattr(impl(d), f"efc_{name}")) for name in ("J", "D", "aref", "frictionloss")]
    return _act(*(row[:first] for row in rows)), _act(*(row[first:] for row in rows))


def _c_rows(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    jacobian = np.zeros((data.nefc, model.nv))
    if data.nefc and mujoco.mj_isSparse(model):
        of_j = data.efc_J_rownnz, data.efc_J_rowadr, data.efc_J_colind
        mujoco.mju_sparse2dense(jacobian, data.efc_J, *of_j)
    elif data.nefc:
        jacobian = data.efc_J.reshape(data.nefc, model.nv)
    of_contact = np.isin(data.efc_type, OF_CONTACTS)
    rows = jacobian, data.efc_D, data.efc_aref, data.efc_frictionloss
    zero = np.zeros(1)  # as where MJX has no rows at all
    none = not data.nefc
    return tuple(zero if none else _act(*(row[chosen] for row in rows)) for chosen in (~of_contact, of_contact))


def _contacts_differ(ours: mjx.Data, theirs: mujoco.MjData) -> bool:
    """Whether other contacts act, or the same somewhere else."""
    found = []
    if impl(ours).ncon:
        contact = impl(ours).contact
        acts = np.asarray(contact.dist < contact.includemargin)
        parts = np.sort(contact.geom, axis=1), contact.dist[:, None], contact.pos, contact.frame.reshape(len(acts), 9)
        found = list(np.concatenate([np.asarray(part) for part in parts], axis=1)[acts])
    expected = [
        np.concatenate([np.sort(contact.geom), [contact.dist], contact.pos, contact.frame])
        for contact in theirs.contact[: theirs.ncon]
        if contact.dist < contact.includemargin
    ]
    if len(found) != len(expected):
        return True
    return any(min(np.abs(one - other).max() for other in found) > 1e-10 for one in expected)
