"""What Playground 0.2 needs besides, to run on JAX 0.12 in float64: names replaced within single modules of it."""

import functools
import types
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array
from mujoco_playground._src.manipulation.aero_hand import rotate_z
from mujoco_playground._src.manipulation.franka_emika_panda import panda_kinematics
from mujoco_playground._src.manipulation.franka_emika_panda_robotiq import push_cube
from mujoco_playground._src.manipulation.leap_hand import reorient


@functools.cache
def install() -> None:
    """Put them in place, once; ``jax.numpy`` itself stays as it is."""
    for module in (reorient, push_cube):
        module.jp = _overlay(jnp, clip=_clip)
    # These name float32 where others take JAX's default, and so round joint angles and ctrl, derivatives included.
    for module in (panda_kinematics, rotate_z):
        module.jp = _overlay(jnp, float32=jnp.float64)


def _clip(x: ArrayLike, *bounds: ArrayLike, a_max: ArrayLike | None = None) -> Array:
    """``jnp.clip``, with the name of its upper bound that JAX 0.12 no longer knows."""
    return jnp.clip(x, *bounds) if a_max is None else jnp.clip(x, max=a_max)


def _overlay(module: types.ModuleType, **names: Any) -> types.ModuleType:
    """A module that has these names, and all others from ``module``."""
    overlay = types.ModuleType(module.__name__)
    overlay.__dict__.update(names, __getattr__=functools.partial(getattr, module))
    return overlay
