"""Scores of local graphs: one number for each entry of each step, against the entries that are truly on.

An entry is on where the true Jacobian is not zero: the next state's number depends on that input in this step. Entries
that are on in all scored rows, or in none, tell nothing about *local* graphs, and would make every mean trivial. So a
metric is the mean over the entries that switch. Undecided entries are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

AT_ONCE = 2**21  # numbers that are sorted together
THRESHOLDS = 1000  # candidates for a threshold, at most


@dataclass(frozen=True)
class LocalGraphs:
    """The true graphs of rows.

    Attributes:
        on: where an entry is on, (n, rows, columns).
        decided: where it is known, (n, rows, columns): elsewhere it counts neither as on nor as off.
    """

    on: np.ndarray
    decided: np.ndarray

    @classmethod
    def of(cls, zero: np.ndarray, undecided: np.ndarray) -> Self:
        """Return the graphs of Jacobians, given where they are zero and where undecided, (n, rows, columns) each."""
        return cls(~zero & ~undecided, ~undecided)

    def __len__(self) -> int:
        return len(self.on)

    def where(self, chosen: np.ndarray) -> Self:
        """Return the graphs of the rows chosen by a mask or by places."""
        return type(self)(self.on[chosen], self.decided[chosen])

    @property
    def n_undecided(self) -> int:
        """How many entries, of all rows together, are left out."""
        return int(self.decided.size - np.count_nonzero(self.decided))

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return in how many rows each entry is on, and in how many off, (rows, columns) each."""
        on = np.count_nonzero(self.on, axis=0)
        return on, np.count_nonzero(self.decided, axis=0) - on

    def switching(self) -> np.ndarray:
        """Return which entries are on in some rows and off in others, (rows, columns)."""
        on, off = self.counts()
        return (on > 0) & (off > 0)

    def ever(self) -> Self:
        """Return the global graph, (1, rows, columns): on is what ever is on, decided what is on or off in all rows."""
        on = self.on.any(0)
        return type(self)(on[None], (on | self.decided.all(0))[None])


