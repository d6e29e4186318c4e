"""A run before it is made: as asked for (:class:`Request`), and with everything decided (:class:`RunPlan`)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jacdb import schemas
from jacdb.dataset.shard import Shard
from jacdb.ingest import runtime
from jacdb.ingest.compat import playground
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.policies.noise import NoisePolicy
from jacdb.ingest.provenance import as_json, model_hash, run_id, versions
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.request_checks import check_memory, check_run, step_bytes
from jacdb.methods import Method
from jacdb.schemas import ZERO_THRESHOLD
from jacdb.whole_number import whole_number


@dataclass(frozen=True)
class Request:
    """A run that a person asks for.

    Attributes:
        env: Playground's name of the environment.
        policy: chooses the actions.
        episodes: how many to roll out.
        steps: control steps after which an episode is cut; None for the environment's own length.
        num_envs: episodes stepped side by side; None for as many as ``memory`` allows and the device gains by. On a
            CPU no row depends on it; on a GPU rounding does.
        seed: of resets and policy noise.
        method: ``implicit``, ``unrolled``, ``autodiff`` or ``fd``; None for the environment's own.
        dtype: ``float32`` or ``float64``, of stored matrix entries; zeros are decided in float64 before.
        memory: GiB that the matrices of unfinished episodes may take on the host.
        shard: which part of the run to make; None for all of it. No row depends on it, nor does the run's name.
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
    shard: Shard | None = None

    def __post_init__(self) -> None:
        for name in ("episodes", "steps", "num_envs", "seed"):
            value = getattr(self, name)
            if value is not None or name in ("episodes", "seed"):
                vars(self)[name] = whole_number(name, value)  # a run's id is made of JSON, which has none of NumPy's
        check_run(self)


@dataclass(frozen=True)
class RunPlan:
    """A request with everything decided that it left open: what determines a run's rows, and its name.

    Attributes:
        request: as asked for.
        rollout: what determines the rows of each episode.
        model_hash: of MuJoCo's compiled model.
        run_id: a name made of everything that determines the rows, so that equal runs have equal names.
    """

    request: Request
    rollout: RolloutSettings
    model_hash: str
    run_id: str

    @classmethod
    def resolve(cls, request: Request, report: Callable[[str], None] = lambda doing: None) -> "RunPlan":
        """Load the environment, and decide what the request left open.

        Args:
            report: called with what is being fetched.

        Raises:
            UsageError: the request does not fit the environment, or the memory that it allows.
        """
        system = System.load(request.env, report)
        if isinstance(request.policy, ExpertPolicy):
            request.policy.network.check_obs(jax.eval_shape(system.env.reset, jax.random.key(0)).obs)
        steps = request.steps or playground.episode_length(system.env)
        rollout = RolloutSettings(
            system=system,
            policy=request.policy,
            method=request.method or system.spec.method,
            seed=request.seed,
            steps=steps,
            num_envs=_envs_in_memory(request, system.spec, steps),
            dtype=np.dtype(request.dtype).type,
        )
        model = model_hash(system)
        return cls(request, rollout, model, _run_id(request, rollout, model))

    @property
    def numbers(self) -> range:
        """Return the episodes that are asked for, by their numbers within the run."""
        shard = self.request.shard or Shard(0, 1)
        return shard.numbers(self.request.episodes)

    def trajectory_id(self, episode: int) -> int:
        """Return the id of an episode's states, given its number."""
        return self._trajectory_id(episode, self._planned(episode))

    def former_trajectory_id(self, episode: int) -> int:
        """Return the id that it had before 1.0, when the length that noise was drawn for played no part."""
        return self._trajectory_id(episode)

    def _trajectory_id(self, episode: int, planned: int | None = None) -> int:
        request = self.request
        determining = request.env, request.policy.name, as_json(request.policy.settings()), request.seed
        return schemas.trajectory_id(*determining, self.model_hash, episode, planned)

    def _planned(self, episode: int) -> int | None:
        """Return the length that an episode's noise is drawn for, if that of the environment's own length is another.

        Coloured noise is drawn for all steps at once. What is drawn step by step, or not at all, begins alike.
        """
        system, steps = self.rollout.system, self.rollout.steps
        own_steps = playground.episode_length(system.env)
        if steps == own_steps:
            return None
        drawn, own = (
            self.request.policy.noise(self.request.seed, episode, length, system.spec.d_action)
            for length in (steps, own_steps)
        )
        both = min(steps, own_steps)
        return None if np.array_equal(drawn[:both], own[:both]) else steps

    def matrix_bytes(self, rows: int) -> int:
        """Return what the matrices of so many rows take: nearly all that a run takes."""
        return rows * step_bytes(self.rollout.system.spec, self.request.dtype)

    def settings(self) -> dict[str, Any]:
        """Return what the run's log says of it."""
        return {
            **self.request.policy.settings(),
            "episodes": self.request.episodes,
            "steps": self.rollout.steps,
            "num_envs": self.rollout.num_envs,
            **({"shard": self.request.shard.words} if self.request.shard else {}),
        }

    def row(self) -> dict[str, Any]:
        """Return the columns of the run's row in `runs` that are known beforehand."""
        system = self.rollout.system
        return {
            "policy_config": as_json(self.request.policy.settings()),
            "seed": self.request.seed,
            "episodes": len(self.numbers),
            "steps": self.rollout.steps,
            "num_envs": self.rollout.num_envs,
            "method": self.rollout.method,
            "dtype": self.request.dtype,
            "zero_threshold": ZERO_THRESHOLD,
            "residual_tolerance": self.rollout.tolerance,
            "d_state": system.spec.d_state,
            "d_action": system.spec.d_action,
            "ctrl_dt": float(system.env.dt),
            "sim_dt": float(system.env.sim_dt),
            "held": list(system.spec.held),
            "model": self.model_hash,
            "versions": as_json(versions()),
            "schema_version": schemas.SCHEMA_VERSION,
            "suite": schemas.PLAYGROUND,
        }


def _envs_in_memory(request: Request, spec: EnvSpec, steps: int) -> int:
    """Return how many episodes to step side by side: what was asked for, or what fits.

    Raises:
        UsageError: what was asked for, or a single episode, does not fit.
    """
    check_memory(spec, steps, request.num_envs, request.episodes, request.dtype, request.memory)
    episode = steps * step_bytes(spec, request.dtype) / 2**30  # GiB
    fitting = request.num_envs or min(runtime.envs_of_device(), int(request.memory / episode))
    return min(fitting, request.episodes)


def _run_id(request: Request, rollout: RolloutSettings, model: str) -> str:
    """Return the run's name, made of all that determines its rows."""
    determining = {
        "env": request.env,
        "policy": request.policy.settings(),
        "episodes": request.episodes,
        "steps": rollout.steps,
        "seed": request.seed,
        "method": rollout.method,
        "dtype": request.dtype,
        "threshold": ZERO_THRESHOLD,
        "tolerance": rollout.tolerance,
        "schema": schemas.SCHEMA_VERSION,
        "model": model,
        "versions": versions(),
    }
    return run_id(request.policy.name, request.seed, determining)
