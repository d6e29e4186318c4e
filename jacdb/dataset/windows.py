"""Windows: consecutive steps of an episode, for models of sequences. They come whole across borders of row groups."""

import functools
from dataclasses import dataclass

import numpy as np

from jacdb.dataset.row_buffers import Selection
from jacdb.dataset.segments import Segments
from jacdb.dataset.step_rows import StepRows
from jacdb.errors import FailureError


def long_enough(kept: Segments, length: int) -> Segments:
    """Return the segments in which a window fits."""
    return kept.where(kept.last - kept.first + 1 >= length)


@dataclass
class Windows:
    """Windows of rows. In each segment the first begins with its first row, and another ``stride`` rows later.

    Attributes:
        rows: the rows, of segments in which a window fits.
        length: steps in a window.
        stride: steps from the start of a window to that of the next.
    """

    rows: StepRows
    length: int
    stride: int

    def __len__(self) -> int:
        kept = self.rows.kept
        return int(((kept.last - kept.first + 1 - self.length) // self.stride + 1).sum())

    def selection(self, index: int) -> Selection:
        """Return the windows that start in a row group, by its place in ``rows.groups``.

        Raises:
            FailureError: a file can't be read, or rows have disappeared meanwhile.
        """
        places, n_rows, of_group = self._starts
        starts = places[of_group[index] : of_group[index + 1]]
        windows = starts[:, None] + np.arange(self.length)
        stop = int(windows.max(initial=0))
        behind = int(np.searchsorted(n_rows, stop, "right"))
        groups = self.rows.groups[index:behind] if len(starts) else []
        return Selection.of_windows([(group, self.rows.wanted(group)) for group in groups], windows - n_rows[index])

    @functools.cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the first row of each window, among all rows; the rows and windows that start before each row group.

        The last entries of both are those of all.
        """
        starts, n_rows, n_windows = [np.zeros(0, np.int64)], [0], [0]
        before, run_id = -1, ""
        for group in self.rows.groups:
            if group.part.run_id != run_id:
                before, run_id = -1, group.part.run_id
            first, lengths, before = self.rows.segment_starts(group, before)
            offsets = [np.arange(0, length - self.length + 1, self.stride) for length in lengths]
            starts += [n_rows[-1] + one + offset for one, offset in zip(first, offsets, strict=True)]
            n_windows.append(n_windows[-1] + sum(map(len, offsets)))
            n_rows.append(n_rows[-1] + int(self.rows.wanted(group).sum()))
        if n_rows[-1] != self.rows.kept.n_rows:
            gone = f"{self.rows.kept.n_rows - n_rows[-1]} rows of {self.rows.env} are gone"
            raise FailureError(f"{gone}: the dataset changed meanwhile; try again")
        return np.concatenate(starts), np.array(n_rows), np.array(n_windows)
