"""An episode in the making: rows gathered chunk by chunk, until it is done or cut."""

from collections import ChainMap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacdb import schemas
from jacdb.ingest.patterns import Patterns, Sizes

# Columns of `steps` that are the same for the whole episode, or follow from it; and those that are arrays of their own
_EPISODES_OWN = ("env", "policy", "run_id", "episode", "step")
MATRICES = ("j_state", "j_action")
ROW = pa.schema([column for column in schemas.steps().schema if column.name not in (*_EPISODES_OWN, *MATRICES)])


class Totals(NamedTuple):
    """Of some rows, one after the other."""

    reward: float
    contacts: int  # rows in which any two geoms touch
    excluded: int  # rows that are not finite


class Piece(NamedTuple):
    """Some rows, one after the other: what they have of their own (columns ``ROW``), and their matrices."""

    columns: pa.RecordBatch
    totals: Totals
    j_state: np.ndarray  # (rows, d_state, d_state), as stored
    j_action: np.ndarray  # (rows, d_state, d_action)


def pieces(
    rows: pa.RecordBatch, starts: np.ndarray, j_state: Iterable[np.ndarray], j_action: Iterable[np.ndarray]
) -> list[Piece]:
    """Rows of several episodes, a piece for each.

    Args:
        rows: columns ``ROW``.
        starts: the first row of each.
        j_state, j_action: the matrices of each.
    """

    def total(column: str, dtype: type) -> np.ndarray:
        return np.add.reduceat(rows[column].to_numpy(zero_copy_only=False), starts, dtype=dtype)

    lengths = np.diff(starts, append=len(rows))
    numbers = total("reward", float), total("in_contact", int), lengths - total("finite", int)
    totals = map(Totals, *(of_each.tolist() for of_each in numbers))
    slices = map(rows.slice, starts.tolist(), lengths.tolist())
    return [Piece(*parts) for parts in zip(slices, totals, j_state, j_action, strict=True)]


@dataclass
class Episode:
    """One episode's rows, in pieces.

    Attributes:
        number: the episode within its run, from 0.
        n_steps: how many steps it has so far.
        is_over: whether the last of them ended it; it stays so when its rows are let go of.
        pieces: its rows, in order of step.
    """

    number: int
    n_steps: int = 0
    is_over: bool = False
    pieces: list[Piece] = field(default_factory=list)
    _known: list[Patterns] = field(default_factory=list, repr=False)
    _sizes: list[Sizes] = field(default_factory=list, repr=False)

    def append(self, piece: Piece, patterns: Patterns, sizes: Sequence[Sizes], *, is_over: bool) -> None:
        """Rows that go on with it.

        Args:
            piece: the rows.
            patterns: all of theirs, and maybe others', too.
            sizes: of steps of the episode, these or earlier ones; each step's once, until it is over.
            is_over: whether the last row ends it.
        """
        self.pieces.append(piece)
        self.n_steps += len(piece.j_state)
        self.is_over = is_over
        self._known.append(patterns)
        self._sizes += sizes

    @property
    def columns(self) -> pa.Table:
        """What all rows have of their own."""
        return pa.Table.from_batches([piece.columns for piece in self.pieces])

    @property
    def nbytes(self) -> int:
        """Of its matrices: nearly all that it takes."""
        return sum(piece.j_state.nbytes + piece.j_action.nbytes for piece in self.pieces)

    @property
    def jacobian_shape(self) -> tuple[int, int]:
        """(d_state, d_action)"""
        shape = self.pieces[0].j_action.shape
        return int(shape[1]), int(shape[2])

    def summary(self) -> dict[str, Any]:
        """The episode's row in `episodes`."""
        last = self.pieces[-1].columns
        reward, contacts, excluded = zip(*(piece.totals for piece in self.pieces), strict=True)
        return {
            "episode": self.number,
            "n_steps": self.n_steps,
            "total_reward": sum(reward),
            "done": last["done"][-1].as_py(),
            "truncated": last["truncated"][-1].as_py(),
            "n_contact_steps": sum(contacts),
            "n_excluded": sum(excluded),
            **self._sweep(),
        }

    def _sweep(self) -> dict[str, Any]:
        names = [f"{what}_{of}" for what in ("largest", "below") for of in ("state", "action")]
        sizes = Sizes.joined(self._sizes)
        if not sizes.steps:
            return dict.fromkeys(names)
        return dict(zip(names, map(list, (*sizes.largest, *sizes.below)), strict=True))


def patterns_of(episodes: Sequence[Episode]) -> Patterns:
    """The bits of every zero pattern that occurs in them, by id."""
    known = ChainMap(*{id(some): some for episode in episodes for some in episode._known}.values())
    ids = [piece.columns["pattern_id"] for episode in episodes for piece in episode.pieces]
    return {pattern: known[pattern] for pattern in pc.unique(pa.chunked_array(ids)).drop_null().to_pylist()}
