"""Finite-time Lyapunov spectra: how fast a small difference of states grows along stored steps. Needs NumPy alone.

A frame of d orthonormal tangent vectors is carried along an episode, J_s of each step times the frame, and made
orthonormal again by QR (Benettin et al. 1980; Shimada and Nagashima 1979; Eckmann and Ruelle 1985). The k-th exponent
is the mean of log |R_kk| over steps, by the time of one.
"""

from typing import NamedTuple

import numpy as np

from jacdb.errors import FailureError

FRAMES = 2  # carried side by side: how far they agree tells how far they have forgotten where they started
SEED = 0


class Spectra(NamedTuple):
    """Spectra of spans of steps.

    Attributes:
        growth: mean of log |R_kk| over the span's steps, in the order of the frame's vectors, (spans, d); no unit.
            It is -inf where J_s is singular.
        spread: how far another frame, of another start, has it, (spans, d); no unit.
        dimension: Kaplan and Yorke's, (spans,).
        contact_share: the share of steps in contact, (spans,).
    """

    growth: np.ndarray
    spread: np.ndarray
    dimension: np.ndarray
    contact_share: np.ndarray


def start_frames(d: int) -> np.ndarray:
    """Return the frames at the start of every segment, (FRAMES, d, d): each column is a vector of length 1.

    They are in general position. The identity would not do: an ignorable coordinate's axis is carried onto itself, and
    a first vector that starts there never turns towards what grows most.
    """
    frames, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((FRAMES, d, d)))
    return frames


class FrameGrowth:
    """Frames carried along segments: how they grow, summed by window.

    Segments that are in memory together take their steps together.
    """

    def __init__(self, lengths: np.ndarray, window: int, d: int) -> None:
        """
        Args:
            lengths: steps of each segment, (segments,).
            window: steps in a window.
            d: rows and columns of a matrix.
        """
        self._lengths, self._window = lengths, window
        self._bins = np.concatenate([[0], np.cumsum(-(-lengths // window))])
        self._sums = np.zeros((self._bins[-1], FRAMES, d))
        self._touching = np.zeros(self._bins[-1])
        self._start = start_frames(d)
        self._carried, self._last = self._start, (-1, -1)

    def add(self, segment: np.ndarray, step: np.ndarray, j_state: np.ndarray, in_contact: np.ndarray) -> None:
        """Take the steps that follow; a segment's may come in several calls, and segments in any order.

        Args:
            segment: its place among the lengths, (rows,).
            step: counted from the segment's first, (rows,).
            j_state: (rows, d, d), free of NaN and infinity.
            in_contact: (rows,).

        Raises:
            FailureError: the steps of a segment are not in order.
        """
        goes_on = (np.diff(segment, prepend=self._last[0]) == 0) & (np.diff(step, prepend=self._last[1]) == 1)
        if not (goes_on | (step == 0)).all():
            raise FailureError("steps are not in order: ingest the run again")
        window = self._bins[segment] + step // self._window
        np.add.at(self._sums, window, self._log_growth(step, j_state))
        np.add.at(self._touching, window, in_contact)
        self._last = int(segment[-1]), int(step[-1])

    def _log_growth(self, step: np.ndarray, j_state: np.ndarray) -> np.ndarray:
        """Return log |R_kk| of each step and frame, (rows, FRAMES, d)."""
        first = np.union1d([0], np.flatnonzero(step == 0))
        lengths = np.diff(first, append=len(step))
        frames = np.repeat(self._start[None], len(first), axis=0)
        if step[0] > 0:
            frames[0] = self._carried
        longest_first = np.argsort(-lengths, kind="stable")
        first, lengths, frames = first[longest_first], lengths[longest_first], frames[longest_first]
        going_on = np.searchsorted(-lengths, -np.arange(lengths[0]))  # how many have more than so many steps
        diagonals = np.empty((len(j_state), *self._start.shape[:2]))
        for taken, n_segments in enumerate(going_on):
            at = first[:n_segments] + taken
            matrices = j_state[at, None].astype(np.float64)
            frames[:n_segments], r = np.linalg.qr(matrices @ frames[:n_segments])
            diagonals[at] = np.diagonal(r, axis1=-2, axis2=-1)
        self._carried = frames[np.argmax(first)]
        size = np.sqrt(np.einsum("nij,nij->n", j_state, j_state, dtype=np.float64))
        return _log_diagonals(diagonals, size)

    def of_windows(self, segment: int) -> Spectra:
        """Return the spectra of the whole windows of a segment; steps after the last are in none."""
        n_windows = self._lengths[segment] // self._window
        places = slice(self._bins[segment], self._bins[segment] + n_windows)
        return _spectra(self._sums[places], self._touching[places], self._window)

    def of_whole(self, segment: int) -> Spectra:
        """Return the spectrum of all steps of a segment, as one span."""
        places = slice(self._bins[segment], self._bins[segment + 1])
        sums, touching = (values[places].sum(axis=0, keepdims=True) for values in (self._sums, self._touching))
        return _spectra(sums, touching, int(self._lengths[segment]))


def _log_diagonals(diagonals: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return log |R_kk|, -inf where it is no more than roundoff of a matrix of that size: the matrix is singular.

    Args:
        diagonals: (rows, FRAMES, d).
        size: the matrix's norm, (rows,).
    """
    sizes = np.abs(diagonals)
    is_singular = sizes <= diagonals.shape[-1] * np.finfo(np.float64).eps * size[:, None, None]
    return np.log(sizes, out=np.full_like(sizes, -np.inf), where=~is_singular)


def _spectra(sums: np.ndarray, touching: np.ndarray, steps: int) -> Spectra:
    growth, other = sums[:, 0] / steps, sums[:, 1] / steps
    spread = np.abs(np.subtract(growth, other, out=np.zeros_like(growth), where=growth != other))
    return Spectra(growth, spread, kaplan_yorke_dimension(growth), touching / steps)


def kaplan_yorke_dimension(exponents: np.ndarray) -> np.ndarray:
    """Return Kaplan and Yorke's dimension of spectra, (spans,), given (spans, d) exponents in any order.

    It is the number of exponents, largest first, whose sum does not fall below 0, and the part of the next that would
    make the sum 0: all d if the sum of all is not below 0, and 0 if the largest is. -inf leaves no part.
    """
    exponents = -np.sort(-exponents, axis=1)
    sums = np.cumsum(exponents, axis=1)
    whole = np.cumprod(sums >= 0, axis=1).sum(axis=1)
    padded = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
    left = np.take_along_axis(padded, whole[:, None], 1)[:, 0]
    following = np.concatenate([exponents, np.full((len(sums), 1), -np.inf)], axis=1)
    return whole + left / -np.take_along_axis(following, whole[:, None], 1)[:, 0]
