"""Finds out whether the simulator is installed: the `ingest` extra, that only making and replaying steps needs."""

import importlib.util

from jacdb.errors import UsageError

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


def require() -> None:
    """Refuse what needs the simulator if it is not installed.

    Raises:
        UsageError: a package of it is missing.
    """
    if name := missing():
        raise UsageError(f"this needs the simulator, and {name} is missing: pip install 'jacdb[ingest]'")
