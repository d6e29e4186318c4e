"""Playground behind public names, and repairs of Playground 0.2 and MJX for float64 and derivatives on JAX 0.12.

Each replaces one name in one module, and leaves all values as they are, up to rounding.
"""

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.typing import ArrayLike
from jaxtyping import Array
from mujoco import mjx
from mujoco.mjx._src import smooth
from mujoco.mjx._src.types import WrapType
from mujoco_playground import MjxEnv
from mujoco_playground._src import mjx_env
from mujoco_playground._src.manipulation.aero_hand import rotate_z
from mujoco_playground._src.manipulation.franka_emika_panda import panda_kinematics
from mujoco_playground._src.manipulation.franka_emika_panda_robotiq import push_cube
from mujoco_playground._src.manipulation.leap_hand import reorient

WRITTEN_AGAINST = {"playground": "0.2.0"}
# Modules that call jnp.clip(a_max=…), a name that JAX 0.12 no longer has
CALLS_CLIP_BY_A_MAX = (reorient, push_cube)
# Modules that name float32 where others take JAX's default, and so round joint angles and ctrl, derivatives included
NAMES_FLOAT32 = (panda_kinematics, rotate_z)
MENAGERIE_COMMIT: str = mjx_env.MENAGERIE_COMMIT_SHA  # that Playground's environments are made for

type Physics = Callable[[mjx.Model, mjx.Data, Array, int], mjx.Data]
type Project = Callable[[mjx.Model, Array], Array]  # tangent_space.tangent_project


def read_robots_from(folder: Path) -> None:
    """Make Playground read robots from this checkout of MuJoCo Menagerie."""
    mjx_env.MENAGERIE_PATH = epath.Path(folder)


def robots_folder() -> str:
    """Return the folder that Playground reads robots from."""
    return str(mjx_env.MENAGERIE_PATH)


def episode_length(env: MjxEnv) -> int:
    """Return the environment's own length of an episode, in control steps."""
    return int(env._config.episode_length)


@functools.cache
def install(tangent_project: Project) -> None:
    """Put all repairs in place, once for the process.

    Args:
        tangent_project: :func:`jacdb.ingest.environments.tangent_space.tangent_project`.
    """
    for module in CALLS_CLIP_BY_A_MAX:
        module.jp = _overlay(jnp, clip=_clip)
    for module in NAMES_FLOAT32:
        module.jp = _overlay(jnp, float32=jnp.float64)
    smooth.tendon = _moment_as_derivative(smooth.tendon, tangent_project)


def _overlay(module: types.ModuleType, **names: Any) -> types.ModuleType:
    """Return a module that has these names, and all others from ``module``."""
    overlay = types.ModuleType(module.__name__)
    overlay.__dict__.update(names, __getattr__=functools.partial(getattr, module))
    return overlay


def _clip(x: ArrayLike, *bounds: ArrayLike, a_max: ArrayLike | None = None) -> Array:
    """Clip as ``jnp.clip`` does, and know the upper bound by its former name, too."""
    return jnp.clip(x, *bounds) if a_max is None else jnp.clip(x, max=a_max)


def _moment_as_derivative(tendon: Callable[..., mjx.Data], tangent_project: Project) -> Callable[..., mjx.Data]:
    """Return MJX's tendon stage, whose lengths are differentiated by MJX's own tendon Jacobian.

    Some tendons of AeroCubeRotateZAxis touch a cylinder without wrapping it. Their arc has length 0, and MJX takes a
    square root of it, whose derivative is NaN. The tendon Jacobian is the same derivative, and finite.
    """

    @functools.wraps(tendon)
    def computed(model: mjx.Model, data: mjx.Data) -> mjx.Data:
        done = tendon(model, data)
        if not np.isin(model.wrap_type, (WrapType.SPHERE, WrapType.CYLINDER)).any():
            return done
        hold = jax.lax.stop_gradient
        moved = tangent_project(model, hold(data.qpos)) @ (data.qpos - hold(data.qpos))
        return done.replace(ten_length=hold(done.ten_length) + hold(done._impl.ten_J) @ moved)

    return computed


@contextlib.contextmanager
def intercept_physics(physics: Physics) -> Iterator[None]:
    """Hand the physics of environments to ``physics(model, data, ctrl, n_substeps)`` within the context.

    For use while tracing, by one thread.
    """
    original = mjx_env.step
    mjx_env.step = physics
    try:
        yield
    finally:
        mjx_env.step = original
