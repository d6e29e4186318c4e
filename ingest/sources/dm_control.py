"""dm_control's suite: loaded, and rolled out by the environment itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco

from jacdb.errors import UsageError, first_line
from jacdb.ingest.models.loading import silence_warnings
from jacdb.ingest.sources import suites
from jacdb.ingest.sources.episode_recorder import EpisodeRecorder
from jacdb.ingest.sources.rollouts import Rollouts, reset_seed
from jacdb.ingest.sources.trajectory import Trajectory

SUITE = "dm_control"
MODEL_SEED = 0  # lqr draws its springs when it is made: one name is one model


def load(name: str) -> tuple[mujoco.MjModel, int, dict[str, str]]:
    """Return the model of an environment, the physics steps in one of its steps, and the versions of what made it.

    The model is as it is after a reset, by which some tasks change it: finger-spin its hinge's damping, say.

    Args:
        name: domain and task, ``walker-run`` say.

    Raises:
        UsageError: dm_control is not installed or can't be loaded with this MuJoCo, or has no such environment.
    """
    env = make(name)
    return env.physics.model.ptr, _substeps(env), versions()


def make(name: str) -> Any:
    """Return dm_control's environment, after its first reset.

    Raises:
        UsageError: as :func:`load`.
    """
    known = suites.find(f"{SUITE}:{name}")
    suites.require(SUITE)
    from jacdb.ingest.compat import dm_control as compat_dm_control

    silence_warnings()
    try:
        suite = compat_dm_control.load_suite()
        # without a limit of time: an episode is cut where it is asked to be
        task = {"random": MODEL_SEED, "time_limit": math.inf}
        env = suite.load(*known.name.split("-"), task_kwargs=task)
        env.reset()
    except Exception as error:  # whatever another version of dm_control makes of this MuJoCo
        raise UsageError(
            f"dm_control {suites.version(SUITE)} does not load {name} with mujoco {mujoco.__version__}"
            f" ({type(error).__name__}: {first_line(error)}): pip install 'jacdb[dm_control]' has versions that do"
        ) from error
    return env


def versions() -> dict[str, str]:
    """Return the versions of what determines an environment's steps."""
    return {SUITE: suites.version(SUITE) or "", "mujoco": mujoco.__version__}


def _substeps(env: Any) -> int:
    return round(env.control_timestep() / env.physics.timestep())


@dataclass(frozen=True)
class DmControlSource:
    """Episodes of one of dm_control's environments, a :class:`~jacdb.ingest.sources.trajectory.Source`.

    The environment resets, steps, rewards and terminates as it does for anyone. Its action is ctrl itself. A policy of
    one's own observes the task's dict of observations.
    """

    name: str
    env: Any
    asked: Rollouts
    suite: str = SUITE

    @classmethod
    def load(cls, name: str, asked: Rollouts) -> "DmControlSource":
        """Load an environment of the table.

        Raises:
            UsageError: as :func:`jacdb.ingest.sources.suites.find` and :func:`load`.
        """
        return cls(name, make(name), asked)

    @property
    def model(self) -> mujoco.MjModel:
        return self.env.physics.model.ptr

    @property
    def n_substeps(self) -> int:
        return _substeps(self.env)

    def provenance(self) -> dict[str, str]:
        return {"source": self.name, "source_version": f"{SUITE} {versions()[SUITE]}"}

    def n_episodes(self) -> int:
        return self.asked.episodes

    def trajectories(self, numbers: range | None = None) -> Iterator[Trajectory]:
        for episode in range(self.asked.episodes) if numbers is None else numbers:
            yield self._episode(episode)

    def _episode(self, episode: int) -> Trajectory:
        asked, env = self.asked, self.env
        act = asked.policy.begin(self.model, asked.seed, episode, asked.steps)
        env.task.random.seed(reset_seed(asked.seed, episode))
        recorder = EpisodeRecorder(self.model, env.physics.data.ptr)
        now = env.reset()
        with env.physics.suppress_physics_errors():  # the recorder sees them
            for step in range(asked.steps):
                action = act(step, now.observation)
                recorder.before()
                now = env.step(action)
                if not recorder.after(float(now.reward), now.last()):
                    break
        return recorder.trajectory()
