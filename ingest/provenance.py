"""Provenance of a run: its model, and the versions of everything that changes numbers."""

import functools
import hashlib
import importlib.metadata
import platform

import jax
import mujoco
import numpy as np

from jacdb._version import __version__
from jacdb.ingest.environments.loading import System

NUMERIC_PACKAGES = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "playground", "numpy", "colorednoise")


def model_hash(system: System) -> str:
    """Return a hash of the compiled model: robots come from folders that anyone may have changed."""
    buffer = np.empty(mujoco.mj_sizeModel(system.mj_model), np.uint8)
    mujoco.mj_saveModel(system.mj_model, None, buffer)
    return hashlib.blake2b(buffer.tobytes(), digest_size=16).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of everything that may change a row's numbers."""
    installed = {name: importlib.metadata.version(name) for name in NUMERIC_PACKAGES}
    device = jax.devices()[0]
    return {"jacdb": __version__, "python": platform.python_version(), **installed, "device": device.device_kind}
