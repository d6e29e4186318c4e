"""Gymnasium's MuJoCo environments: loaded, and rolled out by the environment itself."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mujoco

from jacdb.errors import UsageError, first_line
from jacdb.ingest.models.loading import silence_warnings
from jacdb.ingest.sources import suites
from jacdb.ingest.sources.episode_recorder import EpisodeRecorder
from jacdb.ingest.sources.rollouts import Rollouts, reset_seed
from jacdb.ingest.sources.trajectory import Trajectory

if TYPE_CHECKING:
    from gymnasium.envs.mujoco import MujocoEnv

SUITE = "gymnasium"


def load(name: str, **options: Any) -> tuple[mujoco.MjModel, int, dict[str, str]]:
    """Return the model of an environment, the physics steps in one of its steps, and the versions of what made it.

    Args:
        name: Gymnasium's id, ``HalfCheetah-v5`` say; any id whose environment is a ``MujocoEnv`` will do.
        options: as for ``gymnasium.make``.

    Raises:
        UsageError: Gymnasium is not installed, has no such environment, or it is not one of MuJoCo's.
    """
    env = make(name, **options)
    return env.model, env.frame_skip, versions()


def check(name: str) -> None:
    """Refuse an environment that Gymnasium does not have, without making it.

    Raises:
        UsageError: Gymnasium is not installed, or has no such environment.
    """
    suites.require(SUITE)
    import gymnasium

    if ":" in name:  # a module that registers it, which `make` imports
        return
    try:
        gymnasium.spec(name)
    except gymnasium.error.UnregisteredEnv as error:
        raise UsageError(f"gymnasium can't make {name!r}: {first_line(error)}") from error
    except gymnasium.error.Error:
        return  # a name without its version is one of `make`'s, which says what it does not take


def make(name: str, **options: Any) -> "MujocoEnv":
    """Return Gymnasium's environment without its wrappers: they limit time and check, and leave the physics alone.

    Raises:
        UsageError: as :func:`load`.
    """
    suites.require(SUITE)
    import gymnasium
    from gymnasium.envs.mujoco import MujocoEnv

    silence_warnings()
    try:
        with warnings.catch_warnings(action="ignore"):  # of versions before v5
            env = gymnasium.make(name, disable_env_checker=True, **options).unwrapped
    except (gymnasium.error.Error, ImportError, TypeError, ValueError, OSError) as error:
        raise UsageError(f"gymnasium can't make {name!r}: {first_line(error)}") from error
    if not isinstance(env, MujocoEnv):
        raise UsageError(f"gymnasium's {name!r} has no MuJoCo model: give a MuJoCo environment, HalfCheetah-v5 say")
    return env


def versions() -> dict[str, str]:
    """Return the versions of what determines an environment's steps."""
    return {SUITE: suites.version(SUITE) or "", "mujoco": mujoco.__version__}


@dataclass(frozen=True)
class GymnasiumSource:
    """Episodes of one of Gymnasium's environments, a :class:`~jacdb.ingest.sources.trajectory.Source`.

    The environment resets, steps, rewards and terminates as it does for anyone. Its action is ctrl itself, in all
    eleven, in ctrl's own range.
    """

    name: str
    env: "MujocoEnv"
    asked: Rollouts
    suite: str = SUITE

    @classmethod
    def load(cls, name: str, asked: Rollouts) -> "GymnasiumSource":
        """Load an environment of the table.

        Raises:
            UsageError: as :func:`jacdb.ingest.sources.suites.find` and :func:`load`.
        """
        return cls(name, make(suites.find(f"{SUITE}:{name}").name), asked)

    @property
    def model(self) -> mujoco.MjModel:
        return self.env.model

    @property
    def n_substeps(self) -> int:
        return self.env.frame_skip

    def provenance(self) -> dict[str, str]:
        return {"source": self.name, "source_version": f"{SUITE} {versions()[SUITE]}"}

    def n_episodes(self) -> int:
        return self.asked.episodes

    def trajectories(self, numbers: range | None = None) -> Iterator[Trajectory]:
        for episode in range(self.asked.episodes) if numbers is None else numbers:
            yield self._episode(episode)

    def _episode(self, episode: int) -> Trajectory:
        asked, env = self.asked, self.env
        act = asked.policy.begin(env.model, asked.seed, episode, asked.steps)
        obs, _ = env.reset(seed=reset_seed(asked.seed, episode))
        recorder = EpisodeRecorder(env.model, env.data)
        for step in range(asked.steps):
            action = act(step, obs)
            recorder.before()
            obs, reward, terminated, _, _ = env.step(action)
            if not recorder.after(float(reward), bool(terminated)):
                break
        return recorder.trajectory()
