"""Carry out a request: from an environment's name to rows on disk. The one function behind ``jacdb ingest``."""

import datetime
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from jacdb import interruption, merging
from jacdb.counted import counted
from jacdb.dataset import shards
from jacdb.dataset.layout import Run
from jacdb.dataset.shards import ShardState
from jacdb.errors import UsageError
from jacdb.ingest import run_failures, runtime
from jacdb.ingest.recording import axes
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.rollout import Rollout
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.request_checks import usable_root
from jacdb.ingest.run_plan import Request, RunPlan
from jacdb.ingest.storage.arrow import share_process_memory
from jacdb.ingest.storage.journal import Journal
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.progress import Event, both

type MakePrograms = Callable[[RolloutSettings, Callable[[Event], None]], Programs]


@dataclass(frozen=True)
class Result:
    """A run that is on disk."""

    run_id: str
    n_rows: int
    n_excluded: int
    n_recomputed: int
    seconds: float
    was_there: bool = False
    shard: ShardState | None = None

    def describe(self, env: str, root: Path | str) -> str:
        """Return one line for people."""
        name, after = shards.told(self.run_id, self.shard)
        rows = f"{counted(self.n_rows, 'step')} of {env} in {root}, {name}"
        if self.was_there:
            return f"{rows}: there already, nothing to do{after}"
        notes = f"{self.n_recomputed:,} recomputed where the solver stopped early, {self.n_excluded:,} not finite"
        return f"{rows}: {self.seconds:.0f} s, {notes}{after}"


@runtime.without_collector()
def ingest(
    request: Request,
    root: Path | str,
    *,
    resume: bool = False,
    report: Callable[[Event], None] = lambda progress: None,
    begin: Callable[[Run], None] = lambda run: None,
    programs: MakePrograms = Programs,
) -> Result:
    """Roll out, differentiate, and write one run into the dataset at ``root``.

    A run that is already there, whole, is left as it is; one that stopped half-way is completed, its finished
    episodes kept. So is a shard; the last shard that is finished makes the run of all of them.

    Args:
        root: the dataset's folder; made when there is none.
        resume: insist that there is such a run to go on from.
        report: called with progress.
        begin: called with the run's name before anything of it is made; what it raises is raised.
        programs: makes what runs on the device, from settings and ``report``.

    Raises:
        UsageError: the request can't be right; nothing was written.
        FailureError: it was right and could not be carried out.
    """
    root = usable_root(root, request.dtype)
    share_process_memory()
    plan = RunPlan.resolve(request, lambda doing: report(Event(doing)))
    run, smaller = Run(request.env, plan.run_id), f"give fewer --num-envs than {plan.rollout.num_envs}"
    begin(run)
    with run_failures.told(root, smaller):
        result = _carry_out(plan, root, resume, report, programs)
        return replace(result, shard=merging.shard_state(root, run, request.shard, report))


def _carry_out(
    plan: RunPlan, root: Path, resume: bool, report: Callable[[Event], None], programs: MakePrograms
) -> Result:
    """Write the run, or the shard of it that is asked for."""
    request = plan.request
    jacobian = pa.float32() if request.dtype == "float32" else pa.float64()
    constants = request.env, request.policy.name, plan.run_id, plan.trajectory_id
    writer = RunWriter(root, *constants, jacobian, shard=request.shard)
    started, clock = datetime.datetime.now(datetime.UTC).replace(tzinfo=None), time.perf_counter()
    if resume and not writer.has_begun():
        raise UsageError(f"nothing to resume: {root} has no run {plan.run_id}; leave out --resume to begin it")
    if writer.is_finished():  # before a lock is made: the folder may be a colleague's
        return _result(plan, writer, clock, was_there=True)
    named = axes.axis_rows(plan.rollout.system)
    writer.check_axes(named)
    with writer.alone():
        if writer.is_finished():  # by another process, meanwhile
            return _result(plan, writer, clock, was_there=True)
        there = writer.resume()
        if there and all(ident == plan.former_trajectory_id(number) for number, ident in there.items()):
            writer.trajectory_id = plan.former_trajectory_id  # a run is ended by the rule that it was begun by
        missing = [number for number in plan.numbers if number not in there]
        _check_space(root, plan, len(missing) * plan.rollout.steps)
        with Journal(writer.journal, plan.settings()) as journal:
            writer.write_axes(named)
            if missing:
                _roll_out(programs(plan.rollout, both(journal, report)), missing, writer)
            result = _result(plan, writer, clock)
            counts = {name: getattr(result, name) for name in ("n_rows", "n_excluded", "n_recomputed", "seconds")}
            writer.write_run({**plan.row(), **counts, "started": started})
    return result


def _roll_out(programs: Programs, episodes: list[int], writer: RunWriter) -> None:
    """Roll out these episodes and write them; whatever stops it, finished episodes are kept."""
    rollout = Rollout(programs, episodes)
    with interruption.at_stop(writer.flush):
        try:
            for finished in rollout.run():
                writer.add(*finished)
        finally:
            programs.report(Event("writing"))
            writer.begin()
            rollout.close()  # it takes 0.1 s to free compiled code: meanwhile the last parts are written
            writer.flush()


def _result(plan: RunPlan, writer: RunWriter, clock: float, was_there: bool = False) -> Result:
    """Return what the run has on disk, and the seconds since ``clock``."""
    counts = writer.counts(plan.rollout.method)
    rows = counts["n_rows"], counts["n_excluded"], counts["n_recomputed"]
    return Result(plan.run_id, *rows, seconds=time.perf_counter() - clock, was_there=was_there)


def _check_space(root: Path, plan: RunPlan, rows: int) -> None:
    """Refuse what the disk can't hold, before hours of work. Matrices hardly compress; the rest is little beside them.

    Raises:
        UsageError: it can't; nothing was written.
    """
    needed, free = plan.matrix_bytes(rows), shutil.disk_usage(root).free
    if needed > free:
        raise UsageError(
            f"{rows:,} steps take up to {needed / 2**30:.3g} GiB, {free / 2**30:.3g} are free at {root}: give fewer"
            " --episodes or --steps, or another --data"
        )
