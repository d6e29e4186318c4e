"""The paper's model: a multilayer perceptron, by default of two hidden layers of 512 units, ELU."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jacdb.learning.models.model import Parameters, Sizes, WorldModel


@jax.custom_jvp
def elu(x: jax.Array) -> jax.Array:
    """Return x where it is positive, else exp(x) - 1."""
    return jnp.where(x > 0, x, jnp.expm1(x))


@elu.defjvp
def _elu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # The derivative is the value, shifted. So an exponential is computed once, for all tangents and their derivatives.
    value = elu(primals[0])
    return value, tangents[0] * (1 + jnp.minimum(value, 0))


@dataclass(frozen=True)
class MLP(WorldModel):
    """A multilayer perceptron of state and action.

    Attributes:
        depth: hidden layers; with 0 it is linear.
        width: units of each.
    """

    depth: int = 2
    width: int = 512

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return weights, (inputs, outputs) of each layer, drawn as LeCun's, and biases of 0."""
        widths = [sizes.n_state + sizes.n_action, *[self.width] * self.depth, sizes.n_target]
        keys = jax.random.split(key, len(widths) - 1)
        return [
            {"weight": jax.random.normal(k, (n, m), jnp.float32) / n**0.5, "bias": jnp.zeros(m, jnp.float32)}
            for k, n, m in zip(keys, widths[:-1], widths[1:], strict=True)
        ]

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the output of the last layer, which is linear."""
        x = jnp.concatenate([state, action])
        for layer in params[:-1]:
            x = elu(x @ layer["weight"] + layer["bias"])
        return x @ params[-1]["weight"] + params[-1]["bias"]
