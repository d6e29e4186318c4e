"""Read the scores of an environment's models on one benchmark, under names for people, ready to be drawn."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError

LENGTHS = (12, 40)  # characters of a setting in a name: at most so many, if that tells models apart
_KINDS = {"trained": 0, "file": 1, "function": 2, "baseline": 3}


def results(dataset: Dataset, envs: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return all scores of each environment's models, of one benchmark: of the one that most of its models have.

    Columns are those of `learning_scores`, and benchmark, model, loss, seed, kind (as in `leaderboard`), and label: the
    model and its loss, with the settings in which some of that name differ. A label means the same in all environments.
    Rows stand in the order in which people read models: those with most losses first, baselines last.

    Raises:
        UsageError: nothing was learned of one.
    """
    runs = {env: _runs(dataset, env) for env in envs}
    boards = [
        dataset.fetch(dataset.view("leaderboard", env)).filter(benchmark=of_env["benchmark"][0])
        for env, of_env in runs.items()
    ]
    board = pl.concat(one.select("env", "configuration", "model", "loss", "kind") for one in boards)
    n_losses = board.group_by("model").agg(pl.col("loss").n_unique().cast(pl.Int64).alias("n_losses"))
    named = {"label": pl.Series(labels(board), dtype=pl.String), "order": board["kind"].replace_strict(_KINDS)}
    board = board.with_columns(**named).join(n_losses, on="model")
    board = board.sort("order", -pl.col("n_losses"), "model", "loss", "configuration", nulls_last=True)
    places = board.select("configuration", "kind", "label").unique("configuration", maintain_order=True)
    places = places.with_row_index("place")
    return {
        env: places.join(of_env, on="configuration")
        .join(dataset.fetch(dataset.view("learning_scores", env)), on="run_id")
        .sort("place", "seed", "run_id", maintain_order=True)
        for env, of_env in runs.items()
    }


def _runs(dataset: Dataset, env: str) -> pl.DataFrame:
    """Return an environment's runs on the benchmark that most of them have.

    Raises:
        UsageError: there are none.
    """
    runs = dataset.fetch(dataset.view("learning_runs", env))
    if runs.is_empty():
        command = f"jacdb learn --env {env} --data {shlex.quote(dataset.location.name)}"
        raise UsageError(f"nothing was learned of {env}: train a model with `{command}`")
    most = runs["benchmark"].value_counts().sort("count", "benchmark", descending=True)["benchmark"][0]
    return runs.filter(benchmark=most).select("run_id", "benchmark", "configuration", "model", "loss", "seed")


def labels(board: pl.DataFrame) -> list[str]:
    """Return a name for each row of `leaderboard`: its model and loss, and the settings that tell it from others.

    A setting is told if it differs between rows of one environment that have the same model and loss. It is cut where
    names differ all the same; where they do not even in full, they are numbered. So no two models share a name.

    Args:
        board: with columns env, configuration, model, loss and kind.
    """
    flat = [_flat(json.loads(text)) for text in board["configuration"]]
    envs, configurations = board["env"].to_list(), board["configuration"].to_list()
    names = [
        model if kind in ("file", "function") else f"{model}, {loss}" if loss else f"baseline {model}"
        for model, loss, kind in board.select("model", "loss", "kind").iter_rows()
    ]
    first: dict[tuple[str, str], dict[str, Any]] = {}
    differing: dict[str, set[str]] = {name: set() for name in names}
    for env, name, settings in zip(envs, names, flat, strict=True):
        other = first.setdefault((env, name), settings)
        differing[name] |= {key for key in {*settings, *other} if _differ(key, settings, other)}
    told = []
    for longest in LENGTHS:
        told = [
            ", ".join([name, *(_told(key, settings[key], longest) for key in settings if key in differing[name])])
            for name, settings in zip(names, flat, strict=True)
        ]
        if len({*zip(envs, told, strict=True)}) == len({*zip(envs, configurations, strict=True)}):
            return told
    return _numbered(told, envs, configurations)


def _differ(key: str, settings: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether one has a setting that the other lacks, or has as another value; True is not 1, nor is 1.0."""
    return (key in settings) != (key in other) or json.dumps(settings.get(key)) != json.dumps(other.get(key))


def _numbered(told: list[str], envs: list[str], configurations: list[str]) -> list[str]:
    """Return names with a number where several configurations of an environment share one."""
    of_name: dict[tuple[str, str], set[str]] = {}
    for env, name, configuration in zip(envs, told, configurations, strict=True):
        of_name.setdefault((env, name), set()).add(configuration)
    shared = {name for (_, name), several in of_name.items() if len(several) > 1}
    every = {name: sorted(set().union(*(one for (_, of), one in of_name.items() if of == name))) for name in shared}
    return [
        f"{name} ({every[name].index(configuration) + 1})" if name in shared else name
        for name, configuration in zip(told, configurations, strict=True)
    ]


def _told(key: str, value: object, longest: int) -> str:
    return f"{key.rpartition('.')[2]}={f'{value}'[:longest]}"


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings as one dict, the names of outer ones before a dot."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
