"""Files on their way to the disk while they grow, and names that outlive a power cut."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**20


class DurableFile:
    """A growing file whose beginning is on the disk already, summed up, and out of the page cache.

    A thread of its own does it, so that little is left to do at the file's end. Pages that the system need not keep
    serve for what is written next. Where memory is lent to the system page by page, as to a virtual machine, each new
    one costs: a part's took more than half as long to come by as its rows to encode (docs/performance.md).
    """

    def __init__(self, file: BinaryIO, thread: ThreadPoolExecutor) -> None:
        self._file, self._thread = file, thread
        self._sum = hashlib.sha256()
        self._at_work: Future[None] | None = None

    def advance(self, size: int) -> None:
        """Note that so much of the file will not change any more. Left for the next time if the thread is still busy.

        Raises:
            OSError: an earlier stretch did not get to the disk.
        """
        if self._at_work is None or self._at_work.done():
            self._begin(size)

    def checksum(self) -> str:
        """Return the file's SHA-256, once all of it is on the disk.

        Raises:
            OSError: it did not get there.
        """
        self._begin(os.fstat(self._file.fileno()).st_size)
        self._finished()
        return self._sum.hexdigest()

    def _begin(self, size: int) -> None:
        self._finished()
        self._at_work = self._thread.submit(self._settle, size)

    def _finished(self) -> None:
        if self._at_work:
            self._at_work.result()

    def _settle(self, size: int) -> None:
        os.fsync(self._file.fileno())
        while block := self._file.read(min(_BLOCK, size - self._file.tell())):
            self._sum.update(block)
        if hasattr(os, "posix_fadvise"):  # not everywhere; only what is on the disk can be let go of
            os.posix_fadvise(self._file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[DurableFile]:
    """Open a new file for :class:`DurableFile`; somebody else opens and writes it."""
    with path.open("wb+", buffering=0) as file, ThreadPoolExecutor(1) as thread:
        yield DurableFile(file, thread)


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
