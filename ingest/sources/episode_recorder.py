"""Reads an episode, step by step, off the data that a simulation works on."""

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.ingest.sources.trajectory import Trajectory

WARNING = mujoco.mjtWarning
# MuJoCo goes on after these, and the step is not the model's own
UNSTABLE = "unstable: MuJoCo reset the simulation"
INCOMPLETE = "MuJoCo's memory was full: it left constraints out"
DOUBTS = {
    WARNING.mjWARN_CONTACTFULL: INCOMPLETE,
    WARNING.mjWARN_CNSTRFULL: INCOMPLETE,
    WARNING.mjWARN_BADCTRL: "MuJoCo took ctrl for zero: it was not finite, or huge",
    WARNING.mjWARN_BADQPOS: UNSTABLE,
    WARNING.mjWARN_BADQVEL: UNSTABLE,
    WARNING.mjWARN_BADQACC: UNSTABLE,
}


class EpisodeRecorder:
    """Call :meth:`before` and :meth:`after` around each control step; :meth:`trajectory` is what happened."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._states: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._warmstart: list[np.ndarray] = []
        self._mocap: list[tuple[np.ndarray, np.ndarray]] = []
        self._ctrl: list[np.ndarray] = []
        self._reward: list[float] = []
        self._done: list[bool] = []
        self._doubtful: list[str] = []
        self._warned = [0] * len(DOUBTS)

    def before(self) -> None:
        """Note what a step begins with."""
        self._states.append(self._state())
        self._warmstart.append(self._data.qacc_warmstart.copy())
        self._mocap.append((self._data.mocap_pos.copy(), self._data.mocap_quat.copy()))
        self._warned = self._warnings()

    def after(self, reward: float = np.nan, done: bool = False) -> bool:
        """Note what a step ended with; return whether the episode can go on: not after MuJoCo reset the simulation."""
        # a reset sets the counts to zero before it counts itself
        new = [now > before or 0 < now < before for now, before in zip(self._warnings(), self._warned, strict=True)]
        doubts = [doubt for doubt, is_new in zip(DOUBTS.values(), new, strict=True) if is_new]
        self._ctrl.append(self._data.ctrl.copy())
        self._reward.append(reward)
        self._done.append(done)
        self._doubtful.append("; ".join(dict.fromkeys(doubts)))
        return not done and UNSTABLE not in doubts

    def trajectory(self) -> Trajectory:
        """Return the episode so far."""
        model, steps = self._model, len(self._ctrl)
        qpos, qvel, act = zip(*self._states, self._state(), strict=True)
        poses = zip(*self._mocap, strict=True) if model.nmocap and steps else (None, None)
        mocap_pos, mocap_quat = (None if each is None else np.array(each) for each in poses)
        return Trajectory(
            qpos=np.array(qpos),
            qvel=np.array(qvel),
            act=np.array(act).reshape(steps + 1, model.na),
            ctrl=np.array(self._ctrl).reshape(steps, model.nu),
            reward=np.array(self._reward, np.float64),
            done=np.array(self._done, bool),
            warmstart=np.array(self._warmstart).reshape(steps, model.nv),
            mocap_pos=mocap_pos,
            mocap_quat=mocap_quat,
            doubtful=self._doubtful if any(self._doubtful) else [],
        )

    def _state(self) -> tuple[Float[np.ndarray, " nq"], Float[np.ndarray, " nv"], Float[np.ndarray, " na"]]:
        return self._data.qpos.copy(), self._data.qvel.copy(), self._data.act.copy()

    def _warnings(self) -> list[int]:
        return [int(self._data.warning[int(warning)].number) for warning in DOUBTS]
