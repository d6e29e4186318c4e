"""Gymnasium's MuJoCo environments."""

import logging
import warnings
from typing import TYPE_CHECKING, Any

import mujoco

from jacdb.errors import UsageError, first_line
from jacdb.ingest.sources import suites

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


def make(name: str, **options: Any) -> "MujocoEnv":
    """Return Gymnasium's environment without its wrappers: they limit time and check, and leave the physics alone.

    Raises:
        UsageError: as :func:`load`.
    """
    suites.require(SUITE)
    import gymnasium
    from gymnasium.envs.mujoco import MujocoEnv

    # MuJoCo would print its warnings and leave a MUJOCO_LOG.TXT in the user's folder.
    mujoco.set_mju_user_warning(logging.getLogger("mujoco").info)
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
