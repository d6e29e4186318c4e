"""Files and folders that exist whole or not at all: written under a draft's name, renamed when they are whole."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jacdb import interruption
from jacdb.errors import telling_writes

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


def remove_abandoned(path: Path) -> None:
    """Remove the drafts of a file or folder whose writers were killed; those of writers at work stay."""
    for draft in path.parent.glob(f"{glob.escape(path.name)}.*{SUFFIX}"):
        writer = draft.name[len(path.name) + 1 : -len(SUFFIX)]
        if writer.isdecimal() and not _is_at_work(int(writer)):
            _remove(draft)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a person named; until it is whole, what had its name stays.

    A link stays, and what it points to is written. A file that is replaced keeps its permissions, a new one has those
    of the umask. Pipes, devices and this process's own streams are written to as they are.

    Raises:
        FailureError: it can't be written.
    """
    target = path.resolve()
    there = path.exists()
    if there and (not path.is_file() or _is_own_stream(path)):
        with telling_writes(path, "repeat the command"):
            path.write_bytes(content)
        return
    kept = "the file of before is kept" if there else "nothing of it is left"
    with telling_writes(path, f"{kept}; repeat the command"):
        try:
            _replace(target, content)
        except PermissionError:
            if not there:
                raise
            path.write_bytes(content)  # a file that may be written, in a folder that may not


def _is_at_work(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True


def _replace(target: Path, content: bytes) -> None:
    remove_abandoned(target)
    with draft_of(target) as draft:
        with draft.open("wb") as stream:
            if target.exists():
                shutil.copymode(target, draft)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)


def _is_own_stream(path: Path) -> bool:
    """Return whether a path names what stdout or stderr go to, as /dev/stdout does: it must stay the same file."""
    for descriptor in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
    return False


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
