"""Graphs that cost no training, which a model has to beat: each knows the training part, and none sees a state.

An entry's score is how often it was on in comparable rows of the training part, from 0 to 1. Undecided entries of it
count neither way. ``causal_discovery`` has more of them, which know states and actions of that part, and no Jacobian.
"""

from collections.abc import Mapping

import numpy as np

from jacdb.errors import UsageError, suggestion
from jacdb.learning import causal_discovery
from jacdb.learning.graph_evaluation import GraphOf, constant
from jacdb.learning.problem import LearningProblem, ProblemRows

BASELINES = {
    "mean_pattern": "how often an entry is on in the training part",
    "contact_oracle": "how often an entry is on in training rows with the same active constraints",
    "kinematic_tree": "on between the joints and actuators of one kinematic tree",
    **causal_discovery.METHODS,
}
ROWS_AT_ONCE = 4096


def check(name: str) -> None:
    """Refuse an unknown baseline.

    Raises:
        UsageError: it is none of BASELINES.
    """
    if name not in BASELINES:
        raise UsageError(f"no baseline {name!r}: {suggestion(name, BASELINES)}")


def mean_pattern(problem: LearningProblem) -> GraphOf:
    """Return the graph that is the same in each row: how often an entry is on in the training part."""
    return constant(_shares(problem, problem.parts["train"]))


def kinematic_tree(problem: LearningProblem, tree_of: Mapping[str, int]) -> GraphOf:
    """Return the graph in which what belongs to one kinematic tree depends on all of it, and on nothing else.

    Bodies of one tree move each other, for they share a root that moves. What has no body may depend on everything.

    Args:
        problem: the rows.
        tree_of: the number of the tree of each body that moves.

    Raises:
        UsageError: it lacks a body of the axes.
    """
    for body in (*problem.bodies.of_tangent, *problem.bodies.of_action):
        if body is not None and body not in tree_of:
            raise UsageError(f"the trees have no body {body!r}, which axes of {problem.env} name: give this robot's")

    def trees(names: tuple[str | None, ...]) -> np.ndarray:
        return np.array([-1 if name is None else tree_of[name] for name in names])

    of_row, of_action = trees(problem.bodies.of_tangent), trees(problem.bodies.of_action)
    of_column = np.concatenate([of_row, of_action])
    return constant((of_row[:, None] == of_column) | (of_row[:, None] < 0) | (of_column < 0))


def contact_oracle(problem: LearningProblem) -> GraphOf:
    """Return the graph of whoever is told which constraints are active: the mean of training rows with the same ones.

    A set of constraints that the training part never has gets the mean of all its rows.
    """
    train = problem.parts["train"]
    share = _shares(problem, train)
    order = np.argsort(train.constraints, kind="stable")
    seen, begins = np.unique(train.constraints[order], return_index=True)
    of_set = dict(zip(seen.tolist(), np.split(order, begins[1:]), strict=True))

    def graph(rows: ProblemRows) -> np.ndarray:
        result = np.broadcast_to(share, (len(rows), *share.shape)).copy()
        for number in np.unique(rows.constraints).tolist():
            if number in of_set:
                result[rows.constraints == number] = _shares(problem, train.where(of_set[number]), share)
        return result

    return graph


def _shares(problem: LearningProblem, rows: ProblemRows, otherwise: np.ndarray | None = None) -> np.ndarray:
    """Return in which share of rows each entry is on, float32, (n_tangent, columns).

    Args:
        otherwise: the share of an entry that is decided in no row; by default 1/2.
    """
    on, decided = np.zeros((2, *problem.shape), np.int64)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows.where(np.arange(first, min(first + ROWS_AT_ONCE, len(rows))))
        undecided = problem.undecided(some)
        on += np.count_nonzero(~problem.zero(some) & ~undecided, axis=0)
        decided += np.count_nonzero(~undecided, axis=0)
    unknown = np.full(problem.shape, 0.5) if otherwise is None else otherwise
    return np.where(decided > 0, on / np.maximum(decided, 1), unknown).astype(np.float32)
