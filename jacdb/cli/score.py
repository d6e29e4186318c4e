"""The command that scores graphs of any program against the true ones: score."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jacdb import simulator
from jacdb.cli.options import LocalData, OwnEnvironment, Quiet
from jacdb.cli.printing import check_form, note, print_frame
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jacdb.dataset.views import Views
    from jacdb.learning.causal_discovery import DiscoverySettings
    from jacdb.learning.problem import LearningProblem
    from jacdb.learning.scoring import Entry

TREE = "kinematic_tree"  # the baseline that knows the robot's model


def score(
    env: OwnEnvironment,
    file: Annotated[
        Path | None, typer.Argument(help="File of scores: .parquet or .npz (docs/learning.md).", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the results are called; default: the file's name.")] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Score mean_pattern, kinematic_tree, contact_oracle, fullci, pcmci, pcmci_plus, or all; repeatable."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of fullci, pcmci and pcmci_plus: rows, alpha or test; can be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Write the steps to learn from and to score into --out instead.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="For --rows: file to write, .parquet, .csv or .json.", metavar="FILE")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Split rows of this policy, and score those of others apart; default: all.")
    ] = None,
    within: Annotated[int, typer.Option(min=0, help="Steps by which the time of a switch may be wrong.")] = 5,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Score how well a file of numbers, one for each entry of each step, tells which entries are not zero.

    The scores become tables of the dataset: learning_runs and learning_scores. The threshold above which an entry
    counts as non-zero is chosen on the validation part.

    Example: jacdb score --rows --env CartpoleBalance --out rows.parquet

    Example: jacdb score scores.parquet --env CartpoleBalance --name my-model

    Example: jacdb score --baseline all --env CartpoleBalance
    """
    _check_words(file, name, baseline or [], rows, out)
    names = _names(baseline or [], quiet)
    settings = _settings(setting or [], names)
    from jacdb.dataset.dataset import Dataset
    from jacdb.learning.problem import LearningProblem

    with Dataset(data) as dataset:
        problem = LearningProblem.of(dataset, env, policy=policy)
        trees = _trees(dataset, problem, baseline == ["all"], quiet) if TREE in names else {}
    if out is not None:
        _write_rows(problem, out)
    elif file is not None:
        _score([str(file)], lambda _: _file(file, name, problem), problem, data, within, quiet)
    else:
        names = [one for one in names if one != TREE or trees]
        _score(names, lambda one: _baseline(one, problem, settings, trees), problem, data, within, quiet)


def _write_rows(problem: "LearningProblem", out: Path) -> None:
    """Write the steps of a problem to a file, and say how many there are."""
    from jacdb.learning.scoring import rows_to_score

    listed = rows_to_score(problem)
    print_frame(listed, None, out)
    to_learn, (n_rows, n_columns) = int((listed["part"] == "train").sum()), problem.shape
    typer.echo(
        f"{out}: {to_learn:,} steps to learn from, {len(listed) - to_learn:,} to score; a step has {n_rows} x"
        f" {n_columns} scores, of which the first {n_rows} columns are by the state"
    )


def _score(
    names: list[str],
    entry_of: "Callable[[str], Entry]",
    problem: "LearningProblem",
    data: Path,
    within: int,
    quiet: bool,
) -> None:
    """Score entries one by one; what is scored is kept if a later one fails."""
    from jacdb.learning.scoring import score
    from jacdb.progress import Event, Reporter

    with Reporter(quiet=quiet).shown() as report:
        for one in names:
            event = Event(f"scoring {one}")
            report(event)
            made = score(problem, data, entry_of(one), within=within, report=functools.partial(report, event))
            typer.echo(made.describe())


