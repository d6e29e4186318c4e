"""JAX as jacdb needs it: float64, and compiled code that outlives the process."""

import os
from pathlib import Path

import jax


def cache_folder() -> Path:
    """The user's cache folder for jacdb (XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jacdb"


def configure() -> None:
    """Switch JAX to float64 and to a persistent compilation cache. Once for the process, before any tracing.

    A compilation folder of the user's own (JAX_COMPILATION_CACHE_DIR) is kept.
    """
    jax.config.update("jax_enable_x64", True)
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
