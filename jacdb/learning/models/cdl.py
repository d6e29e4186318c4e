"""CDL: one mask of inputs for all steps, from how much worse a target is predicted without an input.

Source: Wang, Xiao, Xu, Zhu and Stone, "Causal Dynamics Learning for Task-Independent State Abstraction", ICML 2022,
arXiv 2206.13452.

Target j has a network g_ij for each input i, and one on top of their maximum over inputs: f_j(max_i g_ij(x_i)). What is
left out of the maximum is left out of the prediction. So the same networks predict from all inputs, from all but one,
and from those of the mask, and are trained on all three. The conditional mutual information of input i and target j is

    CMI_ij = E log p(s'_j | s, a) / p(s'_j | s, a without x_i),  and the mask is CMI > threshold.

Here p is a Gaussian of one variance for each pair; those that are likeliest are the mean squared errors, and so
CMI_ij = 1/2 log(MSE without i / MSE). They are trained as the network is.

Left out: variances that depend on the state, and the moving average of the CMI over held-out rows.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jacdb.learning.models import layers
from jacdb.learning.models.model import Parameters, Sizes, WorldModel

_RATE = 10.0  # Adam moves a parameter by a learning rate a step, and log variances have far to go


@dataclass(frozen=True)
class CDL(WorldModel):
    """A network for each pair of input and target.

    Attributes:
        width: units of a hidden layer.
        threshold: a target has those inputs whose conditional mutual information is above it, in nats.
    """

    width: int = 16
    threshold: float = 0.02

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training; log variances of 0, without each input and, last, with all."""
        n_in, n_out, w = sizes.n_state + sizes.n_action, sizes.n_target, self.width
        of_features, of_top = jax.random.split(key)
        features = layers.init_each(of_features, n_out * n_in, [1, w, w])
        return {
            "features": jax.tree.map(lambda leaf: leaf.reshape(n_out, n_in, *leaf.shape[1:]), features),
            "top": layers.init_each(of_top, n_out, [w, w, 1]),
            "log_variance": jnp.zeros((n_out, n_in + 1), jnp.float32),
        }

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the prediction from the inputs of the mask."""
        features = self._features(params, jnp.concatenate([state, action]))
        return self._from(params, features, self._information(params) > self.threshold)

    def loss(
        self, params: Parameters, state: jax.Array, action: jax.Array, target: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return the errors from all inputs, without a random one, and from the mask, and the variances' loss."""
        x = jnp.concatenate([state, action])
        features = self._features(params, x)
        left_out = jax.random.randint(key, (), 0, len(x))
        every = jnp.ones(features.shape[:2], bool)
        masks = every, every.at[:, left_out].set(False), self._information(params) > self.threshold
        full, without, causal = ((self._from(params, features, mask) - target) ** 2 for mask in masks)
        log_variance = _RATE * params["log_variance"]
        likelihood = sum(
            0.5 * (jax.lax.stop_gradient(error) * jnp.exp(-value) + value)
            for error, value in ((full, log_variance[:, -1]), (without, log_variance[:, left_out]))
        )
        return jnp.mean(full + without + causal + likelihood)

    def graph(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the conditional mutual information of each input and target: the same in every step."""
        return self._information(params)

    @staticmethod
    def _information(params: Parameters) -> jax.Array:
        log_variance = jax.lax.stop_gradient(_RATE * params["log_variance"])
        return jnp.maximum(0.5 * (log_variance[:, :-1] - log_variance[:, -1:]), 0)

    @staticmethod
    def _features(params: Parameters, x: jax.Array) -> jax.Array:
        """Return g_ij of each target and input, (n_target, inputs, width): above 0, the value of one left out."""
        of_inputs = jax.vmap(layers.apply)
        return jax.nn.relu(jax.vmap(of_inputs, (0, None))(params["features"], x[:, None]))

    @staticmethod
    def _from(params: Parameters, features: jax.Array, mask: jax.Array) -> jax.Array:
        return layers.apply_each(params["top"], jnp.max(features * mask[:, :, None], axis=1))[:, 0]
