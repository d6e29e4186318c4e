"""An independent oracle: MuJoCo's C engine, differentiated by finite differences.

It shares no line of code with MJX or with :mod:`jacdb.ingest.jacobians`. It cannot see sparsity (its rounding
noise is near 1e-10), but it knows what the derivative is.
"""

import mujoco
import numpy as np

from jacdb.ingest.dynamics import System
from jacdb.ingest.jacobians import PhysicsInput, PhysicsJacobian


def finite_difference(
    system: System, start: PhysicsInput, eps: float = 1e-6, data: mujoco.MjData | None = None
) -> PhysicsJacobian:
    """The physics of one control step by centred ``mjd_transitionFD``, chained over substeps.

    Args:
        start: one step's recorded input (unbatched).
        eps: half the width of the difference, in the units of the axes.
        data: scratch space to be used again; to make one takes longer than a small model's step.

    Returns:
        A Jacobian in tangent space; its residual is 0, for nothing is solved implicitly.
    """
    model = system.mj_model
    data = data or mujoco.MjData(model)
    _restore(model, data, start)
    n = 2 * model.nv
    by_state, by_ctrl = np.eye(n), np.zeros((n, model.nu))
    a, b = np.zeros((n, n)), np.zeros((n, model.nu))
    for _ in range(system.env.n_substeps):
        mujoco.mjd_transitionFD(model, data, eps, True, a, b, None, None)
        by_state, by_ctrl = a @ by_state, a @ by_ctrl + b
        mujoco.mj_step(model, data)
    return PhysicsJacobian(by_state, by_ctrl, np.zeros(()))


def replay(system: System, start: PhysicsInput) -> tuple[np.ndarray, np.ndarray]:
    """(qpos, qvel) after one control step of the C engine from the recorded input."""
    model, data = system.mj_model, mujoco.MjData(system.mj_model)
    _restore(model, data, start)
    for _ in range(system.env.n_substeps):
        mujoco.mj_step(model, data)
    return data.qpos.copy(), data.qvel.copy()


def _restore(model: mujoco.MjModel, data: mujoco.MjData, start: PhysicsInput) -> None:
    mujoco.mj_resetData(model, data)
    for name, value in start._asdict().items():
        getattr(data, name)[:] = value
