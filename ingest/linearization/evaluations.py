"""The evaluations of forward dynamics that an integrator makes in a control step, and how it puts them together.

Euler, implicitfast and implicit evaluate forward dynamics once in each physics step, the classical Runge-Kutta method
four times. :func:`control_step_jacobian` chains the derivatives of evaluations as the integrator chained their values.
In all evaluations of a physics step the solver starts from one acceleration, the step's warm start. That of the last
evaluation is the next step's.

Orientations are combined by the Munthe-Kaas method: positions go from the step's start along k, not along the angular
velocity, and k = J_r^-1(theta) omega where theta = a h k is how far the evaluation has turned. So does MuJoCo from 4.0.
Reference: MuJoCo documentation, "Computation", "Numerical integration", and changelog of 4.0.0; H. Munthe-Kaas,
"High order Runge-Kutta methods on manifolds", 1999.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from jacdb.ingest.differentiation.solution import EvaluationDerivative
from jacdb.ingest.environments import tangent_space
from jacdb.ingest.linalg import batched
from jacdb.tangent import inverse_right_jacobian

RK4_AHEAD = (0.0, 0.5, 0.5, 1.0)  # how far ahead of the step's start each evaluation is, along the one before it
RK4_WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


class Start(NamedTuple):
    """The states and controls that control steps begin with, samples first."""

    qpos: Float[np.ndarray, "n nq"]
    qvel: Float[np.ndarray, "n nv"]
    act: Float[np.ndarray, "n na"]
    ctrl: Float[np.ndarray, "n nu"]
    qacc_warmstart: Float[np.ndarray, "n nv"]
    mocap_pos: Float[np.ndarray, "n nmocap 3"]
    mocap_quat: Float[np.ndarray, "n nmocap 4"]


class Ends(NamedTuple):
    """The states after control steps, samples first."""

    qpos: Float[np.ndarray, "n nq"]
    qvel: Float[np.ndarray, "n nv"]
    act: Float[np.ndarray, "n na"]


class Solved(NamedTuple):
    """States at which forward dynamics was evaluated, and the accelerations that were found: samples first.

    Attributes:
        qpos, qvel, act: where each evaluation was, in the order of substeps and of the integrator's evaluations.
        qacc: the acceleration a' with which the integrator went on from each.
        act_before: the activations at the start of each substep.
        next_qpos, next_qvel, next_act: the state after the control step.
    """

    qpos: Float[np.ndarray, "n evaluations nq"]
    qvel: Float[np.ndarray, "n evaluations nv"]
    act: Float[np.ndarray, "n evaluations na"]
    qacc: Float[np.ndarray, "n evaluations nv"]
    act_before: Float[np.ndarray, "n substeps na"]
    next_qpos: Float[np.ndarray, "n nq"]
    next_qvel: Float[np.ndarray, "n nv"]
    next_act: Float[np.ndarray, "n na"]


def evaluations_of_step(model: mujoco.MjModel) -> int:
    """Return how many evaluations of forward dynamics a physics step makes."""
    return 4 if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4 else 1


def position_rate(
    model: mujoco.MjModel, xp: Any, turned: Float[Array | np.ndarray, "*n nv"], qvel: Float[Array | np.ndarray, "*n nv"]
) -> Float[Array | np.ndarray, "*n nv"]:
    """Return k, along which the Runge-Kutta method goes on from its start: qvel, but for orientations.

    Args:
        xp: NumPy, or JAX's.
        turned: how far the evaluation is from the start, in tangent space.
    """
    parts, after = [], 0
    for dofs in tangent_space.orientation_dofs(model):
        rate = (inverse_right_jacobian(xp, turned[..., dofs]) @ qvel[..., dofs, None])[..., 0]
        parts += [qvel[..., after : dofs.start], rate]
        after = dofs.stop
    return xp.concatenate([*parts, qvel[..., after:]], axis=-1)


class NextActivation(NamedTuple):
    """The derivative of each activation after a physics step.

    Of a model with muscles the clips of these have two: where what is clipped falls, and where it rises. They are 1 of
    other activations, whose clips are in the other derivatives.

    Attributes:
        by_act, by_act_dot: by its value, and by its rate.
        by_unclipped: of a muscle's, by its value before it is clipped.
        clipped_ctrl: of a muscle's clipped ctrl, by ctrl.
    """

    by_act: Float[Array, "*n substeps na"]
    by_act_dot: Float[Array, "*n substeps na"]
    by_unclipped: Float[Array, "*n substeps sides na"]
    clipped_ctrl: Float[Array, "*n sides na"]


class _Tangent(NamedTuple):
    """How a state moves with the control step's inputs (dq, v, act, ctrl), samples last.

    Activations do so on two sides if there are muscles, as an input falls and as it rises. What moves with them moves
    with the mean of both: no other state has any part in an activation.
    """

    q: Float[Array, "nv inputs n"]
    v: Float[Array, "nv inputs n"]
    act: Float[Array, "sides na inputs n"]


class _Rate(NamedTuple):
    qacc: Float[Array, "nv inputs n"]
    act_dot: Float[Array, "sides na inputs n"]


def control_step_jacobian(
    model: mujoco.MjModel,
) -> Callable[[EvaluationDerivative, NextActivation, Array, Array], Float[Array, "d_state d_inputs"]]:
    """Return the function that chains derivatives to that of the whole control step, for ``vmap``.

    Its arguments are the derivatives of all evaluations (a leading axis of them), those of the activations, and the
    velocities and accelerations a' of all evaluations. It returns the derivative of (q', v', act') by all inputs, in
    the order (q, v, act, ctrl).
    """

    def chain_batch(
        derivatives: EvaluationDerivative, activations: NextActivation, qvels: Array, qaccs: Array
    ) -> Float[Array, "n d_state d_inputs"]:
        rates = (derivatives.qacc, derivatives.act_dot)
        chain = _Chain(model, *batched.samples_last((*rates, activations, qvels, qaccs)))
        return batched.samples_first(jnp.concatenate(chain.tangent()))

    return batched.over_batches(chain_batch)


class _Chain(NamedTuple):
    """The chain rule over the evaluations of a batch of control steps, samples last."""

    model: mujoco.MjModel
    d_qacc: Float[Array, "evaluations nv inputs n"]
    d_act_dot: tuple[Float[Array, "evaluations sides na n"], Float[Array, "evaluations sides na n"]]
    activations: NextActivation
    qvels: Float[Array, "evaluations nv n"]
    qaccs: Float[Array, "evaluations nv n"]

    def tangent(self) -> _Tangent:
        """Return the derivative of the state after the control step: of its activations, the mean of both sides."""
        nv, na = self.model.nv, self.model.na
        n_inputs = 2 * nv + na + self.model.nu
        identity = jnp.eye(2 * nv + na, n_inputs)[..., None]
        start = jnp.broadcast_to(identity, (*identity.shape[:2], self.qvels.shape[-1]))
        sides = self.d_act_dot[0].shape[1]
        now = _Tangent(start[:nv], start[nv : 2 * nv], jnp.stack([start[2 * nv :]] * sides))
        per_step = evaluations_of_step(self.model)
        for substep in range(len(self.qvels) // per_step):
            step = self._runge_kutta if per_step > 1 else self._semi_implicit
            now = batched.materialize(step(now, substep))
        return now._replace(act=jnp.mean(now.act, axis=0))

    def _semi_implicit(self, now: _Tangent, index: int) -> _Tangent:
        """Go through a step whose positions follow the velocity at its end."""
        h = self.model.opt.timestep
        rate = self._rate(now, index)
        dv = now.v + h * rate.qacc
        moved = self._moved(now.q, dv, self.qvels[index] + h * self.qaccs[index], h)
        return _Tangent(moved, dv, self._activated(now.act, rate.act_dot, index))

    def _runge_kutta(self, now: _Tangent, substep: int) -> _Tangent:
        """Go through a step of four evaluations, each ahead of the step's start along the one before it."""
        h, first = self.model.opt.timestep, 4 * substep
        at = now
        rates: list[_Rate] = []
        along, d_along = [self.qvels[first]], [now.v]  # k of each evaluation, and its derivative
        for stage, ahead in enumerate(RK4_AHEAD):
            if stage:
                turned, d_turned = ahead * h * along[-1], ahead * h * d_along[-1]
                at = _Tangent(
                    self._moved(now.q, d_along[-1], along[-1], ahead * h),
                    now.v + ahead * h * rates[-1].qacc,
                    now.act + ahead * h * rates[-1].act_dot,
                )
                qvel = self.qvels[first + stage]
                d_along.append(self._position_rate_derivative(turned, d_turned, qvel, at.v))
                along.append(jnp.asarray(position_rate(self.model, jnp, turned.T, qvel.T)).T)
            rates.append(batched.materialize(self._rate(at, first + stage)))
        mean = jax.tree.map(lambda *parts: _weighted(parts), *rates)
        moved = self._moved(now.q, _weighted(d_along), _weighted(along), h)
        return _Tangent(moved, now.v + h * mean.qacc, self._activated(now.act, mean.act_dot, substep))

    def _position_rate_derivative(
        self, turned: Float[Array, "nv n"], d_turned: Array, qvel: Float[Array, "nv n"], dv: Array
    ) -> Float[Array, "nv inputs n"]:
        """Differentiate :func:`position_rate`."""
        derivative = dv
        for dofs in tangent_space.orientation_dofs(self.model):
            theta, omega = batched.samples_first((turned[dofs], qvel[dofs]))
            by_theta = jax.vmap(jax.jacfwd(lambda t, w: inverse_right_jacobian(jnp, t) @ w))(theta, omega)
            by_omega = inverse_right_jacobian(jnp, theta)
            by_theta, by_omega = batched.samples_last((by_theta, by_omega))
            moved = batched.matmul(by_theta, d_turned[dofs]) + batched.matmul(by_omega, dv[dofs])
            derivative = jnp.concatenate([derivative[: dofs.start], moved, derivative[dofs.stop :]])
        return derivative

    def _rate(self, at: _Tangent, index: int) -> _Rate:
        """Differentiate an evaluation's results, given how its state moves."""
        nv, nu, na = self.model.nv, self.model.nu, self.model.na
        by_inputs = self.d_qacc[index]
        by_ctrl, by_act = by_inputs[:, 2 * nv : 2 * nv + nu], by_inputs[:, 2 * nv + nu :]
        state = jnp.concatenate([at.q, at.v, jnp.mean(at.act, axis=0)])
        moved = batched.matmul(jnp.concatenate([by_inputs[:, : 2 * nv], by_act], axis=1), state)
        qacc = moved + jnp.pad(by_ctrl, ((0, 0), (2 * nv + na, 0), (0, 0)))
        if not na:
            return _Rate(qacc, at.act)
        ctrl = np.zeros((na, state.shape[1], 1))
        addresses = zip(self.model.actuator_actadr, self.model.actuator_actnum, strict=True)
        for actuator, (first, count) in enumerate(addresses):
            ctrl[first : first + count, 2 * nv + na + actuator] = 1.0
        clipped = self.activations.clipped_ctrl[:, :, None] * ctrl
        own, by_own_ctrl = (self._towards(clipped - at.act, part[index]) for part in self.d_act_dot)
        return _Rate(qacc, own * at.act + by_own_ctrl * clipped)

    def _activated(self, act: Array, act_dot: Array, substep: int) -> Array:
        by_act, by_act_dot = self.activations.by_act[substep], self.activations.by_act_dot[substep]
        unclipped = by_act[:, None] * act + by_act_dot[:, None] * act_dot
        return self._towards(unclipped, self.activations.by_unclipped[substep]) * unclipped

    @staticmethod
    def _towards(tangent: Float[Array, "sides na inputs n"], of_sides: Float[Array, "sides na n"]) -> Array:
        """Return derivatives on the side to which a value moves along its tangents, behind and ahead of the inputs."""
        if len(of_sides) == 1:
            return of_sides[:, :, None]
        along = jnp.array([-1.0, 1.0])[:, None, None, None] * tangent
        return jnp.where(along > 0, of_sides[1][:, None], of_sides[0][:, None])

    def _moved(self, dq: Array, dv: Array, qvel: Float[Array, "nv n"], h: float) -> Array:
        """Differentiate q (+) h v."""
        moved = dq + h * dv
        orientations = tangent_space.orientation_dofs(self.model)
        if not orientations:
            return moved
        by_q, by_v = batched.samples_last(
            jax.vmap(lambda v: tangent_space.transport(self.model, v, h))(batched.samples_first(qvel))
        )
        for dofs in orientations:
            turned = batched.matmul(by_q[dofs, dofs], dq[dofs]) + batched.matmul(by_v[dofs, dofs], dv[dofs])
            moved = jnp.concatenate([moved[: dofs.start], turned, moved[dofs.stop :]])
        return moved


def mean_rate(rates: Float[Array, "evaluations na"]) -> Float[Array, " na"]:
    """Return the rate with which a physics step advances activations, given those of its evaluations."""
    return rates[0] if len(rates) == 1 else _weighted(list(rates))


def _weighted(parts: list[Array] | tuple[Array, ...]) -> Array:
    return batched.sum_terms(weight * part for weight, part in zip(RK4_WEIGHTS, parts, strict=True))
