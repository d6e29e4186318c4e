"""Finite differences of a control step: the independent oracles that exact Jacobians are compared with.

There are two. The C engine (:func:`finite_difference`) shares no line of code with MJX or with
:mod:`jacdb.ingest.differentiation.control_step`. It cannot see sparsity, because its rounding noise is near 1e-10, but
it knows what the derivative is. Where its step is not MJX's (their solvers stop elsewhere, their collisions differ),
:func:`step_differences` asks MJX's own step.
"""

from collections.abc import Callable, Sequence

import jax
import mujoco
import numpy as np
from jaxtyping import Float
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.differentiation.types import PhysicsInput, PhysicsJacobian
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System


def finite_difference(
    system: System, start: PhysicsInput, eps: float = 1e-6, data: mujoco.MjData | None = None
) -> PhysicsJacobian:
    """Differentiate the physics of one control step by centred ``mjd_transitionFD``, chained over substeps.

    Args:
        start: one step's recorded input (unbatched).
        eps: half the width of the difference, in the units of the axes.
        data: scratch space to use again; making one takes longer than a small model's step.

    Returns:
        A Jacobian in tangent space. Its residual is 0, because nothing is solved implicitly.
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
    """Differentiate the physics of control steps by centred differences of MJX's own step, solver included.

    Args:
        starts: recorded inputs, samples first.
        widths: half the widths of the differences, in the units of the axes.

    Returns:
        For each width, Jacobians in tangent space, samples first; residuals are 0.
    """
    model = system.mj_model
    nq, nv, nu = model.nq, model.nv, model.nu
    sides = np.concatenate([np.eye(2 * nv + nu), -np.eye(2 * nv + nu)])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(sides), *leaf.shape[1:]), leaf.dtype), starts)
    step = runtime.compiled_quickly(jax.vmap(mjx_step(system)), like)

    def differentiate(start: PhysicsInput, eps: float) -> Float[np.ndarray, "d_physics d_inputs"]:
        vector = np.concatenate([start.qpos, start.qvel, start.ctrl])
        vectors = np.stack([displaced(model, vector, offset) for offset in eps * sides])
        qpos, qvel, ctrl = np.split(vectors, [nq, nq + nv], axis=1)
        repeated = PhysicsInput(*(np.tile(leaf, (len(sides), *[1] * leaf.ndim)) for leaf in start))
        ends = step(repeated._replace(qpos=qpos, qvel=qvel, ctrl=ctrl))
        ahead, behind = np.split(np.concatenate(ends, axis=1), 2)
        return centred_quotient(model, ahead, behind, eps)

    n = len(starts.qpos)
    singles = [starts.sample(index) for index in range(n)]
    matrices = [np.stack([differentiate(start, eps) for start in singles]) for eps in widths]
    return [PhysicsJacobian(m[..., : 2 * nv], m[..., 2 * nv :], np.zeros(n), np.ones(n, bool)) for m in matrices]


def displaced(
    model: mujoco.MjModel, vector: Float[np.ndarray, " n"], offset: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " n"]:
    """Return a vector of qpos and other numbers, moved along a tangent.

    Args:
        vector: qpos (nq), then any numbers.
        offset: the change of positions in qvel's coordinates (nv), then of the other numbers.
    """
    qpos = vector[: model.nq].copy()
    mujoco.mj_integratePos(model, qpos, offset[: model.nv], 1.0)
    return np.concatenate([qpos, vector[model.nq :] + offset[model.nv :]])


def centred_quotient(
    model: mujoco.MjModel, ahead: Float[np.ndarray, "axes n"], behind: Float[np.ndarray, "axes n"], eps: float
) -> Float[np.ndarray, "d axes"]:
    """Return the centred difference quotient of vectors of qpos and other numbers, in tangent space.

    Args:
        ahead: results for inputs moved by ``eps`` along each axis; qpos first.
        behind: results for inputs moved by ``-eps``.
        eps: half the width of the difference.
    """
    rates = np.zeros((len(ahead), model.nv))
    for rate, after, before in zip(rates, ahead, behind, strict=True):
        mujoco.mj_differentiatePos(model, rate, 2 * eps, before[: model.nq], after[: model.nq])
    return np.concatenate([rates, (ahead - behind)[:, model.nq :] / (2 * eps)], axis=1).T


def mjx_step(system: System) -> Callable[[PhysicsInput], tuple[jax.Array, jax.Array]]:
    """Return the function that takes one control step by MJX's own code alone: (qpos, qvel) of a recorded input."""
    template = mjx.make_data(system.mj_model, impl="jax")

    def step(start: PhysicsInput) -> tuple[jax.Array, jax.Array]:
        def substep(now: mjx.Data, _: None) -> tuple[mjx.Data, None]:
            return transition.cast_like(mjx.step(system.mjx_model, now), now), None

        data, _ = jax.lax.scan(substep, template.replace(**start._asdict()), None, system.env.n_substeps)
        return data.qpos, data.qvel

    return step


def replay(system: System, start: PhysicsInput, data: mujoco.MjData | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Take one control step by the C engine from a recorded input.

    Args:
        start: one step's recorded input (unbatched).
        data: scratch space to use again.

    Returns:
        (qpos, qvel) after the step.
    """
    model = system.mj_model
    data = data or mujoco.MjData(model)
    _restore(model, data, start)
    for _ in range(system.env.n_substeps):
        mujoco.mj_step(model, data)
    return data.qpos.copy(), data.qvel.copy()


def _restore(model: mujoco.MjModel, data: mujoco.MjData, start: PhysicsInput) -> None:
    """Reset the data and write a recorded input into it."""
    mujoco.mj_resetData(model, data)
    for name, value in start._asdict().items():
        getattr(data, name)[:] = value


def relative(
    estimate: Float[np.ndarray, "*samples rows columns"], truth: Float[np.ndarray, "*samples rows columns"]
) -> Float[np.ndarray, "*samples"] | np.floating:
    """Return how far matrices are from true ones, norm over norm: one number for each."""
    return np.linalg.norm(estimate - truth, axis=(-1, -2)) / np.linalg.norm(truth, axis=(-1, -2))
