"""Ctrl-C, SIGTERM and SIGHUP, at any moment: one line that says how to go on, and the process ends at once.

Python runs a signal's handler between two of its own instructions, and while XLA compiles or DuckDB computes there is
none for seconds. So a thread hears of the signal, too, through a pipe that the system itself writes to. It prints the
line and lets the main thread unwind; if that does not get there, it closes what must be closed, and ends the process.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

# Exit codes 130, 143 and 129, as shells have it. A terminal that is closed hangs up; Windows knows no such signal
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_HANG_UP = getattr(signal, "SIGHUP", None)
STUCK, UNWINDING = 0.3, 1.0  # seconds that the main thread has, outside Python and in it
ANEW = "repeat the command to begin anew"

_advice = ANEW
_actions: dict[object, Callable[[], object]] = {}  # in the order in which they were entered
_received: int | None = None  # the first signal
_unwinding = threading.Event()  # the main thread has heard of it
_listening = False
_announcing = threading.Lock()


def advise(text: str) -> None:
    """Set what the line says after "stopped": what is kept, and how to go on."""
    global _advice
    _advice = text


def line() -> str:
    """Return what is said when the command is stopped."""
    return f"stopped; {_advice}"


@contextlib.contextmanager
def at_stop(action: Callable[[], object]) -> Iterator[None]:
    """Have ``action`` called from another thread if the process is stopped in this context and can't leave it.

    It saves or removes what would be lost or left behind. Actions are called in the order in which they were entered.
    """
    key = object()
    _actions[key] = action
    try:
        yield
    finally:
        _actions.pop(key, None)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """End the process on a signal while the context is open. In a thread other than the main one, nothing is done."""
    global _listening
    if _listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    advise(ANEW)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # who ignores a signal, as `nohup` and shells' background jobs do, goes on ignoring it
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _unwind) for number in heard}
    former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reading,), daemon=True, name="interruption")
    listener.start()
    _listening = True
    try:
        yield
    finally:
        if _received is not None:
            _leave(_received)
        _listening = False
        signal.set_wakeup_fd(former)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writing, b"\0")
        listener.join()
        os.close(reading)
        os.close(writing)


def _unwind(number: int, frame: FrameType | None) -> None:
    """Handle a signal in the main thread: raise KeyboardInterrupt; a second signal ends the process.

    One that hangs up again asks for nothing more: who closes a terminal has the system, the shell and its end do so.
    """
    if _unwinding.is_set():
        if number == _HANG_UP:
            return
        _leave(number)
    _unwinding.set()
    _announce(number)
    raise KeyboardInterrupt


def _listen(pipe: int) -> None:
    """Wait for a signal, whatever the main thread is at; 0 says that none is to come."""
    number = os.read(pipe, 1)[0]
    if number == 0:
        return
    _announce(number)
    begun = time.monotonic()
    while time.monotonic() - begun < (UNWINDING if _unwinding.is_set() else STUCK):
        if _is_asked_again(pipe, 0.05):
            _leave(number)
    closing = threading.Thread(target=_close, daemon=True)
    closing.start()
    while closing.is_alive():
        if _is_asked_again(pipe, 0.05):
            break
    _leave(number)


def _is_asked_again(pipe: int, seconds: float) -> bool:
    """Wait for another signal; return whether there was one that ends the process."""
    return bool(select.select([pipe], [], [], seconds)[0]) and os.read(pipe, 1)[0] != _HANG_UP


def _close() -> None:
    while _actions:
        with contextlib.suppress(Exception):
            _actions.pop(next(iter(_actions)))()
    if _unwinding.is_set():
        time.sleep(STUCK)  # for what the main thread does after the last of them


def _announce(number: int) -> None:
    """Print the line, once; whatever others print from then on, such as tracebacks, goes nowhere."""
    global _received
    with _announcing:
        if _received is not None:
            return
        _received = number
        clear = "\r\x1b[2K\x1b[?25h" if sys.stderr.isatty() else ""  # a progress line, which hides the cursor
        with contextlib.suppress(OSError):
            os.write(2, f"{clear}jacdb: {line()}\n".encode())
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _leave(number: int) -> None:
    os._exit(128 + number)
