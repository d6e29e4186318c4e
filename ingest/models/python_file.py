"""Functions out of a person's own Python file, as ``my_policy.py:act``: a policy, or a model that is built by code."""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jacdb import file_module
from jacdb.checksum import sha256_of
from jacdb.errors import UsageError, first_line

NAMED = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")


class PythonFunction:
    """A function, or a class, of a Python file.

    Attributes:
        text: what a person typed, ``my_policy.py:act`` say.
        path: the file.
        name: ``my_policy.act``.
        sha256: of the file. What the file imports is not in it.
        object: the function or class itself.
    """

    def __init__(self, text: str) -> None:
        """Import the file, and take the function out of it.

        Raises:
            UsageError: the text names no function of a file, or the file is missing, fails, or has no such function.
        """
        self.text = text
        self.path, function = named(text)
        self.name = f"{self.path.stem}.{function}"
        self.sha256 = sha256_of(self.path)
        found = getattr(called(str(self.path), self.path, file_module.load, self.path), function, None)
        if not callable(found):
            raise UsageError(f"{self.path} has no function {function!r}: define it, or name another after the colon")
        self.object: Callable[..., Any] = found

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns.

        Raises:
            UsageError: it raises; the message has its line.
        """
        return called(self.text, self.path, self.object, *arguments)


def named(text: str) -> tuple[Path, str]:
    """Return the file and the function that ``FILE.py:FUNCTION`` names, without importing it.

    Raises:
        UsageError: the text names none, or there is no such file.
    """
    found = NAMED.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} names no function: give FILE.py:FUNCTION, my_policy.py:act say")
    path = Path(found["file"])
    if not path.is_file():
        raise UsageError(f"there is no file {path}: give FILE.py:FUNCTION, my_policy.py:act say")
    return path, found["function"]


def called(text: str, path: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a person's own function returns.

    Raises:
        UsageError: it raises; the message has what it raised, and the last line of ``path`` on the way there.
    """
    try:
        return function(*arguments)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" in line {lines[-1]}" if lines else ""
        raise UsageError(f"{text} raised {type(error).__name__}{where}: {first_line(error)}") from error
