"""An episode in the making: rows gathered chunk by chunk, until it is done or cut."""

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
        pieces: columns of the `steps` table, in order of step.
        patterns: bits of every zero pattern that occurs, by id.
        sizes: how large the entries of its steps are, once it has some.
    """

    number: int
    pieces: list[Columns] = field(default_factory=list)
    patterns: Patterns = field(default_factory=dict)
    sizes: Sizes | None = None

    def append(self, columns: Columns, patterns: Patterns, sizes: Sizes) -> None:
        rows = len(columns["done"])
        steps = np.arange(self.n_steps, self.n_steps + rows, dtype=np.int32)
        self.pieces.append({"episode": np.full(rows, self.number, np.int32), "step": steps, **columns})
        occurring = pc.drop_null(pc.unique(columns["pattern_id"])).to_pylist()
        self.patterns |= {pattern: patterns[pattern] for pattern in occurring}
        self.sizes = self.sizes.joined(sizes) if self.sizes else sizes

    @property
    def n_steps(self) -> int:
        return sum(len(piece["done"]) for piece in self.pieces)

    @property
    def is_over(self) -> bool:
        last = self.pieces[-1]
        return bool(last["done"][-1] | last["truncated"][-1])

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
            return sum(np.sum(piece[column]) for piece in self.pieces)

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
        if not self.sizes or not self.sizes.steps:
            return dict.fromkeys(names)
        return dict(zip(names, (found.tolist() for found in (*self.sizes.largest, *self.sizes.below)), strict=True))
