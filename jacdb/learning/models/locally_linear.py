"""A gate over linear models: each is right somewhere, and the gate says where.

Source: Jacobs, Jordan, Nowlan and Hinton, "Adaptive Mixtures of Local Experts", Neural Computation 3 (1991), here of
linear experts. Locally linear dynamics are also those of Watter et al., "Embed to Control", arXiv 1506.07365.

    s' = sum_k w_k(s, a) (A_k s + B_k a + b_k),  w = softmax(gate(s, a))

The graph is that of the local model, |sum_k w_k [A_k B_k]|: the gate's own derivative is left out of it. Near a switch
the gate depends on whatever tells the regimes apart, such as a distance, and that would be on in all rows of it.

Left out: noise of the experts, and so the likelihood as a loss; it is the mean squared error.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jacdb.learning.models import layers
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


@dataclass(frozen=True)
class LocallyLinear(WorldModel):
    """A softmax gate over linear models of all targets.

    Attributes:
        experts: how many linear models.
        width: units of the gate's hidden layers, of which it has two.
    """

    experts: int = 16
    width: int = 128

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training."""
        n_in = sizes.n_state + sizes.n_action
        of_gate, of_experts = jax.random.split(key)
        return {
            "gate": layers.init(of_gate, [n_in, self.width, self.width, self.experts]),
            "matrix": jax.random.normal(of_experts, (self.experts, sizes.n_target, n_in), jnp.float32) / n_in**0.5,
            "bias": jnp.zeros((self.experts, sizes.n_target), jnp.float32),
        }

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the local model's prediction."""
        x = jnp.concatenate([state, action])
        gate = self._gate(params, x)
        return gate @ (params["matrix"] @ x + params["bias"])

    def graph(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the absolute Jacobian of the local model, (n_target, n_state + n_action), without that of the gate."""
        gate = self._gate(params, jnp.concatenate([state, action]))
        return jnp.abs(jnp.tensordot(gate, params["matrix"], 1))

    @staticmethod
    def _gate(params: Parameters, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(layers.apply(params["gate"], x))
