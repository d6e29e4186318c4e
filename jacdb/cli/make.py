"""The commands that make data and policies: envs, ingest, train."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jacdb import interruption, out_path, simulator
from jacdb.cli import completion
from jacdb.cli.annotate import Model, Substeps, ingest_source
from jacdb.cli.options import Environment, Form, LocalData, Out, Quiet, ShardOf
from jacdb.cli.printing import check_form, note, print_frame
from jacdb.dataset.shard import Shard
from jacdb.errors import UsageError

_AnyEnvironment = Annotated[
    str | None,
    typer.Option(
        "--env",
        help="Environment, by Playground's name, or gymnasium:NAME, dm_control:NAME (see `jacdb envs`).",
        autocompletion=completion.environments,
    ),
]
_Keyframe = Annotated[
    str, typer.Option(help="Where episodes of --model begin: a keyframe's name or number; default: qpos0.")
]
_Policy = Annotated[
    str, typer.Option(help="noise, zero, expert, or a policy file; of other suites and --model: FILE.py:FUNCTION.")
]


def envs(form: Form = None, out: Out = None) -> None:
    """List every environment and its dimensions.

    Those of Gymnasium and dm_control are listed where the extras gymnasium and dm_control are installed.

    Example: jacdb envs --format csv
    """
    check_form(form, out)
    import polars as pl

    from jacdb.ingest.environments import registry
    from jacdb.ingest.sources import suites

    rows = [
        {
            "env": spec.name,
            "package": "playground",
            "suite": spec.suite,
            "d_state": spec.d_state,
            "d_action": spec.d_action,
            "nq": spec.nq,
            "nv": spec.nv,
            "nu": spec.nu,
            "substeps": spec.n_substeps,
            "ctrl_is_state": spec.ctrl_is_state,
        }
        for spec in registry.all_specs().values()
    ]
    rows += [
        {
            "env": env.typed,
            "package": env.suite,
            "suite": env.suite,
            "d_state": env.d_state,
            "d_action": env.nu,
            "nq": env.nq,
            "nv": env.nv,
            "nu": env.nu,
            "substeps": env.n_substeps,
            "ctrl_is_state": False,
        }
        for env in suites.installed_envs()
    ]
    print_frame(pl.DataFrame(rows), form, out, whole=True)


def ingest(
    env: _AnyEnvironment = None,
    model: Model = None,
    substeps: Substeps = None,
    keyframe: _Keyframe = "",
    policy: _Policy = "noise",
    beta: Annotated[float, typer.Option(help="Exponent of coloured noise, 1/f^beta: 0 is white, 1 is pink.")] = 0.5,
    scale: Annotated[float, typer.Option(help="Standard deviation of noise, before it is clipped to [-1, 1].")] = 1.0,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Use a trained policy without noise.")] = False,
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 8,
    num_envs: Annotated[
        int | None,
        typer.Option(
            help="Episodes stepped side by side; default: as many as --memory allows and the device gains by."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Length at which an episode is cut; default: the environment's own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of resets and noise.")] = 0,
    method: Annotated[
        str | None, typer.Option(help="implicit, unrolled, autodiff or fd; default: the best for the environment.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Type of stored matrix entries: float32 or float64.")] = "float32",
    memory: Annotated[float, typer.Option(help="GiB of memory for the matrices of unfinished episodes.")] = 1.0,
    resume: Annotated[bool, typer.Option("--resume", help="Fail unless there is such a run to resume.")] = False,
    shard: ShardOf = None,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Roll out an environment, or a model of your own, and write states, actions, Jacobians and contacts.

    Repeat the command to resume a run that was stopped. A finished run is left as it is.

    Example: jacdb ingest --env PandaPickCube --episodes 4
    """
    from jacdb.ingest import request_checks

    # what is typed wrong is told before the slow imports
    request_checks.check_run(
        episodes=episodes, steps=steps, num_envs=num_envs, seed=seed, method=method, dtype=dtype, memory=memory
    )
    part = Shard.parse(shard) if shard is not None else None
    if part:
        request_checks.check_shard(part, episodes)
    if env is None and model is None:
        raise UsageError("what to roll out? give --env NAME (see `jacdb envs`), or --model robot.xml")
    if env is None or model is not None or ":" in env or substeps is not None or keyframe:
        _refuse_playgrounds_own(
            num_envs=num_envs, method=method, deterministic=deterministic or None, resume=resume or None
        )
        request_checks.usable_root(data, dtype)
        ingest_source(
            env=env, model=model, substeps=substeps, keyframe=keyframe, policy=policy, beta=beta, scale=scale,
            episodes=episodes, steps=steps, seed=seed, dtype=dtype, shard=part, data=data, quiet=quiet,
        )  # fmt: skip
        return
    _ingest_playground(
        env, policy, {"beta": beta, "scale": scale, "deterministic": deterministic}, episodes, num_envs, steps, seed,
        method, dtype, memory, part, resume, data, quiet,
    )  # fmt: skip


