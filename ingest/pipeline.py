"""From a request to rows on disk: the one function behind ``jacdb ingest``."""

import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from jacdb import schemas
from jacdb.dataset.manifest import Run
from jacdb.dataset.schema_version import check_version
from jacdb.errors import FailureError, UsageError
from jacdb.ingest import runtime
from jacdb.ingest.compat import playground
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import registry
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.provenance import model_hash, versions
from jacdb.ingest.recording import axes
from jacdb.ingest.recording.rollout import Rollout
from jacdb.ingest.run_plan import MAX_ENVS, Request
from jacdb.ingest.storage.journal import Journal
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.progress import Event
from jacdb.schemas import ZERO_THRESHOLD


@dataclass(frozen=True)
class Result:
    """A run that is on disk."""

    run_id: str
    n_rows: int
    n_excluded: int
    n_recomputed: int
    seconds: float
    was_there: bool = False

    def describe(self, env: str, root: Path | str) -> str:
        """One line for people."""
        rows = f"{self.n_rows:,} steps of {env} in {root}, run {self.run_id}"
        if self.was_there:
            return f"{rows}: there already, nothing to do"
        notes = f"{self.n_recomputed:,} recomputed where the solver stopped early, {self.n_excluded:,} not finite"
        return f"{rows}: {self.seconds:.0f} s, {notes}"


@runtime.without_collector()
def ingest(
    request: Request,
    root: Path | str,
    *,
    resume: bool = False,
    report: Callable[[Event], None] = lambda progress: None,
) -> Result:
    """Roll out, differentiate, and write: one run into the dataset at ``root``.

    A run that is already there, whole, is left as it is; one that stopped half-way is completed, its finished
    episodes kept.

    Args:
        root: the dataset's folder; made when there is none.
        resume: insist that there is such a run to go on from.
        report: called with progress.

    Raises:
        UsageError: the request can't be right; nothing was written.
        FailureError: it was right and could not be carried out.
    """
    request = dataclasses.replace(request, method=request.method or registry.find(request.env).method)
    root = _usable_root(root)
    system = System.load(request.env, lambda doing: report(Event(doing)))
    if isinstance(request.policy, ExpertPolicy):
        request.policy.network.check_obs(jax.eval_shape(system.env.reset, jax.random.key(0)).obs)
    steps = request.steps or playground.episode_length(system.env)
    num_envs = _envs_in_memory(request, system.spec, steps)
    model = model_hash(system)
    run_id = _run_id(request, steps, num_envs, model)

    jacobian = pa.float32() if request.dtype == "float32" else pa.float64()
    writer = RunWriter(root, request.env, request.policy.name, run_id, jacobian)
    started, clock = datetime.datetime.now(datetime.UTC).replace(tzinfo=None), time.perf_counter()

    def result(was_there: bool) -> Result:
        counts = writer.counts(str(request.method))
        seconds = time.perf_counter() - clock
        return Result(run_id, counts["n_rows"], counts["n_excluded"], counts["n_recomputed"], seconds, was_there)

    if resume and not writer.has_begun():
        raise UsageError(f"nothing to resume: {root} has no run {run_id}; leave out --resume to begin it")
    try:
        with writer.alone():
            if writer.is_finished():
                return result(was_there=True)
            there = writer.resume()
            wanted = [number for number in range(request.episodes) if number not in there]
            _check_space(root, request, system.spec, len(wanted) * steps)
            settings = {**request.policy.settings(), "episodes": request.episodes, "steps": steps, "num_envs": num_envs}
            with Journal(root / Run(request.env, run_id).folder("runs"), settings) as journal:
                writer.write_axes(axes.describe(system))
                if wanted:
                    _roll_out(request, system, wanted, steps, num_envs, writer, _both(journal, report))
                done = result(was_there=False)
                writer.write_run(_run_row(request, system, steps, num_envs, model, started, done))
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FailureError(
            f"could not write to {root}: {reason}; finished parts are kept, and the same command goes on from them"
        ) from error
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "out of memory"
        raise FailureError(
            f"stopped: {reason}; finished episodes are kept; the same command goes on from them, or give fewer"
            f" --num-envs than {num_envs}"
        ) from error
    return done


