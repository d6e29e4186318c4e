"""Reads off a physics step which constraints act: contacts, limits, dry friction, clipped actuators.

These switch the dynamics, and so the zero pattern of the Jacobian: a taut string, an end stop, a foot on the ground.
:func:`observe` runs on the device; on the host :mod:`jacdb.ingest.recording.constraint_columns` turns a control step's
observations into columns. Reference: MuJoCo documentation, "Computation", "Constraint model".
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from mujoco import mjx

from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.dynamics.contacts import SlotsByDim


class Observation(NamedTuple):
    """The constraints of one physics step, at the state that it starts from."""

    geoms: Int[Array, "ncon 2"]
    distance: Float[Array, " ncon"]  # m, negative inside
    touching: Bool[Array, " ncon"]  # distance < margin - gap
    normal_force: Float[Array, " ncon"]  # N
    switches: Bool[Array, " n_switch"]  # in the order of switch_names


def observe(model: mjx.Model, forwarded: mjx.Data) -> Observation:
    """Read the constraints off data that ``mjx.forward`` has been run on."""
    return observe_solution(model, forwarded, impl(forwarded).efc_force, _normal_force(model, forwarded))


def observe_solution(
    model: mjx.Model,
    d: mjx.Data,
    row_force: Float[Array, " rows"],
    normal_force: Float[Array, " ncon"],
    found: SlotsByDim | None = None,
) -> Observation:
    """Read the constraints off data that MJX's stages have been run on, and the forces of a solution.

    Args:
        row_force: of the constraint rows, those before the contacts' at least.
        normal_force: of each contact, N.
        found: the contacts, where another engine found them.
    """
    switches = jnp.concatenate([_sticking(d, row_force), _limited(d), *_clipped(model, d)])
    if found:
        slots = [of_dim for of_dim, _ in found.values()]
        geoms, distance, margin = (
            jnp.concatenate([getattr(of_dim, name) for of_dim in slots]) for name in ("geoms", "distance", "margin")
        )
        return Observation(geoms, distance, distance < margin, normal_force, switches)
    contact, n_contact = impl(d).contact, _n_contacts(d)
    geoms = contact.geom[:n_contact] if n_contact else jnp.zeros((0, 2), int)
    distance = contact.dist[:n_contact] if n_contact else jnp.zeros((0,))
    touching = distance < contact.includemargin[:n_contact] if n_contact else jnp.zeros((0,), bool)
    return Observation(
        geoms=geoms,
        distance=distance,
        touching=touching,
        normal_force=normal_force[:n_contact],
        switches=switches,
    )


def _n_contacts(d: mjx.Data) -> int:
    """Return how many contacts MJX looks at: none where constraints are switched off, and bodies pass."""
    return impl(d).contact.dist.shape[0] if impl(d).nefc and impl(d).ncon else 0


def _normal_force(model: mjx.Model, data: mjx.Data) -> Array:
    """Return each contact's normal force.

    On a friction pyramid it is the sum of its edges' forces (MuJoCo's mju_decodePyramid); without friction, or on an
    elliptic cone, the first row's.
    """
    if not _n_contacts(data):
        return jnp.zeros((0,))
    dim = np.asarray(impl(data).contact.dim)
    pyramidal = model.opt.cone == mjx.ConeType.PYRAMIDAL
    rows = np.where((dim > 1) & pyramidal, 2 * (dim - 1), 1)
    width = int(rows.max())
    index = np.asarray(impl(data).contact.efc_address)[:, None] + np.minimum(np.arange(width), rows[:, None] - 1)
    return jnp.sum(impl(data).efc_force[index] * (np.arange(width) < rows[:, None]), axis=1)


def _sticking(data: mjx.Data, row_force: Array) -> Array:
    """Return whether dry friction holds: its force is inside its bound and follows the velocity.

    While it slides its force is constant.
    """
    rows = slice(impl(data).ne, impl(data).ne + impl(data).nf)
    return jnp.abs(row_force[rows]) < impl(data).efc_frictionloss[rows]


def _limited(data: mjx.Data) -> Array:
    """Return which joint and tendon limits are reached. MJX sets the position of an inactive limit to its margin."""
    start = impl(data).ne + impl(data).nf
    rows = slice(start, start + impl(data).nl)
    return impl(data).efc_pos[rows] < impl(data).efc_margin[rows]


def _clipped(model: mjx.Model, data: mjx.Data) -> list[Array]:
    """Return which actuators' ctrl or force, and which joints' actuator force, lie on their bound."""

    def at_bound(value: Array, limited: np.ndarray, bounds: Array) -> Array:
        which = np.flatnonzero(limited)
        return (value[which] <= bounds[which, 0]) | (value[which] >= bounds[which, 1])

    joint_limited = np.asarray(model.jnt_actfrclimited)[model.dof_jntid] if model.nv else np.zeros(0, bool)
    joint_range = model.jnt_actfrcrange[model.dof_jntid]
    return [
        at_bound(data.ctrl, model.actuator_ctrllimited, model.actuator_ctrlrange),
        at_bound(data.actuator_force, model.actuator_forcelimited, model.actuator_forcerange),
        at_bound(data.qfrc_actuator, joint_limited, joint_range),
    ]