def _ingest_playground(
    env: str,
    policy: str,
    noise: dict[str, Any],
    episodes: int,
    num_envs: int | None,
    steps: int | None,
    seed: int,
    method: str | None,
    dtype: str,
    memory: float,
    shard: Shard | None,
    resume: bool,
    data: Path,
    quiet: bool,
) -> None:
    """Roll out one of Playground's environments on the device, and write its rows.

    Raises:
        UsageError: what is asked for can't be right.
    """
    from jacdb.ingest import request_checks
    from jacdb.ingest.environments import registry

    spec = registry.find(env)
    request_checks.check_memory(spec, steps or 1, num_envs, episodes, dtype, memory)
    request_checks.usable_root(data, dtype)
    if resume:
        request_checks.check_resumable(data, env, seed, shard)
    simulator.require()
    from jacdb.ingest.policies import choice

    choice.check(policy, spec, **noise)
    interruption.advise("finished episodes are kept; repeat the command to resume")
    from jacdb.ingest import pipeline, run_plan
    from jacdb.ingest.policies import resolve
    from jacdb.progress import Reporter

    chosen = resolve.make(policy, spec, **noise)
    # mypy does not know that the method has been checked
    request = run_plan.Request(env, chosen, episodes, steps, num_envs, seed, method, dtype, memory, shard)  # type: ignore[arg-type]
    with Reporter(quiet=quiet).shown() as report:
        result = pipeline.ingest(request, data, resume=resume, report=report)
    typer.echo(result.describe(env, data))


def _refuse_playgrounds_own(**given: object) -> None:
    """Refuse options that say how Playground's environments are stepped on the device.

    Raises:
        UsageError: one is given.
    """
    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is of Playground's environments: leave it out")


def train(
    env: Environment,
    num_timesteps: Annotated[
        int | None, typer.Option(help="Number of environment steps; default: Playground's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of networks, environments and exploration.")] = 0,
    legs: Annotated[int, typer.Option(help="Parts of the training; it can resume after each.")] = 4,
    small: Annotated[
        bool | None, typer.Option(help="Smaller batches and value network; default: if there is no GPU.")
    ] = None,
    device: Annotated[
        Literal["cpu", "gpu"] | None, typer.Option(help="cpu or gpu; default: a GPU if there is one.", metavar="DEVICE")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Policy file; default: ENV.safetensors.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train an expert with Brax's PPO and Playground's settings, for `jacdb ingest --policy FILE`.

    Repeat the command to resume a training that was stopped, after its last finished part.

    Example: jacdb train --env CartpoleBalance --num-timesteps 2000000
    """
    from jacdb.ingest.environments import registry

    registry.find(env)
    simulator.require()
    from jacdb.ingest.policies import choice
    from jacdb.ingest.policies.policy_file import SUFFIX

    choice.check_training(num_timesteps=num_timesteps, legs=legs)

    path = out or Path(f"{env}{SUFFIX}")
    out_path.check_file(path, [SUFFIX])
    interruption.advise("finished parts are kept; repeat the command to resume")
    from jacdb.ingest import runtime

    on_gpu = runtime.configure_training(device)
    from jacdb.ingest.policies import training

    wanted = training.Training(env, num_timesteps, seed, legs, not on_gpu if small is None else small)

    def show(leg: training.LegResult, total: int) -> None:
        left = leg.seconds * (total / leg.steps - 1)
        note(f"{leg.steps:,} of {total:,} steps: return {leg.mean:.0f} ± {leg.std:.0f}; {left:.0f} s left", quiet)

    network = training.train(wanted, path, show)
    reached = network.about["return"]
    typer.echo(f"{env}, {network.about['status']}: return {reached['mean']:.0f} ± {reached['std']:.0f}: {path}")
