"""Which rows of a part are scored together, and apart. Nothing here imports JAX."""

import numpy as np

from jacdb.learning.problem import LearningProblem, ProblemRows

SCORED = ("validation", "test", "other_policy")  # parts
NEAR = 5  # steps
MOST_ROWS = 20_000  # of a part: its first trajectories by id, which is a hash


def scored_rows(problem: LearningProblem, part: str) -> ProblemRows:
    """Return the rows of a part that are scored: all, or of very many the first."""
    rows = problem.parts[part]
    return rows if len(rows) <= MOST_ROWS else rows.where(np.arange(len(rows)) < MOST_ROWS)


def subsets(rows: ProblemRows) -> dict[str, np.ndarray]:
    """Return masks of rows by name, (n,) each: all, and of these contact, free and near_switch.

    contact: any two geoms touch. free: none do. near_switch: the zero pattern changes within 5 steps before or after.
    """
    return {
        "all": np.ones(len(rows), bool),
        "contact": rows.in_contact,
        "free": ~rows.in_contact,
        "near_switch": _near_switch(rows),
    }


def named_subsets(part: str, rows: ProblemRows) -> tuple[str, dict[str, np.ndarray]]:
    """Return a part's name in `learning_scores` and its ``subsets``: another policy's rows are one of the test part."""
    masks = subsets(rows)
    return ("test", {part: masks["all"]}) if part == "other_policy" else (part, masks)


def _near_switch(rows: ProblemRows) -> np.ndarray:
    """Return which rows lie at most NEAR steps from a row whose pattern is not that of the row before it."""
    n = len(rows)
    switches = np.flatnonzero(rows.follows & (np.diff(rows.pattern, prepend=rows.pattern[:1]) != 0))
    stretch = rows.stretch
    near = np.zeros(n, bool)
    # the switch lies between a row and the one before: both sides count alike
    for away in range(-NEAR, NEAR):
        at = switches + away
        at, of = at[(at >= 0) & (at < n)], switches[(at >= 0) & (at < n)]
        near[at[stretch[at] == stretch[of]]] = True
    return near
