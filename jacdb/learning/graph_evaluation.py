"""Score a model's graphs on the parts of a learning problem; the threshold is chosen on its validation part."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from jacdb.learning import graph_scores
from jacdb.learning.bodies import Bodies
from jacdb.learning.graph_scores import LocalGraphs
from jacdb.learning.problem import LearningProblem, ProblemRows
from jacdb.learning.row_subsets import SCORED, named_subsets, scored_rows
from jacdb.learning.scores import Score, relative_sparsity
from jacdb.learning.switch_times import switch_f1

_OF_THE_TRUTH = ("undecided_entries", "zero_share_entry")  # metrics of the rows, whatever a model says
WITHIN = 5  # steps: a switch that is called so far from a true one is right

# From rows to a number for each entry of their Jacobians, (n, n_tangent, n_tangent + n_action): higher is rather on
type GraphOf = Callable[[ProblemRows], np.ndarray]


def constant(graph: np.ndarray) -> GraphOf:
    """Return the graphs of whoever says the same in each row, float32, given that, (n_tangent, columns)."""
    numbers = graph.astype(np.float32)
    return lambda rows: np.broadcast_to(numbers, (len(rows), *numbers.shape))


class _Thresholds(NamedTuple):
    """From which score on an entry is called on: for F1 and the times of switches, and for distances."""

    f1: float | None
    distance: float

    @classmethod
    def of(cls, graphs: np.ndarray, truth: LocalGraphs) -> Self:
        """Return those that are best on some rows."""
        return cls(graph_scores.best_f1_threshold(graphs, truth), graph_scores.best_distance_threshold(graphs, truth))


@dataclass(frozen=True)
class _Scored:
    """Rows that are scored together: their names, and the thresholds."""

    part: str
    label: str
    within: int
    threshold: _Thresholds
    body_threshold: _Thresholds

    def by_entry(self) -> bool:
        """Return whether each entry has scores of its own too: on one set of rows, for there are many entries."""
        return (self.part, self.label) == ("test", "all")

    def score(self, metric: str, n: int, value: float | None, **where: float | None) -> Score:
        return Score(self.part, self.label, metric, n, value, **where)  # type: ignore[arg-type]


def evaluate(
    problem: LearningProblem,
    graph_of: GraphOf,
    *,
    within: int = WITHIN,
    sparsity: bool = False,
    parts: Sequence[str] = SCORED,
    report: Callable[[], None] = lambda: None,
) -> list[Score]:
    """Return the scores of a model's graphs on the validation and test parts, and on another policy's rows.

    Args:
        problem: the rows.
        graph_of: the model's graphs. Where one has NaN, scores of those rows are NaN; and where one of the validation
            part has, so are all that need a threshold.
        within: steps within which a called switch is right.
        sparsity: also give relative sparsity, as if the graphs were absolute Jacobians; if no number is below 0.
        parts: which of them to score, the validation part first.
        report: called now and then.
    """
    scores: list[Score] = []
    bodies = problem.bodies
    validation = scored_rows(problem, "validation")
    (graphs, is_nan), truth = _numbers(graph_of(validation)), _truth(problem, validation)
    no_threshold = bool(is_nan.any())
    thresholds = _Thresholds.of(graphs, truth), _Thresholds.of(bodies.largest(graphs), bodies.graphs(truth))
    for part in parts:
        rows = scored_rows(problem, part)
        if not len(rows):
            continue
        if part != "validation":
            (graphs, is_nan), truth = _numbers(graph_of(rows)), _truth(problem, rows)
        name, masks = named_subsets(part, rows)
        for label, mask in masks.items():
            made = _Scored(name, label, within, *thresholds)
            found: list[Score] = []
            if mask.any():
                found += _of_subset(made, graphs[mask], truth.where(mask), bodies)
            if label in ("all", "other_policy"):
                found += _of_whole(made, graphs, truth, rows)
            undefined = bool(is_nan[mask].any())
            scores += _defined(found, undefined, no_threshold)
            if label in ("all", "other_policy") and sparsity and graphs.min() >= 0:
                found = relative_sparsity(name, label, graphs, int(problem.zero(rows).sum()))
                scores += _defined(found, undefined, False)  # at thresholds that nobody chose
            report()
    return scores


def _numbers(graphs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return graphs with 0 for NaN, and which rows had any, (n,)."""
    is_nan = np.isnan(graphs)
    rows = is_nan.any(axis=(1, 2))
    return (np.where(is_nan, graphs.dtype.type(0), graphs) if rows.any() else graphs), rows


