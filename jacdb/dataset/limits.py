"""Limits of memory and time, held while a query runs and while its answer is gathered and encoded."""

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from jacdb.errors import FailureError, UsageError

MAX_GIB = 2**20  # more than any machine has; DuckDB counts bytes in 64 bits
SHARE = 0.8  # of the memory that a process may still take, by default
INTERVAL = 0.01  # s between two looks at the limits
GRACE = 1.0  # s that an interrupted query has to end; DuckDB can't be interrupted within a single expression
OVERSHOOT = 1.1  # of the limit: it does not get the grace if its memory grows on
_THREAD = "jacdb query"


@dataclass(frozen=True)
class Limits:
    """The most memory and time that a query and its answer may take together.

    Attributes:
        memory: bytes by which the process may grow.
        seconds: how long it may take; infinity for no limit.
    """

    memory: float
    seconds: float = math.inf

    @classmethod
    def of(cls, gib: float | None = None, seconds: float | None = None) -> "Limits":
        """Return limits; by default 80 % of the memory that the machine or the container has left, and no end of time.

        Raises:
            UsageError: a limit is no number above 0, or more memory than a machine can have.
        """
        for name, limit in (("memory", gib), ("timeout", seconds)):
            is_number = isinstance(limit, Real) and not isinstance(limit, bool)
            if limit is not None and not (is_number and 0 < limit < math.inf):
                raise UsageError(f"{name}={limit!r}: give a number above 0")
        if gib is not None and (gib := float(gib)) > MAX_GIB:  # Python's own: NumPy's of 16 bits ends at 65504
            raise UsageError(f"memory={gib:g}: give a number of GiB, {MAX_GIB:,} at most")
        memory = gib * 2**30 if gib else max(SHARE * (available() - resident()), 2**20)
        return cls(max(memory, 1), math.inf if seconds is None else seconds)

    def run[T](self, job: Callable[[], T], interrupt: Callable[[], object], abandon: Callable[[], object]) -> T:
        """Return what a job returns; stop it at the limits, and at Ctrl-C.

        The job runs in a thread of its own, so that this one can give up on it even where DuckDB can't be interrupted.

        Args:
            job: what to do.
            interrupt: what stops it, from another thread.
            abandon: called if it goes on nevertheless; ``is_running`` then says whether it still does.

        Raises:
            FailureError: a limit was reached.
        """
        if threading.current_thread().name == _THREAD:  # a job within a job: the outer one watches
            return job()
        running = _Running(job)
        before, began = resident(), time.monotonic()
        try:
            while not running.over.wait(INTERVAL):
                if time.monotonic() - began > self.seconds:
                    raise FailureError(f"stopped after {self.seconds:g} s: ask for less, or allow more time")
                if resident() - before > self.memory:
                    raise self.exceeded()
        except (FailureError, KeyboardInterrupt):
            until = time.monotonic() + GRACE
            while time.monotonic() < until and resident() - before <= OVERSHOOT * self.memory:
                interrupt()  # again and again: an interrupt between two queries of a job is forgotten
                if running.over.wait(INTERVAL):
                    break
            else:
                abandon()
            raise
        return running.result()

    def exceeded(self) -> FailureError:
        """Return the error of a query that needs more memory."""
        return FailureError(
            f"query and answer take more than {self.memory / 2**30:.3g} GiB of memory: ask for fewer rows or columns,"
            " or allow more"
        )


class _Running[T]:
    """A job in a thread; nobody waits for the thread when the interpreter ends."""

    def __init__(self, job: Callable[[], T]) -> None:
        self.over = threading.Event()
        self._job = job
        self._returned: list[T] = []
        self._raised: BaseException | None = None
        threading.Thread(target=self._run, name=_THREAD, daemon=True).start()

    def _run(self) -> None:
        try:
            self._returned.append(self._job())
        except BaseException as error:  # raised again in the thread that waits
            self._raised = error
        finally:
            self.over.set()

    def result(self) -> T:
        """Return what the job returned, or raise what it raised."""
        if self._raised is not None:
            raise self._raised
        return self._returned[0]


def is_running() -> bool:
    """Return whether a job that was given up is still at work; the process can then end by ``os._exit`` only."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def available(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that this process may have: the machine's, or its container's if that is less.

    Args:
        groups: the control groups of the process, as Linux lists them.
        root: where they are mounted.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = os.fsdecode(groups.read_bytes()).splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # A limit of any group above holds as well. In a container the path may be the host's, and not exist.
        group = Path(path.lstrip("/"))
        for level in (group, *group.parents):
            try:
                text = (top / level / name).read_text("ascii").strip()
            except OSError:
                continue
            if text.isdigit():  # else "max"
                limits.append(int(text))
    return min(limits)


def resident() -> int:
    """Return the bytes of memory that this process has; 0 where the system does not tell, as on macOS."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
