"""Says whether the C engine's solver stopped early, or a balance of forces is missed for another reason."""

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from jacdb.ingest.linearization.evaluations import Solved, Start

_SHARE = 0.1  # of a residual: a solver that leaves less does not explain it


def explained(
    model: mujoco.MjModel, start: Start, solved: Solved, residual: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Return of which control steps the solver explains the residual: it left as much in the engine's own balance.

    The engine compares its solution with inverse dynamics at the same acceleration (mj_compareFwdInv). Without any
    constraint there is nothing to solve, and it leaves nothing.

    Args:
        start, solved: of n control steps.
        residual: of each step, as the equations that are differentiated have it.
    """
    compared = model.__copy__()
    compared.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_INVDISCRETE)  # qacc is no difference of velocities
    data, left = mujoco.MjData(compared), np.zeros(len(residual))
    for row in np.flatnonzero(np.isfinite(residual)).tolist():
        left[row] = _left(compared, data, *_row(start, solved, row))
    return np.asarray(left > _SHARE * residual)


def _row(start: Start, solved: Solved, row: int) -> tuple[Start, Solved]:
    return Start(*(leaf[row] for leaf in start)), Solved(*(leaf[row] for leaf in solved))


def _left(model: mujoco.MjModel, data: mujoco.MjData, start: Start, solved: Solved) -> float:
    """Return the largest residual that the solver left in an evaluation of one control step, as the engine has it."""
    mujoco.mj_resetData(model, data)
    data.ctrl[:], data.mocap_pos[:], data.mocap_quat[:] = start.ctrl, start.mocap_pos, start.mocap_quat
    warmstart, largest = start.qacc_warmstart, 0.0
    for qpos, qvel, act in zip(solved.qpos, solved.qvel, solved.act, strict=True):
        data.qpos[:], data.qvel[:], data.act[:], data.qacc_warmstart[:] = qpos, qvel, act, warmstart
        mujoco.mj_forward(model, data)
        warmstart = data.qacc.copy()
        forces = np.linalg.norm(data.qfrc_smooth) + np.linalg.norm(data.qfrc_constraint)
        mujoco.mj_compareFwdInv(model, data)
        largest = max(largest, float(data.solver_fwdinv[1] / max(forces, 1.0)))
    return largest
