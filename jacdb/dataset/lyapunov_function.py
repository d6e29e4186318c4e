"""The SQL function behind the view `lyapunov`: it reads the matrices of segments, some at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import ARROW

from jacdb.dataset.folder import Folder
from jacdb.dataset.lyapunov import FrameGrowth, Spectra
from jacdb.nested_lists import from_array, from_lengths

NAME = "lyapunov_spectra"
_ARGUMENTS: list[Any] = ["VARCHAR", "VARCHAR", "INTEGER", "INTEGER", "INTEGER", "BIGINT"]
_SPANS = (
    "STRUCT(span VARCHAR, first_step INTEGER, last_step INTEGER, growth DOUBLE[], spread DOUBLE[],"
    " dimension DOUBLE, contact_share DOUBLE)[]"
)
_COLUMNS = ("episode", "step", "j_state", "in_contact")
_BLOCK = 2**25  # bytes of matrices that take their steps together, at least one piece


@dataclass(frozen=True)
class LyapunovFunction:
    """Spectra of segments, for DuckDB.

    It refers to no connection: one that its own function refers to would never be closed.

    Attributes:
        location: the dataset.
    """

    location: Folder

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the function to a connection, as ``lyapunov_spectra(env, run_id, episode, first, last, window)``.

        For each segment, given by its first and last steps, it returns a list of spans: the whole, then its windows.
        """
        # Volatile: else DuckDB may call it again for each column that a query names
        connection.create_function(NAME, self, _ARGUMENTS, _SPANS, type=ARROW, side_effects=True)

    def __call__(
        self, env: pa.Array, run_id: pa.Array, episode: pa.Array, first: pa.Array, last: pa.Array, window: pa.Array
    ) -> pa.Array:
        """Return the spans of each segment, (segments,) lists.

        Raises:
            FailureError: a file can't be read, or rows have disappeared meanwhile.
        """
        names = np.array(env.to_pylist()), np.array(run_id.to_pylist())
        numbers = [np.array(column.to_pylist(), np.int64) for column in (episode, first, last)]
        found: dict[int, pa.Array] = {}
        for one in dict.fromkeys(names[0].tolist()):
            places = np.flatnonzero(names[0] == one)
            of_env = (names[1][places], *(column[places] for column in numbers))
            for place, spans in self._of_env(one, *of_env, window=window[0].as_py()):
                found[int(places[place])] = spans
        spans = [found[place] for place in range(len(found))]
        return from_lengths(np.array([len(one) for one in spans]), pa.concat_arrays(spans))

    def _of_env(
        self, env: str, run_id: np.ndarray, episode: np.ndarray, first: np.ndarray, last: np.ndarray, *, window: int
    ) -> Iterator[tuple[int, pa.Array]]:
        """Yield the place of each segment and its spans, as they are read."""
        from jacdb.dataset.segments import Segments
        from jacdb.dataset.step_rows import StepRows

        order = np.lexsort((first, episode, run_id))
        run_id, episode, first, last = (column[order] for column in (run_id, episode, first, last))
        kept = Segments(run_id, episode, first, last, np.zeros(len(order), np.int64))
        pieces = StepRows(self, env, _COLUMNS, kept).in_order()
        for run, of_run in groupby(pieces, itemgetter(0)):
            places = np.flatnonzero(run_id == run)
            starts = (episode[places] << 32) | first[places]
            lengths = last[places] - first[places] + 1
            growth = None
            for rows in _blocks(piece for _, piece in of_run):
                growth = growth or FrameGrowth(lengths, window, rows["j_state"].shape[1])
                at = np.searchsorted(starts, (rows["episode"].astype(np.int64) << 32) | rows["step"], "right") - 1
                growth.add(at, rows["step"] - first[places[at]], rows["j_state"], rows["in_contact"])
            if growth is not None:
                for number, place in enumerate(places):
                    yield int(order[place]), _spans(growth, number, int(first[place]), int(last[place]), window)


def _blocks(pieces: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """Yield pieces joined to blocks."""
    waiting: list[dict[str, np.ndarray]] = []
    n_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        n_bytes += piece["j_state"].nbytes
        if n_bytes >= _BLOCK:
            yield _joined(waiting)
            waiting, n_bytes = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(pieces: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in _COLUMNS}


def _spans(growth: FrameGrowth, segment: int, first: int, last: int, window: int) -> pa.Array:
    """Return the spans of a segment: the whole, then its windows."""
    of_windows = growth.of_windows(segment)
    n_windows = len(of_windows.growth)
    spectra = Spectra(*map(np.concatenate, zip(growth.of_whole(segment), of_windows, strict=True)))
    starts = first + window * np.arange(n_windows)
    columns = {
        "span": pa.array(["whole"] + ["window"] * n_windows, pa.string()),
        "first_step": pa.array(np.concatenate([[first], starts]), pa.int32()),
        "last_step": pa.array(np.concatenate([[last], starts + window - 1]), pa.int32()),
        "growth": from_array(spectra.growth),
        "spread": from_array(spectra.spread),
        "dimension": from_array(spectra.dimension),
        "contact_share": from_array(spectra.contact_share),
    }
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))
