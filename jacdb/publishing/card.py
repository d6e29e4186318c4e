"""Write the dataset card, README.md of a repository on the Hub, from the data.

The same data makes the same card, so that publishing it again changes nothing.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2

from jacdb import figures, report, schemas
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.layout import CURRENT, Run
from jacdb.publishing import licences
from jacdb.report import leaderboard
from jacdb.report.answers import mean_sparsity, replay_errors, row_of_table1
from jacdb.report.tables import Table, small

SUITES = {
    "playground": "[MuJoCo Playground](https://github.com/google-deepmind/mujoco_playground)'s environments",
    "gymnasium": "[Gymnasium](https://gymnasium.farama.org)'s environments",
    "dm_control": "[dm_control](https://github.com/google-deepmind/dm_control)'s environments",
    "model": "other MuJoCo models",
    "minari": "[Minari](https://minari.farama.org)'s recordings",
    "d4rl": "[D4RL](https://github.com/Farama-Foundation/D4RL)'s recordings",
    "lerobot": "recordings in [LeRobot](https://github.com/huggingface/lerobot)'s format",
    "file": "recordings in files",
}  # by `runs.suite`, in words
PICTURE = "figures/heatmap.png"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip


class Config(NamedTuple):
    """A name under which the `datasets` library loads some of the files."""

    name: str
    path: str


def write(dataset: Dataset, name: str, policies: Iterable[str] = ()) -> str:
    """Return the card: YAML, then Markdown.

    Args:
        dataset: the dataset to publish.
        name: OWNER/NAME, for the examples that load it.
        policies: paths of the trained policies that are published with it.
    """
    envs = dataset.environments
    facts = {env: _facts(dataset, env) for env in envs}
    runs = dataset.runs().sort("env", "run_id").to_dicts()
    rows = sum(run["n_rows"] for run in runs)
    suites = [suite for suite in SUITES if suite in {run["suite"] for run in runs}]
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: "-" if value is None else value,  # as in the report's tables
    )
    environment.filters["number"] = "{:,}".format
    template = environment.from_string(files("jacdb.publishing").joinpath("card.md.j2").read_text("utf-8"))
    return template.render(
        name=name,
        license=licences.header(runs, name),
        suites=suites,
        suites_text=" and of ".join(SUITES[suite] for suite in suites),
        sources=_sources(dataset, runs),
        size=next((label for limit, label in SIZES if rows < limit), "n>1B"),
        configs=configs(envs, [table.name for table in schemas.RESULTS if dataset.location.parts(table.name)]),
        env=example(dataset),
        pictured=pictured(dataset),
        config_of=config_of,
        facts=facts,
        runs=runs,
        rows=rows,
        versions=_versions(runs),
        columns=schemas.steps().describe(),
        picture=PICTURE,
        parts=CURRENT.parts,
        schema_version=schemas.SCHEMA_VERSION,
        policies=sorted(policies),
        leaderboard=leaderboard.markdown([row for env in envs for row in leaderboard.rows(dataset, env)]),
        leaderboard_note=leaderboard.NOTE,
    )


def configs(envs: list[str], results: Sequence[str] = ()) -> list[Config]:
    """Return one config per environment, for matrices of different sizes do not mix, and one per small table."""
    steps = [Config(config_of(env), f"{Run(env, '*').folder('steps')}/part-*.parquet") for env in envs]
    small = [*(table.name for table in schemas.TABLES if table.name != "steps"), *results]
    return steps + [Config(table, f"{Run('*', '*').folder(table)}/part-*.parquet") for table in small]


def config_of(env: str) -> str:
    """Return the name of an environment's config: its own, unless a table has it; no environment has one with ``=``."""
    taken = {table.name for table in (*schemas.TABLES, *schemas.RESULTS) if table.name != "steps"}
    return f"environment={env}" if env in taken else env


def example(dataset: Dataset) -> str:
    """Return the environment of the examples: the one with the largest matrices of those with a step that counts."""
    largest = "select env from runs left join global_sparsity using (env) order by samples > 0 desc nulls last"
    sizes = dataset.fetch(dataset.sql(f"{largest}, runs.d_state desc, env limit 1"))
    return str(sizes["env"][0])


def pictured(dataset: Dataset) -> str | None:
    """Return the environment of the picture: that of the examples; None if no step of any counts."""
    env = example(dataset)
    return env if row_of_table1(dataset, env)["samples"] else None


def picture(dataset: Dataset) -> bytes | None:
    """Return the card's picture, as PNG: in which share of the steps each entry is zero; None if no step counts."""
    env = pictured(dataset)
    return None if env is None else figures.png(figures.heatmap(dataset, env))


def _facts(dataset: Dataset, env: str) -> dict[str, Any]:
    table1 = row_of_table1(dataset, env)
    mean = mean_sparsity(dataset.sparsity_histogram(env))
    return {**table1, "verdict": report.verdict(env, table1), "mean": mean}


def _sources(dataset: Dataset, runs: list[dict[str, Any]]) -> str:
    """Return, as Markdown, where each run's trajectories are from, their licence, and how well they were replayed."""
    errors = replay_errors(dataset)
    header = ("environment", "run", "suite", "source", "version", "licence", "excluded>", "tolerance>",
              "largest replay error>")  # fmt: skip

    def rows(facts: dict[str, Any]) -> Iterator[Sequence[str]]:
        for run in facts["runs"]:
            texts = (" ".join((run[name] or "-").split()) for name in ("suite", "source", "source_version"))
            licence = licences.of_run(run) or "not stated"
            replayed = small(run["replay_tolerance"]), small(errors.get((run["env"], run["run_id"])))
            yield run["env"], run["run_id"], *texts, licence, f"{run['n_excluded']:,}", *replayed

    return Table(header, rows).markdown({"runs": runs})


def _versions(runs: list[dict[str, Any]]) -> list[str]:
    """Return every combination of package versions that made rows."""
    combinations = {json.dumps(json.loads(run["versions"]), sort_keys=True) for run in runs}
    return [
        ", ".join(f"{name} {version}" for name, version in json.loads(text).items()) for text in sorted(combinations)
    ]
