"""SPARTAN: attention between state variables by gates that are open or closed, with a penalty on open paths.

Source: Lei, Schölkopf and Posner, "SPARTAN: A Sparse Transformer World Model Attending to What Matters", NeurIPS 2025,
arXiv 2411.06890.

In layer l token i may attend to token j with probability P_ij = sigmoid(q_i · k_j), and a gate A_ij of 0 or 1 is drawn
from it:

    h_i = sum_j A_ij exp(q_i · k_j / sqrt(d)) v_j / (1 + sum_j A_ij exp(q_i · k_j / sqrt(d)))
    s_i <- s_i + W h_i,  s_i <- s_i + MLP(s_i)

Information flows from j to i along paths, through residual connections or edges. Their expected number is
P = (P^L + I) ... (P^1 + I), and the loss is MSE + weight * (the mean over targets of the paths to one of them).

Here a token is one number of the state or the action. The paper divides by a sum over all j; this one has open edges
alone, and 1, so that nothing passes a closed gate. Left out: the Lagrangian that sets the weight by a target error
(here it is a setting), intervention tokens, images, layer normalization, more than one head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jacdb.learning.models import gates, layers
from jacdb.learning.models.gates import Gate
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


@dataclass(frozen=True)
class Spartan(WorldModel):
    """A transformer with gates.

    Attributes:
        depth: layers of attention.
        width: numbers of a token.
        weight: of the penalty on paths.
    """

    depth: int = 2
    width: int = 32
    weight: float = 0.01

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training; what is no token's own is shared by all."""
        n, d = sizes.n_state + sizes.n_action, self.width
        of_tokens, of_targets, of_layers = jax.random.split(key, 3)
        # so that logits q · k have deviation 1, and gates begin undecided
        embed = jax.random.normal(of_tokens, (2, n, d), jnp.float32) / (4 * d) ** 0.25
        readout = jax.random.normal(of_targets, (sizes.n_target, d), jnp.float32) / d**0.5
        # where each target is read; a one-hot matrix, so that the parameters say it: training leaves it as it is
        token = jax.nn.one_hot(jnp.array(sizes.state_of_target), n, dtype=jnp.float32)
        return {
            "scale": embed[0], "place": embed[1], "token": token, "readout": readout,
            "bias": jnp.zeros(sizes.n_target, jnp.float32),
            "layers": [self._layer(k) for k in jax.random.split(of_layers, self.depth)],
        }  # fmt: skip

    def _layer(self, key: jax.Array) -> Any:
        d = self.width
        of_heads, of_mlp = jax.random.split(key)
        return {
            "heads": layers.init_each(of_heads, 4, [d, d]),
            "mlp": layers.init(of_mlp, [d, 2 * d, d]),
        }

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the prediction through the gates that are rather open; the gates have no derivative."""
        return self._through(params, state, action, lambda _: gates.likelier)[0]

    def loss(
        self, params: Parameters, state: jax.Array, action: jax.Array, target: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return the squared error through sampled gates, and the penalty on the expected number of paths."""
        keys = jax.random.split(key, self.depth)
        predicted, paths = self._through(
            params, state, action, lambda layer: lambda logits: gates.sampled(keys[layer], logits)
        )
        return jnp.mean((predicted - target) ** 2) + self.weight * jnp.mean(jnp.sum(paths, axis=1))

    def graph(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the expected number of paths from each input to each target, (n_target, n_state + n_action)."""
        return self._through(params, state, action, lambda _: gates.likelier)[1]

    def _through(
        self, params: Parameters, state: jax.Array, action: jax.Array, gate_of: Callable[[int], Gate]
    ) -> tuple[jax.Array, jax.Array]:
        """Return the prediction and the expected number of paths, given the gate of each layer."""
        x = jnp.concatenate([state, action])
        tokens = x[:, None] * params["scale"] + params["place"]
        paths = jnp.eye(len(x), dtype=x.dtype)
        for number, layer in enumerate(params["layers"]):
            moved, probability = self._attend(layer, tokens, gate_of(number))
            tokens = tokens + moved
            tokens = tokens + layers.apply(layer["mlp"], tokens)
            paths = paths + probability @ paths
        token = jax.lax.stop_gradient(params["token"])
        return jnp.sum((token @ tokens) * params["readout"], axis=1) + params["bias"], token @ paths

    def _attend(self, layer: Any, tokens: jax.Array, gate: Gate) -> tuple[jax.Array, jax.Array]:
        """Return what tokens get from others, and the probabilities of edges, (tokens, tokens)."""
        heads = layer["heads"][0]
        q, k, v = (tokens @ heads["weight"][i] + heads["bias"][i] for i in range(3))
        similar = q @ k.T
        weights = gate(similar) * jnp.exp(jnp.clip(similar / self.width**0.5, -10, 10))
        attended = weights @ v / (1 + jnp.sum(weights, axis=1, keepdims=True))
        return attended @ heads["weight"][3], jax.nn.sigmoid(similar)
