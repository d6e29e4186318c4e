"""The two errors that jacdb raises; each message is one line with the wrong value and the remedy."""

import difflib
import errno
import os
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SUGGESTIONS = ("Candidate bindings:", "Candidate Entries:", "Did you mean")
_BUSY = "connection is busy with another call"  # DuckDB's; it advises a cursor, which a dataset has none of
_OWN_TURN = "read it by dataset.fetch, which waits its turn, or open a dataset in each thread"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # network file systems, as they are mounted
_NOT_ALLOWED = (errno.EACCES, errno.EPERM)
DENIED = (*_NOT_ALLOWED, errno.EROFS)  # the system's errors where a file may not be read or written
_IN_UDF = re.compile(r"^.* executing the UDF: \w+Error: ")  # DuckDB's words before those of a function in Python


class JacdbError(Exception):
    """An error whose message is one line for people; the command line ends with ``exit_code``."""

    exit_code = 1


class UsageError(JacdbError):
    """The request is not valid: an unknown name, an impossible number, a path that is no folder."""

    exit_code = 2


class FailureError(JacdbError):
    """The request is valid and could not be carried out: a full disk, a lost network, a run that stalls."""

    exit_code = 1


def suggestion(word: str, choices: Iterable[str], in_use: Container[str] = ()) -> str:
    """Return the end of an error about an unknown word: all choices, and the one that the word is closest to.

    Args:
        in_use: choices that mean something else already, and are not what was meant.
    """
    choices = sorted(choices)
    close = difflib.get_close_matches(word, [each for each in choices if each not in in_use], n=1, cutoff=0.4)
    return f"there are {', '.join(choices) or 'none yet'}" + (f"; did you mean {close[0]}?" if close else "")


def first_line(error: Exception) -> str:
    """Return the message of an error in one line."""
    text = str(error).strip()
    # DuckDB reports an error of the Python reader of a remote file with the whole traceback
    raised = re.findall(r"^[\w.]+Error: (.+)", text, re.MULTILINE) if text.startswith("Traceback") else []
    if raised:
        return str(raised[-1])
    if _BUSY in text:
        return "a relation of this dataset is being read in another thread: " + _OWN_TURN
    text = _IN_UDF.sub("", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    # what DuckDB suggests stands in a line of its own
    return " ".join([lines[0], *(line for line in lines[1:2] if line.startswith(_SUGGESTIONS))])


def told_with_remedy(error: Exception) -> str:
    """Return why the system or Arrow refused something: the reason, and where it is known what helps."""
    code = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or first_line(error)
    if code is not None and code in errno.errorcode:
        reason = os.strerror(code)  # Arrow has words of its own for the system's
    if code in _FULL:
        return f"{reason}: make room"
    if code == errno.EMFILE:
        return f"{reason}: allow more by `ulimit -n 4096`"
    if code == errno.EROFS:
        return f"{reason}: copy the dataset to a disk that can be written to"
    if code in _NO_LOCKS:
        return f"{reason}: keep the dataset on a disk that has locks"
    if code == errno.EXDEV:
        return f"{reason}: keep all of the dataset on one disk"
    if code not in _NOT_ALLOWED:
        return reason
    named = [Path(str(path)) for name in ("filename", "filename2") if (path := getattr(error, name, None))]
    for path in named:
        # os.path's exists: a Path's raises where a folder may not be entered
        if os.path.exists(path) and not os.access(path, os.R_OK):  # noqa: PTH110
            return f"{reason}: {path}; make it readable"
        folder = next(above for above in path.absolute().parents if os.path.exists(above))  # noqa: PTH110
        if not os.access(folder, os.X_OK):
            return f"{reason}: make {folder} readable"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{reason}: make {folder} writable"
        if path.is_file() and not os.access(path, os.W_OK):  # somebody else's
            return f"{reason}: make {path} writable"
    return f"{reason}: {named[0]}" if named else reason


@contextmanager
def telling_writes(
    place: Path | str, kept: str, doing: str = "write to", kinds: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Tell a failure of the disk in one line: where it was written to, what helps, and what there is now.

    Args:
        place: the file or folder that is written; the error may name another, or none.
        kept: the end of the line.
        doing: what could not be done there, in words before the place.
        kinds: the errors that tell of a disk; of whoever writes by Arrow, its own too.

    Raises:
        FailureError: in their place; a pipe that its reader has closed stays what it is.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except kinds as error:
        raise FailureError(f"could not {doing} {place}: {told_with_remedy(error)}; {kept}") from error
