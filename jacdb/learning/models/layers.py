"""Dense layers, which the models are made of."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

type Layers = Any  # a list of {"weight": (n, m), "bias": (m,)}


@jax.custom_jvp
def elu(x: jax.Array) -> jax.Array:
    """Return x where it is positive, else exp(x) - 1."""
    return jnp.where(x > 0, x, jnp.expm1(x))


@elu.defjvp
def _elu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # The derivative is the value, shifted. So an exponential is computed once, for all tangents and their derivatives.
    value = elu(primals[0])
    return value, tangents[0] * (1 + jnp.minimum(value, 0))


def init(key: jax.Array, widths: Sequence[int]) -> Layers:
    """Return weights, (inputs, outputs) of each layer, drawn as LeCun's, and biases of 0."""
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {"weight": jax.random.normal(k, (n, m), jnp.float32) / n**0.5, "bias": jnp.zeros(m, jnp.float32)}
        for k, n, m in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def init_each(key: jax.Array, n: int, widths: Sequence[int]) -> Layers:
    """Return the layers of n networks, as one pytree whose arrays have n as their first axis."""
    return jax.vmap(lambda k: init(k, widths))(jax.random.split(key, n))


def apply(layers: Layers, x: jax.Array) -> jax.Array:
    """Return the output of layers, (…, outputs), for (…, inputs): ELU between them, and the last one linear."""
    for layer in layers[:-1]:
        x = elu(x @ layer["weight"] + layer["bias"])
    return x @ layers[-1]["weight"] + layers[-1]["bias"]


def apply_each(layers: Layers, x: jax.Array) -> jax.Array:
    """Return the outputs of n networks, (n, outputs), for an input of each, (n, inputs)."""
    return jax.vmap(apply)(layers, x)
