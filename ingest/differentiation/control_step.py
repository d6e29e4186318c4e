"""Differentiates one control step of an environment: exact Jacobians, in float64.

There are three methods for one quantity (a fourth, ``fd``, is the oracle's:
:mod:`jacdb.ingest.differentiation.finite_differences`):

``autodiff`` is ``jax.jacfwd`` through every substep, solver iterations and line search included, as in the paper.

``implicit`` (the default) never differentiates the solver. The acceleration a that MuJoCo's solver looks for is
the root of the *inverse* dynamics, which has no solver in it::

    r(q, v, u; a) = M a + bias - passive - actuator - applied - J^T f(J a - aref) = 0

so da = -(dr/da)^-1 (dr/dq, dr/dv, dr/du) by the implicit function theorem. The parts of r are differentiated by
what they depend on: rigid bodies in closed form (:mod:`~jacdb.ingest.differentiation.rnea_derivatives`), contacts by
the motions of one body against the other (:mod:`~jacdb.ingest.differentiation.contact_derivatives`), springs,
actuators, limits and dry friction joint by joint (:mod:`~jacdb.ingest.differentiation.joint_derivatives`). Batches are
laid out for long vector operations (:mod:`~jacdb.ingest.linalg.batched`). An integrator that damps implicitly,
(M - hB) a' = M a, adds one linear equation, differentiated the same way. Reference: MuJoCo documentation,
"Computation", "Inverse dynamics" and "Numerical integration".

The implicit derivative is that of the solved problem. Where MJX stops before it has solved it, r is not 0 and the
derivatives differ; ``residual`` says by how much r misses.

``unrolled`` is the derivative of what the solver computed all the same, solved or not: iteration by iteration, in
closed form (:mod:`~jacdb.ingest.differentiation.solver_derivatives`). It takes over the steps that ``implicit`` misses.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
from mujoco import mjx
from mujoco_playground import State

from jacdb.ingest.compat.mjx import impl, mul_mass_matrix
from jacdb.ingest.differentiation import tendon_armature
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
    """Return the environment's step together with its Jacobian, as a function of one (unbatched) state and action.

    The function is traceable; ``vmap`` and ``jit`` it.

    Args:
        method: how the physics is differentiated; see the module's docstring.
    """
    differentiate = _differentiation(method)

    def step(state: State, action: Float[Array, " d_action"]) -> ControlStep:
        runs: list[tuple[PhysicsInput, PhysicsRun]] = []  # one: environments call the physics once

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            start = PhysicsInput.read(data)._replace(ctrl=ctrl)
            run = differentiate(system, model, data.replace(ctrl=ctrl), n_substeps)
            runs.append((start, run))
            return run[0]

        next_state = transition.env_step(system.env, state, action, physics)
        [(start, (_, jacobian, observed))] = runs
        ctrl = _ctrl_jacobian(system, state, action, jnp.all(start.qpos == state.data.qpos))
        return ControlStep(next_state, start, jacobian, ctrl, observed)

    return step


def physics_jacobian(system: System, method: OnDevice) -> Callable[[PhysicsInput], PhysicsJacobian]:
    """Return the derivative of a control step's physics alone, as a function of one step's recorded input.

    Recorded steps are differentiated again by it.
    """
    differentiate = _differentiation(method)
    template = mjx.make_data(system.mj_model, impl="jax")

    def jacobian(start: PhysicsInput) -> PhysicsJacobian:
        data = template.replace(**start._asdict())
        return differentiate(system, system.mjx_model, data, system.env.n_substeps)[1]

    return jacobian


def _differentiation(method: OnDevice) -> Callable[[System, mjx.Model, mjx.Data, int], PhysicsRun]:
    """Return the function that runs the physics of a control step and differentiates it."""
    return {"implicit": _implicit, "unrolled": _unrolled, "autodiff": _autodiff}[method]


def compose(
    system: System, physics: PhysicsJacobian, ctrl: CtrlJacobian
) -> tuple[Float[Array, "d_state d_state"], Float[Array, "d_state d_action"]]:
    """Return the Jacobians of the whole step: the physics' after the ctrl map's, by the chain rule.

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
        next_carried = slice(0 if spec.ctrl_is_state else spec.nu, None)  # rows of the map
        passed = jnp.pad(ctrl.by_carried[next_carried], ((0, 0), (2 * spec.nv, 0)))
        by_state = jnp.concatenate([by_state, by_ctrl @ ctrl.by_carried[: spec.nu]], axis=1)
        by_state = jnp.concatenate([by_state, passed])
        by_action = jnp.concatenate([by_action, ctrl.by_action[next_carried]])
    return by_state, by_action


