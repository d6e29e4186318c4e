"""When entries switch on or off, and whether a model's graph switches at the same time."""

import numpy as np

from jacdb.learning.graph_scores import AT_ONCE, LocalGraphs

type _Events = tuple[np.ndarray, np.ndarray, np.ndarray]


def switch_f1(called: np.ndarray, truth: LocalGraphs, follows: np.ndarray, within: int) -> np.ndarray:
    """Return F1 of the switch times of each entry, (rows, columns); NaN where it never switches, truly or as called.

    A switch is a step at which an entry is on and was off in the step before, or the other way around. A called switch
    is right if a true switch of the same entry and the same direction is at most ``within`` steps away; each is matched
    with one other at most, and as many as possible are. An undecided entry is taken as it was before; where nothing is
    before it, it does not switch.

    Args:
        called: which entries are called on, (n, rows, columns).
        truth: of the same rows, which are by episode and step.
        follows: whether each row is the step after the row before it, (n,).
        within: steps.
    """
    n, shape = len(called), called.shape[1:]
    flat, on, decided = (values.reshape(n, -1) for values in (called, truth.on, truth.decided))
    row = np.arange(n)[:, None]
    starts = np.where(follows[:, None], 0, row)
    stretch = np.cumsum(~follows)
    result = np.full(flat.shape[1], np.nan)
    width = max(1, AT_ONCE // max(n, 1))
    for first in range(0, flat.shape[1], width):
        some = slice(first, first + width)
        # of each row, the last one that is decided; none of another stretch
        known = np.maximum.accumulate(np.maximum(np.where(decided[:, some], row, 0), starts), axis=0)
        is_on, is_known = (np.take_along_axis(values[:, some], known, 0) for values in (on, decided))
        true = _events(is_on, follows[:, None] & is_known & np.roll(is_known, 1, axis=0), stretch)
        found = _events(flat[:, some], follows[:, None], stretch)
        size = is_on.shape[1]
        matched = np.bincount(true[0][_matched(true, found, within, n)], minlength=size)
        both = np.bincount(true[0], minlength=size) + np.bincount(found[0], minlength=size)
        result[some] = np.where(both > 0, 2 * matched / np.maximum(both, 1), np.nan)
    return result.reshape(shape)


def _events(on: np.ndarray, counts: np.ndarray, stretch: np.ndarray) -> _Events:
    """Return the switches, by series and row: entry, series and row of each.

    A series has the switches of one entry in one direction and one unbroken stretch of rows.
    """
    changes = np.zeros(on.shape, bool)
    np.not_equal(on[1:], on[:-1], out=changes[1:])
    row, entry = np.nonzero(changes & counts)
    series = (entry * 2 + on[row, entry]) * (int(stretch[-1]) + 1) + stretch[row]
    order = np.lexsort((row, series))
    return entry[order], series[order], row[order]


def _matched(true: _Events, found: _Events, within: int, n: int) -> np.ndarray:
    """Return which true switches have a found one of their own.

    Each takes the first that is left and near enough, in the order of time: as all reach equally far, no other choice
    matches more. The i-th switches of all series are taken together.
    """
    matched = np.zeros(len(true[0]), bool)
    if not matched.size:
        return matched
    apart = n + within + 1  # no match reaches into another series
    places, at = (series * apart + row for _, series, row in (found, true))
    lowest, end = np.searchsorted(places, at - within, "left"), np.searchsorted(places, at + within, "right")
    begins = np.flatnonzero(np.diff(true[1], prepend=-1))
    lengths = np.diff(np.append(begins, len(at)))
    left = np.zeros(len(begins), np.int64)  # the first found switch that is not taken, for each series
    for i in range(int(lengths.max())):
        alive = np.flatnonzero(lengths > i)
        here = begins[alive] + i
        left[alive] = np.maximum(left[alive], lowest[here])
        hit = left[alive] < end[here]
        matched[here[hit]] = True
        left[alive[hit]] += 1
    return matched
