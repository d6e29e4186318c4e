"""Show the progress of a long command on stderr: a live line on a terminal, else a plain line every few seconds."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_EVERY = 10.0  # seconds between plain lines
STALL_AFTER = 1800.0  # seconds without progress


class Event(NamedTuple):
    """A step of progress.

    Attributes:
        doing: what is being done.
        done, total: how much of how much; a total of 0 means that it can't be counted.
        unit: what is counted.
        note: what else there is to say.
    """

    doing: str
    done: int = 0
    total: int = 0
    unit: str = "steps"
    note: str = ""


def both(*reports: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a function that hands an event to each of these, in order."""

    def report(event: Event) -> None:
        for one in reports:
            one(event)

    return report


class Reporter:
    """A display of events on a console, by default stderr, with rate and time left; nothing if ``quiet``.

    It ends the process when there is no event for ``stall_after`` seconds: a hang is worse than an error, and finished
    parts are on disk.
    """

    def __init__(
        self, console: "Console | None" = None, stall_after: float = STALL_AFTER, *, quiet: bool = False
    ) -> None:
        # Here: it draws from Python's own random numbers as it is imported, and opening a dataset draws no bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = console = console or Console(stderr=True, quiet=quiet)
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._live.add_task("starting", total=None, detail="")
        self._stall_after = stall_after
        self._doing, self._said_at, self._phase_at, self._phase_done = "", 0.0, 0.0, 0
        self._alive_at = time.monotonic()
        self._closed = threading.Event()

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        self._alive_at = now
        if event.doing != self._doing:
            self._doing, self._phase_at, self._phase_done = event.doing, now, event.done
            self._said_at = 0.0
        detail, total = self._detail(event, now), event.total or None
        if self._console.is_terminal:
            self._live.update(self._task, description=event.doing, total=total, completed=event.done, detail=detail)
        elif now - self._said_at >= PLAIN_EVERY or (event.total and event.done >= event.total):
            self._said_at = now
            self._console.print(f"{event.doing} {detail}".rstrip(), highlight=False, soft_wrap=True)

    def _detail(self, event: Event, now: float) -> str:
        if not event.total:
            return ""
        text = f"{event.done:,} of {event.total:,} {event.unit}"
        elapsed, fresh = now - self._phase_at, event.done - self._phase_done
        if elapsed > 0 and fresh > 0:
            rate = fresh / elapsed
            # of shards, few are done in a second
            speed = f"{rate:,.0f} per second" if rate >= 1 else f"{60 * rate:,.1f} per minute"
            text += f", {speed}, {(event.total - event.done) / rate:,.0f} s left"
        return f"{text}; {event.note}" if event.note else text

    def _watch(self) -> None:
        while not self._closed.wait(min(5.0, self._stall_after)):
            if time.monotonic() - self._alive_at > self._stall_after:
                sys.stderr.write(
                    f"\njacdb: no progress for {self._stall_after:.0f} s while {self._doing}; stopped. Finished"
                    " parts are kept; repeat the command to resume\n"
                )
                sys.stderr.flush()
                os._exit(1)  # a compiler that hangs holds the interpreter: no exception would get through

    @contextmanager
    def shown(self) -> Iterator["Reporter"]:
        """Show events while the context is open."""
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            if self._console.is_terminal:
                with self._live:
                    yield self
            else:
                yield self
        finally:
            self._closed.set()
