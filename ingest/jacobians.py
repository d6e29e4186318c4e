"""Exact Jacobians of one control step, in float64.

Two ways, of one quantity (a third, ``fd``, is the oracle's: :mod:`jacdb.ingest.oracle`):

``autodiff`` is ``jax.jacfwd`` through every substep, solver iterations and line search included, as in the paper.

``implicit`` (the default) never differentiates the solver. The acceleration a that MuJoCo's solver looks for is
the root of the *inverse* dynamics, which has no solver in it::

    r(q, v, u; a) = M a + bias - passive - actuator - applied - J^T f(J a - aref) = 0

so da = -(M + J^T D J)^-1 (dr/dq, dr/dv, dr/du) by the implicit function theorem: D holds the stiffnesses of the
constraints that the solution has active. Work that depends on positions alone (kinematics, collision, mass
matrix) has no tangent for v and u, and one ``jacfwd`` per argument lets JAX drop it. An integrator that damps
implicitly, (M - hB) a' = M a, adds one linear equation, differentiated the same way. Reference: MuJoCo
documentation, "Computation", "Inverse dynamics" and "Numerical integration".

The implicit derivative is that of the solved problem. Where MJX stops before it has solved it, r is not 0 and the
two ways differ; ``residual`` says by how much r misses, and such steps are left to ``autodiff``.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco.mjx._src import constraint, derivative, solver, support
from mujoco.mjx._src import forward as mjx_forward
from mujoco_playground import State

from jacdb.ingest import constraints, dynamics
from jacdb.ingest.dynamics import System

Method = Literal["implicit", "autodiff", "fd"]
METHODS: tuple[str, ...] = get_args(Method)

ZERO_THRESHOLD = 1e-12  # an entry is zero below it (the paper's, for ground truth)
# Measured residuals lie under 1e-8 (where MJX stops by its own tolerance) or above 1e-4 (where it runs out of
# iterations before a Newton step lands): docs/jacobians.md.
RESIDUAL_TOLERANCE = 1e-6


class PhysicsJacobian(NamedTuple):
    """Derivative of (q', v') over all substeps, in tangent space: d_physics is 2 nv."""

    by_state: Float[Array | np.ndarray, "d_physics d_physics"]
    by_ctrl: Float[Array | np.ndarray, "d_physics nu"]
    residual: Float[Array | np.ndarray, ""]  # the largest of the substeps' (see solver_residual)


class CtrlJacobian(NamedTuple):
    """Derivative of the environment's own map, :func:`dynamics.ctrl_map`: rows are applied ctrl, then next memory."""

    by_qpos: Float[Array, "d_mapped nv"]
    by_carried: Float[Array, "d_mapped d_carried"]
    by_action: Float[Array, "d_mapped d_action"]
    # PandaPickCubeCartesian may begin an episode in a guide pose: then nothing depends on the state's qpos
    keeps_qpos: Bool[Array, ""]


class PhysicsInput(NamedTuple):
    """All that the physics of a control step starts from: enough to run it again."""

    qpos: Float[Array, " nq"]
    qvel: Float[Array, " nv"]
    ctrl: Float[Array, " nu"]
    qacc_warmstart: Float[Array, " nv"]
    mocap_pos: Float[Array, "nmocap 3"]
    mocap_quat: Float[Array, "nmocap 4"]
    xfrc_applied: Float[Array, "nbody 6"]


class ControlStep(NamedTuple):
    """One control step with all that is known of it. ``observed`` has a leading axis of substeps."""

    state: State
    physics_input: PhysicsInput
    physics: PhysicsJacobian
    ctrl: CtrlJacobian
    observed: constraints.Observation


type PhysicsRun = tuple[mjx.Data, PhysicsJacobian, constraints.Observation]