def _check_words(file: Path | None, name: str | None, baseline: list[str], rows: bool, out: Path | None) -> None:
    """Refuse words that do not belong together, and a file that can't be written, or is none of scores.

    Raises:
        UsageError: they do not, or it can't.
    """
    if (file is not None) + bool(baseline) + rows != 1:
        raise UsageError("give one of these: a FILE of scores, --baseline NAME, or --rows")
    if name is not None and file is None:
        raise UsageError("--name is for a FILE of scores: leave it out")
    if out is not None and not rows:
        raise UsageError("--out is for --rows: leave it out; the scores are written into the dataset")
    if rows:
        if out is None:
            raise UsageError("--rows needs a file to write: give --out rows.parquet, .csv or .json")
        check_form(None, out)
    if file is not None:
        from jacdb.learning import score_pieces

        score_pieces.check(file)


def _file(path: Path, name: str | None, problem: "LearningProblem") -> "Entry":
    from jacdb.checksum import sha256_of
    from jacdb.learning import score_files
    from jacdb.learning.scoring import Entry

    made = score_files.read(path, problem)
    about = {"file": path.name, "sha256": sha256_of(path)}
    return Entry(name or path.stem, made.graph, about, made.parts)


def _names(baseline: list[str], quiet: bool) -> list[str]:
    """Return the baselines that are asked for; of all, those whose packages are installed.

    Raises:
        UsageError: there is no such baseline, or the package that it needs is missing.
    """
    from jacdb.learning import baselines, causal_discovery

    if baseline == ["all"]:
        names = list(baselines.BASELINES)
        if causal_discovery.missing():
            names = [name for name in names if name not in causal_discovery.METHODS]
            left_out = ", ".join(causal_discovery.METHODS)
            note(f"without {left_out}, which need tigramite: pip install 'jacdb[causal]'", quiet)
        return names
    for one in baseline:
        baselines.check(one)
    if not causal_discovery.METHODS.keys().isdisjoint(baseline):
        causal_discovery.require()
    return list(dict.fromkeys(baseline))


def _settings(words: list[str], names: list[str]) -> "DiscoverySettings":
    """Return the settings of causal discovery.

    Raises:
        UsageError: none of the baselines has settings, or it has no such setting or value.
    """
    from jacdb.learning.causal_discovery import METHODS, DiscoverySettings
    from jacdb.learning.models import registry

    if words and METHODS.keys().isdisjoint(names):
        raise UsageError(f"--set is for --baseline {', '.join(METHODS)}: leave it out")
    return DiscoverySettings.of(registry.settings_of(words))


def _trees(dataset: "Views", problem: "LearningProblem", is_one_of_all: bool, quiet: bool) -> dict[str, int]:
    """Return the number of the kinematic tree of each body; none where one of all baselines can't know it.

    Raises:
        UsageError: the baseline was asked for by its name, and the simulator or the runs' model is missing, or is none
            of theirs.
    """
    try:
        simulator.require()
        from jacdb.ingest.environments.kinematic_tree import tree_of_body
        from jacdb.ingest.sources.run_models import tree_of_runs

        return tree_of_runs(dataset, problem.env, problem.run_ids, problem.bodies.names, tree_of_body)
    except UsageError as error:
        if not is_one_of_all:
            raise UsageError(f"--baseline {TREE} asks for the robot's kinematic tree: {error}") from error
        note(f"without {TREE}, which asks for the robot's kinematic tree: {error}", quiet)
        return {}


def _baseline(name: str, problem: "LearningProblem", settings: "DiscoverySettings", tree_of: dict[str, int]) -> "Entry":
    """Return a baseline."""
    from jacdb.learning import baselines, causal_discovery
    from jacdb.learning.scoring import Entry

    about: dict[str, Any] = {"baseline": baselines.BASELINES[name]}
    if name == TREE:
        graph = baselines.kinematic_tree(problem, tree_of)
    elif name in causal_discovery.METHODS:
        graph = causal_discovery.global_graph(problem, name, settings)
        about |= causal_discovery.described(settings)
    else:
        graph = {"mean_pattern": baselines.mean_pattern, "contact_oracle": baselines.contact_oracle}[name](problem)
    return Entry(name, graph, about)
