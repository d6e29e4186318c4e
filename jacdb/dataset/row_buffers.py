"""Buffers of rows: which rows fill one, how they are put into it, and batches that are cut out of several."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jacdb.dataset.step_rows import Arrays, RowGroup, StepRows

Selection = tuple[RowGroup, np.ndarray]  # a row group, and which of its rows to read


class BufferedRows(NamedTuple):
    """Rows in a buffer, and the order in which a pass returns them; None for their own."""

    rows: Arrays
    order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def cut(self, start: int, stop: int) -> Arrays:
        """Return rows [start, stop) of the order, as copies: a view would keep the whole buffer alive."""
        if self.order is None:
            return {name: values[start:stop].copy() for name, values in self.rows.items()}
        places = self.order[start:stop]
        return {name: values.take(places, axis=0) for name, values in self.rows.items()}


class Buffer:
    """Memory for rows, (rows, numbers) for each column; it is reused, for fresh memory costs more than a copy."""

    def __init__(self, rows: StepRows) -> None:
        self._rows = rows
        self._flat: Arrays = {}

    def make_room(self, like: RowGroup, n_rows: int, nbytes: float) -> None:
        """Make room for ``n_rows`` rows, and for as many as fit in ``nbytes``; ``like`` gives the columns' widths."""
        if self._flat and all(len(flat) >= n_rows for flat in self._flat.values()):
            return
        room = max(n_rows, int(nbytes / self._rows.row_bytes(like)))
        kinds = self._rows.dtypes
        self._flat = {name: np.empty((room, width), kinds[name]) for name, width in self._rows.widths(like).items()}

    def put(self, piece: Arrays, start: int) -> int:
        """Put rows where they belong; return where the next do. In order: rows are copied faster than scattered."""
        for name, values in piece.items():
            end = start + len(values)
            self._flat[name][start:end] = values.reshape(len(values), -1)
        return end

    def first(self, n_rows: int) -> Arrays:
        """Return the first rows, in their own shapes; views."""
        return {name: flat[:n_rows].reshape(n_rows, *self._rows.shapes[name]) for name, flat in self._flat.items()}


def selections(rows: StepRows, groups: Iterable[RowGroup]) -> Iterator[Selection]:
    """Yield each row group, and which of its rows are wanted."""
    return ((group, rows.wanted(group)) for group in groups)


def between(chosen: Iterable[Selection], first: int, stop: int) -> Iterator[Selection]:
    """Yield rows [first, stop) of selections, by their place in all of them."""
    at = 0
    for group, wanted in chosen:
        n_rows = int(wanted.sum())
        low, high = max(first - at, 0), min(stop - at, n_rows)
        if low < high:
            if high - low < n_rows:
                places = np.flatnonzero(wanted)[low:high]
                wanted = np.zeros_like(wanted)
                wanted[places] = True
            yield group, wanted
        at += n_rows
        if at >= stop:
            return


def buffer_loads(rows: StepRows, chosen: Iterable[Selection], most: float) -> Iterator[list[Selection]]:
    """Yield selections, as many at a time as fit in ``most`` bytes."""
    some: list[Selection] = []
    size = 0.0
    for group, wanted in chosen:
        nbytes = rows.row_bytes(group) * int(wanted.sum())
        if some and size + nbytes > most:
            yield some
            some, size = [], 0.0
        if nbytes:
            some.append((group, wanted))
            size += nbytes
    if some:
        yield some


def cut(buffered: Iterable[BufferedRows], size: int, drop_last: bool) -> Iterator[Arrays]:
    """Yield batches of one size, across the borders of buffers."""
    rest: list[Arrays] = []  # fewer rows than a batch has
    missing = size
    for rows in buffered:
        at = 0
        while len(rows) - at >= missing:
            rest.append(rows.cut(at, at + missing))
            yield _joined(rest)
            at, rest, missing = at + missing, [], size
        if at < len(rows):
            rest.append(rows.cut(at, len(rows)))
            missing -= len(rows) - at
    if rest and not drop_last:
        yield _joined(rest)


def _joined(pieces: list[Arrays]) -> Arrays:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
