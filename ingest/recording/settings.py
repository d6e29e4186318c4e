"""The settings of a rollout: everything that determines its rows."""

from dataclasses import dataclass

import numpy as np

from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments.loading import System
from jacdb.ingest.policies.base import Policy
from jacdb.methods import Method


@dataclass(frozen=True)
class RolloutSettings:
    """Everything that determines the rows of an episode, given its number.

    Attributes:
        system: the environment.
        policy: what chooses actions.
        method: how Jacobians are computed.
        seed: of resets and noise.
        steps: control steps after which an episode is cut.
        num_envs: slots of the batch, each of which steps one episode at a time.
        tolerance: solver residual above which an implicit Jacobian is recomputed by another method.
        dtype: of stored matrix entries; zeros are decided before, in float64.
    """

    system: System
    policy: Policy
    method: Method
    seed: int
    steps: int
    num_envs: int
    tolerance: float = RESIDUAL_TOLERANCE
    dtype: type[np.floating] = np.float32

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the shapes of j_state and j_action."""
        spec = self.system.spec
        return (spec.d_state, spec.d_state), (spec.d_state, spec.d_action)
