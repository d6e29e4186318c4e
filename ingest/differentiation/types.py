"""What a differentiated control step consists of: its inputs, its Jacobians, its observations."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest.dynamics import observations

OnDevice = Literal["implicit", "unrolled", "autodiff"]


class PhysicsJacobian(NamedTuple):
    """Derivative of (q', v') over all substeps, in tangent space: d_physics is 2 nv."""

    by_state: Float[Array | np.ndarray, "d_physics d_physics"]
    by_ctrl: Float[Array | np.ndarray, "d_physics nu"]
    residual: Float[Array | np.ndarray, ""]  # the largest of the substeps' (see solver_residual)
    covered: Bool[Array | np.ndarray, ""]  # False where the method does not apply, and the matrices are wrong

    @property
    def matrix(self) -> Float[np.ndarray, "*samples d_physics d_inputs"]:
        """All columns side by side, on the host."""
        return np.concatenate([self.by_state, self.by_ctrl], axis=-1)


class CtrlJacobian(NamedTuple):
    """Derivative of the environment's own map, :func:`transition.ctrl_map`: rows are applied ctrl, then next memory."""

    by_qpos: Float[Array, "d_mapped nv"]  # no columns where the map does not read qpos
    by_carried: Float[Array, "d_mapped d_carried"]
    by_action: Float[Array, "d_mapped d_action"]
    # PandaPickCubeCartesian may begin an episode in a guide pose: then nothing depends on the state's qpos
    keeps_qpos: Bool[Array, ""]


class PhysicsInput(NamedTuple):
    """All that the physics of a control step starts from: enough to run it again."""

    qpos: Float[Array | np.ndarray, " nq"]
    qvel: Float[Array | np.ndarray, " nv"]
    ctrl: Float[Array | np.ndarray, " nu"]
    qacc_warmstart: Float[Array | np.ndarray, " nv"]
    mocap_pos: Float[Array | np.ndarray, "nmocap 3"]
    mocap_quat: Float[Array | np.ndarray, "nmocap 4"]
    xfrc_applied: Float[Array | np.ndarray, "nbody 6"]


class ControlStep(NamedTuple):
    """One control step with all that is known of it. ``observed`` has a leading axis of substeps."""

    state: State
    physics_input: PhysicsInput
    physics: PhysicsJacobian
    ctrl: CtrlJacobian
    observed: observations.Observation


type PhysicsRun = tuple[mjx.Data, PhysicsJacobian, observations.Observation]
