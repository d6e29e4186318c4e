"""``python -m jacdb`` is ``jacdb``."""

import atexit
import contextlib
import os
import sys
from pathlib import Path

from jacdb import interruption


def main() -> None:
    """Run the command line; from its first import on, Ctrl-C is one line."""
    _hold_closed_streams()
    try:
        with interruption.handled():
            from jacdb import cli

            cli.main()
    except SystemExit as ended:
        if isinstance(ended.code, int | None) and "jax" in sys.modules:
            _leave(ended.code or 0)
        raise


def _hold_closed_streams() -> None:
    """Open the null device where stdin, stdout or stderr is closed (`2>&-`).

    Else the next file that is opened has that number, and XLA's messages are written into it. What is said on a closed
    stderr goes nowhere. Python's stdout stays None: an answer that nobody gets is refused.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # for other processes, too
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)


def _leave(code: int) -> None:
    """End the process as Python does, but do not free millions of objects one by one: JAX's took 3 s and more."""
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # none where whoever started the process closed it
        with contextlib.suppress(OSError, ValueError):  # closed since, or nobody reads it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