def _roll_out(
    request: Request,
    system: System,
    wanted: list[int],
    steps: int,
    num_envs: int,
    writer: RunWriter,
    report: Callable[[Event], None],
) -> None:
    rollout = Rollout(
        system,
        request.policy,
        request.method or system.spec.method,
        request.seed,
        wanted,
        steps,
        num_envs,
        dtype=np.dtype(request.dtype).type,
        report=report,
    )
    try:
        for episodes in rollout.run():
            writer.add(*episodes)
    finally:  # whatever stopped it, finished episodes are kept
        report(Event("writing"))
        writer.begin()
        del rollout  # it takes 0.1 s to free compiled code: meanwhile the last parts are written
        writer.flush()


def _both(*reports: Callable[[Event], None]) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        for one in reports:
            one(event)

    return report


def _check_space(root: Path, request: Request, spec: EnvSpec, rows: int) -> None:
    """Refuse what the disk can't hold, before hours of work. Matrices hardly compress; the rest is little beside them.

    Raises:
        UsageError: it can't; nothing was written.
    """
    needed = rows * spec.d_state * (spec.d_state + spec.d_action) * np.dtype(request.dtype).itemsize
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UsageError(
            f"{rows:,} steps take up to {needed / 2**30:.3g} GiB, {free / 2**30:.3g} are free at {root}: give fewer"
            " --episodes or --steps, or another --data"
        )


def _usable_root(root: Path | str) -> Path:
    """The folder of a dataset to write into, which need not exist yet.

    Raises:
        UsageError: it is a file, lies under one, or may not be written to; or its dataset is of a newer version.
    """
    root = Path(root)
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root}: rows are written into a folder; `jacdb publish` then sends it to the Hub")
    standing = root
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if not standing.is_dir():
        raise UsageError(f"--data {root}: {standing} is a file; give a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise UsageError(f"--data {root}: {standing} may not be written to; give another folder")
    if root.is_dir():
        check_version(root)
    return root


def _envs_in_memory(request: Request, spec: EnvSpec, steps: int) -> int:
    """How many episodes to step side by side: what was asked for, or what fits.

    Raises:
        UsageError: what was asked for, or a single episode, does not fit.
    """
    episode = steps * spec.d_state * (spec.d_state + spec.d_action) * np.dtype(request.dtype).itemsize / 2**30
    asked = min(request.num_envs or 1, request.episodes)
    if asked * episode > request.memory:
        raise UsageError(
            f"{asked} episodes of {steps:,} steps side by side take {asked * episode:.3g} GiB, --memory allows"
            f" {request.memory:g}: give fewer --num-envs or --steps, or more --memory"
        )
    fitting = request.num_envs or min(MAX_ENVS, int(request.memory / episode))
    return min(fitting, request.episodes)


def _run_id(request: Request, steps: int, num_envs: int, model: str) -> str:
    """A name made of everything that determines the rows, so that equal runs have equal names."""
    policy = request.policy
    determining = {
        "env": request.env,
        "policy": policy.settings(),
        "episodes": request.episodes,
        "steps": steps,
        "num_envs": num_envs,
        "seed": request.seed,
        "method": request.method,
        "dtype": request.dtype,
        "threshold": ZERO_THRESHOLD,
        "tolerance": RESIDUAL_TOLERANCE,
        "schema": schemas.SCHEMA_VERSION,
        "model": model,
        "versions": versions(),
    }
    digest = hashlib.blake2b(json.dumps(determining, sort_keys=True).encode(), digest_size=5).hexdigest()
    return f"{policy.name}-seed{request.seed}-{digest}"


def _run_row(
    request: Request,
    system: System,
    steps: int,
    num_envs: int,
    model: str,
    started: datetime.datetime,
    done: Result,
) -> dict[str, Any]:
    return {
        "policy_config": json.dumps(request.policy.settings(), sort_keys=True),
        "seed": request.seed,
        "episodes": request.episodes,
        "steps": steps,
        "num_envs": num_envs,
        "n_rows": done.n_rows,
        "n_excluded": done.n_excluded,
        "n_recomputed": done.n_recomputed,
        "method": request.method,
        "dtype": request.dtype,
        "zero_threshold": ZERO_THRESHOLD,
        "residual_tolerance": RESIDUAL_TOLERANCE,
        "d_state": system.spec.d_state,
        "d_action": system.spec.d_action,
        "ctrl_dt": float(system.env.dt),
        "sim_dt": float(system.env.sim_dt),
        "held": list(system.spec.held),
        "model": model,
        "versions": json.dumps(versions(), sort_keys=True),
        "started": started,
        "seconds": done.seconds,
        "schema_version": schemas.SCHEMA_VERSION,
    }
