"""Policies that need no training: coloured noise, and no action at all."""

from dataclasses import asdict, dataclass
from typing import Any

import colorednoise
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jacdb.ingest.policies.choice import BETA, SCALE, check_noise


def coloured_noise(
    beta: float, seed: int, episode: int, steps: int, d_action: int
) -> Float[np.ndarray, "steps d_action"]:
    """Draw an episode's coloured Gaussian noise: mean 0, deviation 1, power spectral density 1 / f^beta.

    Source: Timmer & Koenig, "On generating power law noise", 1995, by the package colorednoise.
    """
    rng = np.random.default_rng([seed, episode])
    # colorednoise needs two samples at least
    drawn = colorednoise.powerlaw_psd_gaussian(beta, (d_action, max(steps, 2)), random_state=rng)
    return drawn.T[:steps]


@dataclass(frozen=True)
class NoisePolicy:
    """Coloured Gaussian noise, clipped to [-1, 1], Playground's range of actions.

    Attributes:
        beta: exponent of the power spectral density, 1 / f^beta: 0 white, 0.5 between white and pink (what
            Hollenstein, Martius and Piater 2024 found best for PPO), 1 pink, 2 Brownian.
        scale: standard deviation before clipping.
    """

    beta: float = BETA
    scale: float = SCALE
    name: str = "noise"

    def __post_init__(self) -> None:
        check_noise(self.beta, self.scale)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def act_settings(self) -> dict[str, Any]:
        return {}

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        return np.clip(self.scale * coloured_noise(self.beta, seed, episode, steps, d_action), -1.0, 1.0)

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        return noise


@dataclass(frozen=True)
class ZeroPolicy:
    """No action at all: the dynamics left to themselves."""

    name: str = "zero"

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def act_settings(self) -> dict[str, Any]:
        return {}

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        return np.zeros((steps, d_action))

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        return jnp.zeros_like(noise)
