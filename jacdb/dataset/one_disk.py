"""Refuse folders on another disk than the drafts of their files: a draft is renamed, and no rename leads to another.

A table's folder, or an environment's in it, may be a symbolic link or a mount point.
"""

from collections.abc import Iterable
from pathlib import Path

from jacdb import schemas
from jacdb.dataset.layout import MODELS, Run
from jacdb.errors import UsageError

OF_A_RUN = (*(table.name for table in schemas.TABLES + schemas.DERIVED), MODELS)
OF_A_LEARNING_RUN = tuple(table.name for table in schemas.RESULTS)


def check(root: Path, run: Run, drafts: str, tables: Iterable[str] = OF_A_RUN) -> None:
    """Refuse to write a run where a folder of it is, or would come to be, on another disk than its drafts.

    Args:
        root: the dataset's folder; it need not exist yet.
        run: the run.
        drafts: the folder of its drafts, below it: its journal, say.
        tables: those that it has parts of.

    Raises:
        UsageError: one is.
    """
    device = _nearest(root / drafts).stat().st_dev
    for table in tables:
        folder = _nearest(root / run.folder(table))
        if folder.stat().st_dev != device:
            raise UsageError(
                f"{folder} is on another disk than {root}, and files are moved into it once they are whole: keep all of"
                f" {root} on one disk, which a link to the whole of it may lead to, or give another --data"
            )


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
