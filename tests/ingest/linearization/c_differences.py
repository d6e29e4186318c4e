"""The oracle for any model's step: centred differences of ``mj_step`` alone, and states to take them at."""

import mujoco
import numpy as np


def visited(model: mujoco.MjModel, n: int, seed: int = 0, length: int = 60) -> dict[str, np.ndarray]:
    """States of random rollouts in which the C engine goes from falling to resting, with what it started from."""
    rng, data = np.random.default_rng(seed), mujoco.MjData(model)
    limited = model.actuator_ctrllimited.astype(bool)[:, None]
    low, high = np.where(limited, model.actuator_ctrlrange, [-1.0, 1.0]).T
    names, rows = ("qpos", "qvel", "ctrl", "act", "qacc_warmstart"), []
    for step in range(3 * n):
        if step % length == 0:
            mujoco.mj_resetData(model, data)
            data.qvel[:] = 0.1 * rng.standard_normal(model.nv)
        data.ctrl[:] = rng.uniform(low, high)
        if step % 3 == 2:
            rows.append([getattr(data, name).copy() for name in names])
        mujoco.mj_step(model, data)
    return dict(
        zip(("qpos", "qvel", "ctrl", "act", "qacc_warmstart"), map(np.stack, zip(*rows, strict=True)), strict=True)
    )


def jacobian(model: mujoco.MjModel, at: dict[str, np.ndarray], substeps: int, eps: float) -> np.ndarray:
    """(2 nv + na, 2 nv + na + nu) of one state, in tangent space."""
    nv, na, nu, data = model.nv, model.na, model.nu, mujoco.MjData(model)

    def end(offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qacc_warmstart[:] = at["qpos"], at["qacc_warmstart"]
        mujoco.mj_integratePos(model, data.qpos, offset[:nv], 1.0)
        data.qvel[:] = at["qvel"] + offset[nv : 2 * nv]
        data.act[:] = at["act"] + offset[2 * nv : 2 * nv + na]
        data.ctrl[:] = at["ctrl"] + offset[2 * nv + na :]
        for _ in range(substeps):
            mujoco.mj_step(model, data)
        return data.qpos.copy(), np.concatenate([data.qvel, data.act])

    columns = []
    for offset in eps * np.eye(2 * nv + na + nu):
        (q_ahead, rest_ahead), (q_behind, rest_behind) = end(offset), end(-offset)
        dq = np.zeros(nv)
        mujoco.mj_differentiatePos(model, dq, 2 * eps, q_behind, q_ahead)
        columns.append(np.concatenate([dq, (rest_ahead - rest_behind) / (2 * eps)]))
    return np.array(columns).T


def error(model: mujoco.MjModel, at: dict[str, np.ndarray], substeps: int, exact: np.ndarray) -> float:
    """How far a Jacobian is from the nearest of three widths' differences: some step over an edge. Norm over norm."""
    widths = [jacobian(model, at, substeps, eps) for eps in (1e-6, 2e-7, 1e-7)]
    return min(float(np.linalg.norm(exact - estimate) / np.linalg.norm(estimate)) for estimate in widths)
