"""The paper's model: a multilayer perceptron, by default of two hidden layers of 512 units, ELU."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jacdb.learning.models import layers
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


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
        return layers.init(key, [sizes.n_state + sizes.n_action, *[self.width] * self.depth, sizes.n_target])

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the output of the last layer, which is linear."""
        return layers.apply(params, jnp.concatenate([state, action]))
