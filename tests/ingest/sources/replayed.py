"""Takes recorded steps again in MuJoCo's C engine, each from its own recorded beginning."""

import mujoco
import numpy as np


def replay_error(source, trajectory):
    """The largest difference of any next state's number from the recorded one."""
    model, data, largest = source.model, mujoco.MjData(source.model), 0.0
    for t in range(trajectory.n_steps):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.act[:] = trajectory.qpos[t], trajectory.qvel[t], trajectory.act[t]
        data.qacc_warmstart[:], data.ctrl[:] = trajectory.warmstart[t], trajectory.ctrl[t]
        if trajectory.mocap_pos is not None:
            data.mocap_pos[:], data.mocap_quat[:] = trajectory.mocap_pos[t], trajectory.mocap_quat[t]
        mujoco.mj_step(model, data, source.n_substeps)
        taken = np.concatenate([data.qpos, data.qvel, data.act])
        recorded = np.concatenate([each[t + 1] for each in (trajectory.qpos, trajectory.qvel, trajectory.act)])
        largest = max(largest, np.abs(taken - recorded).max())
    return largest


def same(one, other):
    """Whether two trajectories are the same in every bit."""
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in ("qpos", "qvel", "ctrl", "warmstart"))
