"""Provenance of a run: its model, and the versions of everything that changes numbers."""

import functools
import hashlib
import importlib.metadata
import json
import platform
from typing import Any

import jax

from jacdb._version import __version__
from jacdb.ingest.environments.loading import System
from jacdb.ingest.models.loading import hash_of

# A release in which any change changes rows, be it by a rounding that moves an entry across the threshold, has a number
# of its own: runs of two engines have two names. It is raised once per release, by the first such change. A later one
# before the release leaves the number: runs of in between keep their names, and CHANGELOG.md says which to make again.
# Engine 1 is all that came before engines had numbers.
ENGINE_VERSION = 3

NUMERIC_PACKAGES = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "playground", "numpy", "colorednoise")


def model_hash(system: System) -> str:
    """Return a hash of the environment's model: robots come from folders that anyone may have changed."""
    return hash_of(system.mj_model)


def as_json(settings: dict[str, Any]) -> str:
    """Return settings as JSON; equal ones give equal text, of which ids are made."""
    return json.dumps(settings, sort_keys=True)


def run_id(policy: str, seed: int, determining: dict[str, Any]) -> str:
    """Return a run's name.

    Args:
        policy, seed: which people know it by.
        determining: all that determines its rows. Its JSON may not change by a byte, or runs on disk would no longer be
            found.
    """
    digest = hashlib.blake2b(as_json(determining).encode(), digest_size=5).hexdigest()
    return f"{policy}-seed{seed}-{digest}"


@functools.cache
def versions() -> dict[str, str | int]:
    """Return the versions of everything that may change a row's numbers."""
    installed = {name: importlib.metadata.version(name) for name in NUMERIC_PACKAGES}
    device = jax.devices()[0]
    own = {"jacdb": __version__, "engine": ENGINE_VERSION, "python": platform.python_version()}
    return {**own, **installed, "device": device.device_kind}


def versions_of_programs() -> dict[str, str | int]:
    """Return the versions of everything that may change a compiled program: Python runs none of it."""
    return {name: version for name, version in versions().items() if name != "python"}
