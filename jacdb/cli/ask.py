"""The commands that answer questions about a dataset: query, sql, spark-views, plot, graph, report, export."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from jacdb import out_path
from jacdb.cli import completion
from jacdb.cli.options import Data, Environments, Explain, Form, Limit, Memory, Out, Quiet, Timeout, Where, Window
from jacdb.cli.printing import check_form, note, print_answer
from jacdb.errors import UsageError


def query(
    name: Annotated[
        str,
        typer.Argument(
            help="A view: steps, episodes, axes, runs, patterns, samples, returns, global_sparsity, threshold_sweep,"
            " entry_zero_fraction, sparsity_histogram, sparsity_timeline, zero_durations, step_sets, constraint_sets,"
            " step_constraints, sparsity_by_constraint, pattern_switches, switch_explanations, symmetries,"
            " causal_graph, method_comparison, axis_statistics, lyapunov, learning_runs, learning_scores or leaderboard"
            " (docs/tables.md).",
            autocompletion=completion.views,
        ),
    ],
    env: Environments = None,
    where: Where = None,
    window: Window = None,
    data: Data = "data",
    limit: Limit = None,
    form: Form = None,
    out: Out = None,
    memory: Memory = None,
    timeout: Timeout = None,
    explain: Explain = False,
    quiet: Quiet = False,
) -> None:
    """Print a named view.

    CSV has no cell for a matrix: matrices are left out of it.

    Example: jacdb query global_sparsity --where "not in_contact" --out sparsity.csv
    """
    check_form(form, out)
    from jacdb import output, queries

    queries.check(name)  # before the dataset is opened
    queries.check_window(name, window)
    from jacdb.dataset.dataset import Dataset
    from jacdb.dataset.empty_answers import reason
    from jacdb.dataset.sql_text import identifier

    with Dataset(data, where=where, memory=memory, timeout=timeout) as dataset:
        if explain:
            typer.echo(dataset.explain(name, env))
            return
        relation = dataset.view(name, env, window=window)
        if output.form_of(form, out) == "csv":
            kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
            if matrices := output.matrices(kinds):
                relation = relation.project(", ".join(identifier(column) for column in kinds if column not in matrices))
                note(f"CSV has no matrices: {', '.join(matrices)} left out; json and parquet have them", quiet)
        if print_answer(dataset, relation, form, out, limit, quiet) == 0 and not quiet:
            note(f"{name} has no row{f' of {", ".join(env)}' if env else ''}: {reason(dataset, name, env)}")


def sql(
    text: Annotated[
        str | None, typer.Argument(help="One SELECT; - reads it from standard input.", metavar="SELECT")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file that holds the SELECT; - for standard input.")
    ] = None,
    views: Annotated[
        Path | None, typer.Option("--views", help="Folder of views of your own, one SELECT in a .sql.", metavar="DIR")
    ] = None,
    where: Where = None,
    data: Data = "data",
    limit: Limit = None,
    form: Form = None,
    out: Out = None,
    memory: Memory = None,
    timeout: Timeout = None,
    explain: Explain = False,
    quiet: Quiet = False,
) -> None:
    """Answer any read-only SQL, given as text, in a file, or on standard input.

    Example: jacdb sql "select in_contact, avg(n_zero_state) from steps group by all"

    Example: jacdb sql --file question.sql --out answer.parquet

    Example: jacdb sql "from my_view" --views my_views
    """
    check_form(form, out)
    select = _select(text, file)
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where, memory=memory, timeout=timeout) as dataset:
        if views is not None:
            dataset.register_views(views)
        if explain:
            typer.echo(dataset.explain(select))
            return
        print_answer(dataset, dataset.sql(select), form, out, limit, quiet)


def _select(text: str | None, file: Path | None) -> str:
    """Return the SQL that was given, from wherever it is.

    Raises:
        UsageError: there is none, there are two, or the file can't be read.
    """
    if (text is None) == (file is None):
        raise UsageError("give one SELECT: as text, as --file FILE, or - and the text on standard input")
    if "-" in (text, str(file)):
        return sys.stdin.read()
    if file is None:
        return _no_file(text or "")
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--file {file} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from error


def _no_file(text: str) -> str:
    """Return SQL that was given as text.

    Raises:
        UsageError: it is the name of a file.
    """
    if len(text.split()) == 1 and Path(text).is_file():
        raise UsageError(f"{text} is a file, and no SELECT: give --file {shlex.quote(text)}")
    return text


def spark_views(env: Environments = None, data: Data = "data") -> None:
    """Print Spark SQL that makes temporary views of the tables and the named views, for Spark 4 and for Sail.

    docs/scale.md says which views there are. In Python: jacdb.spark.register(session, DIR).

    Example: jacdb spark-views --data /shared/data > views.sql; spark-sql -i views.sql
    """
    from jacdb import spark

    typer.echo("".join(f"{text};\n" for text in spark.statements(data, env)), nl=False)


def plot(
    name: Annotated[
        str,
        typer.Argument(
            help="heatmap, embedding, histogram, timeline, durations, constraint, threshold, lyapunov, learning or"
            " learned_entries."
        ),
    ],
    env: Annotated[
        list[str],
        typer.Option(help="The environment; for learning it can be repeated.", autocompletion=completion.environments),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write: .png, .pdf or .svg.", metavar="FILE")],
    run_id: Annotated[str | None, typer.Option(help="Only for timeline: the run; default: the first.")] = None,
    episode: Annotated[
        int | None, typer.Option(help="Only for timeline: the episode; default: the run's first.")
    ] = None,
    window: Window = None,
    where: Where = None,
    data: Data = "data",
) -> None:
    """Draw a figure.

    Example: jacdb plot heatmap --env CheetahRun --out cheetah.pdf

    Example: jacdb plot learning --env CheetahRun --env FingerTurnEasy --out models.pdf
    """
    from jacdb import figures
    from jacdb.dataset.dataset import Dataset

    out_path.check_file(out, figures.FORMATS)
    wanted = env[0] if len(env) == 1 else env
    own = {"run_id": run_id, "episode": episode, "window": window}
    figures.check(name, wanted, **own)
    with Dataset(data, where=where) as dataset:
        figures.save(figures.draw(dataset, name, wanted, **own), out)
    typer.echo(f"{name} of {', '.join(env)}: {out}")


def graph(
    env: Annotated[str, typer.Option(help="The environment.", autocompletion=completion.environments)],
    out: Annotated[Path, typer.Option("--out", help="File to write: .graphml or .json.", metavar="FILE")],
    where: Where = None,
    data: Data = "data",
) -> None:
    """Write the causal graph: which axes of the next state depend on which axes, and in how many steps.

    Example: jacdb graph --env CheetahRun --out cheetah.graphml
    """
    from jacdb import graph as graphs

    out_path.check_file(out, graphs.FORMATS)
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where) as dataset:
        causal_graph = graphs.causal_graph(dataset, env)
    graphs.save(causal_graph, out)
    typer.echo(
        f"{causal_graph.number_of_edges()} dependencies among {causal_graph.number_of_nodes()} axes of {env}: {out}"
    )


def report(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.", metavar="DIR")],
    env: Environments = None,
    embedding: Annotated[
        bool, typer.Option("--embedding/--no-embedding", help="Draw the embedding, which takes longest.")
    ] = True,
    data: Data = "data",
    quiet: Quiet = False,
) -> None:
    """Write a report on a dataset: Table 1 beside the paper's, all figures, excluded steps, and the runs.

    It writes one self-contained page (index.html), the same page as Markdown with pictures, and the facts as JSON.

    Example: jacdb report --env CheetahRun --no-embedding --out report
    """
    out_path.check_folder(out)
    from jacdb import report as reports
    from jacdb.dataset.dataset import Dataset

    with Dataset(data) as dataset:
        facts = reports.write(dataset, out, lambda env: note(f"{env} …", quiet), environments=env, embedding=embedding)
    typer.echo(f"{out / 'index.html'}: {reports.score(facts)}")


def export(
    form: Annotated[str, typer.Argument(help="minari, lerobot or npz.", metavar="FORMAT")],
    env: Annotated[str, typer.Option(help="The environment.", autocompletion=completion.environments)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; for npz, a file.", metavar="PATH")],
    where: Where = None,
    data: Data = "data",
) -> None:
    """Write the finite steps of an environment in another library's format.

    minari: a Minari dataset, named as PATH, such as CheetahRun-v0; minari.load_dataset finds it if
    MINARI_DATASETS_PATH is the folder around it. lerobot: LeRobotDataset("any/name", root=PATH). npz: numpy.load(PATH).
    LeRobot's statistics of a matrix are pooled over its rows; those of each entry: numpy.load(PATH)["j_state"].std(0).

    Example: jacdb export npz --env CheetahRun --out cheetah.npz
    """
    from jacdb import exports
    from jacdb.dataset.dataset import Dataset

    with Dataset(data, where=where) as dataset:
        typer.echo(exports.export(dataset, form, env, out))
