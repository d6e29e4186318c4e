"""The request for episodes that all rollouts share, whatever is rolled out."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jacdb.ingest.sources.host_policies import HostPolicy


@dataclass(frozen=True)
class Rollouts:
    """Episodes that are asked for.

    Attributes:
        policy: what chooses ctrl.
        episodes: how many.
        steps: control steps at which an episode is cut, if it has not ended by itself.
        seed: of initial states and actions: an episode depends on (seed, episode) alone.
    """

    policy: HostPolicy
    episodes: int
    steps: int
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return all that determines the episodes, besides what is rolled out."""
        return {"policy": self.policy.settings(), "episodes": self.episodes, "steps": self.steps, "seed": self.seed}


def reset_seed(seed: int, episode: int) -> int:
    """Return the seed of an episode's reset, under 2^32: what both suites take."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])
