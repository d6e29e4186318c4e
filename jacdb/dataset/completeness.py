"""Refuse to answer from finished runs that lack files: a folder that was copied in part would be answered in part."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from jacdb import schemas
from jacdb.dataset import manifest
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import Run
from jacdb.errors import FailureError, UsageError, suggestion

_NEEDED = {table.name for table in schemas.TABLES}  # partials can be made again


class Completeness:
    """Looks whether the files that checksums of finished runs name are there: once, until the checksums change."""

    def __init__(self, location: Folder) -> None:
        self._location = location
        self._whole: dict[Run, object] = {}  # runs that lack nothing, with the stamp of their checksums

    def check(self, envs: Sequence[str] | None = None) -> None:
        """Refuse a dataset of which a finished run lacks a file.

        Args:
            envs: only runs of these environments matter; None for all.

        Raises:
            FailureError: a run does; the message names it, a file, and the remedy.
        """
        location = self._location
        if location.is_remote:  # its checksums would be fetched one by one; a commit has all files of a run
            return
        for run in location.with_folder_in("runs"):
            if envs is not None and run.env not in envs:
                continue
            stamp = location.stamp(run.manifest)
            if stamp is None or stamp == self._whole.get(run) or location.stamp(run.row) is None:
                continue
            gone = missing(location.path, run)
            if gone and location.stamp(run.row):  # else it is being removed
                raise FailureError(self._told(run, gone))
            self._whole[run] = stamp

    def _told(self, run: Run, gone: Sequence[str]) -> str:
        name = self._location.name
        return (
            f"{name}: run {run.run_id} of {run.env} {lacks(gone)}: copy it here again, `jacdb pull` it, or remove the"
            f" run by `jacdb rm {run.run_id} --env {run.env} --data {shlex.quote(name)}`"
        )


def check_known(location: Folder, envs: Sequence[str], known: Sequence[str]) -> None:
    """Refuse environments that a dataset has no steps of.

    Args:
        location: the dataset.
        envs: the environments.
        known: those that it has.

    Raises:
        UsageError: it has none of one of them.
        FailureError: it has none by now: a finished run lacks them.
    """
    for env in envs:
        if env not in known:
            Completeness(location).check([env])
            raise UsageError(f"no steps of {env!r} here: {suggestion(str(env), known)}")


def missing(root: Path, run: Run) -> list[str]:
    """Return the parts that a run's checksums name and that are not there, as paths below the dataset's folder, root.

    Checksums that can't be read name none: `jacdb verify` says so.
    """
    needed = (path for path in manifest.named(root, run) if path.partition("/")[0] in _NEEDED)
    return [path for path in needed if not os.path.exists(f"{root}/{path}")]  # noqa: PTH110 (a Path takes long)


def lacks(gone: Sequence[str]) -> str:
    """Return in words which files a run lacks."""
    more = f" and {len(gone) - 1} more of its files" if len(gone) > 1 else ""
    return f"lacks {gone[0]}{more}"