def control_step(system: System, method: Literal["implicit", "autodiff"]) -> Callable[[State, Array], ControlStep]:
    """The environment's step together with its Jacobian, for one (unbatched) state and action.

    The returned function is traceable; ``vmap`` and ``jit`` it.
    """
    differentiate = {"implicit": _implicit, "autodiff": _autodiff}[method]

    def step(state: State, action: Float[Array, " d_action"]) -> ControlStep:
        ran: list[tuple[PhysicsInput, PhysicsRun]] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = PhysicsInput(*(getattr(data, name) for name in PhysicsInput._fields))._replace(ctrl=ctrl)
            run = differentiate(system, model, data.replace(ctrl=ctrl), n_substeps)
            ran.append((start, run))
            return run[0]

        next_state = dynamics.env_step(system.env, state, action, physics)
        [(start, (_, jacobian, observed))] = ran
        ctrl = _ctrl_jacobian(system, state, action, jnp.all(start.qpos == state.data.qpos))
        return ControlStep(next_state, start, jacobian, ctrl, observed)

    return step


def physics_jacobian(
    system: System, method: Literal["implicit", "autodiff"]
) -> Callable[[PhysicsInput], PhysicsJacobian]:
    """The physics of a control step alone, from recorded input: for steps to be differentiated again."""
    differentiate = {"implicit": _implicit, "autodiff": _autodiff}[method]
    template = mjx.make_data(system.mj_model, impl="jax")

    def jacobian(start: PhysicsInput) -> PhysicsJacobian:
        data = template.replace(**start._asdict())
        return differentiate(system, system.mjx_model, data, system.env.n_substeps)[1]

    return jacobian


def compose(
    system: System, physics: PhysicsJacobian, ctrl: CtrlJacobian
) -> tuple[Float[Array, "d_state d_state"], Float[Array, "d_state d_action"]]:
    """The Jacobians of the whole step: the physics' after the ctrl map's, by the chain rule.

    Returns:
        (J_s, J_a): rows are next-state axes, columns present state and action axes, in the order of the `axes`
        table: positions and velocities in tangent space, then what is carried (:func:`dynamics.carried`).
    """
    spec, by_ctrl = system.spec, jnp.asarray(physics.by_ctrl)
    by_action = by_ctrl @ ctrl.by_action[: spec.nu]
    by_state = jnp.asarray(physics.by_state).at[:, : spec.nv].multiply(ctrl.keeps_qpos)
    if spec.action_map == "qpos":
        by_state = by_state.at[:, : spec.nv].add(by_ctrl @ ctrl.by_qpos[: spec.nu])
    if spec.d_carried:
        next_carried = slice(0 if spec.ctrl_is_state else spec.nu, None)  # of the map's rows
        passed = jnp.pad(ctrl.by_carried[next_carried], ((0, 0), (2 * spec.nv, 0)))
        by_state = jnp.concatenate([by_state, by_ctrl @ ctrl.by_carried[: spec.nu]], axis=1)
        by_state = jnp.concatenate([by_state, passed])
        by_action = jnp.concatenate([by_action, ctrl.by_action[next_carried]])
    return by_state, by_action


def _ctrl_jacobian(system: System, state: State, action: Array, keeps_qpos: Array) -> CtrlJacobian:
    """Differentiate the environment's map from action to ctrl; only by what the map is said to read."""
    spec, mapped = system.spec, dynamics.ctrl_map(system, state)
    at = (jnp.zeros(spec.nv), dynamics.carried(system, state), action)
    by_action = jax.jacfwd(mapped, 2)(*at)
    return CtrlJacobian(
        by_qpos=jax.jacfwd(mapped, 0)(*at) if spec.action_map == "qpos" else jnp.zeros((len(by_action), spec.nv)),
        by_carried=jax.jacfwd(mapped, 1)(*at) if spec.d_carried else jnp.zeros((len(by_action), 0)),
        by_action=by_action,
        keeps_qpos=keeps_qpos,
    )


# --- autodiff -------------------------------------------------------------------------------------------------


