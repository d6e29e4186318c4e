"""Carry out the annotation of a source: its trajectories, replayed and differentiated, become rows on disk.

The one function behind ``jacdb annotate``, and behind ``jacdb ingest`` of other suites' environments and of models of
one's own.
"""

import datetime
import itertools
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacdb import interruption, merging, schemas
from jacdb.counted import counted
from jacdb.dataset import shards
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.dataset.shards import ShardState
from jacdb.errors import UsageError
from jacdb.ingest import run_failures, runtime
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import registry
from jacdb.ingest.linearization.trajectory_rows import EARLY, EDGE, OTHERWISE, Replayed, TrajectoryRows
from jacdb.ingest.models import features
from jacdb.ingest.models.loading import binary, hash_of
from jacdb.ingest.provenance import as_json, run_id, versions
from jacdb.ingest.recording import axes
from jacdb.ingest.request_checks import usable_root
from jacdb.ingest.sources.episode_recorder import UNSTABLE
from jacdb.ingest.sources.recordings.diagnosis import reason
from jacdb.ingest.sources.recordings.recording import Recording
from jacdb.ingest.sources.recordings.replay import TOLERANCES, Replay, replays
from jacdb.ingest.sources.trajectory import Source, Trajectory
from jacdb.ingest.storage.arrow import share_process_memory
from jacdb.ingest.storage.journal import Journal
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.progress import Event, both
from jacdb.schemas import ZERO_THRESHOLD, trajectory_ids

ROWS_AT_ONCE = 1024  # differentiated together: short episodes fill a block with others
_WHY_DIFFERENCES = {
    EARLY: "the solver stopped early: a smaller option/tolerance or more option/iterations in the model let it finish",
    EDGE: "a contact is on an edge, or a tendon is pulled where it has no length: there is no derivative",
    OTHERWISE: "the engine's step differs from the equations that jacdb differentiates, and its solver is not why:"
    " these rows are right, but without exact zeros; please report the model to jacdb's authors",
}


