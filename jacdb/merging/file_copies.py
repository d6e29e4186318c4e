"""Files put into another dataset: linked where that can be, else copied, and never without their checksums."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jacdb.atomic_file import draft_of, remove_abandoned, sync_folder
from jacdb.checksum import sha256_of
from jacdb.dataset import integrity, joining, removal
from jacdb.dataset.layout import MODELS, PartPath, Run
from jacdb.errors import FailureError
from jacdb.progress import Event

# A step's pattern comes before the step, and a row of `episodes` says that all of its part is there
ORDER = (MODELS, "axes", "patterns", "steps", "episodes", "partials")


def check(root: Path, sums: Mapping[str, str], report: Callable[[Event], None]) -> None:
    """Refuse files that are not what a run's checksums say.

    Args:
        root: the folder that they lie in.
        sums: their checksums, by path below it.
        report: called with progress.

    Raises:
        FailureError: one is not.
    """
    for done, (path, sha256) in enumerate(sorted(sums.items())):
        report(Event("checking", done, len(sums), "files"))
        if wrong := integrity.check_file(root / path, path, sha256):
            raise FailureError(f"{root / path}: {wrong}; nothing of its run was merged")


def in_order(paths: Iterable[str]) -> list[str]:
    """Return the paths of a run's files in the order in which they come to be."""
    return sorted(paths, key=lambda path: (_part_number(path), _place(path), path))


def put(source: Path, out: Path, run: Run, path: str, sha256: str) -> None:
    """Put a file, whose checksum has been compared, into a dataset; nothing is done if it is there.

    Args:
        source: the file.
        out: the dataset's folder.
        run: the run that it is of.
        path: its place below that folder.

    Raises:
        FailureError: it could not be linked, and its copy is not equal to it.
    """
    link_or_copy(source, out / path, out / run.journal / path.replace("/", "-"), sha256)


def put_all(source: Path, place: Path, dataset: Path, run: Run, sums: Mapping[str, str]) -> None:
    """Put the files of a run, or of a shard, in their order; it is held to the dataset's others once it says its type.

    Args:
        source: the folder that they lie in; their checksums have been compared.
        place: the folder that they come to lie in: the dataset's, or that of the shard in it.
        dataset: the dataset's folder.
        run: the run, held by this process.
        sums: their checksums, by path.

    Raises:
        UsageError: it can't be in the dataset; what was put is removed again.
        FailureError: one could not be linked, and its copy is not equal to it.
    """
    paths = in_order(sums)
    saying = next((path for path in paths if path.startswith("steps/")), paths[-1])
    with joining.taken_back_if_refused(dataset, place, run):
        for path in paths:
            put(source / path, place, run, path, sums[path])
            if path == saying:
                joining.check(dataset, place, run)


def link_or_copy(source: Path, target: Path, draft_name: Path, sha256: str) -> None:
    """Put a file, whose checksum has been compared, into another place; nothing is done if it is there.

    Args:
        source: the file.
        target: its place.
        draft_name: the name of its draft, outside the tables' folders.
        sha256: its checksum.

    Raises:
        FailureError: it could not be linked, and its copy is not equal to it.
    """
    source = source.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and (target.samefile(source) or sha256_of(target) == sha256):
        return
    remove_abandoned(draft_name)
    with draft_of(draft_name) as draft:
        try:
            os.link(source, draft)
        except OSError:  # another disk, another's file, a file system without links
            shutil.copyfile(source, draft)
            with draft.open("rb") as stream:
                os.fsync(stream.fileno())
            if sha256_of(draft) != sha256:
                raise FailureError(f"{source} changed while it was copied; nothing of it was kept") from None
        draft.replace(target)
    sync_folder(target.parent)


def clear_others(out: Path, run: Run, planned: Mapping[str, str | None]) -> None:
    """Remove the rows of a run that an ingest or a removal has left unfinished, unless they are those that are planned.

    Args:
        out: the dataset's folder.
        run: the run, held by this process.
        planned: the checksums of the files that are to be, by path; None for one that is not known yet.
    """
    folders = [out / run.folder(table) for table in ("partials", "episodes", "steps", "patterns")]
    there = {path.relative_to(out).as_posix(): path for folder in folders for path in folder.glob("part-*")}
    # a merge that was stopped has put steps; what is there without them, views would count with the first that come
    goes_on = any(name.startswith("steps/") for name in there) or not there
    if goes_on and all(name in planned and planned[name] in (None, sha256_of(path)) for name, path in there.items()):
        return
    for folder in folders:
        removal.remove_folder(folder, out)


def _place(path: str) -> int:
    top = path.partition("/")[0]
    return ORDER.index(top) if top in ORDER else len(ORDER)


def _part_number(path: str) -> int:
    part = PartPath.parse(path)
    return part.number if part else 0
