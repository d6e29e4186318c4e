"""Reads contacts and dry friction off MuJoCo's C engine, of steps that the differentiated equations do not explain.

There, the forces that these equations have at the engine's acceleration are nobody's. What the engine computed is: its
evaluations of forward dynamics are made again, each from what the engine's solver started from.
"""

from collections.abc import Iterator

import mujoco
import numpy as np
from jaxtyping import Int

from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.linearization.evaluations import Solved, Start, evaluations_of_step

_FRICTION = (int(mujoco.mjtConstraint.mjCNSTR_FRICTION_DOF), int(mujoco.mjtConstraint.mjCNSTR_FRICTION_TENDON))


def evaluated(model: mujoco.MjModel, data: mujoco.MjData, start: Start, solved: Solved, row: int) -> Iterator[None]:
    """Put each evaluation of one control step into ``data``, one after the other.

    Args:
        start, solved: of control steps, samples first.
        row: the number of the control step.
    """
    mujoco.mj_resetData(model, data)
    data.ctrl[:], data.mocap_pos[:], data.mocap_quat[:] = start.ctrl[row], start.mocap_pos[row], start.mocap_quat[row]
    warmstart = start.qacc_warmstart[row]
    per_step = evaluations_of_step(model)
    states = zip(solved.qpos[row], solved.qvel[row], solved.act[row], strict=True)
    for place, (qpos, qvel, act) in enumerate(states, start=1):
        data.qpos[:], data.qvel[:], data.act[:], data.qacc_warmstart[:] = qpos, qvel, act, warmstart
        mujoco.mj_forward(model, data)
        if place % per_step == 0:
            warmstart = data.qacc.copy()
        yield


def put(
    model: mujoco.MjModel, start: Start, solved: Solved, rows: Int[np.ndarray, " some"], observed: Observation
) -> None:
    """Put the engine's own contacts and dry friction into the observations of some control steps.

    Other switches follow from the state alone.

    Args:
        start, solved, observed: of all control steps, samples first; what is observed has an axis of evaluations next.
        rows: the control steps.
    """
    data, friction, switches = mujoco.MjData(model), _friction_switches(model), np.asarray(observed.switches)
    for row in rows.tolist():
        for place, _ in enumerate(evaluated(model, data, start, solved, row)):
            _put_contacts(model, data, Observation(*(leaf[row, place] for leaf in observed)))
            if friction:
                _put_friction(data, friction, switches[row, place])


def _put_contacts(model: mujoco.MjModel, data: mujoco.MjData, observed: Observation) -> None:
    """Put the contacts that push into an evaluation's slots: there is one for each that was found."""
    own = np.flatnonzero(data.contact.exclude == 0) if data.ncon else np.zeros(0, int)
    observed.touching[:] = False
    observed.touching[: len(own)] = True
    force = np.zeros(6)
    for slot, contact in enumerate(own.tolist()):
        mujoco.mj_contactForce(model, data, contact, force)
        observed.normal_force[slot] = force[0]
        observed.geoms[slot], observed.distance[slot] = data.contact.geom[contact], data.contact.dist[contact]


def _friction_switches(model: mujoco.MjModel) -> dict[tuple[int, int], int]:
    """Return the switch of each row of dry friction, by the row's type and id: switches begin with them."""
    if model.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_FRICTIONLOSS | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT):
        return {}
    bounds = zip(_FRICTION, (model.dof_frictionloss, model.tendon_frictionloss), strict=True)
    rows = [(kind, number) for kind, of_kind in bounds for number in np.flatnonzero(of_kind > 0).tolist()]
    return {row: switch for switch, row in enumerate(rows)}


def _put_friction(data: mujoco.MjData, switch_of: dict[tuple[int, int], int], switches: np.ndarray) -> None:
    """Put in which friction holds, by its force: MuJoCo's ``efc_state`` contradicts it where there are islands."""
    switches[: len(switch_of)] = False
    for index in range(data.ne, data.ne + data.nf):
        switch = switch_of[int(data.efc_type[index]), int(data.efc_id[index])]
        switches[switch] = abs(data.efc_force[index]) < data.efc_frictionloss[index]
