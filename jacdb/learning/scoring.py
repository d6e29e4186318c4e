"""Score graphs that were not trained here, and keep the scores: the work of `jacdb score`. Nothing here imports JAX."""

import datetime
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jacdb import out_path
from jacdb.learning import graph_evaluation, results
from jacdb.learning.graph_evaluation import WITHIN, GraphOf
from jacdb.learning.problem import PARTS, LearningProblem
from jacdb.learning.row_subsets import SCORED, scored_rows
from jacdb.learning.scores import Score

_TOLD = ("auroc", "auprc", "f1", "shd", "body_auroc", "switch_f1", "global_auroc")


@dataclass(frozen=True)
class Entry:
    """Graphs to be scored.

    Attributes:
        name: what they are called in `learning_runs`.
        graph: of rows.
        about: where they come from, as it stands in the configuration; equal ones are scored once.
        parts: of which parts there are graphs.
    """

    name: str
    graph: GraphOf
    about: Mapping[str, Any]
    parts: Sequence[str] = SCORED


@dataclass(frozen=True)
class ScoredEntry:
    """Graphs that were scored.

    Attributes:
        run_id: their id in `learning_runs`.
        was_there: whether the dataset had it already.
        scores: of all parts; none if it was there.
    """

    run_id: str
    was_there: bool
    scores: list[Score]

    def describe(self) -> str:
        """Return one line for people: the main scores of the test part."""
        if self.was_there:
            return f"{self.run_id}: it is there already"
        found = {s.metric: s for s in self.scores if (s.part, s.rows) == ("test", "all")}
        told = [f"{name} {_number(found[name].value)}" for name in _TOLD if name in found]
        n = found["auroc"].n
        return f"{self.run_id}: {', '.join(told)}; {n} {'entry switches' if n == 1 else 'entries switch'}"


def score(
    problem: LearningProblem,
    root: Path,
    entry: Entry,
    *,
    within: int = WITHIN,
    report: Callable[[], None] = lambda: None,
) -> ScoredEntry:
    """Score graphs, and write their scores into the dataset; what is there already is left as it is.

    Where rows of other policies came or changed, it is scored anew.

    Args:
        problem: the rows.
        root: the dataset's folder.
        entry: the graphs.
        within: steps within which a called switch is right.
        report: called now and then.

    Raises:
        UsageError: the dataset may not be written to.
    """
    configuration = {"model": entry.name, **entry.about, "within": within}
    text = json.dumps({**configuration, "benchmark": problem.version, "policy": problem.policy}, sort_keys=True)
    run = results.run_id(entry.name, determined_by=text)
    if results.is_written(root, problem, run, entry.parts):
        return ScoredEntry(run, True, [])
    out_path.check_folder(root, "--data")
    started, begun = datetime.datetime.now(datetime.UTC), time.perf_counter()
    scores = graph_evaluation.evaluate(
        problem, entry.graph, within=within, sparsity=True, parts=entry.parts, report=report
    )
    trained_here = ("loss", "weight", "seed", "target", "n_parameters", "steps", "best_step", "validation_loss")
    row = {
        **dict.fromkeys(trained_here),
        **results.facts(problem, configuration, ["numpy"], entry.parts),
        "seconds": time.perf_counter() - begun,
        "device": platform.machine(),
        "started": started.replace(tzinfo=None),
    }
    results.write(root, problem.env, run, row, scores)
    return ScoredEntry(run, False, scores)


def rows_to_score(problem: LearningProblem) -> pl.DataFrame:
    """Return the steps of a problem by part: those to learn from, and those whose graphs are scored.

    Columns are env, run_id, episode, step and part. They join with `steps`.
    """
    frames = []
    for part in PARTS:
        rows = problem.parts[part] if part == "train" else scored_rows(problem, part)
        columns = {"run_id": rows.run_id.tolist(), "episode": rows.episode, "step": rows.step}
        types = {"run_id": pl.String, "episode": pl.Int32, "step": pl.Int32}
        frames.append(
            pl.DataFrame(columns, types, strict=False).select(
                pl.lit(problem.env).alias("env"), pl.all(), pl.lit(part).alias("part")
            )
        )
    return pl.concat(frames)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