def _defined(scores: list[Score], no_number: bool, no_threshold: bool) -> list[Score]:
    """Return scores with NaN for what a model's graphs do not define, as they have NaN; the truth's stay.

    Args:
        scores: of some rows.
        no_number: whether a graph of these rows has NaN.
        no_threshold: whether one of those has on which thresholds are chosen.
    """
    return [
        score._replace(value=math.nan)
        if score.value is not None
        and score.metric not in _OF_THE_TRUTH
        and (no_number or (no_threshold and score.threshold is not None))
        else score
        for score in scores
    ]


def _truth(problem: LearningProblem, rows: ProblemRows) -> LocalGraphs:
    return LocalGraphs.of(problem.zero(rows), problem.undecided(rows))


def _of_subset(made: _Scored, graphs: np.ndarray, truth: LocalGraphs, bodies: Bodies) -> Iterator[Score]:
    yield made.score("undecided_entries", truth.on.size, float(truth.n_undecided))
    yield from _local(made, "", graphs, truth, made.threshold)
    yield from _local(made, "body_", bodies.largest(graphs), bodies.graphs(truth), made.body_threshold)


def _local(
    made: _Scored, prefix: str, graphs: np.ndarray, truth: LocalGraphs, thresholds: _Thresholds
) -> Iterator[Score]:
    switching = truth.switching()
    n = int(switching.sum())
    auroc, precision = graph_scores.ranking(graphs, truth)
    yield made.score(f"{prefix}auroc", n, _mean(auroc))
    yield made.score(f"{prefix}auprc", n, _mean(precision))
    if made.by_entry() and not prefix:
        yield from _of_entries(made, auroc, truth)
    if (threshold := thresholds.f1) is not None:
        of_entries = graph_scores.f1(graphs >= threshold, truth)
        yield made.score(f"{prefix}f1", n, _mean(of_entries), threshold=threshold)
    called, threshold = graphs >= thresholds.distance, thresholds.distance
    apart = graph_scores.hamming(called, truth)
    yield made.score(f"{prefix}shd", len(truth), float(apart.mean()), threshold=threshold)
    apart = graph_scores.hamming(called, LocalGraphs(truth.on, truth.decided & switching))
    yield made.score(f"{prefix}shd_switching", len(truth), float(apart.mean()), threshold=threshold)


def _of_entries(made: _Scored, auroc: np.ndarray, truth: LocalGraphs) -> Iterator[Score]:
    """Yield the share of rows in which an entry is zero, if it ever is, and its AUROC, if it switches."""
    on, off = truth.counts()
    for row, col in np.argwhere(off).tolist():
        n = int(on[row, col] + off[row, col])
        yield made.score("zero_share_entry", n, float(off[row, col] / n), row=row, col=col)
        if on[row, col]:
            yield made.score("auroc_entry", n, float(auroc[row, col]), row=row, col=col)


def _of_whole(made: _Scored, graphs: np.ndarray, truth: LocalGraphs, rows: ProblemRows) -> Iterator[Score]:
    """Yield the scores of the global graph, and of the times of switches."""
    ever, largest = truth.ever(), graphs.max(0, keepdims=True)
    n = int(ever.decided.sum())
    auroc, precision = graph_scores.pooled_ranking(largest, ever)
    yield made.score("global_auroc", n, auroc)
    yield made.score("global_auprc", n, precision)
    apart = graph_scores.hamming(largest >= made.threshold.distance, ever)
    yield made.score("global_shd", n, float(apart[0]), threshold=made.threshold.distance)
    threshold = made.threshold.f1
    if threshold is None:
        return
    yield made.score("global_f1", n, graph_scores.pooled_f1(largest >= threshold, ever), threshold=threshold)
    in_time = switch_f1(graphs >= threshold, truth, rows.follows, made.within)
    in_time[~truth.switching()] = np.nan
    n_timed = int(np.count_nonzero(~np.isnan(in_time)))
    yield made.score("switch_f1", n_timed, _mean(in_time), horizon=made.within, threshold=threshold)


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of what is defined; None if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None
