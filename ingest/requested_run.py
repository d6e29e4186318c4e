"""A rollout as a person asks for it, in words and numbers: checked at once, carried out when it is its turn.

What ``jacdb ingest`` does with one command, a plan of many and a task of a cluster do, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jacdb.counted import counted
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.errors import UsageError
from jacdb.progress import Event

if TYPE_CHECKING:
    from jacdb.ingest.sources.rollouts import Rollouts
    from jacdb.ingest.sources.trajectory import Source
    from jacdb.methods import Method

type Report = Callable[[Event], None]
type Begin = Callable[[Run], None]

SOURCE_STEPS = 1000  # of an episode that nothing else cuts


@dataclass(frozen=True)
class RequestedRun:
    """A run, or a shard of it, as the options of ``jacdb ingest`` name it; docs/cli.md says what each is."""

    env: str | None = None
    model: str | None = None
    substeps: int | None = None
    keyframe: str = ""
    policy: str = "noise"
    beta: float | None = None
    scale: float | None = None
    deterministic: bool = False
    episodes: int = 8
    num_envs: int | None = None
    steps: int | None = None
    seed: int = 0
    method: str | None = None
    dtype: str = "float32"
    memory: float = 1.0
    shard: Shard | None = None

    @property
    def of_source(self) -> bool:
        """MuJoCo's C engine steps it: it is another suite's environment, or a model of one's own."""
        named = self.env is None or ":" in self.env
        return named or self.model is not None or self.substeps is not None or bool(self.keyframe)

    @property
    def name(self) -> str:
        """The name of what is rolled out, for people."""
        return self.env or Path(self.model or "").stem

    @property
    def makes(self) -> str:
        """The environment of its rows in the dataset.

        Raises:
            UsageError: there is no such Python file.
        """
        if self.model is None:
            return cast(str, self.env).rpartition(":")[2]
        from jacdb.ingest.models import loading

        return loading.name_of(self.model)

    @property
    def words(self) -> str:
        """The run in a few words, for people."""
        shard = f", {self.shard.words}" if self.shard else ""
        return f"{self.name}, {self.policy}, seed {self.seed}{shard}"

    @property
    def kind(self) -> "RequestedRun":
        """A run that can be right if this can: one of all that differ in shard, and in seeds below 2^63."""
        return replace(self, seed=self.seed if self.seed >> 63 else 0, shard=None)  # other seeds are refused

    def shards(self, count: int) -> "list[RequestedRun]":
        """Return its shards, so many; of one, the run itself.

        Raises:
            UsageError: it has fewer episodes.
        """
        if count > self.episodes:
            raise UsageError(
                f"shards={count}: a run of {counted(self.episodes, 'episode')} has no more shards: give fewer"
            )
        return [replace(self, shard=Shard(index, count)) for index in range(count)] if count > 1 else [self]

    def check(self, data: Path, *, resume: bool = False) -> None:
        """Refuse what can't be right, without anything slow.

        Args:
            data: the dataset's folder.
            resume: insist that there is such a run to go on from.

        Raises:
            UsageError: it can't be.
        """
        from jacdb.ingest import request_checks

        request_checks.check_run(self)
        if self.env is None and self.model is None:
            raise UsageError("what to roll out? give --env NAME (see `jacdb envs`), or --model robot.xml")
        if self.of_source:
            self._check_source(data, resume)
        else:
            self._check_playground(data, resume)

    def carry_out(self, data: Path, report: Report, *, resume: bool = False, begin: Begin = lambda run: None) -> str:
        """Roll out and write what is asked for, and return what people want to know of it.

        Args:
            data: the dataset's folder.
            report: called with progress.
            resume: insist that there is such a run to go on from.
            begin: called with the run's name before anything of it is made; what it raises is raised.

        Raises:
            UsageError: it can't be right; nothing was written.
            FailureError: it was right and could not be carried out.
        """
        if self.of_source:
            return self._roll_out_source(data, report, begin)
        return self._roll_out(data, report, resume, begin)

    # --- Playground's environments, on the device ---------------------------------------------------------------------

    @property
    def _noise(self) -> dict[str, Any]:
        return {"beta": self.beta, "scale": self.scale, "deterministic": self.deterministic}

    def _check_playground(self, data: Path, resume: bool) -> None:
        from jacdb import simulator
        from jacdb.ingest import request_checks
        from jacdb.ingest.environments import registry
        from jacdb.ingest.sources import suites

        env = cast(str, self.env)
        if env not in registry.all_specs() and (elsewhere := suites.named(env)):
            raise UsageError(f"Playground has no environment {env!r}: did you mean {' or '.join(elsewhere)}?")
        spec = registry.find(env)
        request_checks.check_memory(spec, self.steps or 1, self.num_envs, self.episodes, self.dtype, self.memory)
        request_checks.usable_root(data, self.dtype)
        if resume:
            request_checks.check_resumable(data, spec.name, self.seed, self.shard)
        simulator.require()
        from jacdb.ingest.policies import choice

        choice.check(self.policy, spec, **self._noise)

    def _roll_out(self, data: Path, report: Report, resume: bool, begin: Begin) -> str:
        from jacdb.ingest import pipeline, run_plan
        from jacdb.ingest.environments import registry
        from jacdb.ingest.policies import resolve

        spec = registry.find(cast(str, self.env))
        request = run_plan.Request(
            spec.name,
            resolve.make(self.policy, spec, **self._noise),
            self.episodes,
            self.steps,
            self.num_envs,
            self.seed,
            cast("Method | None", self.method),
            self.dtype,
            self.memory,
            self.shard,
        )
        return pipeline.ingest(request, data, resume=resume, report=report, begin=begin).describe(spec.name, data)

    # --- other suites and models, in MuJoCo's C engine ----------------------------------------------------------------

    def _check_source(self, data: Path, resume: bool) -> None:
        from jacdb import simulator
        from jacdb.ingest import request_checks
        from jacdb.ingest.sources import suites

        of_playground = {
            "num_envs": self.num_envs is not None,
            "method": self.method is not None,
            "deterministic": self.deterministic,
            "resume": resume,
        }
        for name, given in of_playground.items():
            if given:
                raise UsageError(f"--{name.replace('_', '-')} is of Playground's environments: leave it out")
        request_checks.usable_root(data, self.dtype)
        if self.env is not None and (self.model is not None or self.substeps is not None or self.keyframe):
            raise UsageError(
                f"--env {self.env} has its own model, substeps and resets: leave out --model, --substeps, --keyframe"
            )
        if self.env is not None:
            suites.require(suites.find(self.env).suite)
        simulator.require()
        from jacdb.ingest.models import loading
        from jacdb.ingest.sources import host_policies
        from jacdb.ingest.sources.trajectory import check_substeps

        host_policies.check(self.policy, beta=self.beta, scale=self.scale)
        if self.substeps is not None:
            check_substeps(self.substeps)
        if self.model is not None:
            loading.check(self.model)

    def _roll_out_source(self, data: Path, report: Report, begin: Begin) -> str:
        from jacdb.ingest import source_pipeline
        from jacdb.ingest.sources import host_policies, suites
        from jacdb.ingest.sources.rollouts import Rollouts

        known = suites.find(self.env) if self.env is not None else None
        acts = host_policies.make(self.policy, beta=self.beta, scale=self.scale)
        steps = self.steps or (known.steps if known else 0) or SOURCE_STEPS
        rollouts = Rollouts(acts, self.episodes, steps, self.seed)
        settings: dict[str, Any] = rollouts.settings()
        if self.model is not None:
            settings |= {"keyframe": self.keyframe}
        source = _of_suite(known.suite, known.name, rollouts) if known else self._of_model(rollouts)
        asked = source_pipeline.Annotation(source, acts.name, settings, self.seed, self.dtype, shard=self.shard)
        return source_pipeline.annotate(asked, data, report=report, begin=begin).describe(source.name, data)

    def _of_model(self, rollouts: "Rollouts") -> "Source":
        from jacdb.ingest.models import loading
        from jacdb.ingest.sources.model import InitialStates, ModelSource

        substeps = 1 if self.substeps is None else self.substeps
        return ModelSource(loading.load(cast(str, self.model)), substeps, rollouts, InitialStates(self.keyframe))


def _of_suite(suite: str, name: str, rollouts: "Rollouts") -> "Source":
    if suite == "gymnasium":
        from jacdb.ingest.sources.gymnasium import GymnasiumSource

        return GymnasiumSource.load(name, rollouts)
    from jacdb.ingest.sources.dm_control import DmControlSource

    return DmControlSource.load(name, rollouts)
