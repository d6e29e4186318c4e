"""A run that comes into a dataset, by an ingest, a merge or a pull, is held to the runs that are there.

It puts the files that say its axes and the type of its matrices, and then looks at the others': of two that come
together, the one that looks later sees the other's. Refusals before the work spare the work; this one decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jacdb.dataset import environment_axes, matrix_type, removal
from jacdb.dataset.environment_axes import BegunRun
from jacdb.dataset.layout import Run
from jacdb.errors import UsageError


def check(dataset: Path, place: Path, run: Run) -> None:
    """Refuse a run that can't be in a dataset: its axes, or the type of its matrices, are not those of the others.

    Args:
        dataset: the dataset's folder.
        place: the folder of the run's files: the dataset's, or that of a shard in it. Its axes are there, and a part of
            its steps where the axes do not say the type.
        run: the run.

    Raises:
        UsageError: it can't.
        FailureError: a file can't be read.
    """
    own = BegunRun(dataset, place, run)
    environment_axes.check(dataset, run, environment_axes.read(own.path))
    matrix_type.check(dataset, own)


@contextmanager
def taken_back_if_refused(dataset: Path, place: Path, run: Run) -> Iterator[None]:
    """Remove what is put of a run, held by this process, if it is refused; what had begun before stays."""
    had_begun = BegunRun(dataset, place, run).path.is_file()
    try:
        yield
    except UsageError:
        if not had_begun:
            removal.remove_files(place, run, dataset)
        raise
