"""Check the rows of `steps` batch by batch: each row by itself, and as part of its episode; count what was seen."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jacdb.verification import rows
from jacdb.verification.episodes import EpisodeChecks
from jacdb.verification.rows import Dimensions, RowChecks, RunPatterns


@dataclass
class RowCounts:
    """Totals over a run's rows."""

    rows: int = 0
    excluded: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    dtypes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Expected:
    """The facts that the rows of a run have to agree with.

    Attributes:
        dimensions: the run's dimensions.
        patterns: its zero patterns.
        threshold: below it, an entry counts as zero.
        constants: columns that have one value throughout, and the value.
    """

    dimensions: Dimensions
    patterns: RunPatterns
    threshold: float
    constants: dict[str, str]


@dataclass
class StepChecks:
    """The checks of a run's steps, and the counts of the rows seen so far."""

    rows: RowChecks
    episodes: EpisodeChecks
    counts: RowCounts = field(default_factory=RowCounts)

    def take(self, path: str, numbers: np.ndarray, batch: pa.RecordBatch, expected: Expected) -> None:
        """Check the rows of a batch; ``numbers`` are their rows in the file."""
        kept, wrong = rows.well_formed(batch, expected.dimensions)
        self.rows.shapes.checked += len(batch)
        self.rows.shapes.fail_rows(path, numbers, ~kept, wrong)
        self.rows.check_keys(path, numbers, batch, expected.constants)
        row_batch = rows.read(batch.filter(pa.array(kept)), numbers[kept], expected.dimensions)
        self.rows(path, row_batch, expected.dimensions, expected.patterns, expected.threshold)
        keys = np.stack([batch.column(name).fill_null(-1).to_numpy() for name in ("episode", "step")], axis=1)
        self.episodes(path, numbers, keys, kept, row_batch)
        self.counts.rows += len(batch)
        self.counts.excluded += int((~row_batch.scalars["finite"]).sum())
        self.counts.methods.update(row_batch.scalars["method"].tolist())
        self.counts.dtypes.add(str(row_batch.values["j_state"].dtype))
