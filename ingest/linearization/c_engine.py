"""MuJoCo's C engine as a source of solutions: it steps a batch of states in threads, and says how it accelerated them.

The engine keeps no accelerations of the steps that it takes. They follow from the velocities: a' = (v' - v) / h.
Within a step of the Runge-Kutta method each evaluation's acceleration is that of a step of Euler's method without
damping, from where the evaluation is.
"""

import itertools

import mujoco
import mujoco.rollout
import numpy as np
from mujoco.mjx import DisableBit

from jacdb.ingest import runtime
from jacdb.ingest.linearization.evaluations import (
    RK4_AHEAD,
    Ends,
    Solved,
    Start,
    evaluations_of_step,
    position_rate,
)

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
_CONTROL = mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT


class CEngine:
    """Steps a model by MuJoCo's C engine, on all cores.

    Args:
        model: is not changed.
        substeps: physics steps in a control step.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int) -> None:
        self._model, self._substeps = model, substeps
        self._evaluating = _evaluating(model)
        threads = runtime.cores()
        self._pool = mujoco.rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]

    def ends(self, start: Start) -> Ends:
        """Return where control steps lead to."""
        before = self._state(start.qpos, start.qvel, start.act)
        after = self._rollout(self._model, before, _controls(start), start.qacc_warmstart, self._substeps)[:, -1]
        return Ends(*self._parts(after))

    def solve(self, start: Start) -> Solved:
        """Take control steps."""
        control, before = _controls(start), self._state(start.qpos, start.qvel, start.act)
        after = self._rollout(self._model, before, control, start.qacc_warmstart, self._substeps)
        states = np.concatenate([before[:, None], after], axis=1)
        qpos, qvel, act = self._parts(states)
        end = qpos[:, -1].copy(), qvel[:, -1].copy(), act[:, -1].copy()
        if evaluations_of_step(self._model) == 1:
            qacc = np.diff(qvel, axis=1) / self._model.opt.timestep
            return Solved(qpos[:, :-1], qvel[:, :-1], act[:, :-1], qacc, act[:, :-1], *end)
        evaluations = self._runge_kutta(qpos[:, :-1], qvel[:, :-1], act[:, :-1], control, start)
        return Solved(*evaluations, act[:, :-1], *end)

    def _runge_kutta(
        self, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, control: np.ndarray, start: Start
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return where the evaluations of each substep are, and their accelerations: (n, substeps * 4, …)."""
        warmstart = start.qacc_warmstart
        found: list[tuple[np.ndarray, ...]] = []
        for substep in range(self._substeps):
            found += self._stages(qpos[:, substep], qvel[:, substep], act[:, substep], control, warmstart)
            warmstart = found[-1][3]
        qpos, qvel, act, qacc = (np.stack(leaf, axis=1) for leaf in zip(*found, strict=True))
        return qpos, qvel, act, qacc

    def _stages(
        self, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, control: np.ndarray, warmstart: np.ndarray
    ) -> list[tuple[np.ndarray, ...]]:
        """Return where the four evaluations of a substep are, and their accelerations: each (n, …)."""
        h = self._model.opt.timestep
        at, along = (qpos, qvel, act), qvel
        found: list[tuple[np.ndarray, ...]] = []
        for ahead in RK4_AHEAD:
            if found:
                qacc, act_dot = found[-1][3], self._act_dot(at[2], control)
                at = (
                    _integrated(self._model, qpos, along, ahead * h),
                    qvel + ahead * h * qacc,
                    act + ahead * h * act_dot,
                )
                along = np.asarray(position_rate(self._model, np, ahead * h * along, at[1]))
            after = self._rollout(self._evaluating, self._state(*at), control, warmstart, 1)[:, 0]
            found.append((*at, (self._parts(after)[1] - at[1]) / h))
        return found

    def _act_dot(self, act: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Return the rates of activations: MuJoCo's own, state by state, where there are any."""
        rates = np.zeros_like(act)
        if not self._model.na:
            return rates
        data = self._data[0]
        for row in range(len(act)):
            data.act[:], data.ctrl[:] = act[row], control[row, : self._model.nu]
            mujoco.mj_fwdActuation(self._model, data)
            rates[row] = data.act_dot
        return rates

    def _parts(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return qpos, qvel and act of full states."""
        ends = np.cumsum([1, self._model.nq, self._model.nv, self._model.na])  # after the time
        qpos, qvel, act = (states[..., first:last] for first, last in itertools.pairwise(ends))
        return qpos, qvel, act

    def _state(self, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray) -> np.ndarray:
        size = mujoco.mj_stateSize(self._model, int(_STATE))
        parts = [np.zeros((len(qpos), 1)), qpos, qvel, act]
        known = sum(part.shape[1] for part in parts)
        return np.concatenate([*parts, np.zeros((len(qpos), size - known))], axis=1)

    def _rollout(
        self, model: mujoco.MjModel, state: np.ndarray, control: np.ndarray, warmstart: np.ndarray, steps: int
    ) -> np.ndarray:
        repeated = np.repeat(control[:, None], steps, axis=1)
        states, _ = self._pool.rollout(
            model, self._data, state, repeated, control_spec=int(_CONTROL), initial_warmstart=warmstart, nstep=steps
        )
        return states


def _controls(start: Start) -> np.ndarray:
    n = len(start.qpos)
    return np.concatenate([start.ctrl, start.mocap_pos.reshape(n, -1), start.mocap_quat.reshape(n, -1)], axis=1)


def _evaluating(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return the model with Euler's method and no implicit damping: its step tells the acceleration."""
    evaluating = model.__copy__()
    evaluating.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    evaluating.opt.disableflags |= DisableBit.EULERDAMP
    return evaluating


def _integrated(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, h: float) -> np.ndarray:
    """Return positions that velocities lead to in the time h."""
    if model.nq == model.nv:
        return qpos + h * qvel
    moved = qpos.copy()
    for row, velocity in zip(moved, qvel, strict=True):
        mujoco.mj_integratePos(model, row, velocity, h)
    return moved
