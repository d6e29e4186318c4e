"""Repairs of Brax 0.14.2, so that it trains on JAX 0.12."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

WRITTEN_AGAINST = {"brax": "0.14.2"}


@contextlib.contextmanager
def jax_as_brax_knows_it() -> Iterator[None]:
    """Give JAX the function that Brax 0.14 calls and JAX 0.12 no longer has: a tree, once for each device."""

    def replicated(x: Any, devices: Sequence[Any]) -> Any:
        spread = NamedSharding(Mesh(devices, ("devices",)), PartitionSpec("devices"))
        return jax.tree.map(lambda leaf: jax.device_put(jnp.stack([leaf] * len(devices)), spread), x)

    jax.device_put_replicated = replicated
    try:
        yield
    finally:
        del jax.device_put_replicated
