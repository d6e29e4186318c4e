"""Options of the commands that make rows."""

from pathlib import Path
from typing import Annotated

import typer

from jacdb.cli import completion

AnyEnvironment = Annotated[
    str | None,
    typer.Option(
        "--env",
        help="Environment, by Playground's name, or gymnasium:NAME, dm_control:NAME (see `jacdb envs`).",
        autocompletion=completion.environments,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="A model of your own: .xml, .urdf, .mjb, or FILE.py:FUNCTION.", metavar="MODEL"),
]
Substeps = Annotated[
    int | None,
    typer.Option(
        "--substeps", help="Physics steps in a control step of --model; default: 1, or what a recording says."
    ),
]
Keyframe = Annotated[
    str, typer.Option(help="Where episodes of --model begin: a keyframe's name or number; default: qpos0.")
]
Policy = Annotated[
    str, typer.Option(help="noise, zero, expert, or a policy file; of other suites and --model: FILE.py:FUNCTION.")
]
Beta = Annotated[
    float | None, typer.Option(help="Exponent of coloured noise, 1/f^beta: 0 is white, 1 is pink; default: 0.5.")
]
Scale = Annotated[
    float | None, typer.Option(help="Standard deviation of noise, before it is clipped to [-1, 1]; default: 1.")
]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="Use a trained policy without noise.")]
Episodes = Annotated[int, typer.Option(help="Number of episodes.")]
NumEnvs = Annotated[
    int | None,
    typer.Option(help="Episodes stepped side by side; default: as many as --memory allows and the device gains by."),
]
Steps = Annotated[int | None, typer.Option(help="Length at which an episode is cut; default: the environment's own.")]
Seed = Annotated[int, typer.Option(help="Seed of resets and noise.")]
Method = Annotated[
    str | None, typer.Option(help="implicit, unrolled, autodiff or fd; default: the best for the environment.")
]
DType = Annotated[str, typer.Option(help="Type of stored matrix entries: float32 or float64.")]
RolloutMemory = Annotated[float, typer.Option(help="GiB of memory for the matrices of unfinished episodes.")]
Resume = Annotated[bool, typer.Option("--resume", help="Fail unless there is such a run to resume.")]
Plan = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        help="YAML file of many runs, or calls of annotate, learn, train and verify, in place of all options of one.",
        metavar="FILE",
    ),
]
Shards = Annotated[
    int | None,
    typer.Option("--shards", help="Make all N shards of the run, one after the other or on --ray.", metavar="N"),
]
Ray = Annotated[
    str | None, typer.Option("--ray", help="Ray cluster to work on: local, auto, or HOST:PORT.", metavar="ADDRESS")
]
Store = Annotated[
    str | None,
    typer.Option(
        help="Where nodes of --ray leave shards, if they don't see --data: s3://BUCKET/PREFIX, or another address of"
        " fsspec.",
        metavar="URL",
    ),
]
TaskCpus = Annotated[
    float | None, typer.Option(help="CPUs of a task on --ray; default: a node's, or 1 beside a GPU.", metavar="CPUS")
]
TaskGpus = Annotated[
    float | None, typer.Option(help="GPUs of a task on --ray; default: 1 where there are some.", metavar="GPUS")
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard", help="Make only part I of N of the run, I from 0: 0/4. docs/scale.md says more.", metavar="I/N"
    ),
]
