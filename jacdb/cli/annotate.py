"""The command that differentiates recorded trajectories, and `ingest` of other suites and of models of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jacdb import interruption, simulator
from jacdb.cli.options import LocalData, Quiet, ShardOf
from jacdb.dataset.shard import Shard
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.ingest.sources.rollouts import Rollouts
    from jacdb.ingest.sources.trajectory import Source

Model = Annotated[
    str | None,
    typer.Option("--model", help="A model of your own: .xml, .urdf, .mjb, or FILE.py:FUNCTION.", metavar="MODEL"),
]
Substeps = Annotated[int | None, typer.Option("--substeps", help="Physics steps in a control step of --model.")]
STEPS = 1000  # of an episode that nothing else cuts


def annotate(
    source: Annotated[str, typer.Argument(help="An .npz, .parquet or .hdf5 file, a folder, or a Minari dataset's id.")],
    env: Annotated[str | None, typer.Option("--env", help="What it is of, gymnasium:HalfCheetah-v5 say.")] = None,
    model: Model = None,
    substeps: Substeps = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="File that says which columns are what.", metavar="FILE")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Replay error above which a step is excluded; default: 1e-6, of float32 data 1e-4."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Type of stored matrix entries: float32 or float64.")] = "float32",
    shard: ShardOf = None,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Write Jacobians of recorded trajectories: npz, Parquet, Minari, D4RL or LeRobot.

    Every step is taken again first, by the MuJoCo that is installed. Steps that it does not take as recorded are
    excluded, and counted. Repeat the command to resume.

    Example: jacdb annotate walks.npz --model robot.xml --substeps 5
    """
    from jacdb.ingest import request_checks

    request_checks.check_dtype(dtype)
    part = Shard.parse(shard) if shard is not None else None
    request_checks.usable_root(data, dtype)
    simulator.require()
    from jacdb.ingest.sources import recordings

    if env is None and model is not None:
        from jacdb.ingest.models import loading

        loaded = loading.load(model).model
    else:
        loaded = None
    recording = recordings.open(source, env, loaded, mapping, substeps)
    from jacdb.ingest.source_pipeline import Annotation
    from jacdb.ingest.sources.recordings.replay import tolerance as default_tolerance

    allowed = default_tolerance(recording.dtype) if tolerance is None else tolerance
    _write(Annotation(recording, dtype=dtype, tolerance=allowed, shard=part), data, quiet)


def ingest_source(
    *,
    env: str | None,
    model: str | None,
    substeps: int | None,
    keyframe: str,
    policy: str,
    beta: float,
    scale: float,
    episodes: int,
    steps: int | None,
    seed: int,
    dtype: str,
    shard: Shard | None,
    data: Path,
    quiet: bool,
) -> None:
    """Roll out an environment of another suite, or a model of one's own, and write its rows.

    Raises:
        UsageError: what is asked for can't be right.
    """
    from jacdb.ingest.sources import suites

    if env is not None and (model is not None or substeps is not None or keyframe):
        raise UsageError(
            f"--env {env} has its own model, substeps and resets: leave out --model, --substeps, --keyframe"
        )
    known = suites.find(env) if env is not None else None
    if known:
        suites.require(known.suite)
    simulator.require()
    from jacdb.ingest.models import loading
    from jacdb.ingest.sources import host_policies

    host_policies.check(policy, beta=beta, scale=scale)
    if model is not None:
        loading.check(model)
    from jacdb.ingest.source_pipeline import Annotation
    from jacdb.ingest.sources.rollouts import Rollouts

    acts = host_policies.make(policy, beta=beta, scale=scale)
    rollouts = Rollouts(acts, episodes, steps or (known.steps if known else 0) or STEPS, seed)
    settings: dict[str, Any] = rollouts.settings()
    if model is not None:
        settings |= {"keyframe": keyframe}
    source = (
        _of_suite(known.suite, known.name, rollouts) if known else _of_model(str(model), substeps, keyframe, rollouts)
    )
    _write(Annotation(source, acts.name, settings, seed, dtype, shard=shard), data, quiet)


def _of_suite(suite: str, name: str, rollouts: "Rollouts") -> "Source":
    if suite == "gymnasium":
        from jacdb.ingest.sources.gymnasium import GymnasiumSource

        return GymnasiumSource.load(name, rollouts)
    from jacdb.ingest.sources.dm_control import DmControlSource

    return DmControlSource.load(name, rollouts)


def _of_model(model: str, substeps: int | None, keyframe: str, rollouts: "Rollouts") -> "Source":
    from jacdb.ingest.models import loading
    from jacdb.ingest.sources.model import InitialStates, ModelSource

    return ModelSource(loading.load(model), 1 if substeps is None else substeps, rollouts, InitialStates(keyframe))


def _write(asked: Any, data: Path, quiet: bool) -> None:
    """Carry out an annotation, with progress, and print what came of it."""
    from jacdb.ingest import source_pipeline
    from jacdb.progress import Reporter

    interruption.advise("finished episodes are kept; repeat the command to resume")
    with Reporter(quiet=quiet).shown() as report:
        result = source_pipeline.annotate(asked, data, report=report)
    typer.echo(result.describe(asked.source.name, data))
