"""Threads that call compiled programs, so that every core of a CPU is at one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Lanes:
    """Calls programs side by side. What one lane calls is done in order; lanes wait for each other's results alone.

    XLA computes what one thread calls one after the other, and keeps little more than a core busy with arrays as small
    as a block's. A device for each core would do as well, but a program for several devices takes longer to compile,
    and is found again on a machine of as many cores alone.

    Args:
        count: of lanes.
    """

    def __init__(self, count: int) -> None:
        self._threads = [ThreadPoolExecutor(1, f"lane-{number}") for number in range(count)]

    def call[Result](self, number: int, program: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Call a program in the lane of a block's number."""
        return self._threads[number % len(self._threads)].submit(program, *arguments)

    def close(self) -> None:
        """Let the threads end; what they have begun is finished."""
        for thread in self._threads:
            thread.shutdown(wait=False)
