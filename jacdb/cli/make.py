"""The commands that make data and policies: envs, ingest, train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jacdb import interruption, out_path, simulator
from jacdb.cli import ingest_options as given
from jacdb.cli.options import Environment, Form, LocalData, Out, Quiet
from jacdb.cli.printing import check_form, note, print_frame
from jacdb.dataset.shard import MAX_SHARDS, Shard
from jacdb.errors import FailureError, UsageError

if TYPE_CHECKING:
    from jacdb.ingest.plans.object_store import ObjectStore
    from jacdb.ingest.plans.ray_cluster import Cluster
    from jacdb.ingest.requested_run import RequestedRun

ROUNDED = 0.01  # of the steps asked for: a difference that nobody is told of


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
    env: given.AnyEnvironment = None,
    model: given.Model = None,
    substeps: given.Substeps = None,
    keyframe: given.Keyframe = "",
    policy: given.Policy = "noise",
    beta: given.Beta = None,
    scale: given.Scale = None,
    deterministic: given.Deterministic = False,
    episodes: given.Episodes = 8,
    num_envs: given.NumEnvs = None,
    steps: given.Steps = None,
    seed: given.Seed = 0,
    method: given.Method = None,
    dtype: given.DType = "float32",
    memory: given.RolloutMemory = 1.0,
    resume: given.Resume = False,
    shard: given.ShardOf = None,
    shards: given.Shards = None,
    plan: given.Plan = None,
    ray: given.Ray = None,
    task_cpus: given.TaskCpus = None,
    task_gpus: given.TaskGpus = None,
    store: given.Store = None,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Roll out an environment, or a model of your own, and write states, actions, Jacobians and contacts.

    Repeat the command to resume a run that was stopped. A finished run is left as it is.

    Example: jacdb ingest --env PandaPickCube --episodes 4
    """
    from jacdb.ingest.requested_run import RequestedRun

    asked = RequestedRun(
        env, model, substeps, keyframe, policy, beta, scale, deterministic, episodes, num_envs, steps, seed, method,
        dtype, memory, Shard.parse(shard) if shard is not None else None,
    )  # fmt: skip
    on_ray = (ray, task_cpus, task_gpus, store)
    if shards is not None or plan is not None or any(given is not None for given in on_ray):
        _ingest_many(asked, resume, shards, plan, on_ray, data, quiet)
        return
    asked.check(data, resume=resume)  # what is typed wrong is told before the slow imports
    interruption.advise("finished episodes are kept; repeat the command to resume")
    from jacdb.progress import Reporter

    with Reporter(quiet=quiet).shown() as report:
        told = asked.carry_out(data, report, resume=resume)
    typer.echo(told)


def _ingest_many(
    asked: "RequestedRun",
    resume: bool,
    shards: int | None,
    plan: Path | None,
    on_ray: tuple[str | None, float | None, float | None, str | None],
    data: Path,
    quiet: bool,
) -> None:
    """Carry out all shards of a run, or a plan of runs, here or on a Ray cluster, and print what came of each.

    Raises:
        UsageError: what is asked for can't be right.
        FailureError: some could not be carried out.
    """
    from jacdb.cli import plan_commands
    from jacdb.ingest.plans import plan_file, planned_command, planned_runs, ray_cluster, transfers
    from jacdb.ingest.requested_run import RequestedRun
    from jacdb.progress import Reporter

    if plan is not None and (asked != RequestedRun() or shards is not None or resume):
        raise UsageError(f"--plan {plan} names the runs: leave out the options of one, and write shards into it")
    if resume or (asked.shard and shards is not None):
        raise UsageError("--shards makes all, and resumes those that have begun: leave out --shard and --resume")
    if shards is not None and not 1 <= shards <= MAX_SHARDS:
        raise UsageError(f"shards={shards}: give a whole number from 1 to {MAX_SHARDS:,}")
    cluster, store = _cluster(*on_ray)
    commands = plan_commands.known() if plan is not None else {}
    runs: list[planned_command.Task] = (
        plan_file.read(plan, commands) if plan is not None else [*asked.shards(1 if shards is None else shards)]
    )
    if store:
        transfers.check(runs)
    planned_runs.check(runs, data, commands)
    if store:
        store.check()
    kept = "finished shards" if store else "finished shards and episodes"
    interruption.advise(f"{kept} are kept; repeat the command to resume")
    failed = []
    with Reporter(quiet=quiet).shown() as report:
        ended = (
            ray_cluster.carry_out(runs, data, cluster, report, store)
            if cluster
            else planned_runs.carry_out(runs, data, report)
        )
        for told, has_failed in ended:
            if has_failed:
                failed.append(told)
            else:
                typer.echo(told)
    if failed:
        more = f" and {len(failed) - 1} more of {len(runs)}" if len(failed) > 1 else ""
        raise FailureError(f"{failed[0]}; this{more} could not be made; repeat the command to try again")


