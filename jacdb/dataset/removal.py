"""Remove one run from a dataset, which is readable at every moment; what is left of a removal can be removed later."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import filelock

from jacdb.dataset import listing, manifest, run_status, shards
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import LAYOUTS, MODELS, PartPath, Run
from jacdb.errors import FailureError, UsageError, suggestion, told_with_remedy

# The run's row goes first, and the run is an unfinished one; its axes last: while they are there, it is listed
ORDER = ("runs", "partials", "episodes", "steps", "patterns", "axes")


@dataclass(frozen=True)
class Removal:
    """A run to be removed.

    Attributes:
        root: the dataset's folder.
        run: the run.
        finished: whether it is whole.
        n_bytes: what its own files take.
        linked: where its symbolic links lead. They go, and what they lead to stays: others may have it, too.
    """

    root: Path
    run: Run
    finished: bool
    n_bytes: int
    linked: list[Path]

    @classmethod
    def find(cls, root: Path | str, run_id: str, env: str | None = None) -> "Removal":
        """Return the removal of a run, which is not carried out yet.

        Args:
            root: the dataset's folder.
            run_id: the run's id, as ``jacdb runs`` lists it.
            env: the run's environment, where several have a run of that id.

        Raises:
            UsageError: there is no dataset, no such run, or several.
        """
        if str(root).startswith("hf:"):
            raise UsageError(f"--data {root} is on the Hub: a run is removed from a folder")
        pieces = shards.on_disk(Path(root))
        journals = _with_a_journal(Path(root))
        is_more = any(manifest.parts(Path(root))) or not (pieces or journals)
        folder = Folder(root).path if is_more else Path(root).resolve()
        begun = {part.run for part in map(PartPath.parse, manifest.parts(folder)) if part}
        begun |= {one.run for one in pieces} | journals
        named = sorted(run for run in begun if run.run_id == run_id and env in (None, run.env))
        if not named:
            there = {run.run_id for run in begun if env in (None, run.env)}
            raise UsageError(f"no run {run_id!r} in {root}: {suggestion(run_id, there)}")
        if len(named) > 1:
            raise UsageError(f"run {run_id} is in {', '.join(run.env for run in named)}: give one as --env")
        [run] = named
        folders = [place / each for place in _places(folder, run) for each in _folders(run)]
        inside = [path for each in folders if not each.is_symlink() for path in each.rglob("*")]
        linked = [path.resolve() for path in (*folders, *inside) if path.is_symlink()]
        files = [path for path in inside if path.is_file() and not path.is_symlink()]
        return cls(folder, run, run in manifest.finished(folder), sum(path.stat().st_size for path in files), linked)

    def describe(self) -> str:
        """Return one line for people: which run it is, how much of it there is, and what of it will stay."""
        state = "finished" if self.finished else "not finished"
        more = f" and {len(self.linked) - 1} more" if len(self.linked) > 1 else ""
        stays = f"; what links lead to stays: {self.linked[0]}{more}" if self.linked else ""
        return f"run {self.run.run_id} of {self.run.env} ({state}, {self.n_bytes / 1e6:,.1f} MB{stays})"

    def carry_out(self) -> None:
        """Remove the run's files, of every table, and those of its shards.

        Raises:
            UsageError: an ingest is at work on it.
            FailureError: a file can't be removed; the rest is still listed, and can be removed later.
        """
        try:
            with contextlib.ExitStack() as held:
                places = _places(self.root, self.run)
                for place in reversed(places):  # the run's own first
                    (place / self.run.lock).parent.mkdir(parents=True, exist_ok=True)
                    held.enter_context(run_status.lock(place, self.run))
                for place in places:
                    remove_files(place, self.run, self.root)
        except filelock.Timeout:
            raise UsageError(f"an ingest is at work on {self.describe()}: stop it first, or let it finish") from None
        except OSError as error:
            raise FailureError(
                f"run {self.run.run_id} can't be removed from {self.root}: {told_with_remedy(error)}, and repeat the"
                " command"
            ) from error


def remove_files(place: Path, run: Run, root: Path) -> None:
    """Remove the files of a run, or of a shard of it, so that the rest is still known wherever this stops.

    Args:
        place: the dataset's folder, or the shard's.
        run: the run.
        root: the dataset's folder.
    """
    if (mark := place / run.journal / shards.MARK).is_file():  # as a run's row does, it says that all is there
        mark.unlink()
    for folder in _folders(run):
        remove_folder(place / folder, root)


def remove_folder(folder: Path, root: Path) -> None:
    """Remove a folder of a run, and the folders above it that are empty then, up to the dataset's, ``root``.

    What symbolic links lead to stays, as it does where `rm -r` meets them.
    """
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder, onexc=_with_its_folder)
    for above in folder.parents:
        if above == root:
            break
        with contextlib.suppress(OSError):  # there are others in it
            above.rmdir()


def _with_a_journal(root: Path) -> set[Run]:
    """Return the runs that have a journal: it goes last, and is all that is left of a removal stopped before that."""
    folders = ((layout, listing.run_folders(root / layout.journal, layout.key)) for layout in LAYOUTS)
    return {Run(env, each.name.removeprefix("run="), layout) for layout, found in folders for env, each in found}


def _places(root: Path, run: Run) -> list[Path]:
    """Return the folders that files of a run may be in: those of its shards, and the dataset's."""
    return [*(one.root for one in shards.on_disk(root, run)), root]


def _folders(run: Run) -> list[str]:
    """Return the folders of a run in the order in which they go: its journal, which has the lock, goes last."""
    return [*dict.fromkeys([*map(run.folder, (*ORDER[:-1], MODELS, ORDER[-1])), run.journal])]


def _with_its_folder(_: object, path: str, error: BaseException) -> None:
    """Raise an error of a removal again, with the path of what is not removed; it names the file alone.

    From Python 3.13 on what is raised here comes here again, with the path of the folder that is removed.
    """
    if isinstance(error, OSError):
        error.filename = vars(error).setdefault("not_removed", path)
    raise error
