"""Files and folders that exist whole or not at all: written under a draft's name, renamed when they are whole."""

import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jacdb import interruption
from jacdb.errors import telling_writes

SUFFIX = ".tmp"  # whoever lists a dataset's files leaves out what ends so
_LONG = 100  # bytes: the name of a draft has 36 more, and some file systems take 143 in all
_WRITER = re.compile(r"jacdb-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}")
# A draft can't be made here, can't have the owner of the file, or can't take its place: a mount point is busy.
_NO_DRAFT = (
    errno.EACCES, errno.EPERM, errno.EINVAL, errno.EBUSY, errno.EXDEV, errno.EROFS, errno.ENAMETOOLONG
)  # fmt: skip
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write under. The caller renames the draft to its own name when it is whole.

    A draft that the caller has not renamed when the context ends, a file or a folder, is removed.
    """
    writer = f"jacdb-{_process_space()}-{os.getpid()}-{secrets.token_hex(4)}"
    draft = path.with_name(f"{_stem(path)}.{writer}{SUFFIX}")
    try:
        with interruption.at_stop(lambda: _remove(draft)):
            yield draft
    finally:
        _remove(draft)


def remove_abandoned(path: Path) -> None:
    """Remove the drafts of a file or folder whose writers were killed, where that is certain and they can be removed.

    Those of writers at work stay, and those of other nodes, containers and starts of the system, whose processes can't
    be asked for.
    """
    stem = _stem(path)
    with suppress(OSError):  # a folder that may not be listed
        for draft in path.parent.glob(f"{glob.escape(stem)}.jacdb-*{SUFFIX}"):
            writer = _WRITER.fullmatch(draft.name[len(stem) + 1 : -len(SUFFIX)])
            if writer and writer[1] == _process_space() and not _is_at_work(int(writer[2])):
                with suppress(OSError):  # another user's
                    _remove(draft)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a person named; until it is whole, what had its name stays.

    A link stays, and what it points to is written. A file that is replaced keeps its owner, permissions and attributes,
    a new one has those of the umask. What has to stay the same file is written in place: one with several names, a
    mount point, one whose owner can't be kept, one in a folder that may not be written. Pipes, devices and this
    process's own descriptors, as /dev/stdout is, are written to as they are.

    Raises:
        FailureError: it can't be written.
    """
    again = "repeat the command"
    with telling_writes(path, again):
        there = _status(path)  # of links in a circle, the system's error
        if (stream := _opened_as_it_is(path, there)) is not None:
            with stream:
                stream.write(content)
            return
    kept, lost = ("the file of before is kept", "what it held is lost") if there else ("nothing of it is left",) * 2
    target = Path(os.path.realpath(path))
    with telling_writes(path, f"{kept}; {again}"):
        if there and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        if not (there and there.st_nlink > 1) and _replace(target, there, content):
            return
        stream = _opened_in_place(target, there, len(content))
    with telling_writes(path, f"{lost}; {again}"):
        try:
            with stream:
                stream.write(content)
                stream.truncate()
                _sync(stream.fileno())
        except BaseException:
            if there is None:
                target.unlink(missing_ok=True)
            raise


def _stem(path: Path) -> str:
    """Return what the names of a file's drafts begin with: its name, or something shorter that no other has."""
    if len(os.fsencode(path.name)) <= _LONG:
        return path.name
    return f"{path.name[:20]}~{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}"


def _process_space() -> str:
    """Return a name for that within which a process's number means one process: a node since its start, a container."""
    where = socket.gethostname().encode()
    try:
        where += Path("/proc/sys/kernel/random/boot_id").read_bytes()
        where += b"%d" % Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        where += b"%d" % uuid.getnode()
    return hashlib.sha256(where).hexdigest()[:8]


def _is_at_work(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _opened_as_it_is(path: Path, there: os.stat_result | None) -> BinaryIO | None:
    """Open what is no file of a folder: one of this process's descriptors, a pipe, a device. None for all else."""
    folders = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")}
    link = path
    while True:  # its status has been asked for, so links end
        if os.path.realpath(link.parent) in folders and link.name.isdecimal():
            # not by its name, which would empty what `>>` goes on with
            return os.fdopen(os.dup(int(link.name)), "wb")
        if not link.is_symlink():
            break
        link = link.parent / link.readlink()
    return path.open("wb") if there and not stat.S_ISREG(there.st_mode) else None


def _replace(target: Path, there: os.stat_result | None, content: bytes) -> bool:
    """Write a draft and give it the file's name; return whether that can be done here."""
    remove_abandoned(target)
    try:
        with draft_of(target) as draft:
            # closed to others until it has the permissions of the file
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if there else 0o666)
            with os.fdopen(descriptor, "wb") as stream:
                if there:
                    _take_over(there, target, draft)
                stream.write(content)
                stream.flush()
                _sync(descriptor)
            draft.replace(target)
    except OSError as error:
        if error.errno in _NO_DRAFT:
            return False
        raise
    return True


def _take_over(there: os.stat_result, target: Path, draft: Path) -> None:
    """Give a draft the owner, group, permissions and attributes of the file that it is to replace."""
    new = draft.stat()
    if (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
        os.chown(draft, there.st_uid, there.st_gid)
    shutil.copystat(target, draft)
    os.utime(draft)


def _opened_in_place(target: Path, there: os.stat_result | None, size: int) -> BinaryIO:
    """Open a file to be overwritten; what it holds is untouched yet, and there is room where the system can tell."""
    stream = os.fdopen(os.open(target, os.O_WRONLY | (0 if there else os.O_CREAT), 0o666), "wb")
    try:
        if there and size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
    except BaseException as error:
        if not isinstance(error, OSError) or error.errno in _NO_ROOM:
            with stream:
                os.ftruncate(stream.fileno(), there.st_size if there else 0)
            raise
    return stream


def _sync(descriptor: int) -> None:
    """Have the system write a file out, where its file system can be told to."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


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
