"""Stdout and stderr where they can't be written to: a lost answer is told in one line, a lost note is not missed.

Python keeps what it could not write, tries again as it ends, says "Exception ignored in …" and exits with 120.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from jacdb.errors import FailureError, telling_writes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Notes(io.FileIO):
    """A stream of notes and errors: from the first that can't be written on, they go nowhere."""

    _is_lost = False

    def write(self, content: "ReadableBuffer", /) -> int:
        if not self._is_lost:
            try:
                return super().write(content)
            except OSError as error:
                self._is_lost = True
                self._tell(error)
        return memoryview(content).nbytes

    def _tell(self, error: OSError) -> None:
        """Say nothing: there is nobody to hear it."""


class _Answers(_Notes):
    """A stream of answers: that one can't be written is raised, once."""

    def _tell(self, error: OSError) -> None:
        """Raise the system's error for people.

        Raises:
            FailureError: the disk is full, say.
            SystemExit: the reader, such as `head`, has closed the pipe: it has what it wants.
        """
        try:
            with telling_writes("standard output", "repeat the command"):
                raise error
        except BrokenPipeError:
            sys.exit(0)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell a failure to write to stdout, once, and go on without a stderr that takes nothing, in this context."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _over(sys.stdout, _Answers), _over(sys.stderr, _Notes)
    mine = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in filter(None, mine):
            with contextlib.suppress(FailureError, SystemExit, ValueError):  # the command ends with its own code
                stream.flush()
        sys.stdout, sys.stderr = before


def _over(stream: TextIO, kind: type[_Notes]) -> TextIO:
    """Return a stream like this one over a file of another kind; itself where it is closed, or a console of Windows."""
    binary = getattr(stream, "buffer", None)
    raw = getattr(binary, "raw", binary)  # Python's -u leaves out the buffer, without which a write may end half-way
    if not isinstance(raw, io.FileIO):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(kind(raw.fileno(), "wb", closefd=False)),
        stream.encoding,
        stream.errors,
        line_buffering=bool(stream.line_buffering) or raw is binary,
    )
