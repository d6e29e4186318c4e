"""Read the scores of an environment's models on one benchmark, under names for people, ready to be drawn."""

import json
from typing import Any

import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError

_KINDS = {"trained": 0, "file": 1, "function": 2, "baseline": 3}


def results(dataset: Dataset, env: str) -> pl.DataFrame:
    """Return all scores of an environment's models, of one benchmark: of the one that most models have.

    Columns are those of `learning_scores`, and benchmark, model, loss, seed, kind (as in `leaderboard`), and label: the
    model and its loss, with the settings in which it differs from others of that name. Rows stand in the order in which
    people read models: those with most losses first, baselines last.

    Raises:
        UsageError: nothing was learned of it.
    """
    runs, board = (dataset.fetch(dataset.view(name, env)) for name in ("learning_runs", "leaderboard"))
    if runs.is_empty():
        raise UsageError(f"nothing was learned of {env}: train a model with `jacdb learn --env {env}`")
    [benchmark] = runs["benchmark"].value_counts().sort("count", "benchmark", descending=True).head(1)["benchmark"]
    runs = runs.filter(benchmark=benchmark)
    board = board.filter(benchmark=benchmark).select("configuration", "model", "loss", "kind")
    n_losses = board.group_by("model").agg(pl.col("loss").n_unique().cast(pl.Int64).alias("n_losses"))
    board = board.join(n_losses, on="model").with_columns(pl.col("kind").replace_strict(_KINDS).alias("order"))
    board = board.sort("order", -pl.col("n_losses"), "model", "loss", "configuration", nulls_last=True)
    named = pl.DataFrame({"configuration": board["configuration"], "kind": board["kind"], "label": labels(board)})
    scores = dataset.fetch(dataset.view("learning_scores", env))
    of_runs = runs.select("run_id", "benchmark", "configuration", "model", "loss", "seed")
    return (
        named.with_row_index("place")
        .join(of_runs, on="configuration")
        .join(scores, on="run_id")
        .sort("place", "seed", "run_id", maintain_order=True)
    )


def labels(board: pl.DataFrame) -> list[str]:
    """Return a name for each row of `leaderboard`; those of one model and loss have their differing settings behind it.

    Args:
        board: with columns configuration, model, loss and kind.
    """
    flat = [_flat(json.loads(text)) for text in board["configuration"]]
    names = [
        model if kind in ("file", "function") else f"{model}, {loss}" if loss else f"baseline {model}"
        for model, loss, kind in board.select("model", "loss", "kind").iter_rows()
    ]
    told = []
    for name, settings in zip(names, flat, strict=True):
        others = [other for other_name, other in zip(names, flat, strict=True) if other_name == name]
        differing = [key for key, value in settings.items() if any(other.get(key) != value for other in others)]
        told.append(", ".join([name, *(f"{key.rpartition('.')[2]}={settings[key]}" for key in differing)]))
    return told


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings as one dict, the names of outer ones before a dot."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
