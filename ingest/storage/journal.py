"""The journal of a run, for others to read while it works: how far it is, and a log of what happened.

In the run's journal folder: ``progress.json``, replaced every few seconds and gone when the run is finished, and
``ingest.log``, rotated. :mod:`jacdb.dataset.run_status` reads the former from another terminal.
"""

import json
import logging
import logging.handlers
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jacdb.atomic_file import draft_of
from jacdb.dataset.layout import LOG, PROGRESS
from jacdb.progress import Event

EVERY = 5.0  # seconds between notes of progress
LOG_EVERY = 60.0  # seconds between log lines of the same work
LOG_BYTES, LOG_FILES = 1_000_000, 3


@dataclass
class Journal:
    """Notes the progress of one run; a context, which closes with how it ended.

    Attributes:
        folder: where to.
        about: what to write first: the command's settings.
    """

    folder: Path
    about: dict[str, Any]
    _log: logging.Logger = field(init=False)
    _counted: Event = field(default=Event(""), init=False)  # the last that said how far the run is
    _noted: float = field(default=0.0, init=False)
    _logged: tuple[str, float] = field(default=("", 0.0), init=False)
    _started: float = field(default_factory=time.time, init=False)

    def __enter__(self) -> "Journal":
        self.folder.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            self.folder / LOG, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
        handler.handleError = lambda record: None  # type: ignore[method-assign]  # of a full disk the rows' writer tells
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._log = logging.Logger(str(self.folder))  # of this run alone, in no tree
        self._log.addHandler(handler)
        self._log.info("begins, process %d on %s: %s", os.getpid(), platform.node(), json.dumps(self.about))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self._log.info("finished")
            (self.folder / PROGRESS).unlink(missing_ok=True)
        else:
            self._log.info("stopped: %s: %s", kind.__name__ if kind else "", str(error).strip())
        for handler in self._log.handlers:
            handler.close()

    def __call__(self, event: Event) -> None:
        """Take note of what is being done."""
        now = time.time()
        if event.total and not self._counted.total:
            self._started = now  # compilation is over
        self._counted = event if event.total else self._counted._replace(doing=event.doing)
        if event.doing != self._logged[0] or now - self._logged[1] >= LOG_EVERY:
            self._logged = event.doing, now
            self._log.info(
                "%s%s", event.doing, f", {event.done:,} of {event.total:,} {event.unit}" if event.total else ""
            )
            self._noted = 0.0
        if now - self._noted >= EVERY:
            self._noted = now
            about = {"node": platform.node(), "process": os.getpid(), "started": self._started, "updated": now}
            self._note({**self._counted._asdict(), **about})

    def _note(self, what: dict[str, Any]) -> None:
        with draft_of(self.folder / PROGRESS) as draft:
            draft.write_text(json.dumps(what), "utf-8")
            draft.replace(self.folder / PROGRESS)
