"""MJX as a source of solutions: it steps a batch of states on the device, with jacdb's own Newton iterations."""

from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np
from jaxtyping import Array
from mujoco import mjx

from jacdb.errors import UsageError
from jacdb.ingest.dynamics import forward
from jacdb.ingest.environments.transition import cast_like
from jacdb.ingest.linearization.evaluations import Ends, Solved, Start

_INTEGRATORS = (mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICITFAST)


class MjxEngine:
    """Steps a model by MJX.

    Args:
        model: is not changed.
        substeps: physics steps in a control step.

    Raises:
        UsageError: MJX does not step such a model, or not as it should.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int) -> None:
        if model.opt.integrator not in _INTEGRATORS:
            name = mujoco.mjtIntegrator(model.opt.integrator).name.removeprefix("mjINT_")
            raise UsageError(f"engine='mjx' has no integrator {name}: give engine='c', or another integrator")
        try:
            self._model = mjx.put_model(model, impl="jax")
        except NotImplementedError as error:
            raise UsageError(f"engine='mjx' can't step this model ({error}): give engine='c'") from error
        self._template = mjx.make_data(model, impl="jax")
        self._substeps = substeps
        self._rollout: Callable[..., Any] = jax.jit(jax.vmap(self._steps))

    def solve(self, start: Start) -> Solved:
        """Take control steps."""
        return Solved(*map(np.asarray, self._rollout(start)))

    def ends(self, start: Start) -> Ends:
        """Return where control steps lead to."""
        solved = self.solve(start)
        return Ends(solved.next_qpos, solved.next_qvel, solved.next_act)

    def _steps(self, start: Start) -> tuple[Array, ...]:
        data = self._template.replace(**start._asdict())

        def substep(now: mjx.Data, _: None) -> tuple[mjx.Data, tuple[Array, ...]]:
            after = forward.integrate(self._model, forward.forward(self._model, now))
            qacc = (after.qvel - now.qvel) / self._model.opt.timestep
            return cast_like(after, now), (now.qpos, now.qvel, now.act, qacc)

        end, (qpos, qvel, act, qacc) = jax.lax.scan(substep, data, None, self._substeps)
        return qpos, qvel, act, qacc, act, end.qpos, end.qvel, end.act
