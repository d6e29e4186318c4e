"""Centred differences of the C engine's own control step, for steps whose solution can't be differentiated."""

from collections.abc import Callable

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.ingest.differentiation.finite_differences import centred_quotient
from jacdb.ingest.linearization.evaluations import Ends, Start

type TakeSteps = Callable[[Start], Ends]

EPS = 1e-6  # half the width, in the units of the axes


def centred_differences(
    model: mujoco.MjModel, ends: TakeSteps, start: Start, eps: float = EPS
) -> tuple[Float[np.ndarray, "n d_state d_state"], Float[np.ndarray, "n d_state nu"]]:
    """Return the Jacobians of control steps by state and by ctrl, in tangent space: exact to 1e-9 or so, without zeros.

    Args:
        ends: takes control steps of the model.
        start: what the steps begin with, samples first.
        eps: half the width, in the units of the axes.
    """
    rows = range(len(start.qpos))
    matrices = [_difference(model, ends, Start(*(leaf[row] for leaf in start)), eps) for row in rows]
    joined = np.stack(matrices)
    d_state = 2 * model.nv + model.na
    return joined[:, :, :d_state], joined[:, :, d_state:]


def _difference(
    model: mujoco.MjModel, ends: TakeSteps, start: Start, eps: float
) -> Float[np.ndarray, "d_state d_inputs"]:
    """Return the Jacobian of one step: all displaced steps are taken side by side."""
    nv, na = model.nv, model.na
    axes = eps * np.eye(2 * nv + na + model.nu)
    offsets = np.concatenate([axes, -axes])
    displaced = Start(*(np.repeat(leaf[None], len(offsets), axis=0) for leaf in start))
    for qpos, offset in zip(displaced.qpos, offsets, strict=True):
        mujoco.mj_integratePos(model, qpos, offset[:nv], 1.0)
    v, act, ctrl = np.split(offsets[:, nv:], [nv, nv + na], axis=1)
    moved = displaced._replace(qvel=displaced.qvel + v, act=displaced.act + act, ctrl=displaced.ctrl + ctrl)
    ahead, behind = np.split(np.concatenate(ends(moved), axis=1), 2)
    return centred_quotient(model, ahead, behind, eps)
