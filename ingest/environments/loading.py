"""Loads an environment: Playground's object on the JAX implementation of MJX, and MuJoCo's models of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import mujoco
from mujoco import mjx
from mujoco_playground import MjxEnv
from mujoco_playground import registry as playground_registry

from jacdb.errors import UsageError
from jacdb.ingest import runtime
from jacdb.ingest.compat import playground
from jacdb.ingest.environments import menagerie, registry
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.environments.tangent_space import tangent_project
from jacdb.ingest.models import features


@dataclass(frozen=True)
class System:
    """An environment, loaded: its facts, Playground's object, and MuJoCo's models of it."""

    spec: EnvSpec
    env: MjxEnv

    @classmethod
    def load(cls, name: str, report: Callable[[str], None] = lambda doing: None) -> "System":
        """Load an environment; see :func:`load_env` for what it raises."""
        runtime.configure()
        system = cls(registry.find(name), load_env(name, report))
        if system.mj_model.na:
            raise UsageError(f"{name} has actuators with activations, which are not part of the state yet")
        return system

    @property
    def mj_model(self) -> mujoco.MjModel:
        return self.env.mj_model

    @property
    def mjx_model(self) -> mjx.Model:
        return self.env.mjx_model

    @property
    def kicked(self) -> bool:
        """Return whether the environment pushes bodies by forces (xfrc_applied)."""
        return "kick" in self.spec.held


def load_env(name: str, report: Callable[[str], None] = lambda doing: None) -> MjxEnv:
    """Load an environment on the JAX implementation of MJX, the one that has derivatives.

    Fetches its robots' models first where it needs any (see :mod:`jacdb.ingest.environments.menagerie`).

    Args:
        report: told what is being fetched.

    Raises:
        UsageError: as :func:`find`, or robot models can't be reached, or a model has a feature that is not covered.
    """
    spec = registry.find(name)
    # MuJoCo would print its warnings and leave a MUJOCO_LOG.TXT in the user's folder.
    mujoco.set_mju_user_warning(logging.getLogger("mujoco").info)
    menagerie.provide(spec.robots, report)
    playground.install(tangent_project)
    # They default to impl='warp', which has no derivatives; one that leaves no choice takes MJX's default, 'jax'.
    overrides = {"impl": "jax"} if "impl" in playground_registry.get_default_config(name) else None
    try:
        env = playground_registry.load(name, config_overrides=overrides)
    except (ValueError, OSError) as error:
        if not spec.robots:
            raise
        raise UsageError(
            f"the models of {' and '.join(spec.robots)} in {playground.robots_folder()} are broken"
            f" ({str(error).strip().splitlines()[0]}): name another checkout in MENAGERIE_ROOT, or delete that folder"
        ) from error
    features.check(env.mj_model, name, engine="mjx")
    return env
