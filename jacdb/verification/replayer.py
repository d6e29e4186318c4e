"""The interface between verification and the simulator: a function that replays some steps of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from jacdb.dataset.layout import Run
from jacdb.progress import Event
from jacdb.verification.findings import Check
from jacdb.verification.rows import Dimensions


class RunReplayer(Protocol):
    """A function that replays steps in the simulator: :func:`jacdb.ingest.replay.checks.replay_run`.

    It is handed in, so that verification can be used, and imported, where no simulator is installed.
    """

    def __call__(
        self,
        root: Path,
        run: Run,
        paths: list[str],
        count: int,
        dimensions: Dimensions,
        facts: dict[str, Any],
        check: Callable[[str, str], Check],
        report: Callable[[Event], None],
        /,
    ) -> None:
        """Replay steps of a run whose rows are complete and in order, and record what differs.

        Args:
            root: the dataset's folder.
            run: the run.
            paths: the run's parts of `steps`.
            count: how many steps to check closely.
            dimensions: the run's dimensions.
            facts: the run's row in `runs`.
            check: returns the run's check, given its name and the unit that it counts.
            report: called with progress.
        """
