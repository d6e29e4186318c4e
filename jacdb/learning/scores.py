"""A score of a model, and the scores of its Jacobian against the truth. Nothing here imports JAX."""

import math
from typing import NamedTuple

import numpy as np

from jacdb.schemas import ZERO_THRESHOLD

MODEL_THRESHOLD = 1e-6  # an entry of a model is zero below it (the paper's)
SWEEP = tuple(float(f"1e-{k}") for k in range(12, 0, -1))


class Score(NamedTuple):
    """A row of the table `learning_scores`, without what all rows of a model share; the schema says what each is."""

    part: str
    rows: str
    metric: str
    n: int
    value: float | None
    horizon: int | None = None
    threshold: float | None = None
    row: int | None = None
    col: int | None = None


def jacobian_scores(part: str, rows: str, found: np.ndarray, true: np.ndarray, zero: np.ndarray) -> list[Score]:
    """Return errors of Jacobians, and how sparse they are relative to the truth.

    Args:
        part, rows: what the scores are of.
        found: a model's Jacobians of the normalized next state, (n, n_tangent, columns).
        true: the true ones, normalized.
        zero: where they are zero.
    """
    n = len(found)
    if not n:
        return []
    apart = np.abs(found.astype(np.float64) - true)
    n_zero = int(zero.sum())
    scores = [
        Score(part, rows, "jacobian_mse", n, float((apart**2).mean())),
        Score(part, rows, "jacobian_mae", n, float(apart.mean())),
        Score(part, rows, "true_sparsity", n, n_zero / zero.size, threshold=ZERO_THRESHOLD),
    ]
    if n_zero:
        scores.append(Score(part, rows, "jacobian_mae_at_zeros", n, float(np.abs(found[zero]).mean())))
    return scores + relative_sparsity(part, rows, np.abs(found), n_zero)


def relative_sparsity(part: str, rows: str, sizes: np.ndarray, n_zero: int) -> list[Score]:
    """Return, at each threshold of SWEEP, how many entries are below it per true zero: the paper's measure.

    Args:
        part, rows: what the scores are of.
        sizes: absolute values of entries, (n, n_tangent, columns).
        n_zero: how many are truly zero; with none the measure is not defined. It is NaN if a size is.
    """
    below = np.zeros(len(SWEEP), np.int64)
    thresholds = np.array(SWEEP, sizes.dtype)
    for row in sizes:
        place = np.searchsorted(thresholds, row.reshape(-1), "right")  # it is below the thresholds from there on
        below += np.cumsum(np.bincount(place, minlength=len(SWEEP) + 1))[:-1]
    values = [int(count) / n_zero if n_zero else None for count in below]
    if n_zero and np.isnan(sizes).any():
        values = [math.nan] * len(SWEEP)
    return [
        Score(part, rows, "relative_sparsity", len(sizes), value, threshold=threshold)
        for threshold, value in zip(SWEEP, values, strict=True)
    ]
