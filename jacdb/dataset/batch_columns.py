"""The columns of a batch: those that are stored, and those that are made of them batch by batch."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from jacdb.dataset.completeness import check_known
from jacdb.dataset.normalization import SOURCES, Normalization
from jacdb.dataset.segments import Segments
from jacdb.dataset.sql_text import literal
from jacdb.dataset.step_rows import Arrays, StepRows, check_columns
from jacdb.dataset.views import Views
from jacdb.tangent import TangentSpace

# column -> the stored columns that it is made of
MADE_OF = {
    "x": ("state",),
    "dx": ("state", "next_state"),
    "zero_state": ("pattern_id",),
    "zero_action": ("pattern_id",),
}


@dataclass(frozen=True)
class ZeroMasks:
    """Zero patterns as masks.

    Attributes:
        ids: the ids of the patterns, sorted, (patterns,).
        masks: column -> where the entry is zero, (patterns, rows, columns).
    """

    ids: np.ndarray
    masks: Arrays

    @classmethod
    def of(cls, dataset: Views, env: str) -> Self:
        """Return the masks of all patterns of an environment; none where the dataset has no finite step."""
        found = dataset.fetch_table(
            dataset.sql(f"""
                select distinct pattern_id, d_state, d_action, zero_state, zero_action from patterns
                where env = {literal(env)} order by pattern_id
            """)
        )
        if not len(found):
            return cls(np.empty(0, np.int64), {})
        shape = len(found), found["d_state"][0].as_py(), -1
        masks = {}
        for name in ("zero_state", "zero_action"):
            bits = "".join(found[name].fill_null("").to_pylist()).encode()
            masks[name] = (np.frombuffer(bits, np.uint8) == ord("1")).reshape(shape)
        return cls(found["pattern_id"].to_numpy(), masks)

    def of_rows(self, name: str, pattern_id: np.ndarray) -> np.ndarray:
        """Return the masks of rows, (rows, rows of the matrix, columns)."""
        return self.masks[name][np.searchsorted(self.ids, pattern_id)]


@dataclass
class BatchColumns:
    """The columns of batches.

    Attributes:
        dataset: what to read.
        env: the environment.
        columns: stored columns, and those of MADE_OF.
        dtype: of all float columns; None for what is stored.
        normalization: how rows are normalized; None for as they are.
    """

    dataset: Views
    env: str
    columns: tuple[str, ...]
    dtype: str | None = None
    normalization: Normalization | None = None
    stored: tuple[str, ...] = field(init=False)
    _space: TangentSpace | None = field(init=False, default=None)
    _zeros: ZeroMasks | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: there is no such column, or its values are not numbers.
        """
        made = {name: MADE_OF[name] for name in self.columns if name in MADE_OF}
        sources = [source for name in self.columns for source in made.get(name, (name,))]
        self.stored = tuple(dict.fromkeys(sources))
        check_columns(self.stored, tuple(MADE_OF))
        if "dx" in made:
            self._space = tangent_space(self.dataset, self.env)
        if {"zero_state", "zero_action"} & made.keys():
            self._zeros = ZeroMasks.of(self.dataset, self.env)

    @property
    def stored_dtype(self) -> str | None:
        """The type that stored floats are read in: what is made of them is made in their own."""
        return None if self._is_changed else self.dtype

    def of(self, rows: Arrays) -> Arrays:
        """Return the columns of a batch, made of its stored ones."""
        if not self._is_changed:
            return rows
        return {name: self._cast(self._column(name, rows)) for name in self.columns}

    @property
    def _is_changed(self) -> bool:
        return self.normalization is not None or self.stored != self.columns

    def _column(self, name: str, rows: Arrays) -> np.ndarray:
        if self._zeros is not None and name in self._zeros.masks:
            return self._zeros.of_rows(name, rows["pattern_id"])
        if self._space is not None and name == "dx":
            values = self._space.difference(rows["state"], rows["next_state"])
        else:
            values = rows["state" if name == "x" else name]
        if self.normalization is None:
            return values
        normalized = self.normalization.normalized(name, values)
        return normalized if self.dtype else normalized.astype(values.dtype, copy=False)  # as stored: float32, say

    def _cast(self, values: np.ndarray) -> np.ndarray:
        return values if self.dtype is None or values.dtype.kind != "f" else values.astype(self.dtype, copy=False)


def tangent_space(dataset: Views, env: str) -> TangentSpace:
    """Return the tangent space of an environment's states, whatever condition the dataset has.

    Raises:
        UsageError: the dataset has no such environment.
    """
    check_known(dataset.location, [env], dataset.environments)
    return TangentSpace.from_axes(dataset.fetch(dataset.sql(f"from axes where env = {literal(env)}")))


def normalization(dataset: Views, env: str, kept: Segments) -> Normalization:
    """Return the normalization of an environment by the rows of some segments."""
    rows = StepRows(dataset, env, SOURCES, kept, "float64")
    return Normalization.of((piece for _, piece in rows.in_order()), tangent_space(dataset, env))
