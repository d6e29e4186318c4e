"""The inputs and results of a differentiated control step, as types.

They are in a module of their own so that recording and replay can name them without importing what computes them.
"""

from typing import Literal, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest.dynamics import observations

OnDevice = Literal["implicit", "unrolled", "autodiff"]  # methods that JAX runs; "fd" runs on the host


class PhysicsJacobian(NamedTuple):
    """The derivative of (q', v') over all substeps of a control step, in tangent space (d_physics is 2 nv)."""

    by_state: Float[Array | np.ndarray, "d_physics d_physics"]
    by_ctrl: Float[Array | np.ndarray, "d_physics nu"]
    residual: Float[Array | np.ndarray, ""]  # the largest of the substeps': control_step.solver_residual
    valid: Bool[Array | np.ndarray, ""]  # False where the method does not apply, and the matrices are wrong

    @property
    def matrix(self) -> Float[np.ndarray, "*samples d_physics d_inputs"]:
        """Return the columns of state and ctrl side by side, on the host."""
        return np.concatenate([self.by_state, self.by_ctrl], axis=-1)


class CtrlJacobian(NamedTuple):
    """The derivative of the environment's own map from action to ctrl, :func:`transition.ctrl_map`.

    Rows are the applied ctrl, then the next memory.
    """

    by_qpos: Float[Array, "d_mapped nv"]  # no columns where the map does not read qpos
    by_carried: Float[Array, "d_mapped d_carried"]
    by_action: Float[Array, "d_mapped d_action"]
    # PandaPickCubeCartesian may begin an episode in a guide pose: then nothing depends on the state's qpos
    keeps_qpos: Bool[Array, ""]


class PhysicsInput(NamedTuple):
    """Everything that the physics of a control step reads: enough to run it again."""

    qpos: Float[Array | np.ndarray, " nq"]
    qvel: Float[Array | np.ndarray, " nv"]
    ctrl: Float[Array | np.ndarray, " nu"]
    qacc_warmstart: Float[Array | np.ndarray, " nv"]
    mocap_pos: Float[Array | np.ndarray, "nmocap 3"]
    mocap_quat: Float[Array | np.ndarray, "nmocap 4"]
    xfrc_applied: Float[Array | np.ndarray, "nbody 6"]

    @classmethod
    def read(cls, data: mjx.Data | mujoco.MjData) -> "PhysicsInput":
        """Read the input off MJX's or MuJoCo's data. Arrays of an ``MjData`` are views into it."""
        return cls(*(getattr(data, name) for name in cls._fields))

    def sample(self, index: int) -> "PhysicsInput":
        """Return one sample of a batch (samples first), on the host."""
        return PhysicsInput(*(np.asarray(leaf[index]) for leaf in self))


class ControlStep(NamedTuple):
    """One control step and everything that was found out about it. ``observed`` has a leading axis of substeps."""

    state: State
    physics_input: PhysicsInput
    physics: PhysicsJacobian
    ctrl: CtrlJacobian
    observed: observations.Observation


type PhysicsRun = tuple[mjx.Data, PhysicsJacobian, observations.Observation]
