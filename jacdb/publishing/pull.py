"""Fetch a dataset from the Hugging Face Hub into a folder, and check it.

Published data is not trusted: a file must have a path that jacdb gives, the checksum that its run names, the columns of
its table, and a size that can be read. Files are fetched beside the dataset, and are moved into it run by run once they
are checked: the dataset can be read throughout.
"""

import collections
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from jacdb import hub, hub_names, out_path, schemas
from jacdb.checksum import sha256_of
from jacdb.counted import counted
from jacdb.dataset import environment_axes, integrity, joining, learning_files, run_status
from jacdb.dataset.layout import MODELS, Run, layout_of, the_one
from jacdb.dataset.schema_version import check_version
from jacdb.errors import FailureError, JacdbError, UsageError, suggestion, telling_writes
from jacdb.merging import file_copies, learning_runs
from jacdb.merging.learning_runs import Change
from jacdb.progress import Event
from jacdb.publishing import refusals
from jacdb.publishing.fetch import Fetch

STAGING = ".pull"  # below the dataset: on the same disk, so that files can be moved into their places
ORDER = (*file_copies.ORDER, "runs")  # a run's row comes last, as when it is written


@dataclass(frozen=True)
class Pulled:
    """The result of a pull.

    Attributes:
        name: OWNER/NAME.
        commit: the commit that was fetched.
        n_runs: how many runs were fetched.
        n_bytes: how many bytes.
        n_there: how many runs were there before.
        learning: what became of learning runs in the folder, and of how many.
        checkpoints: what there is to say of checkpoints in the folder that are not those of rows that were fetched.
    """

    name: str
    commit: str
    n_runs: int
    n_bytes: int
    n_there: int
    learning: Mapping[Change, int] = field(default_factory=dict)
    checkpoints: tuple[str, ...] = ()

    def describe(self, root: Path | str) -> str:
        """Return one line for people."""
        there = f", {self.n_there} were there" if self.n_there else ""
        said = "".join(f"; {one}" for one in self.checkpoints)
        runs = counted(self.n_runs, "run")
        learning = "".join(f", {counted(n, 'learning run')} {what}" for what, n in sorted(self.learning.items()))
        return f"{self.name} at {self.commit}: {runs}, {self.n_bytes:,} bytes into {root}{there}{learning}{said}"


def pull(
    name: str,
    root: Path | str,
    *,
    envs: list[str] | None = None,
    revision: str | None = None,
    report: Callable[[Event], None] = lambda progress: None,
) -> Pulled:
    """Fetch finished runs from a dataset repository into a folder.

    Calling it again resumes an interrupted pull. Runs that the folder already has are not fetched again, but for
    learning runs that have more scores on the Hub, or whose scores and row a stopped pull left apart. A learning run
    that is damaged or different is told once all else was fetched.

    Args:
        name: OWNER/NAME.
        root: the dataset's folder; made when there is none.
        envs: environments to fetch; None for all.
        revision: branch, tag or commit; None for main. All files are fetched from its present commit.
        report: called with progress.

    Raises:
        UsageError: there is no such repository, revision or environment, or this token may not read it; the folder
            has a run with the same id and other contents, or a learning run with different scores; or an environment
            would have two sets of axes, or the dataset matrices of two types; or a table's folder is on another disk.
        FailureError: the Hub can't be reached; a file is not valid or has another checksum; or the disk is full.
    """
    hub_names.check_name(name)
    root = Path(root)
    out_path.check_dataset(root)
    with telling_writes(root, "what was fetched is kept, and the same command goes on from it", "pull into"):
        here = check_version(root) if root.exists() and layout_of(root) else None
        report(Event("asking the Hub"))
        snapshot = hub.Snapshot.take(name, revision)
        wanted = _wanted(snapshot, envs)
        with _staging(root, snapshot.commit) as staging, _cleared_if(UsageError, staging):
            fetch = Fetch(snapshot, staging, report)
            with _cleared_if(JacdbError, staging):
                sums, missing = _asked(root, here, fetch, wanted)
            put = [run for run, paths in missing.items() if paths and _put(root, fetch, run, paths, sums[run])]
            changes, kept, refused = _put_learned(root, fetch, envs)
    if refused:
        more = f"; nor can {len(refused) - 1} more of its learning runs be pulled" if len(refused) > 1 else ""
        raise type(refused[0])(f"{refused[0]}{more}; all else was pulled")
    n_there = len(wanted) - len(put)
    return Pulled(name, snapshot.commit, len(put), fetch.total, n_there, changes, tuple(kept))


