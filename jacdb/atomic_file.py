"""Files and folders that exist whole or not at all: written under a draft's name, renamed when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jacdb import interruption

SUFFIX = ".tmp"  # whoever lists a dataset's files leaves out what ends so


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write under. The caller renames the draft to its own name when it is whole.

    A draft that the caller has not renamed when the context ends, a file or a folder, is removed.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}")
    try:
        with interruption.at_stop(lambda: _remove(draft)):
            yield draft
    finally:
        _remove(draft)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts in a folder, which writers that were killed have left. Hold it against others first."""
    for draft in folder.glob(f"*{SUFFIX}"):
        _remove(draft)


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Not every system lets a folder be opened; there the rename has to do."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft)
    else:
        draft.unlink(missing_ok=True)
