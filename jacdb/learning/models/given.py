"""Dynamics that somebody else has: a function of JAX from state and action, in their units, to the next state."""

from collections.abc import Callable

import jax

from jacdb.learning.coordinates import Coordinates
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


class GivenDynamics(WorldModel):
    """A function x' = f(x, u) as a model without parameters."""

    def __init__(self, step: Callable[[jax.Array, jax.Array], jax.Array], coordinates: Coordinates) -> None:
        """
        Args:
            step: given a state, (n_state,), and an action, (n_action,), in their units, it returns the next state.
            coordinates: of the problem on which it is scored.
        """
        self._step, self._coordinates = step, coordinates

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return no parameters."""
        return ()

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return the normalized target that the function's next state is."""
        x, u = self._coordinates.restored(state, action)
        return self._coordinates.normalized_target(x, self._step(x, u))