def _asked(
    root: Path, here: int | None, fetch: Fetch, wanted: Sequence[Run]
) -> tuple[dict[Run, dict[str, str]], dict[Run, list[str]]]:
    """Return the checksums of each run, and its parts that a folder lacks; refuse what can't be put there.

    Args:
        root: the dataset's folder.
        here: the version of its own files; None if it has none.
        fetch: it is told how many bytes there are to fetch.
        wanted: the runs.
    """
    sums = {run: fetch.manifest(run) for run in wanted}
    missing = {run: _missing(root, run, sums[run]) for run in wanted}
    fetch.total = sum(fetch.snapshot.files[path].size for paths in missing.values() for path in paths)
    if (free := shutil.disk_usage(root).free) < fetch.total:
        raise FailureError(
            f"{fetch.snapshot.name}: {fetch.total:,} bytes to fetch, {free:,} free at {root}; give fewer --env"
        )
    _refuse_mixtures(root, here, fetch, missing, sums)
    return sums, missing


@contextmanager
def _staging(root: Path, commit: str) -> Iterator[Path]:
    """Yield a folder for files being fetched; it may hold files of an interrupted pull of the same commit.

    Raises:
        UsageError: another pull into the same dataset is at work.
    """
    folder = root / STAGING
    made = [place for place in (root, *root.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0, fallback_to_soft=False):
            for other in folder.iterdir():
                if other.is_dir() and other.name != commit:
                    shutil.rmtree(other)
            (folder / commit).mkdir(exist_ok=True)
            try:
                yield folder / commit
                shutil.rmtree(folder / commit)
            finally:
                if not (folder / commit).exists():
                    shutil.rmtree(folder)
                    for place in made:
                        with contextlib.suppress(OSError):  # it is not empty: something was pulled, or others made it
                            place.rmdir()
    except filelock.Timeout:
        raise UsageError(f"another pull into {root} is at work: let it finish") from None


@contextmanager
def _cleared_if(kind: type[JacdbError], staging: Path) -> Iterator[None]:
    """Remove what was fetched if a pull ends by this error; what was there before stays."""
    was_empty = not any(staging.iterdir())
    try:
        yield
    except kind:
        if was_empty and staging.exists():
            shutil.rmtree(staging)
        raise


def _wanted(snapshot: hub.Snapshot, envs: list[str] | None) -> list[Run]:
    """Return the finished runs of these environments; all if None."""
    runs = sorted(run for run in map(Run.from_manifest, snapshot.files) if run)
    if not runs:
        raise UsageError(f"{snapshot.name} holds no jacdb dataset (no {Run('…', '…').manifest})")
    the_one((run.layout.key for run in runs), snapshot.name)
    present = {run.env for run in runs}
    for env in envs or []:
        if env not in present:
            raise UsageError(f"{snapshot.name} has no {env!r}: {suggestion(env, present)}")
    return [run for run in runs if not envs or run.env in envs]


def _refuse_mixtures(
    root: Path,
    here: int | None,
    fetch: Fetch,
    missing: Mapping[Run, Sequence[str]],
    sums: Mapping[Run, Mapping[str, str]],
) -> None:
    """Refuse to mix schema versions, axes of an environment, or types of matrices: each run's small files say which.

    Args:
        root: the dataset's folder.
        here: the version of its own files; None if it has none.
        missing: the files that it lacks of each run.
        sums: the checksums of each run.
    """
    added = {run: {*paths} for run, paths in missing.items() if paths}
    refusals.check_disk(root, STAGING, added)
    small = ("axes/", "runs/")
    said = {path: sums[run][path] for run, paths in added.items() for path in paths if path.startswith(small)}
    fetch.parts(said)
    there = check_version(fetch.folder) if any(path.startswith("axes/") for path in said) else here
    if here not in (None, there):
        raise UsageError(
            f"--data {root} is of schema version {here}, {fetch.snapshot.name} of version {there}: pull into another"
            " folder; `jacdb upgrade` rewrites one of a former version"
        )

    def places(file: Callable[[Run], str]) -> dict[Run, Path]:
        return {run: fetch.folder if file(run) in paths else root for run, paths in added.items()}

    of_axes = places(lambda run: environment_axes.axes_path(Path(), run).as_posix())
    refusals.check_axes(root, fetch.snapshot.name, of_axes)
    if there == schemas.SCHEMA_VERSION:  # one of before may have two
        refusals.check_type(root, fetch.snapshot.name, places(lambda run: run.row))


def _put_learned(
    root: Path, fetch: Fetch, envs: list[str] | None
) -> tuple[Mapping[Change, int], list[str], list[JacdbError]]:
    """Fetch, check and put the learning runs that a folder lacks, or has with less.

    Returns:
        how many there were of each change; what there is to say of checkpoints; and why others were not put.
    """
    changes, kept, refused = collections.Counter[Change](), list[str](), list[JacdbError]()
    for run in learning_files.finished(fetch.snapshot.files):
        row, wrong = learning_files.row_of(run), None
        if envs and run.env not in envs:
            continue
        if (root / row).is_file():
            wrong = learning_files.problem(root, run)
            if wrong is None and fetch.snapshot.files[row].holds(root / row):
                continue
        if error := _refusal_of_learned(root, fetch, run, wrong):
            refused.append(error)
        elif change := learning_runs.change(fetch.folder, run, root):
            changes[change] += 1
            if said := _move_learned(fetch.folder, root, run):
                kept.append(said)
    return changes, kept, refused


def _refusal_of_learned(root: Path, fetch: Fetch, run: Run, wrong: integrity.FileProblem | None) -> JacdbError | None:
    """Fetch a learning run; return why it can't be put into a folder, which may have it with this wrong; else None."""
    if told := fetch.learned(run):
        return FailureError(told)
    if not (root / learning_files.row_of(run)).is_file():
        return None
    if wrong and not learning_runs.is_half_put(run, wrong, (root, fetch.folder)):
        remedy = f"remove {root / run.folder(learning_files.RUNS)}, and pull again"
        return FailureError(f"{root / wrong.path}: {wrong.wrong}; {remedy}")
    if learning_runs.differ(root, fetch.folder, run):
        return UsageError(
            f"learning run {run.run_id} of {run.env} is in {root} and in {fetch.snapshot.name}, with different"
            f" scores: pull into another --data, or remove {root / run.folder(learning_files.RUNS)}"
        )
    return None


def _missing(root: Path, run: Run, sums: dict[str, str]) -> list[str]:
    """Return the parts of a run that a folder lacks.

    Raises:
        UsageError: the folder has a run with this id and other contents.
    """
    # partials follow from the rest: whoever has the run may have none, or own ones
    tables = [table for table in ORDER if table != "partials"]
    files = {path for table in tables for path in (root / run.folder(table)).glob("part-*.parquet")}
    files |= {*(root / run.folder(MODELS)).glob("*.mjb")}
    here = {path.relative_to(root).as_posix() for path in files}
    for path in here:
        if path not in sums or sha256_of(root / path) != sums[path]:
            raise UsageError(
                f"{root} has a run {run.run_id} of {run.env} that is another than the one on the Hub ({path} differs):"
                " pull into another --data"
            )
    # without its checksums a run is not finished, and they are written together with its row
    whole = (root / run.manifest).is_file()
    missing = [path for path in sums if path not in here or (path == run.row and not whole)]
    return missing if missing != [run.partials] else []


def _put(root: Path, fetch: Fetch, run: Run, paths: Sequence[str], sums: dict[str, str]) -> bool:
    """Fetch a run's parts and put them into the dataset; return whether they were: others may have, meanwhile.

    Raises:
        UsageError: the run that others put there is another, or an environment has other axes now or the dataset
            matrices of another type; or an ingest is at work on the run.
        FailureError: a part can't be fetched or is not valid; or others have removed what was there of the run.
    """
    fetch.parts({path: sums[path] for path in paths})
    for place in (root / run.lock, root / run.manifest):
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with run_status.lock(root, run), joining.taken_back_if_refused(root, root, run):
            missing = _missing(root, run, sums)
            if gone := {*missing} - {*paths}:
                raise FailureError(f"{root / min(gone)} was removed meanwhile: the same command goes on")
            _move(fetch.folder, root, run, missing)
            return bool(missing)
    except filelock.Timeout:
        raise UsageError(f"an ingest is at work on run {run.run_id} of {run.env}: let it finish") from None


def _move(staging: Path, root: Path, run: Run, paths: Sequence[str]) -> None:
    """Move a run's checked files into the dataset, its row in `runs` last, once the dataset's others allow it."""
    for path in sorted(paths, key=lambda path: ORDER.index(path.split("/")[0])):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path == run.row:
            joining.check(root, root, run)
            (staging / run.manifest).replace(root / run.manifest)
        (staging / path).replace(root / path)


def _move_learned(staging: Path, root: Path, run: Run) -> str | None:
    """Move a learning run's checked files into the dataset, its row last.

    A checkpoint that is there stays, for a training may be at work on it; return what there is to say of it.
    """
    for path in (learning_files.scores_of(run), learning_files.row_of(run)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (staging / path).replace(root / path)
    difference = learning_files.difference_of_checkpoint(root, run)
    return f"{root / learning_files.checkpoint_of(run)} stays: it {difference.told}" if difference else None
