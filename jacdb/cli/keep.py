"""The commands that list, remove, join, check and rewrite the runs of a dataset, and info on what is installed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jacdb import interruption
from jacdb.cli.options import Environments, Form, LocalData, Out, Quiet
from jacdb.cli.printing import check_form, note, print_frame
from jacdb.errors import FailureError, UsageError

if TYPE_CHECKING:
    from jacdb.verification.findings import Check
    from jacdb.verification.replayer import RunReplayer


def runs(data: LocalData = Path("data"), form: Form = None, out: Out = None) -> None:
    """List the runs of a dataset: finished, at work (with progress and speed), or stopped.

    Example: jacdb runs --data data
    """
    check_form(form, out)
    from jacdb.dataset import run_status

    print_frame(run_status.status(data), form, out)


def rm(
    run_id: Annotated[str, typer.Argument(help="The run's id (see `jacdb runs`).", metavar="RUN")],
    env: Annotated[str | None, typer.Option(help="The run's environment, where several have such a run.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: LocalData = Path("data"),
) -> None:
    """Remove one run from a dataset, after asking. A run that an ingest is at work on is refused.

    Of symbolic links the links are removed; what they lead to stays, and is named.

    Example: jacdb rm noise-seed0-c57fd73217 --data data
    """
    from jacdb.dataset.removal import Removal

    removal = Removal.find(data, run_id, env)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{removal.describe()} would be removed, and nobody is there to be asked: give --yes")
        if not typer.confirm(f"Remove {removal.describe()} from {data}?", err=True):
            raise FailureError("nothing was removed")
    removal.carry_out()
    typer.echo(f"removed {removal.describe()} from {data}")


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of datasets.", metavar="DIR...")],
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Join the finished runs and the shards of datasets; a run whose shards are all there is completed.

    Learning runs, with their scores, are added too. Files are linked where that can be, else copied, and
    every checksum is compared. If shards of a run are missing, they are named, and the exit code is 1. Repeat the
    command to resume.

    Example: jacdb merge node1 node2 --data data
    """
    interruption.advise("merged runs are kept; repeat the command to resume")
    from jacdb import merging
    from jacdb.progress import Reporter

    with Reporter(quiet=quiet).shown() as report:
        merged = merging.merge(folders, data, report=report)
    typer.echo(merged.describe(data))
    if merged.missing:
        raise FailureError("; ".join(one.words for one in merged.missing))


def info(
    devices: Annotated[
        bool, typer.Option("--devices", help="List what JAX computes on, too, which takes a second.")
    ] = False,
    form: Form = None,
    out: Out = None,
) -> None:
    """List versions, caches and variables: what a bug report needs.

    Example: jacdb info --devices
    """
    check_form(form, out)
    import polars as pl

    from jacdb import installation

    print_frame(pl.DataFrame(installation.facts(devices)), form, out)


def verify(
    env: Environments = None,
    sample: Annotated[int, typer.Option(help="Steps of each run to replay in the simulator; 0 for none.")] = 16,
    data: LocalData = Path("data"),
    form: Form = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Check a dataset: files, rows and, if the simulator is installed, steps and Jacobians.

    It prints each check, how much it checked, and the worst deviation. Findings go to stderr as soon as a run is
    through, with file and row; the exit code is then 1. docs/verification.md describes each check and its tolerance.

    Example: jacdb verify --data data --env CartpoleBalance --sample 100
    """
    check_form(form, out)
    from jacdb import verification
    from jacdb.progress import Reporter

    with Reporter(quiet=quiet).shown() as report:
        verified = verification.verify(
            data, envs=env, sample=sample, replayer=_installed_replayer(), report=report, tell=_tell_findings
        )
    print_frame(verified.frame, form, out, whole=True)
    if not verified.ok:
        raise FailureError(verified.verdict)


def _tell_findings(check: "Check") -> None:
    for line in check.lines():
        typer.echo(line, err=True)


def _installed_replayer() -> "RunReplayer | None":
    """Return the function that replays steps; None if the simulator is not installed."""
    from jacdb import simulator

    if simulator.missing():
        return None

    def replay(*arguments: Any) -> None:
        from jacdb.ingest.replay import checks  # seconds of imports: what is typed wrong is told before

        checks.replay_run(*arguments)

    return replay


def upgrade(
    old: Annotated[Path, typer.Argument(help="Folder of a dataset of a former schema version.", metavar="OLD")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must be new.", metavar="NEW")],
    dtype: Annotated[
        str | None, typer.Option(help="Only runs whose matrices are float32, or float64; needed if there are both.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Rewrite a dataset of a former schema version in the present one, its rows as they are.

    Finished runs are rewritten; learning runs, with their scores and checkpoints, are taken over. What is left out
    is named.

    Example: jacdb upgrade data --out data-v3
    """
    from jacdb.dataset import upgrade as upgrades
    from jacdb.progress import Reporter

    with Reporter(quiet=quiet).shown() as report:
        upgraded = upgrades.upgrade(old, out, dtype=dtype, report=report)
    for what in upgraded.left_out:
        note(f"{what} and was left out", quiet)
    typer.echo(upgraded.describe(old, out))


def partials(data: LocalData = Path("data"), env: Environments = None, quiet: Quiet = False) -> None:
    """Add up the steps of finished runs, of those whose sums are missing, stale or damaged.

    Ingest does it at the end of a run. Views read these sums, so that they cost by the run and not by the step.

    Example: jacdb partials --data data
    """
    from jacdb.dataset import partials as sums
    from jacdb.progress import Reporter

    with Reporter(quiet=quiet).shown() as report:
        refreshed = sums.refresh(data, envs=env, report=report)
    typer.echo(refreshed.describe(data))
