"""Exact Jacobians of one control step, in float64.

Three ways, of one quantity (a fourth, ``fd``, is the oracle's: :mod:`jacdb.ingest.differentiation.finite_differences`):

``autodiff`` is ``jax.jacfwd`` through every substep, solver iterations and line search included, as in the paper.

``implicit`` (the default) never differentiates the solver. The acceleration a that MuJoCo's solver looks for is
the root of the *inverse* dynamics, which has no solver in it::

    r(q, v, u; a) = M a + bias - passive - actuator - applied - J^T f(J a - aref) = 0

so da = -(dr/da)^-1 (dr/dq, dr/dv, dr/du) by the implicit function theorem. What r is made of is differentiated by
what it depends on: rigid bodies in closed form (:mod:`~jacdb.ingest.differentiation.rnea_derivatives`), contacts by
the motions
of one body against the other (:mod:`~jacdb.ingest.differentiation.contact_derivatives`), springs, actuators, limits
and dry friction
joint by joint (:mod:`~jacdb.ingest.differentiation.joint_derivatives`). Batches are laid out for long vector operations
(:mod:`~jacdb.ingest.linalg.batched`). An integrator that damps implicitly, (M - hB) a' = M a, adds one linear equation,
differentiated the same way. Reference: MuJoCo documentation, "Computation", "Inverse dynamics" and "Numerical
integration".

The implicit derivative is that of the solved problem. Where MJX stops before it has solved it, r is not 0 and the
derivatives differ; ``residual`` says by how much r misses.

``unrolled`` is the derivative of what the solver computed all the same, solved or not: iteration by iteration, in
closed form (:mod:`~jacdb.ingest.differentiation.solver_derivatives`). Steps that ``implicit`` misses are left to it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest.compat.mjx import impl, mul_mass_matrix
from jacdb.ingest.differentiation.solver_derivatives import AccelerationJacobian
from jacdb.ingest.differentiation.types import (
    ControlStep,
    CtrlJacobian,
    OnDevice,
    PhysicsInput,
    PhysicsJacobian,
    PhysicsRun,
)
from jacdb.ingest.dynamics import forward, newton, observations
from jacdb.ingest.environments import tangent_space, transition
from jacdb.ingest.environments.loading import System
from jacdb.ingest.linalg import batched


def control_step(system: System, method: OnDevice) -> Callable[[State, Array], ControlStep]:
    """The environment's step together with its Jacobian, for one (unbatched) state and action.

    The returned function is traceable; ``vmap`` and ``jit`` it.
    """
    differentiate = _differentiation(method)

    def step(state: State, action: Float[Array, " d_action"]) -> ControlStep:
        ran: list[tuple[PhysicsInput, PhysicsRun]] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = PhysicsInput.read(data)._replace(ctrl=ctrl)
            run = differentiate(system, model, data.replace(ctrl=ctrl), n_substeps)
            ran.append((start, run))
            return run[0]

        next_state = transition.env_step(system.env, state, action, physics)
        [(start, (_, jacobian, observed))] = ran
        ctrl = _ctrl_jacobian(system, state, action, jnp.all(start.qpos == state.data.qpos))
        return ControlStep(next_state, start, jacobian, ctrl, observed)

    return step


def physics_jacobian(system: System, method: OnDevice) -> Callable[[PhysicsInput], PhysicsJacobian]:
    """The physics of a control step alone, from recorded input: for steps to be differentiated again."""
    differentiate = _differentiation(method)
    template = mjx.make_data(system.mj_model, impl="jax")

    def jacobian(start: PhysicsInput) -> PhysicsJacobian:
        data = template.replace(**start._asdict())
        return differentiate(system, system.mjx_model, data, system.env.n_substeps)[1]

    return jacobian


def _differentiation(method: OnDevice) -> Callable[[System, mjx.Model, mjx.Data, int], PhysicsRun]:
    return {"implicit": _implicit, "unrolled": _unrolled, "autodiff": _autodiff}[method]


def compose(
    system: System, physics: PhysicsJacobian, ctrl: CtrlJacobian
) -> tuple[Float[Array, "d_state d_state"], Float[Array, "d_state d_action"]]:
    """The Jacobians of the whole step: the physics' after the ctrl map's, by the chain rule.

    Returns:
        (J_s, J_a): rows are next-state axes, columns present state and action axes, in the order of the `axes`
        table: positions and velocities in tangent space, then what is carried (:func:`transition.carried`).
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
    spec, mapped = system.spec, transition.ctrl_map(system, state)
    at = (jnp.zeros(spec.nv), transition.carried(system, state), action)
    by_action = jax.jacfwd(mapped, 2)(*at)
    return CtrlJacobian(
        by_qpos=jax.jacfwd(mapped, 0)(*at) if spec.action_map == "qpos" else jnp.zeros((len(by_action), 0)),
        by_carried=jax.jacfwd(mapped, 1)(*at) if spec.d_carried else jnp.zeros((len(by_action), 0)),
        by_action=by_action,
        keeps_qpos=keeps_qpos,
    )


