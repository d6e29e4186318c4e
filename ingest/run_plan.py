"""What a run is to contain: as asked for, and as resolved."""

import math
from dataclasses import dataclass, field

from jacdb.errors import UsageError
from jacdb.ingest.environments.registry import METHODS, Method
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.policies.noise import NoisePolicy

# No power of two from 256 up (docs/jacobians.md), and shared evenly by many numbers of cores
MAX_ENVS = 144
MAX_COUNT = 10_000_000


@dataclass(frozen=True)
class Request:
    """What to ingest.

    Attributes:
        env: Playground's name of the environment.
        policy: what chooses the actions.
        episodes: how many.
        steps: control steps after which an episode is cut; None for the environment's own length.
        num_envs: episodes stepped side by side; None for as many as ``memory`` allows, 144 at most.
        seed: of resets and policy noise.
        method: ``implicit``, ``unrolled``, ``autodiff`` or ``fd``; None for the environment's own.
        dtype: ``float32`` or ``float64``, of stored matrix entries; zeros are decided in float64 before.
        memory: GiB that the matrices of unfinished episodes may take on the host.
    """

    env: str
    policy: Policy = field(default_factory=NoisePolicy)
    episodes: int = 8
    steps: int | None = None
    num_envs: int | None = None
    seed: int = 0
    method: Method | None = None
    dtype: str = "float32"
    memory: float = 1.0

    def __post_init__(self) -> None:
        for name in ("episodes", "steps", "num_envs"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_COUNT:
                raise UsageError(f"{name}={value}: give a whole number from 1 to {MAX_COUNT:,}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed={self.seed}: give a whole number from 0 to 2^63 - 1")
        if self.method not in (None, *METHODS):
            raise UsageError(f"unknown method {self.method!r}: give {' or '.join(METHODS)}")
        if self.dtype not in ("float32", "float64"):
            raise UsageError(f"unknown dtype {self.dtype!r}: give float32 or float64")
        if not (math.isfinite(self.memory) and self.memory > 0):
            raise UsageError(f"memory={self.memory}: give a positive number of GiB")
