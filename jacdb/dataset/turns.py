"""Turns at a connection: DuckDB's refuses a call while it is busy with another thread's, so the calls wait."""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable

_PIECE = 0.1  # s
_ALL: "weakref.WeakSet[Turns]" = weakref.WeakSet()


class Turns:
    """Turns of threads at one connection.

    A thread in its turn may begin another. One that waits for a job in a thread of its own (``Limits.run``) lends that
    thread its turn. In a process that was forked nobody has a turn: the thread that had it is not there.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._borrower: _Borrower | None = None
        _ALL.add(self)

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """Return a context that waits for the turn of this thread, and ends it."""
        return contextlib.nullcontext() if self._has_borrowed() else _Turn(self._lock)

    def lend[T](self, job: Callable[[], T], run: Callable[[Callable[[], T]], T]) -> T:
        """Return what a job returns, run in a turn of this thread.

        Args:
            job: it may take turns itself.
            run: runs the job, in whatever thread, until it is over or given up; a job that is given up has no turn.
        """
        if self._has_borrowed():
            return run(job)
        with _Turn(self._lock):
            former, borrower = self._borrower, _Borrower()
            self._borrower = borrower

            def borrowing() -> T:
                borrower.thread = threading.get_ident()
                return job()

            try:
                return run(borrowing)
            finally:
                self._borrower = former

    def _has_borrowed(self) -> bool:
        borrower = self._borrower
        return borrower is not None and borrower.thread == threading.get_ident()

    def _begin_anew(self) -> None:
        self._lock, self._borrower = threading.RLock(), None


class _Turn:
    """A turn that is waited for in short pieces, for Ctrl-C to end the wait.

    A system call that a signal interrupts is begun again wherever a package has set its handler so, as polars does.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_PIECE):
            pass

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Borrower:
    """Who works in a turn that is lent: a thread, as soon as it has begun."""

    thread: int | None = None


def _forget_turns() -> None:
    for turns in list(_ALL):
        turns._begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_forget_turns)
