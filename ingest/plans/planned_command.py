"""Another command in a plan: annotate, learn, train or verify, carried out by a process of its own.

Each of these goes on where it was stopped, as a run does, so that a task that is begun anew loses nothing that was
finished. A process of its own, because learning wants other settings of JAX than making rows.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from jacdb.errors import FailureError, UsageError
from jacdb.ingest.requested_run import RequestedRun
from jacdb.progress import Event

ANY = "*"  # an environment that is not known before a file is read

# Asks Linux to stop the process when its parent is lost: begun anew elsewhere, it would meet its own lock. 1 is
# PR_SET_PDEATHSIG. The process asks for itself, for between fork and exec Python may deadlock beside other threads.
_BEGIN = """
import os, signal, sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (ImportError, OSError, AttributeError):
        pass
    if os.getppid() != parent:  # it was lost before this one asked
        sys.exit(128 + signal.SIGTERM)
import runpy
runpy.run_module("jacdb", run_name="__main__", alter_sys=True)
"""


class Option(NamedTuple):
    """An option of a command, or an argument.

    Attributes:
        typed: the option with its dashes; "" for an argument, which is given without its name.
        is_flag: it takes no value.
        negative: of a flag, what is typed for the contrary; "" where there is none.
        is_repeatable: it may be given several times.
    """

    typed: str = ""
    is_flag: bool = False
    negative: str = ""
    is_repeatable: bool = False

    def words(self, value: Any) -> tuple[str, ...]:
        """Return what is typed for a value of a plan; for a list, the option as many times.

        Raises:
            UsageError: the option takes no such value.
        """
        if self.is_flag:
            if not isinstance(value, bool):
                raise UsageError("give true or false")
            return tuple(filter(None, (self.typed if value else self.negative,)))
        several = value if isinstance(value, list) and self.is_repeatable else [value]
        for one in several:
            if isinstance(one, list):
                raise UsageError("a call takes one value of it: give one, or a list of values for a call each")
            if one is None or isinstance(one, bool | dict):
                raise UsageError("give a value, or leave it out")
        dashed = (self.typed,) if self.typed else ()
        return tuple(word for one in several for word in (*dashed, str(one)))


class Uses(NamedTuple):
    """The rows that a task of a plan needs of others, and the rows and the file that it makes.

    Attributes:
        reads: the environments whose rows it reads; () for whatever there is, None if it reads none.
        makes: the environment that it makes rows of, ANY if only its files say which; None if it makes none.
        dtype: the type of matrices in these rows.
        out: the file that it writes beside the dataset.
    """

    reads: tuple[str, ...] | None = None
    makes: str | None = None
    dtype: str | None = None
    out: Path | None = None


class CommandLine(NamedTuple):
    """The arguments and options that one of jacdb's commands takes.

    Attributes:
        options: its options and arguments, by their names without dashes.
        parse: called with arguments and options as they are typed; raises UsageError where the command line would.
        check: called with them and the dataset's folder; raises UsageError for what the command would refuse before it
            reads any rows.
    """

    options: Mapping[str, Option]
    parse: Callable[[Sequence[str]], None]
    check: Callable[[Sequence[str], Path], Uses]


type Commands = Mapping[str, CommandLine]


@dataclass(frozen=True)
class PlannedCommand:
    """A call of one of jacdb's commands, with what is typed after it.

    Attributes:
        name: the command's.
        typed: arguments and options, but for the dataset's folder.
        on_data: it takes the dataset's folder.
    """

    name: str
    typed: tuple[str, ...]
    on_data: bool

    @property
    def words(self) -> str:
        """The command as it is typed, for people."""
        return " ".join((self.name, *self.typed))

    @property
    def kind(self) -> "PlannedCommand":
        """A command that can be right if this can: one of all that differ in shard."""
        return replace(self, typed=self.typed[:-2]) if "--shard" in self.typed[-2:-1] else self

    def carry_out(self, data: Path, report: Callable[[Event], None]) -> str:
        """Call the command, and return what it printed.

        Raises:
            FailureError: it failed, with the line that it said.
        """
        report(Event(self.words))
        folder = ("--data", str(data)) if self.on_data else ()
        words = [str(os.getpid()), self.name, *self.typed, *folder, "--quiet"]
        done = subprocess.run([sys.executable, "-c", _BEGIN, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"]
            raise FailureError(said[-1].removeprefix("jacdb: "))
        return done.stdout.strip() or f"{self.words}: done"


type Task = RequestedRun | PlannedCommand  # of a plan
