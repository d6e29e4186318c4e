"""An episode in the making: rows gathered chunk by chunk, until it is done or cut."""

from collections import ChainMap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacdb.ingest.patterns import Patterns, Sizes

type Columns = dict[str, np.ndarray | pa.Array]


@dataclass
class Episode:
    """One episode's rows, in pieces.

    Attributes:
        number: the episode within its run, from 0.
        n_steps: how many steps it has so far.
        is_over: whether the last of them ended it; it stays so when its rows are let go of.
        pieces: columns of the `steps` table, in order of step.
    """

    number: int
    n_steps: int = 0
    is_over: bool = False
    pieces: list[Columns] = field(default_factory=list)
    _known: list[Patterns] = field(default_factory=list, repr=False)
    _sizes: list[Sizes] = field(default_factory=list, repr=False)

    def append(self, columns: Columns, patterns: Patterns, sizes: Sizes) -> None:
        """Rows that go on with it; ``patterns`` are all of theirs, and may be others', too."""
        self.pieces.append(columns)
        self.n_steps += len(columns["done"])
        self.is_over = bool(columns["done"][-1] | columns["truncated"][-1])
        self._known.append(patterns)
        self._sizes.append(sizes)

    @property
    def patterns(self) -> Patterns:
        """The bits of every zero pattern that occurs, by id."""
        ids = pa.chunked_array([piece["pattern_id"] for piece in self.pieces])
        known = ChainMap(*self._known)
        return {pattern: known[pattern] for pattern in pc.drop_null(pc.unique(ids)).to_pylist()}

    @property
    def nbytes(self) -> int:
        return sum(piece[name].nbytes for piece in self.pieces for name in ("j_state", "j_action"))

    @property
    def jacobian_shape(self) -> tuple[int, int]:
        """(d_state, d_action)"""
        shape = self.pieces[0]["j_action"].shape
        return int(shape[1]), int(shape[2])

    def summary(self) -> dict[str, Any]:
        """The episode's row in `episodes`."""

        def total(column: str) -> Any:
            return np.concatenate([piece[column] for piece in self.pieces]).sum()

        return {
            "episode": self.number,
            "n_steps": self.n_steps,
            "total_reward": float(total("reward")),
            "done": bool(self.pieces[-1]["done"][-1]),
            "truncated": bool(self.pieces[-1]["truncated"][-1]),
            "n_contact_steps": int(total("in_contact")),
            "n_excluded": self.n_steps - int(total("finite")),
            **self._sweep(),
        }

    def _sweep(self) -> dict[str, Any]:
        names = [f"{what}_{of}" for what in ("largest", "below") for of in ("state", "action")]
        sizes = Sizes.joined(self._sizes)
        if not sizes.steps:
            return dict.fromkeys(names)
        return dict(zip(names, map(list, (*sizes.largest, *sizes.below)), strict=True))
