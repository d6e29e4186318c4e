"""The folder in which jacdb keeps what it can make or fetch again: compiled code and robot models."""

import functools
import os
import tempfile
from pathlib import Path


@functools.cache
def folder() -> Path:
    """Return the user's cache folder for jacdb: in XDG_CACHE_HOME, else ~/.cache, else one for temporary files.

    A user without a home, or with one that can't be written to, gets a folder of their own among the system's temporary
    files: compiled code is run, and must be nobody else's.
    """
    for base in _bases():
        if path := _own(base / "jacdb"):
            return path
    path = Path(tempfile.gettempdir()) / f"jacdb-{os.getuid()}"
    return _own(path) or Path(tempfile.mkdtemp(prefix="jacdb-"))


def _bases() -> list[Path]:
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return [*([Path(given)] if given else []), Path.home() / ".cache"]
    except RuntimeError:  # the user has no home
        return [Path(given)] if given else []


def _own(path: Path) -> Path | None:
    """Return a folder, made if it is missing, if it is the user's own and can be written to."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.stat().st_uid
    except OSError:
        return None
    return path if owner == os.getuid() and os.access(path, os.W_OK | os.X_OK) else None
