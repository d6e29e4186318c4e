"""Buffers of rows: which rows fill one, how they are put into it, and batches that are cut out of several."""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from jacdb.dataset.step_rows import Arrays, RowGroup, StepRows

Part = tuple[RowGroup, np.ndarray]  # a row group, and which of its rows to read


@dataclass(frozen=True)
class Selection:
    """Rows that are read together for some items of a pass; the items are rows, or windows of rows.

    Attributes:
        parts: row groups in order, and which of their rows are read.
        windows: the place of each row of each window among the rows read, (windows, steps); None: the items are rows.
    """

    parts: list[Part]
    windows: np.ndarray | None = None

    @classmethod
    def of_windows(cls, parts: list[Part], windows: np.ndarray) -> Self:
        """Return the selection of some windows of the rows in ``parts``; only rows of these windows are read."""
        used, places = np.unique(windows, return_inverse=True)
        return cls(_narrowed(parts, used), places.reshape(windows.shape))

    def __len__(self) -> int:
        return self.n_rows if self.windows is None else len(self.windows)

    @functools.cached_property
    def n_rows(self) -> int:
        """The number of rows read."""
        return sum(int(wanted.sum()) for _, wanted in self.parts)

    def between(self, low: int, high: int) -> Self:
        """Return items [low, high) alone."""
        if high - low == len(self):
            return self
        if self.windows is not None:
            return self.of_windows(self.parts, self.windows[low:high])
        return type(self)(_narrowed(self.parts, np.arange(low, high)))


class Load(NamedTuple):
    """Rows that fill a buffer, and the order in which a pass returns them; see ``BufferedRows``."""

    parts: list[Part]
    order: np.ndarray | None

    @classmethod
    def of(cls, chosen: list[Selection], random: np.random.Generator | None = None) -> Self:
        """Return the load of some selections; with ``random``, their items are permuted."""
        parts = [part for selection in chosen for part in selection.parts]
        order = None
        if chosen[0].windows is not None:
            starts = itertools.accumulate((selection.n_rows for selection in chosen), initial=0)
            moved = [one.windows + at for one, at in zip(chosen, starts, strict=False) if one.windows is not None]
            order = np.concatenate(moved)
        if random is not None:
            permutation = random.permutation(sum(map(len, chosen)))
            order = permutation if order is None else order[permutation]
        return cls(parts, order)


class BufferedRows(NamedTuple):
    """Rows in a buffer, and the order in which a pass returns them.

    Attributes:
        rows: the rows.
        order: the places of the rows, (rows,), or of those of each window, (windows, steps). None: rows as they lie.
    """

    rows: Arrays
    order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())) if self.order is None else self.order)

    def cut(self, start: int, stop: int) -> Arrays:
        """Return rows or windows [start, stop) of the order, as copies: a view would keep the whole buffer alive."""
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
            numbers = values.reshape(len(values), -1)
            self._flat[name][start:end, : numbers.shape[1]] = numbers  # the footer counts an empty list as a number
        return end

    def first(self, n_rows: int) -> Arrays:
        """Return the first rows, in their own shapes; views."""
        shapes = self._rows.shapes
        return {
            name: flat[:n_rows, : math.prod(shapes[name])].reshape(n_rows, *shapes[name])
            for name, flat in self._flat.items()
        }


def between(chosen: Iterable[Selection], first: int, stop: int) -> Iterator[Selection]:
    """Yield items [first, stop) of selections, by their place in all of them."""
    at = 0
    for selection in chosen:
        low, high = max(first - at, 0), min(stop - at, len(selection))
        if low < high:
            yield selection.between(low, high)
        at += len(selection)
        if at >= stop:
            return


def buffer_loads(rows: StepRows, chosen: Iterable[Selection], most: float) -> Iterator[list[Selection]]:
    """Yield selections, as many at a time as fit in ``most`` bytes."""
    some: list[Selection] = []
    size = 0.0
    for selection in chosen:
        nbytes = rows.row_bytes(selection.parts[0][0]) * selection.n_rows
        if some and size + nbytes > most:
            yield some
            some, size = [], 0.0
        some.append(selection)
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


def _narrowed(parts: list[Part], used: np.ndarray) -> list[Part]:
    """Return row groups and which of their rows to read, of all rows in ``parts`` those at the places ``used``."""
    narrowed, at = [], 0
    for group, wanted in parts:
        places = np.flatnonzero(wanted)
        low, high = np.searchsorted(used, (at, at + len(places)))
        if low < high:
            read = np.zeros_like(wanted)
            read[places[used[low:high] - at]] = True
            narrowed.append((group, read))
        at += len(places)
    return narrowed
