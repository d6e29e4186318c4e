"""Gates that are open or closed, by a probability that is learned."""

from collections.abc import Callable

import jax

type Gate = Callable[[jax.Array], jax.Array]  # from logits to 0 or 1


def sampled(key: jax.Array, logits: jax.Array) -> jax.Array:
    """Return 1 with probability sigmoid(logits), else 0; the gradient is that of a relaxed sample.

    Source: the straight-through Gumbel-softmax of two classes, at temperature 1; Jang, Gu and Poole, arXiv 1611.01144;
    Maddison, Mnih and Teh, arXiv 1611.00712.
    """
    noise = jax.random.logistic(key, logits.shape, logits.dtype)
    relaxed = jax.nn.sigmoid(logits + noise)
    return relaxed + jax.lax.stop_gradient((relaxed > 0.5) - relaxed)


def likelier(logits: jax.Array) -> jax.Array:
    """Return 1 where a gate is rather open, else 0; its derivative is 0."""
    return jax.lax.stop_gradient((logits > 0).astype(logits.dtype))
