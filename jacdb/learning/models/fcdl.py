"""FCDL: a codebook that quantizes state and action, and a mask of inputs for each of its codes.

Source: Hwang, Kwak, Choi, Zhang and Lee, "Fine-Grained Causal Dynamics Learning with Quantization for Improving
Robustness in Reinforcement Learning", ICML 2024, arXiv 2406.03234.

    h = encoder(s, a),  e = the code nearest to h,  P = sigmoid(decoder(e)),  A ~ Bernoulli(P)
    loss = MSE(s' | s, a; A) + weight * (the mean over targets of its open inputs)
           + quantization * (|sg(h) - e|^2 + commitment * |h - sg(e)|^2)

sg stops the gradient. Target j is predicted by its own network, whose inputs are multiplied by row j of A. Gradients
pass the sample by Gumbel-softmax, and the quantization as if it were the identity. The paper's first term is a log
likelihood, a sum over targets, and its quantization has weight 1. Beside a mean squared error that would outweigh it,
and no code would be worth more than another: so there is a setting.

Left out: the graphs of all codes learned by turns, and codes moved by averages (here by gradients).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jacdb.learning.models import gates, layers
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


@dataclass(frozen=True)
class FCDL(WorldModel):
    """A codebook of masks, and a network for each target.

    Attributes:
        codes: of the codebook.
        code_width: numbers of a code.
        width: units of the hidden layers, of which each network has two.
        weight: of the penalty on open inputs.
        quantization: of the loss of codes.
        commitment: how strongly, in that, the encoder is drawn to its code.
    """

    codes: int = 16
    code_width: int = 16
    width: int = 64
    weight: float = 0.01
    quantization: float = 0.01
    commitment: float = 0.25

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training."""
        n_in, w = sizes.n_state + sizes.n_action, self.width
        encoder, codebook, decoder, dynamics = jax.random.split(key, 4)
        return {
            "encoder": layers.init(encoder, [n_in, w, w, self.code_width]),
            "codebook": 0.1 * jax.random.normal(codebook, (self.codes, self.code_width), jnp.float32),
            "decoder": layers.init(decoder, [self.code_width, w, sizes.n_target * n_in]),
            "dynamics": layers.init_each(dynamics, sizes.n_target, [n_in, w, w, 1]),
        }

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the prediction from the inputs that are rather open for the nearest code."""
        x = jnp.concatenate([state, action])
        return self._masked(params, x, gates.likelier(self._logits(params, x)[0]))

    def loss(
        self, params: Parameters, state: jax.Array, action: jax.Array, target: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return the squared error through a sampled mask, the penalty on its inputs, and the quantization's loss."""
        x = jnp.concatenate([state, action])
        logits, h, code = self._logits(params, x)
        predicted = self._masked(params, x, gates.sampled(key, logits))
        stopped = jax.lax.stop_gradient
        quantization = jnp.sum((stopped(h) - code) ** 2) + self.commitment * jnp.sum((h - stopped(code)) ** 2)
        n_open = jnp.mean(jnp.sum(jax.nn.sigmoid(logits), axis=1))
        return jnp.mean((predicted - target) ** 2) + self.weight * n_open + self.quantization * quantization

    def graph(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the probability that each input is open to each target, by the nearest code."""
        return jax.nn.sigmoid(self._logits(params, jnp.concatenate([state, action]))[0])

    def _logits(self, params: Parameters, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return the logits of the mask, (n_target, inputs), the embedding, and its code."""
        h = layers.apply(params["encoder"], x)
        codebook = jnp.asarray(params["codebook"])
        code = codebook[jnp.argmin(jnp.sum((h - codebook) ** 2, axis=1))]
        quantized = h + jax.lax.stop_gradient(code - h)
        return layers.apply(params["decoder"], quantized).reshape(-1, len(x)), h, code

    @staticmethod
    def _masked(params: Parameters, x: jax.Array, mask: jax.Array) -> jax.Array:
        return layers.apply_each(params["dynamics"], mask * x)[:, 0]