@dataclass(frozen=True)
class Annotation:
    """An annotation that a person asks for.

    Attributes:
        source: the trajectories.
        policy: what chose the actions: a policy's name, or ``recorded``.
        settings: all that determines the trajectories, besides the source.
        seed: of resets and actions; 0 for recordings.
        dtype: ``float32`` or ``float64``, of stored matrix entries; zeros are decided in float64 before.
        tolerance: the replay error (:class:`~jacdb.ingest.sources.recordings.replay.Replay`) above which a step is not
            the model's, and is excluded.
        shard: which part of the run to make; None for all of it. No row depends on it, nor does the run's name.
    """

    source: Source
    policy: str = "recorded"
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    dtype: str = "float32"
    tolerance: float = TOLERANCES["float64"]
    shard: Shard | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be annotated.

        Raises:
            UsageError: the tolerance is no positive number, the model's name is taken, or the engine does not cover a
                feature of it.
        """
        if not 0 < self.tolerance < np.inf:
            raise UsageError(f"tolerance={self.tolerance}: give a positive number")
        if self.source.name in registry.all_specs():
            raise UsageError(
                f"{self.source.name} is an environment of Playground, whose rows are others: give the model another"
                ' name, by <mujoco model="…"> or, where it has none, by its file'
            )
        features.check(self.source.model, self.source.name)


@dataclass(frozen=True)
class Annotated:
    """A run that is on disk.

    Attributes:
        n_excluded: steps that are not the model's, doubtful, or not finite.
        n_differences: steps whose matrices are finite differences.
        n_off: steps that the engine does not repeat within the tolerance.
        n_doubtful: further steps whose state is not what the simulation had, as the source says.
        largest_error: the largest replay error of any step, excluded ones too.
        reason: why steps were excluded, where most of an episode's were, or an episode became unstable; "" where not.
        doubts: what else the source says of doubtful states.
        why_differences: the reasons for which matrices of this process's steps are finite differences, and of how many.
    """

    run_id: str
    n_rows: int
    n_excluded: int
    n_differences: int
    seconds: float
    n_off: int = 0
    n_doubtful: int = 0
    largest_error: float = 0.0
    reason: str = ""
    doubts: tuple[str, ...] = ()
    was_there: bool = False
    why_differences: tuple[tuple[str, int], ...] = ()
    shard: ShardState | None = None

    def describe(self, env: str, root: Path | str) -> str:
        """Return what people want to know: one line, and others where steps were excluded for a reason."""
        name, after = shards.told(self.run_id, self.shard)
        rows = f"{counted(self.n_rows, 'step')} of {env} in {root}, {name}"
        if self.was_there:
            return f"{rows}: there already, nothing to do{after}"
        kinds = {"not repeated by the engine": self.n_off, "of a doubtful state": self.n_doubtful}
        of_these = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
        notes = f"{self.n_excluded:,} excluded{f' ({of_these})' if of_these else ''}"
        notes += f", largest replay error {self.largest_error:.1g}, {self.n_differences:,} by finite differences"
        if self.n_differences > self.n_rows // 100:
            notes += self._because()
        told = f"\nexcluded because {self.reason}" if self.reason else ""
        told += f"\nof a doubtful state because of this: {'; '.join(self.doubts)}" if self.doubts else ""
        return f"{rows}: {self.seconds:.0f} s, {notes}{after}{told}"

    def _because(self) -> str:
        several = len(self.why_differences) > 1
        told = [f"{f'{n:,}: ' if several else ''}{_WHY_DIFFERENCES[reason]}" for reason, n in self.why_differences]
        return f" ({'; '.join(told)})" if told else ""


@runtime.without_collector()
def annotate(
    asked: Annotation,
    root: Path | str,
    *,
    report: Callable[[Event], None] = lambda progress: None,
    begin: Callable[[Run], None] = lambda run: None,
) -> Annotated:
    """Replay a source's trajectories, differentiate every step, and write them as one run into the dataset at ``root``.

    A run that is already there, whole, is left as it is; one that stopped half-way is completed, its finished episodes
    kept. So is a shard; the last shard that is finished makes the run of all of them.

    Args:
        root: the dataset's folder; made when there is none.
        report: called with progress.
        begin: called with the run's name before anything of it is made; what it raises is raised.

    Raises:
        UsageError: the source can't be right; nothing was written of the episode that is wrong, nor after it.
        FailureError: it was right and could not be carried out.
    """
    root = usable_root(root, asked.dtype)
    share_process_memory()
    runtime.configure()
    annotation = _AnnotationRun(asked, root)
    begin(annotation.run)
    result = annotation.carry_out(report)
    with run_failures.told(root):
        state = merging.shard_state(root, annotation.run, asked.shard, report)
    return replace(result, shard=state)


class _AnnotationRun:
    """One annotation, being carried out."""

    def __init__(self, asked: Annotation, root: Path) -> None:
        source = asked.source
        self._asked, self._root, self._model_hash = asked, root, hash_of(source.model)
        self._provenance = dict(source.provenance())
        self._columns = {name: self._provenance.pop(name, None) for name in ("source", "source_version", "licence")}
        self._policy_config = as_json({**asked.settings, "source": self._provenance})
        self._run_id = self._name()
        self.run = Run(source.name, self._run_id)
        jacobian = pa.float32() if asked.dtype == "float32" else pa.float64()
        self._trajectory_ids: dict[int, int] = {}  # by the episode's number
        constants = source.name, asked.policy, self._run_id, self._trajectory_ids.__getitem__
        self._writer = RunWriter(root, *constants, jacobian, shard=asked.shard)
        self._numbers = asked.shard.numbers(source.n_episodes()) if asked.shard else None  # None: all
        self._longest = self._n_episodes = self._n_off = self._n_doubtful = 0
        self._reason, self._largest_error = "", 0.0
        self._unstable: list[int] = []  # the lengths of episodes that ended so
        self._doubts: dict[str, None] = {}
        self._why_differences: tuple[tuple[str, int], ...] = ()

    def carry_out(self, report: Callable[[Event], None]) -> Annotated:
        writer, source = self._writer, self._asked.source
        started, clock = datetime.datetime.now(datetime.UTC).replace(tzinfo=None), time.perf_counter()
        if writer.is_finished():
            return self._result(clock, was_there=True)
        writer.check_axes(axes.model_axis_rows(source.model))
        taken = self._taken()
        with run_failures.told(self._root), writer.alone():
            if writer.is_finished():  # by another process, meanwhile
                return self._result(clock, was_there=True)
            there = writer.resume()
            shard = {"shard": self._asked.shard.words} if self._asked.shard else {}
            with Journal(writer.journal, {"source": source.suite, **self._asked.settings, **shard}) as log:
                writer.write_model(binary(source.model))
                writer.write_axes(axes.model_axis_rows(source.model))
                self._write_episodes(taken, there, both(log, report))
                result = self._result(clock)
                self._write_run(result, started)
        return result

    def _taken(self) -> Iterator[tuple[Trajectory, Replay]]:
        """Return the trajectories asked for, each replayed. The first is made at once: what is wrong shows there.

        Raises:
            UsageError: the source has no trajectory, or the first is none.
        """
        source = self._asked.source
        taken = replays(source.model, source.n_substeps, source.trajectories(self._numbers))
        first = next(taken, None)
        if first is None and self._numbers is not None and source.n_episodes():
            return iter(())  # fewer episodes than shards
        if first is None:
            raise UsageError(f"{source.name} has no episode: nothing to annotate")
        return itertools.chain([first], taken)

    def _write_episodes(
        self, taken: Iterator[tuple[Trajectory, Replay]], there: Container[int], report: Callable[[Event], None]
    ) -> None:
        """Write the episodes that are not there; whatever stops it, finished ones are kept."""
        rows = TrajectoryRows(self._asked.source.model, self._asked.source.n_substeps, np.dtype(self._asked.dtype).type)
        name, done = self._asked.source.name, 0
        report(Event(f"compiling {name}"))
        with interruption.at_stop(self._writer.flush):
            try:
                for together in self._together(taken, there):
                    for episode in rows.episodes(together):
                        self._writer.add(episode)
                        done += episode.n_steps
                    report(Event(f"differentiating {name}, {done:,} steps"))
            finally:
                report(Event("writing"))
                self._writer.flush()
        self._why_differences = tuple(rows.reasons.most_common())

    def _together(self, taken: Iterator[tuple[Trajectory, Replay]], there: Container[int]) -> Iterator[list[Replayed]]:
        """Yield replayed episodes, as many at once as are differentiated together."""
        waiting: list[Replayed] = []
        for one in self._replayed(taken, there):
            waiting.append(one)
            if sum(episode.trajectory.n_steps for episode in waiting) >= ROWS_AT_ONCE:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _replayed(self, taken: Iterator[tuple[Trajectory, Replay]], there: Container[int]) -> Iterator[Replayed]:
        for number, (trajectory, replay) in enumerate(taken, self._numbers.start if self._numbers else 0):
            self._n_episodes += 1
            self._longest = max(self._longest, trajectory.n_steps)
            excluded = self._excluded(trajectory, replay)
            if trajectory.n_steps and number not in there:
                self._trajectory_ids[number] = self._trajectory_id(number, trajectory)
                yield Replayed(number, trajectory, replay.warmstart, replay.error, excluded)

    def _excluded(self, trajectory: Trajectory, replay: Replay) -> np.ndarray:
        """Return which steps are excluded, and count them."""
        source, tolerance = self._asked.source, self._asked.tolerance
        off = ~(replay.error <= tolerance)
        doubtful = np.array([bool(why) for why in trajectory.doubtful], bool) if trajectory.doubtful else off & False
        self._n_off += int(off.sum())
        self._n_doubtful += int((doubtful & ~off).sum())
        self._largest_error = max(self._largest_error, float(replay.error.max(initial=0.0)))
        doubts = [doubt for why in trajectory.doubtful if why for doubt in why.split("; ")]
        self._doubts |= dict.fromkeys(doubt for doubt in doubts if doubt != UNSTABLE)
        if UNSTABLE in doubts:
            self._unstable.append(trajectory.n_steps)
        elif not self._reason and off.mean() > 0.5:
            self._reason = reason(source.model, source.n_substeps, trajectory, tolerance)
            if isinstance(source, Recording) and source.caveat:
                self._reason = f"{source.caveat}; if they change neither, {self._reason}"
        excluded: np.ndarray = off | doubtful
        return excluded

    def _why_unstable(self) -> str:
        first, ended = self._unstable[0], f"{len(self._unstable)} of {self._n_episodes}"
        return (
            f"MuJoCo found the simulation unstable and reset it: {ended} episodes ended there, the first of these after"
            f" {counted(first, 'step')}; a smaller timestep in the model, or smaller controls (ctrlrange,"
            " --scale), may keep it stable"
        )

    # --- the run --------------------------------------------------------------------------------------------

    def _name(self) -> str:
        """Return the run's name, made of everything that determines its rows."""
        determining = {
            "env": self._asked.source.name,
            "suite": self._asked.source.suite,
            "source": self._columns,
            "policy": self._policy_config,
            "substeps": self._asked.source.n_substeps,
            "seed": self._asked.seed,
            "dtype": self._asked.dtype,
            "threshold": ZERO_THRESHOLD,
            "tolerances": [self._asked.tolerance, RESIDUAL_TOLERANCE],
            "schema": schemas.SCHEMA_VERSION,
            "model": self._model_hash,
            "versions": versions(),
        }
        return run_id(self._asked.policy, self._asked.seed, determining)

    def _trajectory_id(self, number: int, trajectory: Trajectory) -> int:
        """Return the id of an episode's states: by what determined them or, where that was elsewhere, by themselves."""
        source, settings = self._asked.source, self._policy_config
        if trajectory_ids.is_rollout(settings):
            constants = source.name, settings, self._asked.seed, self._model_hash, source.n_substeps
            return trajectory_ids.of_rollout(*constants, number)
        states = trajectory.states
        recorded = trajectory_ids.RecordedStates(source.name, self._model_hash, source.n_substeps)
        recorded.add(states[:-1], trajectory.ctrl, states[1:])
        return recorded.trajectory_id()

    def _result(self, clock: float, was_there: bool = False) -> Annotated:
        counts = self._writer.counts("implicit")
        return Annotated(
            self._run_id,
            counts["n_rows"],
            counts["n_excluded"],
            counts["n_recomputed"],
            time.perf_counter() - clock,
            self._n_off,
            self._n_doubtful,
            self._largest_error,
            self._why_unstable() if self._unstable else self._reason,
            tuple(self._doubts),
            was_there,
            self._why_differences,
        )

    def _write_run(self, result: Annotated, started: datetime.datetime) -> None:
        asked, model = self._asked, self._asked.source.model
        dt = float(model.opt.timestep)
        self._writer.write_run(
            {
                "policy_config": self._policy_config,
                "seed": asked.seed,
                "episodes": self._n_episodes,
                "steps": self._longest,
                "num_envs": 1,
                "n_rows": result.n_rows,
                "n_excluded": result.n_excluded,
                "n_recomputed": result.n_differences,
                "method": "implicit",
                "dtype": asked.dtype,
                "zero_threshold": ZERO_THRESHOLD,
                "residual_tolerance": RESIDUAL_TOLERANCE,
                "d_state": 2 * model.nv + model.na,
                "d_action": model.nu,
                "ctrl_dt": dt * asked.source.n_substeps,
                "sim_dt": dt,
                "held": [],
                "model": self._model_hash,
                "versions": as_json(versions()),
                "started": started,
                "seconds": result.seconds,
                "schema_version": schemas.SCHEMA_VERSION,
                "suite": asked.source.suite,
                **self._columns,
                "replay_tolerance": asked.tolerance,
            }
        )
