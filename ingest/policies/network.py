"""The network in a policy file, as JAX computes it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jacdb.errors import UsageError
from jacdb.ingest.policies.policy_file import PolicyFile

MIN_STD = 1e-3  # Brax's NormalTanhDistribution


@dataclass(frozen=True)
class Network(PolicyFile):
    """The policy of Brax's PPO: observations standardised, an MLP with swish, a normal distribution through tanh."""

    def distribution(self, obs: Any) -> tuple[Float[Array, " d_action"], Float[Array, " d_action"]]:
        """Return mean and standard deviation of the action before tanh."""
        seen = obs[self.about["obs_key"]] if isinstance(obs, dict) else obs
        hidden = (jnp.asarray(seen, float) - self.mean) / self.std
        for kernel, bias in self.layers[:-1]:
            hidden = jax.nn.swish(hidden @ kernel.astype(float) + bias)
        kernel, bias = self.layers[-1]
        loc, scale = jnp.split(hidden @ kernel.astype(float) + bias, 2)
        return loc, jax.nn.softplus(scale) + MIN_STD

    def check_obs(self, obs: Any) -> None:
        """Check that the network acts on what an environment shows.

        Args:
            obs: an observation, or a dict of several, or their shapes.

        Raises:
            UsageError: it does not.
        """
        key = self.about["obs_key"]
        shown = {name: part.shape for name, part in obs.items()} if isinstance(obs, dict) else {key: obs.shape}
        if shown.get(key) != self.mean.shape:
            shapes = ", ".join(f"{name!r} of shape {shape}" for name, shape in shown.items())
            raise UsageError(
                f"the policy acts on {key!r} of shape {self.mean.shape}, {self.about['env']} shows {shapes}: it was"
                " trained on another version of the environment, or its file is broken"
            )
