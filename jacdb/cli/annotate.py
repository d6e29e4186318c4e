"""The command that differentiates recorded trajectories."""

import math
from pathlib import Path
from typing import Annotated

import typer

from jacdb import interruption, simulator
from jacdb.cli.ingest_options import Model, ShardOf, Substeps
from jacdb.cli.options import LocalData, Quiet
from jacdb.dataset.shard import Shard
from jacdb.errors import UsageError


def annotate(
    source: Annotated[str, typer.Argument(help="An .npz, .parquet or .hdf5 file, a folder, or a Minari dataset's id.")],
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            help="Environment that it was recorded in, gymnasium:NAME; Minari's datasets say it themselves.",
        ),
    ] = None,
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
    check(source, env, model, substeps, mapping, tolerance, dtype, shard, data)
    part = Shard.parse(shard) if shard is not None else None
    from jacdb.ingest.sources import recordings

    recording = recordings.open(source, env, model, mapping, substeps)
    from jacdb.ingest.source_pipeline import Annotation
    from jacdb.ingest.sources.recordings.replay import tolerance as default_tolerance

    allowed = default_tolerance(recording.dtype) if tolerance is None else tolerance
    asked = Annotation(recording, dtype=dtype, tolerance=allowed, shard=part)
    from jacdb.ingest import source_pipeline
    from jacdb.progress import Reporter

    interruption.advise("finished episodes are kept; repeat the command to resume")
    with Reporter(quiet=quiet).shown() as report:
        result = source_pipeline.annotate(asked, data, report=report)
    typer.echo(result.describe(asked.source.name, data))


def check(
    source: str,
    env: str | None,
    model: str | None,
    substeps: int | None,
    mapping: Path | None,
    tolerance: float | None,
    dtype: str,
    shard: str | None,
    data: Path,
) -> None:
    """Refuse what can't be annotated, before anything slow and without reading the recording.

    Raises:
        UsageError: a file is not there or is of no known format, what it is of is said twice, not at all or by no
            name of Gymnasium's, a number is out of its range, or the dataset can't take the rows.
    """
    from jacdb.ingest import request_checks

    request_checks.check_dtype(dtype)
    if shard is not None:
        Shard.parse(shard)
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise UsageError(f"tolerance={tolerance}: give a positive number")
    request_checks.usable_root(data, dtype)
    simulator.require()
    from jacdb.ingest.models import loading
    from jacdb.ingest.sources import recordings

    recordings.check(source, env, mapping, substeps, has_model=model is not None)
    if model is not None:
        loading.check(model)