def _ctrl_jacobian(system: System, state: State, action: Array, keeps_qpos: Array) -> CtrlJacobian:
    """Differentiate the environment's map from action to ctrl, by the arguments that the registry says it reads."""
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
    """Run the physics, and differentiate all of it by ``jax.jacfwd``."""
    nv, mj = model.nv, system.mj_model
    lift = tangent_space.tangent_lift(mj, data.qpos)

    def flow(x: Float[Array, " d_inputs"]) -> tuple[Array, tuple[mjx.Data, Array, observations.Observation]]:
        dq, dv, du = jnp.split(x, [nv, 2 * nv])
        start = data.replace(qpos=data.qpos + lift @ dq, qvel=data.qvel + dv, ctrl=data.ctrl + du)

        def substep(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple[Array, observations.Observation]]:
            forwarded = mjx.forward(model, now)
            after = _through_rotations(system, forwarded, forward.mjx_integrate(model, forwarded))
            return transition.cast_like(after, now), (
                solver_residual(model, forwarded),
                observations.observe(model, forwarded),
            )

        end, (residuals, observed) = jax.lax.scan(substep, start, None, n_substeps)
        at = jax.lax.stop_gradient(end.qpos)
        moved = tangent_space.tangent_project(mj, at) @ (end.qpos - at)
        return jnp.concatenate([moved, end.qvel]), (end, residuals, observed)

    jacobian, (end, residuals, observed) = jax.jacfwd(flow, has_aux=True)(jnp.zeros(2 * nv + model.nu))
    run = PhysicsJacobian(jacobian[:, : 2 * nv], jacobian[:, 2 * nv :], jnp.max(residuals), jnp.array(True))
    return end, run, observed


def _through_rotations(system: System, before: mjx.Data, after: mjx.Data) -> mjx.Data:
    """Return ``after``, its positions differentiated by :func:`tangent_space.transport` and not by quat_integrate.

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


def _acceleration_jacobian(system: System, model: mjx.Model) -> AccelerationJacobian:
    """Return the derivative of accelerations as MJX's step has them."""
    tendons = tendon_armature.of_mjx(system.mj_model)
    return AccelerationJacobian.of(system.mj_model, model, system.kicked, tendons=tendons)