def _autodiff(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    nv, mj = model.nv, system.mj_model
    lift = dynamics.tangent_lift(mj, data.qpos)

    def flow(x: Float[Array, " d_all"]) -> tuple[Array, tuple]:
        dq, dv, du = jnp.split(x, [nv, 2 * nv])
        start = data.replace(qpos=data.qpos + lift @ dq, qvel=data.qvel + dv, ctrl=data.ctrl + du)

        def one(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple]:
            forwarded = mjx_forward.forward(model, now)
            after = _through_rotations(system, forwarded, dynamics.integrate(model, forwarded))
            return dynamics.typed_like(after, now), (
                solver_residual(model, forwarded),
                constraints.observe(model, forwarded),
            )

        end, (residuals, observed) = jax.lax.scan(one, start, None, n_substeps)
        at = jax.lax.stop_gradient(end.qpos)
        moved = dynamics.tangent_project(mj, at) @ (end.qpos - at)
        return jnp.concatenate([moved, end.qvel]), (end, residuals, observed)

    jacobian, (end, residuals, observed) = jax.jacfwd(flow, has_aux=True)(jnp.zeros(2 * nv + model.nu))
    run = PhysicsJacobian(jacobian[:, : 2 * nv], jacobian[:, 2 * nv :], jnp.max(residuals))
    return end, run, observed


def _through_rotations(system: System, before: mjx.Data, after: mjx.Data) -> mjx.Data:
    """``after``, its positions differentiated by :func:`dynamics.transport` and not through quat_integrate.

    The value is untouched: what is added is zero, and has the right tangent.
    """
    mj, hold = system.mj_model, jax.lax.stop_gradient
    if mj.nq == mj.nv:
        return after
    by_q, by_v = dynamics.transport(mj, hold(after.qvel))
    project = hold(dynamics.tangent_project(mj, before.qpos))
    lift = hold(dynamics.tangent_lift(mj, after.qpos))
    dq = project @ (before.qpos - hold(before.qpos))
    move = hold(by_q) @ dq + hold(by_v) @ (after.qvel - hold(after.qvel))
    return after.replace(qpos=hold(after.qpos) + lift @ move)


# --- implicit -------------------------------------------------------------------------------------------------


def _implicit(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    nv = model.nv

    def one(carry: tuple, _: None) -> tuple[tuple, tuple]:
        now, by_state, by_ctrl = carry
        forwarded = mjx_forward.forward(model, now)
        after = dynamics.integrate(model, forwarded)
        local_state, local_ctrl = _differentiate_substep(system, model, forwarded, after)
        by_state, by_ctrl = local_state @ by_state, local_state @ by_ctrl + local_ctrl
        seen = (solver_residual(model, forwarded), constraints.observe(model, forwarded))
        return (dynamics.typed_like(after, now), by_state, by_ctrl), seen

    start = (data, jnp.eye(2 * nv), jnp.zeros((2 * nv, model.nu)))
    (end, by_state, by_ctrl), (residuals, observed) = jax.lax.scan(one, start, None, n_substeps)
    return end, PhysicsJacobian(by_state, by_ctrl, jnp.max(residuals)), observed


def _differentiate_substep(
    system: System, model: mjx.Model, forwarded: mjx.Data, after: mjx.Data
) -> tuple[Float[Array, "d_physics d_physics"], Float[Array, "d_physics nu"]]:
    """Derivative of one physics step by (dq, v) and by ctrl."""
    nv, h, mj = model.nv, model.opt.timestep, system.mj_model
    acceleration = (after.qvel - forwarded.qvel) / h  # a', discrete
    lift = dynamics.tangent_lift(mj, forwarded.qpos)

    def by_position(dq: Float[Array, " nv"]) -> Array:
        d = mjx_forward.fwd_position(model, forwarded.replace(qpos=forwarded.qpos + lift @ dq))
        d = mjx_forward.fwd_actuation(model, mjx_forward.fwd_velocity(model, d))
        return _balance(model, d, forwarded.qacc, acceleration)

    def by_velocity(qvel: Float[Array, " nv"]) -> Array:
        # make_constraint only for aref, the one position-stage result that moves with qvel
        d = constraint.make_constraint(model, forwarded.replace(qvel=qvel))
        d = mjx_forward.fwd_actuation(model, mjx_forward.fwd_velocity(model, d))
        return _balance(model, d, forwarded.qacc, acceleration)

    def by_actuation(ctrl: Float[Array, " nu"]) -> Array:
        d = mjx_forward.fwd_actuation(model, forwarded.replace(ctrl=ctrl))
        return _balance(model, d, forwarded.qacc, acceleration)

    imbalance = jnp.concatenate(
        [
            jax.jacfwd(by_position)(jnp.zeros(nv)),
            jax.jacfwd(by_velocity)(forwarded.qvel),
            jax.jacfwd(by_actuation)(forwarded.ctrl),
        ],
        axis=-1,
    )
    d_acc = _acceleration(model, forwarded, imbalance)

    unit = jnp.eye(nv, d_acc.shape[1], k=nv)
    d_qvel = unit + h * d_acc
    by_q, by_v = dynamics.transport(mj, after.qvel)
    d_qpos = by_v @ d_qvel
    d_qpos = d_qpos.at[:, :nv].add(by_q)
    jacobian = jnp.concatenate([d_qpos, d_qvel])
    return jacobian[:, : 2 * nv], jacobian[:, 2 * nv :]


def _balance(model: mjx.Model, d: mjx.Data, qacc: Array, acceleration: Array) -> Array:
    """What vanishes at the solution: r of the forces, and of implicit damping where the integrator has it.

    Returns:
        (1, nv) or (2, nv).
    """
    force = _imbalance(model, d.replace(qacc=qacc))
    damping = _implicit_damping(model, d)
    if damping is None:
        return force[None]
    # (M - hB) a' - M a, its sign turned to where the derivative is added
    lag = support.mul_m(model, d, qacc - acceleration) + model.opt.timestep * damping @ acceleration
    return jnp.stack([force, lag])


def _imbalance(model: mjx.Model, d: mjx.Data) -> Float[Array, " nv"]:
    """r: inverse dynamics at d.qacc less the forces that act."""
    applied = d.qfrc_applied + support.xfrc_accumulate(model, d)
    r = support.mul_m(model, d, d.qacc) + d.qfrc_bias - d.qfrc_passive - d.qfrc_actuator - applied
    if not d._impl.nefc:
        return r
    return r - solver.Context.create(model, d, grad=False).qfrc_constraint


def _acceleration(model: mjx.Model, d: mjx.Data, imbalance: Float[Array, "k nv n"]) -> Float[Array, "nv n"]:
    """Solve for the derivative of the discrete acceleration, one factorisation for all columns."""
    mass = support.full_m(model, d)
    hessian = mass
    if d._impl.nefc:
        active = solver.Context.create(model, d, grad=False).active
        jac = d._impl.efc_J
        hessian = mass + jac.T @ (jac * (d._impl.efc_D * active)[:, None])
    d_qacc = -cho_solve(cho_factor(hessian), imbalance[0])
    damping = _implicit_damping(model, d)
    if damping is None:
        return d_qacc
    lagged = cho_factor(mass - model.opt.timestep * damping)
    return cho_solve(lagged, mass @ d_qacc + imbalance[1])


def _implicit_damping(model: mjx.Model, d: mjx.Data) -> Float[Array, "nv nv"] | None:
    """B in (M - hB) a' = M a: the velocity derivative of the forces that the integrator damps implicitly."""
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return derivative.deriv_smooth_vel(model, d)
    if model.opt.disableflags & mjx.DisableBit.EULERDAMP:
        return None
    return -jnp.diag(model.dof_damping)


def solver_residual(model: mjx.Model, forwarded: mjx.Data) -> Float[Array, ""]:
    """How far the constraint solver stopped from the solution: |r| over the size of the forces, without a unit."""
    d = forwarded
    scale = jnp.linalg.norm(d.qfrc_smooth) + jnp.linalg.norm(d.qfrc_constraint)
    return jnp.linalg.norm(_imbalance(model, d)) / jnp.maximum(scale, 1.0)
