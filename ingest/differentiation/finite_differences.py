"""Independent oracles: MuJoCo's C engine and MJX's own step, differentiated by finite differences.

The C engine shares no line of code with MJX or with :mod:`jacdb.ingest.differentiation.control_step`. It cannot see
sparsity (its
rounding noise is near 1e-10), but it knows what the derivative is. Where its step is not MJX's (their solvers stop
elsewhere, their collisions differ), MJX's step itself is the one to ask.
"""

from collections.abc import Callable, Sequence

import jax
import mujoco
import numpy as np
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.differentiation.types import PhysicsInput, PhysicsJacobian
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System


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
    return PhysicsJacobian(by_state, by_ctrl, np.zeros(()), np.array(True))


def step_differences(system: System, starts: PhysicsInput, widths: Sequence[float] = (1e-6,)) -> list[PhysicsJacobian]:
    """The physics of control steps by centred differences of MJX's own step, solver and all.

    Args:
        starts: recorded inputs, samples first.
        widths: half the widths of the differences, in the units of the axes.

    Returns:
        For each width, Jacobians in tangent space, samples first; residuals are 0.
    """
    model = system.mj_model
    nv, nu = model.nv, model.nu
    sides = np.concatenate([np.eye(2 * nv + nu), -np.eye(2 * nv + nu)])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(sides), *leaf.shape[1:]), leaf.dtype), starts)
    step = runtime.compiled_quickly(jax.vmap(mjx_step(system)), like)

    def of_sample(start: PhysicsInput, eps: float) -> np.ndarray:
        moved = PhysicsInput(*(np.tile(leaf, (len(sides), *[1] * leaf.ndim)) for leaf in start))
        offsets = eps * sides
        for qpos, offset in zip(moved.qpos, offsets, strict=True):
            mujoco.mj_integratePos(model, qpos, offset[:nv], 1.0)
        moved = moved._replace(qvel=moved.qvel + offsets[:, nv : 2 * nv], ctrl=moved.ctrl + offsets[:, 2 * nv :])
        ends, speeds = (np.split(np.asarray(end), 2) for end in step(moved))
        rates = np.zeros((len(speeds[0]), nv))
        for rate, ahead, behind in zip(rates, *ends, strict=True):
            mujoco.mj_differentiatePos(model, rate, 2 * eps, behind, ahead)
        return np.concatenate([rates, (speeds[0] - speeds[1]) / (2 * eps)], axis=1).T

    n = len(starts.qpos)
    singles = [PhysicsInput(*(np.asarray(leaf[sample]) for leaf in starts)) for sample in range(n)]
    every = [np.stack([of_sample(start, eps) for start in singles]) for eps in widths]
    return [PhysicsJacobian(m[..., : 2 * nv], m[..., 2 * nv :], np.zeros(n), np.ones(n, bool)) for m in every]


def mjx_step(system: System) -> Callable[[PhysicsInput], tuple[jax.Array, jax.Array]]:
    """One control step of MJX, by MJX's own code alone: (qpos, qvel) from the recorded input."""
    template = mjx.make_data(system.mj_model, impl="jax")

    def step(start: PhysicsInput) -> tuple[jax.Array, jax.Array]:
        def one(now: mjx.Data, _: None) -> tuple[mjx.Data, None]:
            return transition.cast_like(mjx.step(system.mjx_model, now), now), None

        data, _ = jax.lax.scan(one, template.replace(**start._asdict()), None, system.env.n_substeps)
        return data.qpos, data.qvel

    return step


def replay(system: System, start: PhysicsInput, data: mujoco.MjData | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(qpos, qvel) after one control step of the C engine from the recorded input; ``data`` is scratch space."""
    model = system.mj_model
    data = data or mujoco.MjData(model)
    _restore(model, data, start)
    for _ in range(system.env.n_substeps):
        mujoco.mj_step(model, data)
    return data.qpos.copy(), data.qvel.copy()


def _restore(model: mujoco.MjModel, data: mujoco.MjData, start: PhysicsInput) -> None:
    mujoco.mj_resetData(model, data)
    for name, value in start._asdict().items():
        getattr(data, name)[:] = value


def relative(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How far matrices are from true ones, norm over norm: one number for each."""
    return np.linalg.norm(found - truth, axis=(-1, -2)) / np.linalg.norm(truth, axis=(-1, -2))
