"""What chooses the actions. A policy is one small interface; a trained one is another class of it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import colorednoise
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jacdb.errors import UsageError
from jacdb.ingest.environments import EnvSpec
from jacdb.location import HUB


@runtime_checkable
class Policy(Protocol):
    """It draws its randomness for a whole episode beforehand, and maps observations to actions on the device.

    An episode's randomness depends on (seed, episode) alone: the rows of an episode are the same whatever is
    rolled out beside it.
    """

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """All that determines its actions, besides the seed."""
        ...

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        """The episode's random numbers; on the host."""
        ...

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        """The action, from the environment's observation; traced by JAX, float64."""
        ...


def check_beta(beta: float) -> None:
    """Refuse an exponent that no noise has.

    Raises:
        UsageError: it is negative, above 4, or no number.
    """
    if not (math.isfinite(beta) and 0 <= beta <= 4):
        raise UsageError(f"noise exponent beta={beta}: give one from 0 (white) to 4")


@dataclass(frozen=True)
class NoisePolicy:
    """Coloured Gaussian noise, clipped to [-1, 1], Playground's range of actions.

    Attributes:
        beta: exponent of the power spectral density, 1 / f^beta: 0 white, 0.5 between white and pink (what
            Hollenstein, Martius and Piater 2024 found best for PPO), 1 pink, 2 Brownian.
        scale: standard deviation before clipping.
    """

    beta: float = 0.5
    scale: float = 1.0
    name: str = "noise"

    def __post_init__(self) -> None:
        check_beta(self.beta)
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise UsageError(f"noise scale={self.scale}: give a finite number, 0 or more")

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        rng = np.random.default_rng([seed, episode])
        # colorednoise needs two samples at least
        drawn = colorednoise.powerlaw_psd_gaussian(self.beta, (d_action, max(steps, 2)), random_state=rng)
        return np.clip(self.scale * drawn.T[:steps], -1.0, 1.0)

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        return noise


@dataclass(frozen=True)
class ZeroPolicy:
    """No action at all: the dynamics left to themselves."""

    name: str = "zero"

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        return np.zeros((steps, d_action))

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        return jnp.zeros_like(noise)


def make(name: str, spec: EnvSpec, *, beta: float = 0.5, scale: float = 1.0, deterministic: bool = False) -> Policy:
    """The policy of that name for an environment.

    Args:
        name: ``noise``, ``zero``, ``expert``, the path of a policy file, or a dataset on the Hub that has policies.
        beta: of the noise, of its own or on top of a trained policy.
        scale: of ``noise``.
        deterministic: of a trained policy: no noise.

    Raises:
        UsageError: there is none, or it is no policy for the environment.
    """
    if name in ("noise", "zero") and deterministic:
        raise UsageError(f"deterministic goes with a trained policy, not with {name}")
    if name == "noise":
        return NoisePolicy(beta, scale)
    if name == "zero":
        return ZeroPolicy()
    from jacdb.ingest import experts

    if name != "expert" and not name.startswith(HUB) and not name.endswith(experts.SUFFIX):
        raise UsageError(f"unknown policy {name!r}: give noise, zero, expert, or a file (*{experts.SUFFIX})")
    return experts.find(name, spec, beta=beta, deterministic=deterministic)
