"""Repairs of Brax 0.14.2, so that it trains on JAX 0.12 and goes on from the whole of a training's state."""

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from brax.training import pmap
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jacdb.errors import UsageError

WRITTEN_AGAINST = {"brax": "0.14.2"}

type State = dict[str, np.ndarray]  # Brax's whole TrainingState, its leaves by their paths


@contextlib.contextmanager
def state_carried(before: State, *, is_part: bool = False) -> Iterator[State]:
    """Let Brax's PPO go on from a state, and leave the one it ends with in what is yielded.

    Brax restores networks and statistics at most. Without Adam's moments a leg begins with steps of full size in the
    directions of single gradients. The whole state passes through two functions that Brax calls: the one that spreads
    it over the devices before the first step, which JAX 0.12 no longer has, and the one that compares the devices'
    copies after the last. For use by one thread.

    Args:
        before: the state to begin with; empty: a new one.
        is_part: it is a part of a state, and what is not in it is new; otherwise it is the whole that a leg left.

    Raises:
        UsageError: while Brax begins: the state is another Brax's.
    """
    after: State = {}
    compare = pmap.assert_is_replicated

    def spread(state: Any, devices: Sequence[Any]) -> Any:
        if before:
            new = _flat(state)
            _check(before, new, is_part)
            tree = flax.traverse_util.unflatten_dict({**new, **before}, sep="/")
            state = flax.serialization.from_state_dict(state, tree)
        each = NamedSharding(Mesh(devices, ("devices",)), PartitionSpec("devices"))
        return jax.tree.map(lambda leaf: jax.device_put(jnp.stack([leaf] * len(devices)), each), state)

    def keep(state: Any, *args: Any) -> None:
        compare(state, *args)
        leaves = _flat(state).items()
        after.update({name: np.asarray(leaf)[0] for name, leaf in leaves if leaf is not flax.traverse_util.empty_node})

    jax.device_put_replicated, pmap.assert_is_replicated = spread, keep  # type: ignore[assignment]  # it takes a state
    try:
        yield after
    finally:
        del jax.device_put_replicated
        pmap.assert_is_replicated = compare


def _check(before: State, new: dict[str, Any], is_part: bool) -> None:
    """Refuse a state whose leaves are not those of Brax's, or not some of them."""
    leaves = {name for name, leaf in new.items() if leaf is not flax.traverse_util.empty_node}
    unlike = before.keys() - leaves if is_part else before.keys() ^ leaves
    if unlike:
        raise UsageError(
            f"the training's state is not one of this Brax's ({version('brax')}): of both, one lacks {min(unlike)}."
            " Install the Brax that made it, or remove the .checkpoint beside --out to begin anew"
        )


def _flat(state: Any) -> dict[str, Any]:
    tree = flax.serialization.to_state_dict(state)
    return flax.traverse_util.flatten_dict(tree, keep_empty_nodes=True, sep="/")
