"""Ask a dataset's views the paper's questions, and return their answers as plain data.

Facts can be kept (datasets/reference), and the same page can be made from them later.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from jacdb._version import __version__
from jacdb.dataset.dataset import Dataset
from jacdb.report import leaderboard
from jacdb.report.paper import verdict

JACOBIANS = ("state", "action")
PROVENANCE = ("env", "run_id", "policy_config", "seed", "episodes", "steps", "method", "n_rows", "n_excluded",
              "n_recomputed", "versions", "suite", "source", "source_version", "licence",
              "replay_tolerance")  # fmt: skip


def facts(dataset: Dataset, environments: Sequence[str] | None = None) -> dict[str, Any]:
    """Return everything that the page says, as plain data.

    Args:
        dataset: the dataset.
        environments: only these; None for all.

    Raises:
        UsageError: the dataset has no steps of one of them.
    """
    for env in environments or ():
        dataset.view("steps", env)  # refuses an unknown one
    chosen = [env for env in dataset.environments if environments is None or env in environments]
    runs = dataset.runs().filter(pl.col("env").is_in(chosen)).sort("env", "run_id").select(PROVENANCE).to_dicts()
    errors = replay_errors(dataset)
    return {
        "jacdb": __version__,
        "dataset": dataset.location.name,
        "date": datetime.now(UTC).date().isoformat(),
        "environments": {env: _of_environment(dataset, env) for env in chosen},
        "runs": [run | {"replay_error": errors.get((run["env"], run["run_id"]))} for run in runs],
    }


def replay_errors(dataset: Dataset) -> dict[tuple[str, str], float | str | None]:
    """Return the largest replay error of each run's steps, excluded ones too, by environment and run.

    None where the engine made every step itself; 'infinite' where a step could not be replayed at all.
    """
    rows = dataset.fetch(dataset.sql("select env, run_id, max(replay_error) from steps group by all"))
    return {(env, run): leaderboard.plain(error) for env, run, error in rows.iter_rows()}


def row_of_table1(dataset: Dataset, env: str) -> dict[str, Any]:
    """Return an environment's row of `global_sparsity`; of one with rows by finite differences alone, of 0 steps."""
    view = dataset.global_sparsity(env)
    none = {**dict.fromkeys(view.columns), "env": env, "samples": 0, "excluded": 0}
    return next(iter(view.to_dicts()), none)


def mean_sparsity(bins: pl.DataFrame) -> dict[str, float | None]:
    """Return the mean sparsity of each Jacobian by `sparsity_histogram`; None without entries or finite steps."""
    return {**dict.fromkeys(JACOBIANS), **dict(bins.select("jacobian", "mean_sparsity").unique().iter_rows())}


def _of_environment(dataset: Dataset, env: str) -> dict[str, Any]:
    table1 = row_of_table1(dataset, env)
    bins = dataset.sparsity_histogram(env)
    durations = dataset.zero_durations(env)
    sweep = dataset.threshold_sweep(env)
    return {
        "table1": table1,
        "verdict": verdict(env, table1),
        "returns": [
            {key: leaderboard.plain(value) for key, value in row.items()}
            for row in dataset.returns(env).drop("env").to_dicts()
        ],
        "patterns": dataset.patterns(env)["pattern_id"].n_unique(),
        "mean_sparsity": mean_sparsity(bins),
        "bins": {jacobian: bins.filter(jacobian=jacobian)["share"].to_list() for jacobian in JACOBIANS},
        "durations": durations.group_by("jacobian", "zero", maintain_order=True)
        .agg(pl.col("runs").sum(), pl.col("mean_duration").first())
        .to_dicts(),
        "constraints": dataset.sparsity_by_constraint(env).filter(pl.col("name").is_null()).drop("env").to_dicts(),
        "switches": dataset.switch_explanations(env).drop("env").to_dicts(),
        "sweep": {
            jacobian: dict(sweep.filter(jacobian=jacobian).select("threshold", "zero").iter_rows())
            for jacobian in JACOBIANS
        },
        "leaderboard": leaderboard.rows(dataset, env),
    }