def _autodiff(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    nv, mj = model.nv, system.mj_model
    lift = tangent_space.tangent_lift(mj, data.qpos)

    def flow(x: Float[Array, " d_all"]) -> tuple[Array, tuple]:
        dq, dv, du = jnp.split(x, [nv, 2 * nv])
        start = data.replace(qpos=data.qpos + lift @ dq, qvel=data.qvel + dv, ctrl=data.ctrl + du)

        def one(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple]:
            forwarded = mjx.forward(model, now)
            after = _through_rotations(system, forwarded, forward.mjx_integrate(model, forwarded))
            return transition.cast_like(after, now), (
                solver_residual(model, forwarded),
                observations.observe(model, forwarded),
            )

        end, (residuals, observed) = jax.lax.scan(one, start, None, n_substeps)
        at = jax.lax.stop_gradient(end.qpos)
        moved = tangent_space.tangent_project(mj, at) @ (end.qpos - at)
        return jnp.concatenate([moved, end.qvel]), (end, residuals, observed)

    jacobian, (end, residuals, observed) = jax.jacfwd(flow, has_aux=True)(jnp.zeros(2 * nv + model.nu))
    run = PhysicsJacobian(jacobian[:, : 2 * nv], jacobian[:, 2 * nv :], jnp.max(residuals), jnp.array(True))
    return end, run, observed


def _through_rotations(system: System, before: mjx.Data, after: mjx.Data) -> mjx.Data:
    """``after``, its positions differentiated by :func:`tangent_space.transport` and not through quat_integrate.

    The value is untouched: what is added is zero, and has the right tangent.
    """
    mj, hold = system.mj_model, jax.lax.stop_gradient
    if mj.nq == mj.nv:
        return after
    by_q, by_v = tangent_space.transport(mj, hold(after.qvel))
    project = hold(tangent_space.tangent_project(mj, before.qpos))
    lift = hold(tangent_space.tangent_lift(mj, after.qpos))
    dq = project @ (before.qpos - hold(before.qpos))
    move = hold(by_q) @ dq + hold(by_v) @ (after.qvel - hold(after.qvel))
    return after.replace(qpos=hold(after.qpos) + lift @ move)


def _implicit(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    differentiate = batched.over_batches(AccelerationJacobian.of(system, model).of_solution)

    def one(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple]:
        forwarded = forward.forward(model, now)
        after = forward.integrate(model, forwarded)
        by_all = differentiate(forwarded, (after.qvel - forwarded.qvel) / model.opt.timestep)
        seen = (by_all, after.qvel, solver_residual(model, forwarded), observations.observe(model, forwarded))
        return transition.cast_like(after, now), seen

    end, (by_all, qvel, residuals, observed) = jax.lax.scan(one, data, None, n_substeps)
    return end, _jacobian(model, _chain(system)(by_all, None, qvel), residuals), observed


def _unrolled(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    if not impl(data).efc_J.size:
        return _implicit(system, model, data, n_substeps)
    if not newton.supports(model):
        return _autodiff(system, model, data, n_substeps)
    differentiate = batched.over_batches(AccelerationJacobian.of(system, model).of_iterations)

    def one(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple]:
        forwarded, iterations = forward.forward_with_trace(model, now)
        after = forward.integrate(model, forwarded)
        lag = (after.qvel - forwarded.qvel) / model.opt.timestep
        da, d_lag = differentiate(forwarded, lag, iterations)
        seen = (d_lag, da, after.qvel, solver_residual(model, forwarded), observations.observe(model, forwarded))
        return transition.cast_like(after, now), (*seen, iterations.steps.known.all())

    end, (d_lags, das, qvel, residuals, observed, known) = jax.lax.scan(one, data, None, n_substeps)
    return end, _jacobian(model, _chain(system)(d_lags, das, qvel), residuals, known.all()), observed


def _jacobian(model: mjx.Model, jacobian: Array, residuals: Array, covered: Array | bool = True) -> PhysicsJacobian:
    by_state, by_ctrl = jacobian[:, : 2 * model.nv], jacobian[:, 2 * model.nv :]
    return PhysicsJacobian(by_state, by_ctrl, jnp.max(residuals), jnp.asarray(covered))


def _chain(system: System) -> Callable[[Array, Array | None, Array], Array]:
    """The function of (da', da, v') of all substeps that gives d(q', v') of them together.

    da' is by (dq, v, ctrl); where da is given, also by the acceleration that the solver starts from: the substep's
    before, and the control step's first is held.
    """
    mj, nv, nu = system.mj_model, system.mj_model.nv, system.mj_model.nu
    h, columns = float(mj.opt.timestep), 2 * nv + nu

    def of_batch(d_lags: Array, d_accelerations: Array | None, qvels: Array) -> Array:
        d_lag, d_acceleration, by_q, by_v = batched.samples_last(
            (d_lags, d_accelerations, *jax.vmap(jax.vmap(lambda qvel: tangent_space.transport(mj, qvel)))(qvels))
        )
        start = jnp.eye(2 * nv, columns)[..., None]
        dq, dv = start[:nv], start[nv:]
        d_ctrl = jnp.eye(nu, columns, k=2 * nv)[..., None]
        d_warm: list[Array] = []  # by what the control step starts from, of the acceleration of the substep before
        for substep in range(d_lag.shape[0]):
            if substep == 0:
                dv = dv + h * d_lag[0][:, :columns]
                if d_acceleration is not None:
                    d_warm = [d_acceleration[0][:, :columns]]
            else:
                inputs = jnp.concatenate([dq, dv, d_ctrl + jnp.zeros_like(dq[:1]), *d_warm])
                dv = dv + h * batched.matmul(d_lag[substep], inputs)
                if d_acceleration is not None:
                    d_warm = [batched.matmul(d_acceleration[substep], inputs)]
            if mj.nq == mj.nv:
                dq = dq + h * dv
            else:
                dq = batched.matmul(by_q[substep], dq) + batched.matmul(by_v[substep], dv)
            dq, dv, d_warm = batched.materialize((dq, dv, d_warm))
        return batched.samples_first(jnp.concatenate([dq, dv]))

    return batched.over_batches(of_batch)


def solver_residual(model: mjx.Model, forwarded: mjx.Data) -> Float[Array, ""]:
    """How far the constraint solver stopped from the solution (:func:`jacdb.ingest.dynamics.newton.residual`)."""
    d = forwarded
    imbalance = mul_mass_matrix(model, d, d.qacc) - d.qfrc_smooth - d.qfrc_constraint
    return newton.residual(imbalance, d.qfrc_smooth, d.qfrc_constraint)
