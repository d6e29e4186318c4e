"""Says whether the C engine's solver stopped early, or a balance of forces is missed for another reason."""

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from jacdb.ingest.linearization.engine_forces import evaluated
from jacdb.ingest.linearization.evaluations import Solved, Start

_SHARE = 0.1  # of a residual: a solver that leaves less does not explain it


def explained(
    model: mujoco.MjModel, start: Start, solved: Solved, residual: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Return of which control steps the solver explains the residual: it left as much in the engine's own balance.

    The engine compares its forces with inverse dynamics at the acceleration that they make (mj_compareFwdInv). An
    integrator that damps implicitly goes on from these forces, and not from the solver's acceleration: where the solver
    stopped early they make another one, at which stiff contacts miss far more. Other integrators go on from the
    solver's; there this makes more of an early stop, and of nothing else. Without any constraint there is nothing to
    solve, and the solver leaves nothing.

    Args:
        start, solved: of n control steps.
        residual: of each step, as the equations that are differentiated have it.
    """
    compared = model.__copy__()
    compared.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_INVDISCRETE)  # qacc is no difference of velocities
    data, left = mujoco.MjData(compared), np.zeros(len(residual))
    for row in np.flatnonzero(np.isfinite(residual)).tolist():
        left[row] = _left(compared, data, start, solved, row)
    return np.asarray(left > _SHARE * residual)


def _left(model: mujoco.MjModel, data: mujoco.MjData, start: Start, solved: Solved, row: int) -> float:
    """Return the largest residual that the solver left in an evaluation of one control step, as the engine has it."""
    largest = 0.0
    for _ in evaluated(model, data, start, solved, row):
        forces = np.linalg.norm(data.qfrc_smooth) + np.linalg.norm(data.qfrc_constraint)
        mujoco.mj_solveM(model, data, data.qacc[None], (data.qfrc_smooth + data.qfrc_constraint)[None])
        mujoco.mj_compareFwdInv(model, data)
        largest = max(largest, float(data.solver_fwdinv[1] / max(forces, 1.0)))
    return largest
