"""An episode in the making: rows gathered chunk by chunk, until it is done or cut."""

from collections import ChainMap
from collections.abc import Sequence
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


class Piece(NamedTuple):
    """Some rows, one after the other: what they have of their own (columns ``ROW``), and their matrices."""

    columns: pa.RecordBatch
    j_state: np.ndarray  # (rows, d_state, d_state), as stored
    j_action: np.ndarray  # (rows, d_state, d_action)


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
    def patterns(self) -> Patterns:
        """The bits of every zero pattern that occurs, by id."""
        known = ChainMap(*self._known)
        occurring = pc.drop_null(pc.unique(self.columns["pattern_id"]))
        return {pattern: known[pattern] for pattern in occurring.to_pylist()}

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

        columns = self.columns

        def total(column: str) -> Any:
            return pc.sum(columns[column]).as_py()

        return {
            "episode": self.number,
            "n_steps": self.n_steps,
            "total_reward": total("reward"),
            "done": columns["done"][-1].as_py(),
            "truncated": columns["truncated"][-1].as_py(),
            "n_contact_steps": total("in_contact"),
            "n_excluded": self.n_steps - total("finite"),
            **self._sweep(),
        }

    def _sweep(self) -> dict[str, Any]:
        names = [f"{what}_{of}" for what in ("largest", "below") for of in ("state", "action")]
        sizes = Sizes.joined(self._sizes)
        if not sizes.steps:
            return dict.fromkeys(names)
        return dict(zip(names, map(list, (*sizes.largest, *sizes.below)), strict=True))
