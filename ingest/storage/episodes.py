"""An episode in the making: rows gathered chunk by chunk, until it is done or cut."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jacdb import schemas
from jacdb.ingest.storage.zero_patterns import EntryStatistics, Patterns
from jacdb.nested_lists import from_array

# Columns of `steps` that are the same for the whole episode, or follow from it; and those that are arrays of their own
_EPISODES_OWN = ("env", "policy", "run_id", "episode", "step")
ARRAYS = ("state", "action", "next_state", "j_state", "j_action")
ROW = pa.schema([column for column in schemas.steps().schema if column.name not in (*_EPISODES_OWN, *ARRAYS)])
# Columns of `episodes` that the episode itself knows
_PARTS_OWN = ("env", "policy", "run_id", "part", "trajectory_id")
SUMMARY = pa.schema([column for column in schemas.EPISODES.schema if column.name not in _PARTS_OWN])


class Totals(NamedTuple):
    """Sums over some rows, one after the other."""

    reward: float  # NaN where a row has none
    contacts: int  # rows in which any two geoms touch
    excluded: int  # rows that are not finite


class Piece(NamedTuple):
    """Consecutive rows: what they have of their own (columns ``ROW``), and their arrays, as stored."""

    columns: pa.RecordBatch
    totals: Totals
    state: np.ndarray  # (rows, n_state)
    action: np.ndarray  # (rows, d_action)
    next_state: np.ndarray  # (rows, n_state)
    j_state: np.ndarray  # (rows, d_state, d_state)
    j_action: np.ndarray  # (rows, d_state, d_action)


def pieces(rows: pa.RecordBatch, starts: np.ndarray, *arrays: Iterable[np.ndarray]) -> list[Piece]:
    """Cut rows of several episodes into a piece for each.

    Args:
        rows: columns ``ROW``.
        starts: the first row of each.
        arrays: those of each, ``ARRAYS`` in order.
    """

    def total(column: str, dtype: type) -> np.ndarray:
        return np.add.reduceat(rows[column].to_numpy(zero_copy_only=False), starts, dtype=dtype)

    lengths = np.diff(starts, append=len(rows))
    numbers = total("reward", float), total("in_contact", int), lengths - total("finite", int)
    totals = map(Totals, *(of_each.tolist() for of_each in numbers))
    slices = map(rows.slice, starts.tolist(), lengths.tolist())
    return [Piece(*parts) for parts in zip(slices, totals, *arrays, strict=True)]


@dataclass
class Episode:
    """One episode's rows, in pieces.

    Attributes:
        number: the episode within its run, from 0.
        n_steps: how many steps it has so far.
        is_over: whether the last of them ended it; it stays so when its rows are let go of.
        pieces: its rows, in order of step.
        patterns: those that occur in it.
    """

    number: int
    n_steps: int = 0
    is_over: bool = False
    pieces: list[Piece] = field(default_factory=list)
    patterns: Patterns = field(default_factory=dict, repr=False)
    _sizes: list[EntryStatistics] = field(default_factory=list, repr=False)

    def append(self, piece: Piece, patterns: Patterns, sizes: Sequence[EntryStatistics], *, is_over: bool) -> None:
        """Append rows that continue the episode.

        Args:
            piece: the rows.
            patterns: those that occur in them.
            sizes: of steps of the episode, these or earlier ones; each step's once, until it is over.
            is_over: whether the last row ends it.
        """
        self.pieces.append(piece)
        self.n_steps += len(piece.j_state)
        self.is_over = is_over
        self.patterns |= patterns
        self._sizes += sizes

    @property
    def columns(self) -> pa.Table:
        """The columns that all rows have of their own."""
        return pa.Table.from_batches([piece.columns for piece in self.pieces])

    @property
    def nbytes(self) -> int:
        """Bytes of its matrices: nearly all that it takes."""
        return sum(piece.j_state.nbytes + piece.j_action.nbytes for piece in self.pieces)

    @property
    def jacobian_shape(self) -> tuple[int, int]:
        """(d_state, d_action)"""
        shape = self.pieces[0].j_action.shape
        return int(shape[1]), int(shape[2])

    @property
    def totals(self) -> Totals:
        """Sums over all rows."""
        return Totals(*map(sum, zip(*(piece.totals for piece in self.pieces), strict=True)))

    @property
    def sizes(self) -> EntryStatistics:
        """Statistics of the entries of all rows, once the episode is over."""
        return EntryStatistics.joined(self._sizes)


def summaries(episodes: Sequence[Episode]) -> pa.Table:
    """Return what the table `episodes` says of each: the columns ``SUMMARY``."""
    last = [episode.pieces[-1].columns for episode in episodes]
    totals, sizes = [episode.totals for episode in episodes], [episode.sizes for episode in episodes]
    no_step = pa.array([not one.steps for one in sizes])

    def swept(column: str, of_each: Iterable[np.ndarray]) -> pa.Array:
        kind = SUMMARY.field(column).type
        every = from_array(np.stack(list(of_each)), kind)
        return pa.ListArray.from_arrays(every.offsets, every.values, kind, mask=no_step)

    columns = {
        "episode": [episode.number for episode in episodes],
        "n_steps": [episode.n_steps for episode in episodes],
        "total_reward": [
            None if any(piece.columns["reward"].null_count for piece in episode.pieces) else total.reward
            for episode, total in zip(episodes, totals, strict=True)
        ],
        "done": [rows["done"][-1].as_py() for rows in last],
        "truncated": [rows["truncated"][-1].as_py() for rows in last],
        "n_contact_steps": [of_one.contacts for of_one in totals],
        "n_excluded": [of_one.excluded for of_one in totals],
        "largest_state": swept("largest_state", (of_one.largest[0] for of_one in sizes)),
        "largest_action": swept("largest_action", (of_one.largest[1] for of_one in sizes)),
        "below_state": swept("below_state", (of_one.below[0] for of_one in sizes)),
        "below_action": swept("below_action", (of_one.below[1] for of_one in sizes)),
    }
    return pa.table(columns, SUMMARY)


def in_groups(episodes: Iterable[Episode], max_rows: int) -> Iterator[list[Episode]]:
    """Yield whole episodes while they fit into a row group, so that a reader of one episode reads one."""
    group: list[Episode] = []
    rows = 0
    for episode in episodes:
        if group and rows + episode.n_steps > max_rows:
            yield group
            group, rows = [], 0
        group.append(episode)
        rows += episode.n_steps
    yield group
