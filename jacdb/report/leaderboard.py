"""The leaderboard as it is shown to people: what models learned of an environment, a table for each benchmark."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jacdb.dataset.dataset import Dataset
from jacdb.figures.learning_results import labels
from jacdb.report.tables import Row, Table

type Rows = Sequence[Mapping[str, Any]]  # of the view `leaderboard`, and what each is called

NOTE = (
    "Only rows of one table compare: they have the same benchmark, a hash of rows, split and rules. The order is that"
    " of AUROC, then of the error of one step. Scores are of the test part: mean ± standard deviation over seeds."
    " Baselines are marked; they cost no training."
)
_SCORES = {
    "auroc": "AUROC>",
    "auroc_near_switch": "near switches>",
    "auprc": "AUPRC>",
    "f1": "F1>",
    "switch_f1": "F1 of switch times>",
    "body_auroc": "AUROC of bodies>",
    "global_auroc": "of the global graph>",
    "shd": "SHD>",
    "prediction_mse_1": "error of 1 step>",
    "prediction_mse_10": "10 steps>",
    "prediction_mse_50": "50 steps>",
    "jacobian_mse": "of J>",
    "relative_sparsity": "relative sparsity>",
}
_PLAIN = {"auroc", "auroc_near_switch", "auprc", "f1", "switch_f1", "body_auroc", "global_auroc"}  # between 0 and 1


def rows(dataset: Dataset, env: str) -> list[dict[str, Any]]:
    """Return the view `leaderboard` of an environment as plain data, and a label in each row; none if none learned it.

    A number that is infinite, as the error of a prediction that diverges is, is the text 'infinite', and NaN is 'not a
    number': JSON has no words for them.
    """
    if env not in dataset.learned_environments:
        return []
    board = dataset.leaderboard(env)
    return [
        {**{key: plain(value) for key, value in row.items()}, "label": label}
        for row, label in zip(board.to_dicts(), labels(board), strict=True)
    ]


def markdown(board: Rows) -> str:
    """Return the leaderboard of one environment or several as Markdown, best first: a table for each benchmark."""
    parts = []
    for env, benchmark in dict.fromkeys((row["env"], row["benchmark"]) for row in board):
        of_one = [row for row in board if (row["env"], row["benchmark"]) == (env, benchmark)]
        policy = f"policy {of_one[0]['policy']}" if of_one[0]["policy"] else "all policies"
        n = of_one[0]["n_switching"]
        switching = "1 entry switches" if n == 1 else f"{n or 'no'} entries switch"
        devices = ", ".join(dict.fromkeys(row["device"] for row in of_one))
        parts.append(
            f"**{env}**, benchmark `{benchmark}`: {policy}, {of_one[0]['n_train']:,} rows to learn from,"
            f" {of_one[0]['n_test']:,} of the test part, in which {switching}; computed on {devices}."
        )
        header = ("", "model", "seeds>", *_SCORES.values(), "steps>", "seconds>")
        parts.append(Table(header, lambda facts: _cells(facts["rows"])).markdown({"rows": of_one}))
    return "\n\n".join(parts)


def _cells(board: Rows) -> Iterator[Row]:
    for row in board:
        model = f"*{row['label']}*" if row["kind"] == "baseline" else row["label"]
        scores = (_score(row[f"{name}_mean"], row[f"{name}_std"], name in _PLAIN) for name in _SCORES)
        steps = "-" if row["steps"] is None else f"{row['steps']:,}"
        yield f"{row['rank']}", model, f"{row['seeds'] or '-'}", *scores, steps, f"{row['seconds']:,.0f}"


def _score(mean: float | str | None, deviation: float | str | None, plain: bool) -> str:
    if mean is None or isinstance(mean, str):
        return mean or "-"
    told = f"{mean:.3f}" if plain else f"{mean:.3g}"
    if deviation is None:
        return told
    if isinstance(deviation, str):
        return f"{told} ± {deviation}"
    return f"{told} ± {deviation:.3f}" if plain else f"{told} ± {float(f'{deviation:.1g}'):g}"


def plain(value: Any) -> Any:
    """Return a value as JSON has it: 'infinite' and 'not a number' for numbers that it has no words for."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "not a number" if math.isnan(value) else "infinite"