def ranking(scores: np.ndarray, truth: LocalGraphs) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and average precision of each entry, (rows, columns) each; NaN where it does not switch.

    Equal scores are taken together, as ``sklearn.metrics.roc_auc_score`` and ``average_precision_score`` do.

    Args:
        scores: higher where an entry is rather on, finite, (n, rows, columns).
        truth: of the same rows.
    """
    auroc, precision = (np.full(scores.shape[1:], np.nan) for _ in range(2))
    for entries, *of_entries in _by_entry(scores, truth, truth.switching()):
        order = np.argsort(of_entries[0], axis=1)[:, ::-1]
        falling, on, off = (np.take_along_axis(values, order, 1) for values in of_entries)
        auroc.flat[entries], precision.flat[entries] = _areas(falling, on, off)
    return auroc, precision


def pooled_ranking(scores: np.ndarray, truth: LocalGraphs) -> tuple[float | None, float | None]:
    """Return AUROC and average precision over all entries together; None where all are on, or all off."""
    auroc, precision = ranking(scores.reshape(-1, 1, 1), _pooled(truth))
    return (None, None) if np.isnan(auroc[0, 0]) else (float(auroc[0, 0]), float(precision[0, 0]))


def best_f1_threshold(scores: np.ndarray, truth: LocalGraphs) -> float | None:
    """Return the threshold from which on a score says 'on' with the best F1, the mean over entries that switch.

    Where no entry switches it is the best for all entries together. Candidates are the scores themselves; of more than
    THRESHOLDS evenly many. None if nothing is on.
    """
    chosen = truth.switching()
    if not chosen.any():
        if not truth.on.any():
            return None
        scores, truth, chosen = scores.reshape(-1, 1, 1), _pooled(truth), np.ones((1, 1), bool)
    candidates = _candidates(scores[:, chosen])
    total = np.zeros(len(candidates))
    for hit, false, on in _called(scores, truth, chosen, candidates):
        total += (2 * hit / (hit + false + on[:, None])).sum(0)
    return float(candidates[np.argmax(total)])


def best_distance_threshold(scores: np.ndarray, truth: LocalGraphs) -> float:
    """Return the threshold from which on a score says 'on' with the fewest wrong entries in all rows together.

    Candidates are as for F1, and one above all scores.
    """
    below = _candidates(scores)
    with np.errstate(over="ignore"):  # above the largest number is infinity
        candidates = np.append(below, np.nextafter(below[-1], np.inf))
    total = np.zeros(len(candidates), np.int64)
    for hit, false, on in _called(scores, truth, np.ones(scores.shape[1:], bool), candidates):
        total += (false + on[:, None] - hit).sum(0)
    return float(candidates[np.argmin(total)])


def f1(called: np.ndarray, truth: LocalGraphs) -> np.ndarray:
    """Return F1 of each entry over the rows, (rows, columns); NaN where it does not switch.

    Args:
        called: which entries are called on, (n, rows, columns).
        truth: of the same rows.
    """
    hit, false = np.count_nonzero(called & truth.on, 0), np.count_nonzero(called & truth.decided & ~truth.on, 0)
    on, off = truth.counts()
    return np.where((on > 0) & (off > 0), 2 * hit / np.maximum(hit + false + on, 1), np.nan)


def pooled_f1(called: np.ndarray, truth: LocalGraphs) -> float | None:
    """Return F1 over all entries together; None where all are on, or all off."""
    value = f1(called.reshape(-1, 1, 1), _pooled(truth))[0, 0]
    return None if np.isnan(value) else float(value)


def hamming(called: np.ndarray, truth: LocalGraphs) -> np.ndarray:
    """Return the structural Hamming distance of each row: how many of its decided entries are called wrongly, (n,)."""
    return np.count_nonzero((called != truth.on) & truth.decided, axis=(1, 2))


def _pooled(truth: LocalGraphs) -> LocalGraphs:
    """Return all entries of all rows as rows of one entry."""
    return LocalGraphs(truth.on.reshape(-1, 1, 1), truth.decided.reshape(-1, 1, 1))


def _by_entry(
    scores: np.ndarray, truth: LocalGraphs, chosen: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield places of chosen entries with their scores, where they are on and where off, (entries, n) each."""
    n = len(scores)
    flat, on, decided = (values.reshape(n, -1) for values in (scores, truth.on, truth.decided))
    places = np.flatnonzero(chosen)
    width = max(1, AT_ONCE // max(n, 1))
    for first in range(0, len(places), width):
        some = places[first : first + width]
        is_on, is_decided = (np.ascontiguousarray(values[:, some].T) for values in (on, decided))
        yield some, np.ascontiguousarray(flat[:, some].T), is_on, is_decided & ~is_on


def _areas(scores: np.ndarray, on: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas under both curves, given falling scores of entries, (entries, n)."""
    last = np.ones(scores.shape, bool)  # of equal scores
    np.not_equal(scores[:, 1:], scores[:, :-1], out=last[:, :-1])
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(last, axis=1))[:-1]])

    def steps(counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many are counted up to each group of equal scores, without it and with it."""
        up_to = np.cumsum(counted, axis=1)[last]
        before = np.concatenate([[0], up_to[:-1]])
        before[starts] = 0
        return before, up_to

    hit_before, hit = steps(on)
    false_before, false = steps(off)
    area = np.add.reduceat((false - false_before) * (hit_before + hit) / 2, starts)
    precision = np.add.reduceat((hit - hit_before) * hit / np.maximum(hit + false, 1), starts)
    n_on, n_off = np.count_nonzero(on, axis=1), np.count_nonzero(off, axis=1)
    return area / (n_on * n_off), precision / n_on


def _candidates(scores: np.ndarray) -> np.ndarray:
    """Return thresholds to try, rising: all values, or evenly many of them."""
    some = scores.reshape(-1)
    if some.size > AT_ONCE:
        some = some[np.random.default_rng(0).integers(some.size, size=AT_ONCE)]
    values = np.unique(some)
    if len(values) > THRESHOLDS:
        values = values[np.linspace(0, len(values) - 1, THRESHOLDS).astype(int)]
    return values


def _called(
    scores: np.ndarray, truth: LocalGraphs, chosen: np.ndarray, candidates: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield how many rows each threshold calls on, rightly and wrongly, (entries, candidates), and how many are on."""
    size = len(candidates) + 1
    for _, some, on, off in _by_entry(scores, truth, chosen):
        place = np.searchsorted(candidates, some, "right")  # how many candidates call it on
        place += np.arange(len(some))[:, None] * size
        hit, false = (
            np.cumsum(np.bincount(place[counted], minlength=len(some) * size).reshape(-1, size)[:, ::-1], axis=1)
            for counted in (on, off)
        )
        yield hit[:, -2::-1], false[:, -2::-1], np.count_nonzero(on, axis=1)
