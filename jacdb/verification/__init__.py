"""Check a dataset: its files, its rows and, with a simulator, its steps and Jacobians."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jacdb import atomic_file, schemas
from jacdb.counted import counted
from jacdb.dataset import learning_files, manifest, row_checksum
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import LOG, MODELS, PROGRESS, VERSION_1, Layout, PartPath, Run
from jacdb.errors import UsageError, suggestion
from jacdb.progress import Event
from jacdb.verification import axes
from jacdb.verification.findings import Check, Finding
from jacdb.verification.replayer import RunReplayer
from jacdb.verification.runs import RunChecks

SAMPLE = 16  # steps of a run that are replayed
COLUMNS = {"env": str, "run_id": str, "check": str, "checked": int, "of": str, "failed": int, "worst": float,
           "at": str, "note": str}  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """The checks of a dataset, performed.

    Attributes:
        checks: all of them, run by run.
    """

    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Return whether no check failed."""
        return not any(check.failed for check in self.checks)

    @property
    def findings(self) -> list[Finding]:
        """The findings: the first few of each check."""
        return [finding for check in self.checks for finding in check.findings]

    @property
    def frame(self) -> pl.DataFrame:
        """One row per check: its run, what it checked, how much, how much failed, the worst deviation and its place."""
        names = {"check": "name", "of": "unit"}  # `of` and `check` are the table's words
        return pl.DataFrame(
            {column: [getattr(check, names.get(column, column)) for check in self.checks] for column in COLUMNS},
            schema=COLUMNS,
        )

    @property
    def verdict(self) -> str:
        """How many findings there are, in one line."""
        failed = [check.failed for check in self.checks if check.failed]
        return f"{counted(sum(failed), 'finding')} in {len(failed)} of {len(self.checks)} checks"


def verify(
    root: Path | str,
    *,
    envs: list[str] | None = None,
    sample: int = SAMPLE,
    replayer: RunReplayer | None = None,
    report: Callable[[Event], None] = lambda event: None,
    tell: Callable[[Check], None] = lambda check: None,
) -> Verification:
    """Check a dataset; return all checks with their findings. A finding never raises an error.

    Args:
        root: the dataset's folder.
        envs: check only these environments.
        sample: how many steps of each run to replay in the simulator; 0 for none.
        replayer: replays them: ``jacdb.ingest.replay.checks.replay_run``. Without one, no step is replayed.
        report: called with progress.
        tell: called with each check as soon as its run is through: a large dataset takes hours.

    Raises:
        UsageError: there is no dataset, or it has no such environment.
    """
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root} is on the Hub: `jacdb pull` it, which checks its files, and give the folder")
    check_sample(sample)
    opened = Folder(root)
    folder = opened.path
    finished = manifest.finished(folder)
    runs = {part.run for part in map(PartPath.parse, manifest.parts(folder)) if part} | {*finished}
    _refuse_unknown(envs, {run.env for run in runs})
    names = Check(env="", run_id="", name="names", unit="files")
    _check_names(folder, opened.layout, envs, names)
    checks: list[Check] = []

    def keep(performed: list[Check]) -> None:
        for check in performed:
            tell(check)
        checks.extend(performed)

    keep([names])
    for env, of_env in itertools.groupby(sorted(runs), lambda run: run.env):
        if envs and env not in envs:
            continue
        several = [*of_env]
        for run in several:
            keep(RunChecks(folder, run, run in finished, replayer, report).perform(sample))
        if len(several) > 1:
            keep([axes.check(folder, env, several)])
    for of_runs, check in ((learning_files.in_folder, _check_learned), (learning_files.begun, _check_scores)):
        keep([check(folder, run) for run in of_runs(folder) if not envs or run.env in envs])
    return Verification(checks)


def check_sample(sample: int) -> None:
    """Refuse a number of steps to replay that can't be.

    Raises:
        UsageError: it is negative.
    """
    if sample < 0:
        raise UsageError(f"sample={sample}: give the number of steps of each run to replay; 0 for none")


def _check_learned(root: Path, run: Run) -> Check:
    """Return the check of a learning run: its row, its scores and its checkpoint, all of them under checksums."""
    check = Check(run.env, run.run_id, "learned", "files", checked=2)
    if found := learning_files.problem(root, run):
        check.fail(found.path, found.wrong)
        return check
    if not row_checksum.check(root / learning_files.row_of(run)).known:
        check.note = "its row is of before 1.0: neither it nor its checkpoint has a checksum"
    elif (root / learning_files.checkpoint_of(run)).is_file():
        check.checked += 1
        difference = learning_files.difference_of_checkpoint(root, run)
        if difference and difference.is_problem:
            check.fail(learning_files.checkpoint_of(run), f"it {difference.told}")
        elif difference:
            check.note = f"its checkpoint {difference.told}"
    return check


def _check_scores(root: Path, run: Run) -> Check:
    """Return the check of scores without a row, which no view reads."""
    check = Check(run.env, run.run_id, "learned", "files", checked=1)
    check.note = f"unfinished: no row in {learning_files.RUNS}"
    if found := learning_files.problem_of_scores(root, run):
        check.fail(found.path, found.wrong)
    return check


def _refuse_unknown(envs: list[str] | None, present: set[str]) -> None:
    for env in envs or []:
        if env not in present:
            raise UsageError(f"no run of {env!r} here: {suggestion(env, present)}")


def _check_names(root: Path, layout: Layout, envs: list[str] | None, check: Check) -> None:
    """Check that every file is a part, a manifest, a file of a running ingest, or a draft, and in its place."""
    folders = dict.fromkeys([*(table.name for table in schemas.ALL_TABLES), MODELS, layout.journal])
    tops = [root / name for name in folders]
    if envs:
        tops = [top / f"{layout.key}={env}" for top in tops for env in envs]
    for top in tops:
        for folder, inner, files in os.walk(top):
            inner.sort()  # in place: os.walk goes into them in this order, and not in the file system's
            for name in sorted(files):
                path = (Path(folder) / name).relative_to(root).as_posix()
                check.checked += 1
                of_an_ingest = (
                    name in (layout.lock, PROGRESS) or name.startswith(LOG) or name.endswith(atomic_file.SUFFIX)
                )
                in_its_place = layout == VERSION_1 or path.startswith(f"{layout.journal}/")
                of_a_run = PartPath.parse(path) or Run.from_manifest(path) or Run.from_model(path)
                if not (of_a_run or (of_an_ingest and in_its_place)):
                    check.fail(path, "a dataset has no such file")
