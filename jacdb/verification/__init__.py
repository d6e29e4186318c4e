"""Whether a dataset is what it says: its files, its rows, and, with the simulator, its steps and Jacobians."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jacdb import schemas
from jacdb.dataset import manifest
from jacdb.dataset.folder import Folder
from jacdb.dataset.manifest import Part, Run
from jacdb.dataset.run_status import LOG, PROGRESS
from jacdb.errors import UsageError, known
from jacdb.progress import Event
from jacdb.verification.findings import Check, Finding
from jacdb.verification.runs import RunChecks

SAMPLE = 16  # steps of a run that are taken again
COLUMNS = {"env": str, "run_id": str, "check": str, "checked": int, "of": str, "failed": int, "worst": float,
           "at": str, "note": str}  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """All checks of a dataset."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        return not any(check.failed for check in self.checks)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong; of each check, the first few."""
        return [finding for check in self.checks for finding in check.findings]

    @property
    def frame(self) -> pl.DataFrame:
        """A row a check: of which run, what was checked, how much of it, how much is wrong, the worst, and where."""
        names = {"check": "name"}
        return pl.DataFrame(
            {column: [getattr(check, names.get(column, column)) for check in self.checks] for column in COLUMNS},
            schema=COLUMNS,
        )

    @property
    def verdict(self) -> str:
        """One line for people."""
        wrong = sum(check.failed for check in self.checks)
        return f"{wrong:,} findings in {sum(bool(check.failed) for check in self.checks)} of {len(self.checks)} checks"

    def lines(self) -> Iterator[str]:
        """A line for each finding, and for each check that has more of them."""
        for check in self.checks:
            yield from map(str, check.findings)
            if (more := check.failed - len(check.findings)) > 0:
                yield f"{check.name} of {check.env}, run {check.run_id}: {more:,} more are wrong"


def verify(
    root: Path | str,
    *,
    envs: list[str] | None = None,
    sample: int = SAMPLE,
    report: Callable[[Event], None] = lambda event: None,
) -> Verification:
    """Check a dataset; nothing that is wrong with it raises.

    Args:
        root: the dataset's folder.
        envs: only these environments.
        sample: how many steps of each run to take again in the simulator, if it is installed; 0 for none.
        report: called with progress.

    Raises:
        UsageError: there is no dataset, or no such environment in it.
    """
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root} is on the Hub: `jacdb pull` it, which checks its files, and give the folder")
    if sample < 0:
        raise UsageError(f"sample={sample}: give how many steps of each run to take again; 0 for none")
    folder = Folder(root).path
    finished = manifest.finished(folder)
    runs = {part.run for part in map(Part.of, manifest.parts(folder)) if part} | {*finished}
    _know(envs, {run.env for run in runs})
    strays = Check("", "", "names", "files")
    _check_names(folder, envs, strays)
    checks = [strays]
    for run in sorted(runs):
        if not envs or run.env in envs:
            checks += RunChecks(folder, run, run in finished, report).made(sample)
    return Verification(checks)


def _know(envs: list[str] | None, there: set[str]) -> None:
    for env in envs or []:
        if env not in there:
            raise UsageError(f"no run of {env!r} here: {known(env, there)}")


def _check_names(root: Path, envs: list[str] | None, check: Check) -> None:
    """Every file in the tables' folders is a part, a manifest, what an ingest notes of its run, or a draft."""
    tops = [root / table.name for table in schemas.TABLES]
    if envs:
        tops = [top / f"env={env}" for top in tops for env in envs]
    for top in tops:
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(root).as_posix()
                check.checked += 1
                of_a_run = name in (".lock", PROGRESS) or name.startswith(LOG) or name.endswith(".tmp")
                if not (Part.of(path) or Run.of_manifest(path) or of_a_run):
                    check.fail(path, "a dataset has no such file")
