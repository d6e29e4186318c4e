"""Differentiates how a muscle's activation is advanced, on either side of each of its kinks.

A muscle's activation a follows e = clip(ctrl) - a with a time constant: one where e > 0, another where e <= 0. Between
them, at e = 0, it rests. After a reset to ctrl = a = 0 it does, and is at an end of the clip of ctrl as well. Where
kinks meet, and in every substep again, no product of their means is the mean of both sides of a step. So each side
has derivatives of its own. Their mean is taken at the end (:mod:`jacdb.ingest.linearization.evaluations`).
Reference: MuJoCo documentation, "Modeling", "Muscles"; mju_muscleDynamics.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Int


@dataclass(frozen=True)
class Muscles:
    """The activations of a model that are muscles'.

    Attributes:
        actuators, activations: their numbers in ctrl and in act.
        ctrl_ends: the ends at which ctrl is clipped: a muscle's own clip to [0, 1] comes after that to ctrlrange.
        act_ends: the ends at which the activation is clipped; infinite where it is not.
        parameters: time constants of activation and deactivation (s), and the width in which one becomes the other.
    """

    actuators: Int[np.ndarray, " k"]
    activations: Int[np.ndarray, " k"]
    ctrl_ends: Float[np.ndarray, "2 k"]
    act_ends: Float[np.ndarray, "2 k"]
    parameters: Float[np.ndarray, "3 k"]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "Muscles":
        """Return those of a model: none where actuation is disabled."""
        disabled = model.opt.disableflags
        acts = not disabled & mujoco.mjtDisableBit.mjDSBL_ACTUATION
        actuators = np.flatnonzero((model.actuator_dyntype == mujoco.mjtDyn.mjDYN_MUSCLE) & acts)
        clips = model.actuator_ctrllimited[actuators] & (not disabled & mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL)
        act_limited = model.actuator_actlimited[actuators].astype(bool)
        return cls(
            actuators,
            model.actuator_actadr[actuators] + model.actuator_actnum[actuators] - 1,
            np.where(clips, np.clip(model.actuator_ctrlrange[actuators].T, 0, 1), [[0.0], [1.0]]),
            np.where(act_limited, model.actuator_actrange[actuators].T, [[-np.inf], [np.inf]]),
            model.actuator_dynprm[actuators, :3].T,
        )

    def rates(
        self, act: Float[Array, " na"], ctrl: Float[Array, " nu"]
    ) -> tuple[Float[Array, "2 k"], Float[Array, "2 k"]]:
        """Differentiate the rates of activations by these and by clipped ctrl, where e falls and where it rises."""
        of = act[self.activations], jnp.clip(ctrl[self.actuators], *self.ctrl_ends)
        still, moves = jnp.zeros_like(of[0]), jnp.ones_like(of[0])

        def of_side(rises: bool) -> tuple[Array, Array]:
            by_act, by_ctrl = (
                jax.jvp(lambda act, ctrl: self._rate(act, ctrl, rises), of, direction)[1]
                for direction in ((moves, still), (still, moves))
            )
            return by_act, by_ctrl

        falling, rising = of_side(False), of_side(True)
        return jnp.stack([falling[0], rising[0]]), jnp.stack([falling[1], rising[1]])

    def _rate(self, act: Array, ctrl: Array, rises: bool) -> Array:
        # act is clipped here, too: where e rises because act moves, act falls
        inside = (act > 0) & (act <= 1) if rises else (act >= 0) & (act < 1)
        excess, strength = ctrl - act, 0.5 + 1.5 * jnp.where(inside, act, act > 0)
        up, down = self.parameters[0] * strength, self.parameters[1] / strength
        hard = jnp.where((excess >= 0) if rises else (excess > 0), up, down)
        width = self.parameters[2]
        part = jnp.clip(excess / np.maximum(width, mujoco.mjMINVAL) + 0.5, 0, 1)
        smooth = down + (up - down) * part**3 * (3 * part * (2 * part - 5) + 10)
        return excess / jnp.maximum(mujoco.mjMINVAL, jnp.where(width < mujoco.mjMINVAL, hard, smooth))

    def among(self, others: Float[Array, " na"], of_muscles: Float[Array, "2 k"]) -> Float[Array, "sides na"]:
        """Return muscles' derivatives among those of all activations, which have one side where there is no muscle."""
        if not len(self.activations):
            return others[None]
        return jnp.stack([others, others]).at[:, self.activations].set(of_muscles)

    def clipped_ctrl(self, ctrl: Float[Array, " nu"]) -> Float[Array, "2 k"]:
        """Return the derivative of clipped ctrl by ctrl, where it falls and where it rises."""
        return _of_clip(ctrl[self.actuators], self.ctrl_ends)

    def clipped_act(self, act: Float[Array, " na"]) -> Float[Array, "2 k"]:
        """Return the derivative of the clipped next activation by that before its clip, where it falls and rises."""
        return _of_clip(act[self.activations], self.act_ends)


def _of_clip(value: Float[Array, " k"], ends: Float[np.ndarray, "2 k"]) -> Float[Array, "2 k"]:
    low, high = ends
    falls, rises = (low < value) & (value <= high), (low <= value) & (value < high)
    return jnp.stack([falls, rises]).astype(value.dtype)
