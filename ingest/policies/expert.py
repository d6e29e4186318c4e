"""The policy that acts as a trained network says."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jacdb.ingest.policies.choice import BETA, check_beta, check_noise
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.noise import coloured_noise


@dataclass(frozen=True)
class ExpertPolicy:
    """A trained network that samples its actions, its white noise replaced by coloured noise.

    Hollenstein, Martius and Piater 2024 ("Colored Noise in PPO") found beta = 0.5 best for PPO.

    Attributes:
        network: what was trained.
        beta: exponent of the noise's power spectral density, 1 / f^beta: 0 white.
        deterministic: no noise, the distribution's mean; it goes with no other ``beta`` than the default, which is part
            of the run's id.
        name: ``expert``, or the file's name.
    """

    network: Network = field(repr=False)
    beta: float = BETA
    deterministic: bool = False
    name: str = "expert"

    def __post_init__(self) -> None:
        check_noise(self.beta)
        check_beta(None if self.beta == BETA else self.beta, self.deterministic)

    def act_settings(self) -> dict[str, Any]:
        parts = [self.network.mean, self.network.std, *(part for layer in self.network.layers for part in layer)]
        digest = hashlib.blake2b(b"".join(np.ascontiguousarray(part).tobytes() for part in parts), digest_size=8)
        return {"network": digest.hexdigest()}

    def settings(self) -> dict[str, Any]:
        trained = {key: self.network.about.get(key) for key in ("status", "return", "num_timesteps")}
        own = {"name": self.name, "beta": self.beta, "deterministic": self.deterministic}
        return {**own, **self.act_settings(), **trained}

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        if self.deterministic:
            return np.zeros((steps, d_action))
        return coloured_noise(self.beta, seed, episode, steps, d_action)

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        loc, scale = self.network.distribution(obs)
        return jnp.tanh(loc + scale * noise)
