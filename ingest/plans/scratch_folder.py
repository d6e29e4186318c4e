"""A folder for what is on its way, removed afterwards; what killed processes have left of theirs is removed, too."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from jacdb.errors import FailureError

PREFIX = "jacdb-scratch-"
LOCK = "lock"  # held while the folder is used: a killed process lets go of it
YOUNG = 60.0  # seconds: so young a folder may not have its lock yet


@contextlib.contextmanager
def scratch_folder(top: Path) -> Iterator[Path]:
    """Yield a new folder in ``top`` that is this process's own while the context is open.

    Raises:
        FailureError: a folder can't be made or locked there.
    """
    _remove_left(top)
    with contextlib.ExitStack() as kept:
        try:
            made = tempfile.TemporaryDirectory(prefix=PREFIX, dir=top, ignore_cleanup_errors=True)
            folder = Path(kept.enter_context(made))
            kept.enter_context(filelock.FileLock(folder / LOCK, fallback_to_soft=False))
        except OSError as error:
            reason = error.strerror or str(error)
            raise FailureError(f"no folder can be made and locked in {top}/ ({reason})") from error
        yield folder


def _remove_left(top: Path) -> None:
    """Remove folders whose process ended without doing so."""
    for left in top.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError, filelock.Timeout):  # it is at work, or somebody else's
            if time.time() - left.parent.stat().st_mtime > YOUNG:
                with filelock.FileLock(left, timeout=0, fallback_to_soft=False):
                    shutil.rmtree(left.parent)
