"""Write a report on a dataset: collect facts on the paper's questions, and make a page from them.

The facts are plain data: they can be kept (datasets/reference), and the same page can be made from them later.
"""

import base64
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import polars as pl
from markdown_it import MarkdownIt

from jacdb import figures
from jacdb._version import __version__
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError

# Table 1 of Pandaram et al., Dynamic Sparsity (arXiv 2511.08086)
PAPER = {
    "BallInCup": {"d_state": 8, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "CartpoleBalance": {"d_state": 4, "d_action": 1, "zero_state": 0, "zero_action": 0},
    "CheetahRun": {"d_state": 18, "d_action": 6, "zero_state": 17, "zero_action": 0},
    "ReacherHard": {"d_state": 4, "d_action": 2, "zero_state": 3, "zero_action": 0},
    "FingerSpin": {"d_state": 6, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "FingerTurnEasy": {"d_state": 6, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "WalkerRun": {"d_state": 18, "d_action": 6, "zero_state": 17, "zero_action": 0},
    "SwimmerSwimmer6": {"d_state": 16, "d_action": 5, "zero_state": 30, "zero_action": 0},
}
PROVENANCE = ("env", "run_id", "policy_config", "seed", "episodes", "steps", "method", "n_rows", "n_excluded",
              "n_recomputed", "versions")  # fmt: skip
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>jacdb: how these worlds depend on themselves</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }}
th, td {{ padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }}
th:first-child, td:first-child, th:last-child, td:last-child {{ text-align: left }}
img {{ max-width: 100% }}
h2 {{ margin-top: 2.5rem }}
</style></head><body>
<h1>How these worlds depend on themselves</h1>
{body}</body></html>
"""


class Picture(NamedTuple):
    """A figure of the page: its link, or why there is none."""

    link: str | None
    missing: str = ""


Pictures = dict[str, dict[str, Picture]]  # by environment and figure


def facts(dataset: Dataset) -> dict[str, Any]:
    """Return everything that the page says, as plain data."""
    environments = {env: _of_environment(dataset, env) for env in dataset.environments}
    runs = dataset.runs().sort("env", "run_id").select(PROVENANCE).to_dicts()
    return {"jacdb": __version__, "environments": environments, "runs": runs}


def verdict(env: str, table1: dict[str, Any]) -> str:
    """Return how an environment's row of Table 1 compares with the paper's: equal, or which cells differ."""
    if env not in PAPER:
        return "not in the paper"
    differences = [f"{key} {table1[key]} (paper {value})" for key, value in PAPER[env].items() if table1[key] != value]
    return f"differs: {', '.join(differences)}" if differences else "equal"


def summary(facts: dict[str, Any]) -> str:
    """Return one line on Table 1: how many environments equal the paper's."""
    present = [env for env in PAPER if env in facts["environments"]]
    equal = [env for env in present if facts["environments"][env]["verdict"] == "equal"]
    missing = (
        f"; not in the dataset: {', '.join(sorted(PAPER.keys() - set(present)))}" if len(present) < len(PAPER) else ""
    )
    return f"Table 1 of the paper: {len(equal)} of {len(present)} environments equal in every cell{missing}"


def markdown(facts: dict[str, Any], pictures: Pictures | None = None) -> str:
    """Return the page as Markdown."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["percent"] = lambda share: "-" if share is None else f"{100 * share:.1f} %"
    template = environment.from_string(files("jacdb").joinpath("report.md.j2").read_text())
    about = {
        "summary": summary(facts),
        "paper": PAPER,
        "captions": {name: figure.caption for name, figure in figures.FIGURES.items()},
        "pictures": pictures,
    }
    return template.render(**facts, **about) + "\n"


def html(facts: dict[str, Any], pictures: Pictures) -> str:
    """Return the same page as HTML. Text from the dataset is escaped: none of its tags gets through."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown(facts, pictures))
    return PAGE.format(body=body)


def write(dataset: Dataset, folder: Path, report: Callable[[str], None] = lambda env: None) -> dict[str, Any]:
    """Write index.html (self-contained), report.md with its figures/, and facts.json; return the facts.

    Args:
        report: called with each environment before its figures are drawn; drawing takes most of the time.

    Raises:
        UsageError: the dataset has no steps yet.
    """
    if not dataset.environments:
        raise UsageError(f"nothing to report of {dataset.location.name}: it has no steps yet")
    collected = facts(dataset)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    linked: Pictures = {}
    embedded: Pictures = {}
    for env in collected["environments"]:
        report(env)
        linked[env], embedded[env] = {}, {}
        for name in figures.FIGURES:
            try:
                picture = figures.png(figures.draw(dataset, name, env))
            except UsageError as error:
                linked[env][name] = embedded[env][name] = Picture(None, str(error))
                continue
            link = f"figures/{re.sub(r'[^A-Za-z0-9]', '_', env)}-{name}.png"  # any name may stand in a dataset
            (folder / link).write_bytes(picture)
            linked[env][name] = Picture(link)
            embedded[env][name] = Picture(f"data:image/png;base64,{base64.b64encode(picture).decode()}")
    (folder / "index.html").write_text(html(collected, embedded))
    (folder / "report.md").write_text(markdown(collected, linked))
    (folder / "facts.json").write_text(json.dumps(collected, indent=1) + "\n")
    return collected


def _of_environment(dataset: Dataset, env: str) -> dict[str, Any]:
    [table1] = dataset.global_sparsity(env).to_dicts()
    bins = dataset.sparsity_histogram(env)
    durations = dataset.zero_durations(env)
    explained = dataset.switch_explanations(env).filter(kind="any")
    touching = dataset.sparsity_by_constraint(env).filter(pl.col("name").is_null(), pl.col("kind") != "nothing")
    sweep = dataset.threshold_sweep(env)
    return {
        "table1": table1,
        "verdict": verdict(env, table1),
        "returns": dataset.episodes(env)
        .group_by("policy")
        .agg(
            pl.len().alias("episodes"),
            pl.col("n_steps").mean().alias("steps"),
            pl.col("total_reward").mean().alias("mean"),
            pl.col("total_reward").std().alias("std"),
        )
        .sort("policy")
        .to_dicts(),
        "patterns": dataset.patterns(env)["pattern_id"].n_unique(),
        "mean_sparsity": {
            **dict.fromkeys(figures.JACOBIANS),  # null without a finite step
            **dict(bins.select("jacobian", "mean_sparsity").unique(maintain_order=True).iter_rows()),
        },
        "bins": {jacobian: bins.filter(jacobian=jacobian)["share"].to_list() for jacobian in figures.JACOBIANS},
        "durations": durations.group_by("jacobian", "zero", maintain_order=True)
        .agg(pl.col("runs").sum(), pl.col("mean_duration").first())
        .to_dicts(),
        "constraints": touching.to_dicts(),
        "switches": explained.drop("env").to_dicts(),
        "sweep": {
            jacobian: dict(sweep.filter(jacobian=jacobian).select("threshold", "zero").iter_rows())
            for jacobian in figures.JACOBIANS
        },
    }
