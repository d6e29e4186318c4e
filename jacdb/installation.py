"""List what is installed, and where jacdb keeps things: what a bug report needs."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

from jacdb import user_cache
from jacdb._version import __version__

# Packages whose versions matter, by what needs them
PACKAGES = {
    "reading": ("duckdb", "polars", "pyarrow", "numpy", "matplotlib", "huggingface-hub"),
    "ingest": ("jax", "jaxlib", "mujoco", "mujoco-mjx", "playground", "brax", "colorednoise", "safetensors"),
    "learn": ("optax",),
    "other": ("gymnasium", "dm_control", "minari", "scikit-learn", "torch"),
}
VARIABLES = ("JACDB_DATA", "JACDB_CORES", "JACDB_HUB", "MENAGERIE_ROOT", "JAX_COMPILATION_CACHE_DIR")


def cores() -> int:
    """Return how many cores this process may use: JACDB_CORES, if it is set and not more than there are."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("JACDB_CORES", "")
    return min(there, int(asked)) if asked.isdecimal() and int(asked) else there


def facts(devices: bool = False) -> list[dict[str, str]]:
    """Return rows of ``what`` and ``value``: versions, caches with their sizes, and variables that are set.

    Args:
        devices: list what JAX computes on, too; importing it takes a second.
    """
    rows = {
        "jacdb": __version__,
        "installed in": str(Path(__file__).parent),
        "python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "processors": str(cores()),
    }
    for need, packages in PACKAGES.items():
        rows |= {f"{need}: {name}": _version(name) for name in packages}
    compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(user_cache.folder() / "xla")
    rows["cache: compiled code"] = _sized(Path(compiled))
    models = os.environ.get("MENAGERIE_ROOT") or str(user_cache.folder() / "menagerie")
    rows["cache: robot models"] = _sized(Path(models))
    rows |= {f"variable: {name}": os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if git := shutil.which("git"):
        rows["git"] = git
    if devices:
        rows["devices"] = _devices()
    return [{"what": what, "value": value} for what, value in rows.items()]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _sized(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} (not there yet)"
    if os.environ.get("MENAGERIE_ROOT") != str(folder):  # a checkout has a hundred thousand files
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return f"{folder} ({size / 1e6:,.0f} MB)"
    return str(folder)


def _devices() -> str:
    if importlib.util.find_spec("jax") is None:
        return "JAX is not installed: pip install 'jacdb[ingest]'"
    import jax

    return ", ".join(f"{device.platform}: {device.device_kind}" for device in jax.devices())
