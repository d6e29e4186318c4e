"""The two ways in which jacdb says no: one line each, with the wrong value and the remedy."""

import difflib
import re
from collections.abc import Iterable


class JacdbError(Exception):
    """What a person is told in one line. ``exit_code`` is the command line's."""

    exit_code = 1


class UsageError(JacdbError):
    """The request can't be right: an unknown name, an impossible number, a folder that is none."""

    exit_code = 2


class FailureError(JacdbError):
    """The request was right and could not be carried out: a full disk, a lost network, a run that stalls."""

    exit_code = 1


def known(word: str, words: Iterable[str]) -> str:
    """What an error adds when a word is none of those that there are: all of them, and which it is nearest to."""
    there = sorted(words)
    near = difflib.get_close_matches(word, there, n=1, cutoff=0.4)
    return f"there are {', '.join(there) or 'none yet'}" + (f"; did you mean {near[0]}?" if near else "")


def first_line(error: Exception) -> str:
    """What went wrong, in a line."""
    text = str(error).strip()
    # DuckDB tells of an error in Python, of the reader of a remote file, with the whole traceback
    raised = re.findall(r"^[\w.]+Error: (.+)", text, re.MULTILINE) if text.startswith("Traceback") else []
    return raised[-1] if raised else text.splitlines()[0] if text else type(error).__name__
