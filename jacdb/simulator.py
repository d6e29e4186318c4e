"""Finds out whether the simulator is installed: the `ingest` extra, that only making and replaying steps needs."""

import importlib.util

NEEDED = ("jax", "jaxtyping", "mujoco", "mujoco.mjx", "mujoco_playground", "brax", "colorednoise", "filelock",
          "safetensors")  # fmt: skip


def missing() -> str | None:
    """Return the first package of the simulator that is not installed; None if all are."""
    for name in NEEDED:
        try:
            spec = importlib.util.find_spec(name)
        except ImportError:
            spec = None
        if spec is None:
            return name
    return None
