"""Pinocchio's derivatives of a MuJoCo model: a peer of `jacobians.py`, where the package `pin` is installed.

Pinocchio differentiates the articulated-body algorithm: the acceleration by q, v and tau. There are no contacts,
limits, friction or actuators in it, and no step: it is what the smooth part of a substep's derivative costs in C++.
"""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

try:
    import pinocchio
except ImportError:  # the other ways are measured without it
    pinocchio = None

HOW_TO_GET_IT = "pinocchio is not installed, and is left out; to measure it: pip install 'jacdb[peers]'"


def version() -> str | None:
    """Return the version of Pinocchio; None where it is not installed."""
    return None if pinocchio is None else str(pinocchio.__version__)


def pinocchio_model(model: mujoco.MjModel) -> Any:
    """Return the bodies and joints of a MuJoCo model, dofs in MuJoCo's order, armature included.

    Raises:
        ValueError: a body has a joint other than those of Pinocchio: a free joint, a ball, hinges or slides.
    """
    made = pinocchio.Model()
    weightless = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
    made.gravity.linear = np.zeros(3) if weightless else model.opt.gravity
    of_body = {0: (0, pinocchio.SE3.Identity())}  # the joint that moves a body, and the body in that joint's frame
    for body in range(1, model.nbody):
        parent, at = of_body[int(model.body_parentid[body])]
        at = at * _placement(model.body_quat[body], model.body_pos[body])
        for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
            # a joint's frame is the body's, with its origin at the anchor
            anchor = pinocchio.SE3(np.eye(3), model.jnt_pos[joint])
            parent = made.addJoint(parent, _joint(model, joint), at * anchor, f"joint{joint}")
            at = anchor.inverse()
        of_body[body] = parent, at
        inertia = pinocchio.Inertia(float(model.body_mass[body]), np.zeros(3), np.diag(model.body_inertia[body]))
        made.appendBodyToJoint(parent, inertia, at * _placement(model.body_iquat[body], model.body_ipos[body]))
    made.armature = np.array(model.dof_armature)
    return made


def _placement(quat: np.ndarray, pos: np.ndarray) -> Any:
    w, x, y, z = quat
    return pinocchio.SE3(pinocchio.Quaternion(w, x, y, z).normalized().matrix(), np.array(pos))


def _joint(model: mujoco.MjModel, joint: int) -> Any:
    kind, axis = mujoco.mjtJoint(model.jnt_type[joint]), np.array(model.jnt_axis[joint])
    kinds = {
        mujoco.mjtJoint.mjJNT_HINGE: lambda: pinocchio.JointModelRevoluteUnaligned(axis),
        mujoco.mjtJoint.mjJNT_SLIDE: lambda: pinocchio.JointModelPrismaticUnaligned(axis),
        mujoco.mjtJoint.mjJNT_BALL: pinocchio.JointModelSpherical,
        mujoco.mjtJoint.mjJNT_FREE: pinocchio.JointModelFreeFlyer,
    }
    return kinds[kind]()


def pinocchio_state(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return MuJoCo's qpos and qvel as Pinocchio's q and v.

    Orientations have their real part last, and the linear velocity of a free joint is in its body's axes.
    """
    q, v = np.array(qpos), np.array(qvel)
    for joint in range(model.njnt):
        kind, at, dof = mujoco.mjtJoint(model.jnt_type[joint]), model.jnt_qposadr[joint], model.jnt_dofadr[joint]
        if kind not in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL):
            continue
        start = at + 3 if kind == mujoco.mjtJoint.mjJNT_FREE else at
        q[start : start + 4] = np.roll(qpos[start : start + 4], -1)
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            rotation = _placement(qpos[start : start + 4], np.zeros(3)).rotation
            v[dof : dof + 3] = rotation.T @ qvel[dof : dof + 3]
    return q, v


def derivatives(model: mujoco.MjModel, n_substeps: int, qpos: np.ndarray, qvel: np.ndarray) -> Callable[[], None]:
    """Return a call that differentiates each state's acceleration as often as a control step has substeps.

    One thread does it: Pinocchio's bindings hold Python's lock. Torques are zero; no time depends on them.

    Args:
        qpos: samples first.
        qvel: samples first.
    """
    made = pinocchio_model(model)
    data, torques = made.createData(), np.zeros(made.nv)
    states = [pinocchio_state(model, q, v) for q, v in zip(qpos, qvel, strict=True)]

    def call() -> None:
        for q, v in states:
            for _ in range(n_substeps):
                pinocchio.computeABADerivatives(made, data, q, v, torques)

    return call