def _cluster(
    address: str | None, cpus: float | None, gpus: float | None, url: str | None
) -> "tuple[Cluster | None, ObjectStore | None]":
    """Return the Ray cluster to work on, and the store of its nodes; None for each that is not asked for.

    Raises:
        UsageError: the address can't be one, does not answer, or there is none and it is needed.
    """
    from jacdb.ingest.plans.object_store import ObjectStore
    from jacdb.ingest.plans.ray_cluster import Cluster

    if address is None and url is not None:
        raise UsageError(
            f"--store {url} is where nodes of a Ray cluster leave shards; without --ray all is made here, in --data:"
            " leave it out, or give --ray"
        )
    if address is None and (cpus is not None or gpus is not None):
        raise UsageError("--task-cpus and --task-gpus are of tasks on --ray: give its address")
    if address is None:
        return None, None
    cluster = Cluster(address, cpus, gpus)
    cluster.check_address()
    return cluster, ObjectStore(url) if url is not None else None


def train(
    env: Environment,
    num_timesteps: Annotated[
        int | None,
        typer.Option(help="Environment steps, rounded to whole iterations of each part; default: Playground's."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Trained policy to go on from: expert or a file; default: new.", metavar="POLICY"),
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

    Repeat the command to resume a training that was stopped, after its last finished part. With --from the policy
    network and what it knows of observations are a trained policy's; value network and optimizer are new.

    Example: jacdb train --env CartpoleBalance --num-timesteps 2000000
    """
    path = check_training(env, num_timesteps, start, seed, legs, out)
    interruption.advise("finished parts are kept; repeat the command to resume")
    from jacdb.ingest import runtime

    on_gpu = runtime.configure_training(device)
    from jacdb.ingest.environments import registry
    from jacdb.ingest.policies import resolve, training

    begun = resolve.find(start, registry.find(env)) if start is not None else None
    wanted = training.Training(
        env, num_timesteps, seed, legs, not on_gpu if small is None else small, begun, start or ""
    )

    if num_timesteps is not None and abs(wanted.total_steps - num_timesteps) > ROUNDED * num_timesteps:
        note(f"{wanted.total_steps:,} steps, not {num_timesteps:,}: each part has whole iterations of PPO", quiet)

    if (repeat := wanted.settings()["action_repeat"]) > 1:
        note(f"each action is taken {repeat} times, as Playground trains {env}; `jacdb ingest` takes it once", quiet)

    def show(leg: training.LegResult, total: int) -> None:
        left = leg.seconds * (total / leg.steps - 1)
        note(f"{leg.steps:,} of {total:,} steps: return {leg.mean:.0f} ± {leg.std:.0f}; {left:.0f} s left", quiet)

    network = training.train(wanted, path, show)
    reached = network.about["return"]
    typer.echo(f"{env}, {network.about['status']}: return {reached['mean']:.0f} ± {reached['std']:.0f}: {path}")


def check_training(
    env: str, num_timesteps: int | None, start: str | None, seed: int, legs: int, out: Path | None
) -> Path:
    """Return the policy file that a training writes.

    Raises:
        UsageError: there is no such environment, a number is out of its range, no such policy to go on from, or the
            file can't be written.
    """
    from jacdb.ingest.environments import registry

    spec = registry.find(env)
    simulator.require()
    from jacdb.ingest.policies import choice
    from jacdb.ingest.policies.policy_file import SUFFIX

    choice.check_training(num_timesteps=num_timesteps, seed=seed, legs=legs)
    if start is not None:
        choice.check_start(start, spec)
    path = out or Path(f"{env}{SUFFIX}")
    out_path.check_file(path, [SUFFIX])
    return path
