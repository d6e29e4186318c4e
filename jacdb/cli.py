"""The command line: reads words, calls functions that a notebook can call too, prints what they return."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from jacdb.errors import FailureError, JacdbError, UsageError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from jacdb.dataset.dataset import Dataset
    from jacdb.verification.replayer import RunReplayer

app = typer.Typer(
    name="jacdb",
    help="The database of how robots' worlds really depend on themselves.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    str,
    typer.Option(
        "--data", envvar="JACDB_DATA", help="Folder of the dataset, or hf://datasets/OWNER/NAME[@REV].", metavar="DIR"
    ),
]
Folder = Annotated[Path, typer.Option("--data", envvar="JACDB_DATA", help="Folder of the dataset.", metavar="DIR")]
Form = Annotated[str, typer.Option("--format", help="table, csv, json, markdown or parquet.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write instead of stdout.", metavar="FILE")]
Memory = Annotated[float | None, typer.Option("--memory", help="GiB that the query may take; default: most there is.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds that the query may take; default: any.")]
Where = Annotated[str | None, typer.Option("--where", help="Only steps that meet this SQL condition.", metavar="SQL")]


def _version(wanted: bool) -> None:
    if wanted:
        from jacdb import __version__

        typer.echo(f"jacdb {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def envs(form: Form = "table", out: Out = None) -> None:
    """List every environment and its dimensions.

    Example: jacdb envs --format csv
    """
    import polars as pl

    from jacdb.ingest.environments import registry

    rows = [
        {
            "env": spec.name,
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
    _print(pl.DataFrame(rows), form, out)


@app.command()
def ingest(
    env: Annotated[str, typer.Option(help="Environment, by Playground's name (see `jacdb envs`).")],
    policy: Annotated[str, typer.Option(help="noise, zero, expert, or a policy file.")] = "noise",
    beta: Annotated[float, typer.Option(help="Exponent of coloured noise, 1/f^beta: 0 white, 1 pink.")] = 0.5,
    scale: Annotated[float, typer.Option(help="Standard deviation of noise, before it is clipped to [-1, 1].")] = 1.0,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="A trained policy without noise.")] = False,
    episodes: Annotated[int, typer.Option(help="How many episodes.")] = 8,
    num_envs: Annotated[
        int | None, typer.Option(help="Episodes stepped side by side; default: what --memory allows, 144 at most.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Longest episode; default: the environment's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of resets and noise.")] = 0,
    method: Annotated[
        str | None, typer.Option(help="implicit, unrolled, autodiff or fd; default: what suits the environment.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Stored matrix entries: float32 or float64.")] = "float32",
    memory: Annotated[float, typer.Option(help="GiB that matrices of unfinished episodes may take.")] = 1.0,
    resume: Annotated[bool, typer.Option("--resume", help="Insist that there is such a run to go on from.")] = False,
    data: Folder = Path("data"),
) -> None:
    """Roll out an environment and write states, actions, Jacobians and contacts.

    The same command once more does nothing where the run is whole, and completes it where it stopped.

    Example: jacdb ingest --env PandaPickCube --episodes 4
    """
    from jacdb.ingest.environments import registry

    spec = registry.find(env)  # before seconds of imports
    _require_simulator()
    from rich.console import Console

    from jacdb.ingest import pipeline, run_plan
    from jacdb.ingest.policies import resolve
    from jacdb.progress import Reporter

    request = run_plan.Request(
        env=env,
        policy=resolve.make(policy, spec, beta=beta, scale=scale, deterministic=deterministic),
        episodes=episodes,
        steps=steps,
        num_envs=num_envs,
        seed=seed,
        method=method,  # type: ignore[arg-type]
        dtype=dtype,
        memory=memory,
    )
    try:
        with Reporter(Console(stderr=True)).shown() as report:
            result = pipeline.ingest(request, data, resume=resume, report=report)
    except KeyboardInterrupt:
        _fail("stopped; finished episodes are kept, the same command goes on from them", 130)
    typer.echo(result.describe(env, data))


@app.command()
def train(
    env: Annotated[str, typer.Option(help="Environment, by Playground's name (see `jacdb envs`).")],
    num_timesteps: Annotated[int | None, typer.Option(help="Environment steps; default: Playground's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of networks, environments and exploration.")] = 0,
    legs: Annotated[int, typer.Option(help="Parts, after each of which a killed training can go on.")] = 4,
    small: Annotated[
        bool | None, typer.Option(help="Smaller batches and value network; default: where there is no GPU.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or gpu; default: a GPU if there is one.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Policy file; default: ENV.safetensors.")] = None,
) -> None:
    """Train an expert by Brax's PPO with Playground's settings, for `jacdb ingest --policy FILE`.

    The same command once more goes on from the last leg of one that was stopped.

    Example: jacdb train --env CartpoleBalance --num-timesteps 2000000
    """
    from jacdb.ingest.environments import registry

    registry.find(env)
    _require_simulator()
    from jacdb.ingest import runtime

    on_gpu = runtime.configure_training(device)
    from jacdb.ingest.policies import training

    wanted = training.Training(env, num_timesteps, seed, legs, not on_gpu if small is None else small)

    def told(leg: training.Segment, total: int) -> None:
        left = leg.seconds * (total / leg.steps - 1)
        typer.echo(
            f"{leg.steps:,} of {total:,} steps: return {leg.mean:.0f} ± {leg.std:.0f}; {left:.0f} s left", err=True
        )

    path = out or Path(f"{env}{training.SUFFIX}")
    try:
        network = training.train(wanted, path, told)
    except KeyboardInterrupt:
        _fail("stopped; finished legs are kept, the same command goes on from them", 130)
    reached = network.about["return"]
    typer.echo(f"{env}, {network.about['status']}: return {reached['mean']:.0f} ± {reached['std']:.0f}: {path}")


@app.command()
def runs(data: Folder = Path("data"), form: Form = "table", out: Out = None) -> None:
    """List the runs of a dataset: finished, at work (how far, and how fast), or stopped.

    Example: jacdb runs --data data
    """
    from jacdb.dataset import run_status as every

    _print(every.status(data), form, out)


@app.command()
def query(
    name: Annotated[str, typer.Argument(help="A view: steps, global_sparsity, zero_durations, … (docs/tables.md)")],
    env: Annotated[str | None, typer.Option(help="Only this environment.")] = None,
    where: Where = None,
    data: Data = "data",
    form: Form = "table",
    out: Out = None,
    memory: Memory = None,
    timeout: Timeout = None,
) -> None:
    """Print a named view.

    Example: jacdb query global_sparsity --where "not in_contact" --format json
    """
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where, memory=memory, timeout=timeout) as dataset:
        _answer(dataset, dataset.view(name, env), form, out)


@app.command()
def sql(
    text: Annotated[str, typer.Argument(help="One SELECT.", metavar="SELECT")],
    where: Where = None,
    data: Data = "data",
    form: Form = "table",
    out: Out = None,
    memory: Memory = None,
    timeout: Timeout = None,
) -> None:
    """Answer any read-only SQL.

    Example: jacdb sql "select in_contact, avg(n_zero_state) from steps group by all"
    """
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where, memory=memory, timeout=timeout) as dataset:
        _answer(dataset, dataset.sql(text), form, out)


@app.command()
def plot(
    name: Annotated[
        str, typer.Argument(help="heatmap, embedding, histogram, timeline, durations, constraint or threshold.")
    ],
    env: Annotated[str, typer.Option(help="Of this environment.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .png, .pdf or .svg.", metavar="FILE")],
    run_id: Annotated[str | None, typer.Option(help="timeline: of this run; default: the first.")] = None,
    episode: Annotated[int | None, typer.Option(help="timeline: of this episode; default: the run's first.")] = None,
    where: Where = None,
    data: Data = "data",
) -> None:
    """Draw a figure.

    Example: jacdb plot heatmap --env CheetahRun --out cheetah.pdf
    """
    from jacdb import figures, output
    from jacdb.dataset.dataset import Dataset

    output.check_suffix(out, figures.FORMATS)
    with Dataset(data, where=where) as dataset:
        figures.save(figures.draw(dataset, name, env, run_id=run_id, episode=episode), out)
    typer.echo(f"{name} of {env}: {out}")


@app.command()
def graph(
    env: Annotated[str, typer.Option(help="Of this environment.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .graphml or .json.", metavar="FILE")],
    where: Where = None,
    data: Data = "data",
) -> None:
    """Write the causal graph: which axes of the next state depend on which, and in which share of the steps.

    Example: jacdb graph --env CheetahRun --out cheetah.graphml
    """
    from jacdb import graph as graphs
    from jacdb import output
    from jacdb.dataset.dataset import Dataset

    output.check_suffix(out, graphs.FORMATS)
    with Dataset(data, where=where) as dataset:
        found = graphs.causal_graph(dataset, env)
    graphs.save(found, out)
    typer.echo(f"{found.number_of_edges()} dependencies among {found.number_of_nodes()} axes of {env}: {out}")


@app.command()
def report(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.", metavar="DIR")],
    data: Data = "data",
) -> None:
    """Write what a dataset says: Table 1 beside the paper's, all figures, what was excluded, where it comes from.

    One self-contained page (index.html), the same as Markdown with pictures, and the facts as JSON.

    Example: jacdb report --out report
    """
    from jacdb import report as reports
    from jacdb.dataset.dataset import Dataset

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: give a folder")
    with Dataset(data) as dataset:
        found = reports.write(dataset, out, lambda env: typer.echo(f"{env} …", err=True))
    typer.echo(f"{reports.summary(found)}: {out / 'index.html'}")


@app.command()
def verify(
    env: Annotated[list[str] | None, typer.Option(help="Only this environment; may be given again.")] = None,
    sample: Annotated[int, typer.Option(help="Steps of each run to take again in the simulator; 0 for none.")] = 16,
    data: Folder = Path("data"),
    form: Form = "table",
    out: Out = None,
) -> None:
    """Check a dataset: files, rows, and, where the simulator is installed, steps and Jacobians.

    Prints what was checked, how much of it, and the worst deviation. What is wrong is told on stderr, with file and
    row, and the exit code is then 1. docs/verification.md says what is checked, and how exactly.

    Example: jacdb verify --data data --env CartpoleBalance --sample 100
    """
    from rich.console import Console

    from jacdb import output, verification
    from jacdb.progress import Reporter

    output.check(form)
    with Reporter(Console(stderr=True)).shown() as report:
        found = verification.verify(data, envs=env, sample=sample, replayer=_replayer(), report=report)
    _print(found.frame, form, out, whole=True)
    for line in found.lines():
        typer.echo(line, err=True)
    if not found.ok:
        raise FailureError(found.verdict)


def _replayer() -> "RunReplayer | None":
    """The function that takes steps again, if the simulator is installed."""
    from jacdb import simulator

    if simulator.missing():
        return None
    from jacdb.ingest.replay import checks

    return checks.replay_run


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="The repository on the Hub.", metavar="OWNER/NAME")],
    data: Data = "data",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    tag: Annotated[str | None, typer.Option(help="Name the commit, as a release.", metavar="vX.Y.Z")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print files, sizes and card; send nothing.")] = False,
) -> None:
    """Publish a dataset on the Hugging Face Hub, with a card that says what it is.

    Sends what has changed, and goes on where an earlier call stopped. Log in by `hf auth login`, or set HF_TOKEN.

    Example: jacdb publish alice/dynamics --tag v1.0.0
    """
    from rich.console import Console

    from jacdb.progress import Reporter
    from jacdb.publishing import publish as publishing

    if tag is not None and not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise UsageError(f"--tag {tag}: give a version, such as v1.0.0")
    with Reporter(Console(stderr=True)).shown() as report:
        publication = publishing.prepare(data, name, report)
    for run in publication.left_out:
        typer.echo(f"left out, for it is not finished: run {run.run_id} of {run.env}", err=True)
    if dry_run:
        for path, size in sorted(publication.sizes().items()):
            typer.echo(f"{size:>14,}  {path}")
        typer.echo(f"{sum(publication.sizes().values()):>14,}  bytes in all\n\n{publication.card}")
        return
    typer.echo(publishing.publish(publication, private=private, tag=tag).describe(tag))


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="The repository on the Hub.", metavar="OWNER/NAME")],
    env: Annotated[list[str] | None, typer.Option(help="Only this environment; may be given again.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: main.")] = None,
    data: Folder = Path("data"),
) -> None:
    """Fetch a dataset from the Hugging Face Hub, checked against its checksums.

    The same command once more goes on where one stopped, and fetches nothing that is there.

    Example: jacdb pull alice/dynamics --env CheetahRun --revision v1.0.0
    """
    from rich.console import Console

    from jacdb.progress import Reporter
    from jacdb.publishing import pull as pulling

    try:
        with Reporter(Console(stderr=True)).shown() as report:
            pulled = pulling.pull(name, data, envs=env, revision=revision, report=report)
    except KeyboardInterrupt:
        _fail("stopped; what was fetched is kept, the same command goes on from it", 130)
    typer.echo(pulled.describe(data))


@app.command()
def export(
    form: Annotated[str, typer.Argument(help="minari, lerobot or npz.", metavar="FORMAT")],
    env: Annotated[str, typer.Option(help="Of this environment.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make; for npz, a file.", metavar="PATH")],
    where: Where = None,
    data: Data = "data",
) -> None:
    """Write the finite steps of an environment in the format of another library.

    minari: a Minari dataset of that name, such as CheetahRun-v0; load_dataset finds it where MINARI_DATASETS_PATH is
    the folder around it. lerobot: LeRobotDataset("any/name", root=PATH). npz: numpy.load(PATH).

    Example: jacdb export npz --env CheetahRun --out cheetah.npz
    """
    from jacdb import exports
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where) as dataset:
        typer.echo(exports.export(dataset, form, env, out))


def _answer(dataset: "Dataset", relation: "duckdb.DuckDBPyRelation", form: str, out: Path | None) -> None:
    """A relation in the format asked for; of a table on the screen, as much as a screen is good for."""
    from jacdb import output

    output.check(form)
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("--format parquet is not for a terminal: give --out FILE")
    _print(dataset.fetch(relation.limit(output.TABLE_ROWS + 1) if form == "table" else relation), form, out)


def _print(frame: "pl.DataFrame", form: str, out: Path | None, whole: bool = False) -> None:
    from jacdb import output

    cut = form == "table" and not whole and len(frame) > output.TABLE_ROWS
    content = output.encode(frame.head(output.TABLE_ROWS) if cut else frame, form)
    if out is not None:
        out.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    if cut:
        typer.echo(f"only the first {output.TABLE_ROWS} rows: --format csv gives all", err=True)


def _require_simulator() -> None:
    from jacdb import simulator

    if name := simulator.missing():
        raise UsageError(f"this needs the simulator, and {name} is missing: pip install 'jacdb[ingest]'")


def main() -> None:
    """Run the command line. An error is one line on stderr; exit code 2 for wrong use, 1 for failure."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # it tells of every retry
    try:
        sys.exit(app(standalone_mode=False))
    except JacdbError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(_words(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "), 1)


def _words(error: typer.TyperException) -> str:
    """What typer found wrong with the words, with the value that was given."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    found: list = getattr(error.__cause__, "errors", list)()
    given = f" (given: {found[0]['input']!r})" if found else ""
    return f"{text.rstrip('.')}{given}; see jacdb --help"


def _fail(message: str, code: int) -> NoReturn:
    print(f"jacdb: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