def _implicit(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    """Run the physics, and differentiate each substep's acceleration by the implicit function theorem."""
    derivative = _acceleration_jacobian(system, model)
    differentiate = batched.over_batches(derivative.implicit)

    def substep(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple[Array, Array, Array, observations.Observation]]:
        finder = derivative.contact_finder()
        forwarded = forward.forward(model, now, finder)
        after = forward.integrate(model, forwarded)
        d_qacc_integrator = differentiate(forwarded, finder.rates, (after.qvel - forwarded.qvel) / model.opt.timestep)
        residual, observed = solver_residual(model, forwarded), observations.observe(model, forwarded)
        return transition.cast_like(after, now), (d_qacc_integrator, after.qvel, residual, observed)

    end, (d_qaccs_integrator, qvel, residuals, observed) = jax.lax.scan(substep, data, None, n_substeps)
    return end, _jacobian(model, _chain(system)(d_qaccs_integrator, None, qvel), residuals), observed


def _unrolled(system: System, model: mjx.Model, data: mjx.Data, n_substeps: int) -> PhysicsRun:
    """Run the physics, and differentiate the solver's iterations in each substep.

    Without constraints there are none, and ``implicit`` is exact. MJX's other solvers are left to ``autodiff``.
    """
    if not impl(data).efc_J.size:
        return _implicit(system, model, data, n_substeps)
    if not newton.supports(model):
        return _autodiff(system, model, data, n_substeps)
    derivative = _acceleration_jacobian(system, model)
    differentiate = batched.over_batches(derivative.unrolled)

    def substep(
        now: mjx.Data, _: None
    ) -> tuple[mjx.Data, tuple[Array, Array, Array, Array, observations.Observation, Array]]:
        finder = derivative.contact_finder()
        forwarded, trace = forward.forward_with_trace(model, now, finder)
        after = forward.integrate(model, forwarded)
        qacc_integrator = (after.qvel - forwarded.qvel) / model.opt.timestep
        d_qacc, d_qacc_integrator = differentiate(forwarded, finder.rates, qacc_integrator, trace)
        residual, observed = solver_residual(model, forwarded), observations.observe(model, forwarded)
        seen = (d_qacc_integrator, d_qacc, after.qvel, residual, observed)
        return transition.cast_like(after, now), (*seen, trace.steps.alpha_is_newton.all())

    end, (d_qaccs_integrator, d_qaccs, qvel, residuals, observed, valid) = jax.lax.scan(substep, data, None, n_substeps)
    jacobian = _chain(system)(d_qaccs_integrator, d_qaccs, qvel)
    return end, _jacobian(model, jacobian, residuals, valid.all()), observed


def _jacobian(
    model: mjx.Model,
    jacobian: Float[Array, "d_physics d_inputs"],
    residuals: Float[Array, " substeps"],
    valid: Bool[Array, ""] | bool = True,
) -> PhysicsJacobian:
    """Split a Jacobian's columns into those of state and those of ctrl."""
    by_state, by_ctrl = jacobian[:, : 2 * model.nv], jacobian[:, 2 * model.nv :]
    return PhysicsJacobian(by_state, by_ctrl, jnp.max(residuals), jnp.asarray(valid))


def _chain(system: System) -> Callable[[Array, Array | None, Array], Array]:
    """Return the function that chains the derivatives of substeps: of all (da', da, v'), d(q', v') of the step.

    da is the solver's acceleration and da' the integrator's, both by (dq, v, ctrl). Where da is given, both are also by
    the acceleration that the solver starts from. That is the acceleration of the substep before; the first substep's
    start is held.
    """
    mj, nv, nu = system.mj_model, system.mj_model.nv, system.mj_model.nu
    h, columns = float(mj.opt.timestep), 2 * nv + nu

    def chain_batch(
        d_qaccs_integrator: Float[Array, "n substeps nv inputs"],
        d_qaccs: Float[Array, "n substeps nv inputs"] | None,
        qvels: Float[Array, "n substeps nv"],
    ) -> Float[Array, "n d_physics d_inputs"]:
        d_qacc_integrator, d_qacc, by_q, by_v = batched.samples_last(
            (d_qaccs_integrator, d_qaccs, *jax.vmap(jax.vmap(lambda qvel: tangent_space.transport(mj, qvel)))(qvels))
        )
        start = jnp.eye(2 * nv, columns)[..., None]
        dq, dv = start[:nv], start[nv:]
        d_warm: list[Array] = []  # of the acceleration of the substep before, by the control step's inputs

        def through(d_acceleration: Array, moved: Array) -> Array:
            """Chain a substep's derivative with those of its start. Ctrl is the control step's own."""
            by_ctrl = d_acceleration[:, 2 * nv : columns]
            by_moved = jnp.concatenate([d_acceleration[:, : 2 * nv], d_acceleration[:, columns:]], axis=1)
            return batched.matmul(by_moved, moved) + jnp.pad(by_ctrl, ((0, 0), (2 * nv, 0), (0, 0)))

        for substep in range(d_qacc_integrator.shape[0]):
            if substep == 0:
                dv = dv + h * d_qacc_integrator[0][:, :columns]
                if d_qacc is not None:
                    d_warm = [d_qacc[0][:, :columns]]
            else:
                moved = jnp.concatenate([dq, dv, *d_warm])
                dv = dv + h * through(d_qacc_integrator[substep], moved)
                if d_qacc is not None:
                    d_warm = [through(d_qacc[substep], moved)]
            before, dq = dq, dq + h * dv
            for dofs in tangent_space.orientation_dofs(mj):
                turned = batched.matmul(by_q[substep][dofs, dofs], before[dofs])
                turned = turned + batched.matmul(by_v[substep][dofs, dofs], dv[dofs])
                dq = jnp.concatenate([dq[: dofs.start], turned, dq[dofs.stop :]])
            dq, dv, d_warm = batched.materialize((dq, dv, d_warm))
        return batched.samples_first(jnp.concatenate([dq, dv]))

    return batched.over_batches(chain_batch)


def solver_residual(model: mjx.Model, forwarded: mjx.Data) -> Float[Array, ""]:
    """Return how far from the solution the constraint solver stopped, as :func:`newton.residual` measures it."""
    d = forwarded
    imbalance = mul_mass_matrix(model, d, d.qacc) - d.qfrc_smooth - d.qfrc_constraint
    return newton.residual(imbalance, d.qfrc_smooth, d.qfrc_constraint)
