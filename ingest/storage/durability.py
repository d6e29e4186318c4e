"""Files on their way to the disk while they grow."""

import contextlib
import hashlib
import os
from collections.abc import Buffer, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

_SMALL_BYTES = 2**16


class DurableFile:
    """A growing file that is summed up as it is written, and whose beginning is on the disk already.

    A thread of its own sends it there, so that little is left to do at the file's end. Pages that the system need not
    keep serve for what is written next. Where memory is lent to the system page by page, as to a virtual machine, each
    new one costs: a part's took more than half as long to come by as its rows to encode (docs/performance.md).

    It is what Arrow takes for a file of Python's.
    """

    closed = False

    def __init__(self, file: BinaryIO, thread: ThreadPoolExecutor) -> None:
        self._file, self._thread = file, thread
        self._sum = hashlib.sha256()
        self._size = 0  # of what is in the file
        self._small = bytearray()  # what follows there
        self._kept: bytearray | None = None
        self._at_work: Future[None] | None = None

    def write(self, data: Buffer) -> int:
        """Append the data, and return how many bytes they are. Summed up here, where they are still in a cache."""
        size = memoryview(data).nbytes
        if self._kept is not None:
            self._kept += data
            return size
        if size < _SMALL_BYTES:
            self._small += data
        if len(self._small) >= _SMALL_BYTES or size >= _SMALL_BYTES:
            self.flush()
        if size >= _SMALL_BYTES:
            self._append(data)
        return size

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size + len(self._small)

    def flush(self) -> None:
        """Append what is small: Arrow writes a few bytes at a time, and each would be a call of the system."""
        small, self._small = self._small, bytearray()
        self._append(small)

    def close(self) -> None:
        """Do nothing: Arrow closes what it has written to, and the file's end may be still to come."""

    def keep(self) -> None:
        """Keep what is written from now on, until :meth:`kept` is called: the file's end, which may be changed yet."""
        self._kept = bytearray()

    def kept(self) -> bytes:
        """Return what was kept; what is written next goes to the file again."""
        kept, self._kept = bytes(self._kept or b""), None
        return kept

    def _append(self, data: Buffer) -> None:
        self._sum.update(data)
        left = memoryview(data)
        self._size += left.nbytes
        while left:  # a call may write less than it is given
            left = left[self._file.write(left) :]

    def advance(self) -> None:
        """Send to the disk what was written. Left for the next time if the thread is still busy.

        Raises:
            OSError: an earlier stretch did not get to the disk.
        """
        if self._at_work is None or self._at_work.done():
            self._begin()

    def checksum(self) -> str:
        """Return the file's SHA-256, once all of it is on the disk.

        Raises:
            OSError: it did not get there.
        """
        self._begin()
        self._finished()
        return self._sum.hexdigest()

    def _begin(self) -> None:
        self._finished()
        self.flush()
        self._at_work = self._thread.submit(self._settle, self._size)

    def _finished(self) -> None:
        if self._at_work:
            self._at_work.result()

    def _settle(self, size: int) -> None:
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):  # not everywhere; only what is on the disk can be let go of
            os.posix_fadvise(self._file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[DurableFile]:
    """Open a new file, to be written through the :class:`DurableFile` alone."""
    with path.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as thread:
        yield DurableFile(file, thread)
