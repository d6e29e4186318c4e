"""The interface of a policy: five members."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float


@runtime_checkable
class Policy(Protocol):
    """A policy: it draws its randomness for a whole episode beforehand, and maps observations to actions on the device.

    An episode's randomness depends on (seed, episode) alone: the rows of an episode are the same whatever is
    rolled out beside it.
    """

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """Return all that determines its actions, besides the seed."""
        ...

    def act_settings(self) -> dict[str, Any]:
        """Return those of its settings that ``act`` depends on: compiled programs are told apart by them."""
        ...

    def noise(self, seed: int, episode: int, steps: int, d_action: int) -> Float[np.ndarray, "steps d_action"]:
        """Draw the episode's random numbers, on the host."""
        ...

    def act(self, obs: Any, noise: Float[Array, " d_action"]) -> Float[Array, " d_action"]:
        """Return the action for an observation of the environment; traced by JAX, float64."""
        ...
