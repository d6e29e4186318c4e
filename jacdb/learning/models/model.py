"""A model of the dynamics is three methods. Everything else is done for it."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

type Parameters = Any  # a pytree of arrays


class Sizes(NamedTuple):
    """The lengths of a model's vectors, and what their numbers belong to.

    Attributes:
        n_state: numbers of a state; with a quaternion they are more than its tangents.
        n_action: numbers of an action.
        n_target: numbers to predict: one for each row of the Jacobian.
        state_of_target: the place in the state of what each target is the next of; of a rotation's three, they are
            the last three of the quaternion's four.
        bodies: the body that each number of the state, and then of the action, belongs to; None where there is none.
    """

    n_state: int
    n_action: int
    n_target: int
    state_of_target: tuple[int, ...]
    bodies: tuple[str | None, ...]


class WorldModel(Protocol):
    """A model of the dynamics. Its constructor takes its settings by keyword, and has a default for each.

    Methods take one sample, and are batched by ``jax.vmap``. States and actions have mean 0 and deviation 1. A model
    may have a fourth method, ``loss(params, state, action, target, key)``: a number that takes the place of the mean
    squared error, in training and validation, for a model that is not trained by its prediction alone.
    """

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training."""
        ...

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the normalized target, (n_target,), given a state, (n_state,), and an action, (n_action,)."""
        ...

    def graph(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return how much each target depends on each input, (n_target, n_state + n_action); 0 for not at all.

        This default, the absolute Jacobian, holds for a class that inherits it, or has no such method.
        """
        by_state, by_action = jax.jacfwd(self.predict, (1, 2))(params, state, action)
        return jnp.abs(jnp.concatenate([by_state, by_action], axis=1))


def own_graph(model: WorldModel) -> Any:
    """Return a model's method `graph`; None if its class has none but the default."""
    return model.graph if getattr(type(model), "graph", WorldModel.graph) is not WorldModel.graph else None


def own_loss(model: WorldModel) -> Any:
    """Return a model's method `loss`; None if it has none."""
    return getattr(model, "loss", None)
