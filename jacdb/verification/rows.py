"""Check single rows of `steps`: their shapes, and whether their columns agree with each other and with `patterns`.

Rows are read batch by batch, so that memory is bounded whatever a part holds. Nothing is simulated.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import nested_lists, schemas
from jacdb.methods import METHODS
from jacdb.verification.findings import Check, message

BATCH_ENTRIES, BATCH_ROWS = 4_000_000, 5_000  # the most matrix entries, and the most rows, in a batch
UNREADABLE = (OSError, pa.ArrowException, ValueError, MemoryError)  # what reading a corrupt file raises
MAX_LIST = 100_000  # the most values in a list whose right length is not known
SCALARS = ("env", "policy", "run_id", "episode", "step", "reward", "done", "truncated", "pattern_id", "n_zero_state",
           "n_zero_action", "in_contact", "n_contacts", "residual", "method", "finite", "replay_error")  # fmt: skip
VECTORS = ("state", "action", "next_state", "j_state", "j_action")
# One leaf of the contacts: only their number is checked, and their names could unpack to any size
CONTACTS = "contacts.list.element.distance"
# Text with few values: it is read as codes, for a corrupt file could unpack to any size
CODED = ("env", "policy", "run_id", "method")


@dataclass(frozen=True)
class Dimensions:
    """Dimensions of a run's spaces.

    Attributes:
        n_state: of stored states.
        n_moving: of these, positions and velocities (qpos and qvel).
        d_state: of the tangent space.
        d_action: of actions.
    """

    n_state: int
    n_moving: int
    d_state: int
    d_action: int

    def shape(self, column: str) -> tuple[int, ...]:
        """Return the shape of one row of a column."""
        return {
            "state": (self.n_state,),
            "next_state": (self.n_state,),
            "action": (self.d_action,),
            "j_state": (self.d_state, self.d_state),
            "j_action": (self.d_state, self.d_action),
        }[column]

    def n_entries(self, column: str) -> int:
        """Return how many numbers one row of a column holds."""
        return math.prod(self.shape(column))


@dataclass(frozen=True)
class RunPatterns:
    """A run's zero patterns.

    Attributes:
        ids: (patterns,), sorted.
        bits_state, bits_action: (patterns, bytes): the zeros of j_state and j_action, flat and packed in bytes.
    """

    ids: np.ndarray
    bits_state: np.ndarray
    bits_action: np.ndarray


@dataclass
class RowBatch:
    """A batch of rows that have the right shapes.

    Attributes:
        rows: their numbers in the file.
        scalars: the columns with one value per row, (rows,); masked where a value is null.
        values: state, action, next_state (rows, n), j_state and j_action (rows, entries), as they are stored.
        counted: (rows,), the number of contacts listed in each row.
    """

    rows: np.ndarray
    scalars: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    counted: np.ndarray


@dataclass
class RowChecks:
    """The checks of single rows of one run; a call checks a batch."""

    keys: Check
    shapes: Check
    finite: Check
    zeros: Check
    contacts: Check
    tolerance: float | None = None  # of the replay error; None where no step was recorded elsewhere, inf if not known

    def __call__(
        self, path: str, batch: RowBatch, dimensions: Dimensions, patterns: RunPatterns, threshold: float
    ) -> None:
        self._finite(path, batch)
        self._zeros(path, batch, dimensions, patterns, threshold)
        self._contacts(path, batch)
        self._replayed(path, batch)

    def check_keys(self, path: str, rows: np.ndarray, batch: pa.RecordBatch, expected: dict[str, str]) -> None:
        """Check that partition columns agree with the folders, and that the method is a known one."""
        self.keys.checked += len(rows)
        for column, value in expected.items():
            differs = pc.not_equal(batch.column(column), value).to_numpy(zero_copy_only=False)
            wrong = message(f"{column} is {{!s:.80}}, folder or run say {value}", batch.column(column))
            self.keys.fail_rows(path, rows, differs, wrong)
        unknown = pc.invert(pc.is_in(batch.column("method").cast(pa.string()), pa.array(METHODS)))
        wrong = message(f"method is {{!s:.80}}, it must be one of {', '.join(METHODS)}", batch.column("method"))
        self.keys.fail_rows(path, rows, unknown.to_numpy(zero_copy_only=False), wrong)

    def _finite(self, path: str, batch: RowBatch) -> None:
        """Compare `finite` with the numbers, and check that a row has a pattern exactly if it is finite."""
        finite = np.isfinite(np.ma.filled(batch.scalars["reward"], 0.0))  # null where there is none
        for column in ("state", "next_state", "j_state", "j_action"):
            finite &= np.isfinite(batch.values[column]).all(axis=1)
        stated = batch.scalars["finite"]
        self.finite.checked += len(stated)
        wrong = message("finite is {}, state, matrices and reward say {}", stated, finite)
        self.finite.fail_rows(path, batch.rows, stated != finite, wrong)
        for column in ("pattern_id", "n_zero_state", "n_zero_action"):
            present = ~np.ma.getmaskarray(batch.scalars[column])
            wrong = message(f"{column} is present: {{}}; the row is finite: {{}}", present, stated)
            self.finite.fail_rows(path, batch.rows, present != stated, wrong)

    def _zeros(
        self, path: str, batch: RowBatch, dimensions: Dimensions, patterns: RunPatterns, threshold: float
    ) -> None:
        """Compare the bits of the patterns with the stored matrices.

        Zeros were decided in float64, before rounding: |j| < t. Rounding to nearest is monotone, so with s = round(|j|)
        and T = round(t): |j| < t gives s <= T, and |j| >= t gives s >= T. Hence, of a float32 entry, s > T means that
        the bit must be 0, and s < T that it must be 1; s = T (1e-12 to one part in 10^7) allows both. Nothing more
        follows from what is stored. A float64 entry is not rounded: the bit is s < t.
        """
        use = np.flatnonzero(batch.scalars["finite"] & ~np.ma.getmaskarray(batch.scalars["pattern_id"]))
        ids = np.ma.getdata(batch.scalars["pattern_id"])[use]
        place = np.minimum(np.searchsorted(patterns.ids, ids), max(0, len(patterns.ids) - 1))
        known = patterns.ids[place] == ids if len(patterns.ids) else np.zeros(len(ids), bool)
        self.zeros.checked += len(use)
        self.zeros.fail_rows(path, batch.rows[use], ~known, message("pattern_id {} is not in the run's patterns", ids))
        use, place = use[known], place[known]
        for matrix, packed in (("j_state", patterns.bits_state), ("j_action", patterns.bits_action)):
            stored = np.abs(batch.values[matrix][use])
            width = stored.shape[1]
            zero = np.unpackbits(packed[place], axis=1, count=width).astype(bool)
            bound = stored.dtype.type(threshold)
            if stored.dtype == np.float32:
                off = np.where(zero, stored > bound, stored < bound)
            else:
                off = zero != (stored < bound)
            wrong = _wrong_entry(matrix, dimensions.shape(matrix)[1], stored, zero, off)
            self.zeros.fail_rows(path, batch.rows[use], off.any(axis=1), wrong)
            self.zeros.saw(path, batch.rows[use], np.where(zero, stored, 0).max(axis=1, initial=0))
            n_zero, column = zero.sum(axis=1), f"n_zero_{matrix.removeprefix('j_')}"
            stated = np.ma.getdata(batch.scalars[column])[use]
            wrong = message(f"{column} is {{}}, its pattern has {{}} zeros", stated, n_zero)
            self.zeros.fail_rows(path, batch.rows[use], stated != n_zero, wrong)

    def _contacts(self, path: str, batch: RowBatch) -> None:
        """Compare n_contacts and in_contact with the contacts listed."""
        stated, touching, counted = batch.scalars["n_contacts"], batch.scalars["in_contact"], batch.counted
        self.contacts.checked += len(stated)
        wrong = message("n_contacts is {} and in_contact {}; {} contacts are listed", stated, touching, counted)
        self.contacts.fail_rows(path, batch.rows, (stated != counted) | (touching != (counted > 0)), wrong)

    def _replayed(self, path: str, batch: RowBatch) -> None:
        """Check that a row which counts was replayed within the run's tolerance; without one, no row has an error."""
        error, counts = batch.scalars["replay_error"], batch.scalars["finite"]
        if self.tolerance is None:
            wrong = ~np.ma.getmaskarray(error)
            self.finite.fail_rows(
                path, batch.rows, wrong, message("replay_error is {}, the run has no tolerance", error)
            )
            return
        beyond = counts & ~(np.ma.filled(error, np.inf) <= self.tolerance)
        told = message(f"finite is true, replay_error is {{}}; the run's tolerance is {self.tolerance:g}", error)
        self.finite.fail_rows(path, batch.rows, beyond, told)


def batches(path: Path, dimensions: Dimensions) -> Iterator[pa.RecordBatch]:
    """Yield a part of `steps` in batches, with the columns that are checked."""
    file = pq.ParquetFile(path, read_dictionary=list(CODED))
    columns = [name for name in (*SCALARS, *VECTORS) if name in file.schema_arrow.names] + [CONTACTS]
    entries = dimensions.n_entries("j_state") + dimensions.n_entries("j_action")
    for batch in file.iter_batches(max(1, min(BATCH_ROWS, BATCH_ENTRIES // entries)), columns=columns):
        batch.validate(full=True)  # refuses wrong offsets, and text that is not UTF-8
        if "replay_error" not in batch.schema.names:  # before version 3
            batch = batch.append_column("replay_error", pa.nulls(len(batch), pa.float64()))
        yield batch


def oversized(path: Path, table: str, dimensions: Dimensions) -> str | None:
    """Return what is wrong if a part's footer lists more numbers than its rows can have: it must not be unpacked."""
    expected = {name: dimensions.n_entries(name) for name in VECTORS} if table == "steps" else {}
    groups = pq.read_metadata(path)
    for index in range(groups.num_row_groups):
        group = groups.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            # by the schema, which has been checked; the group's own path has not
            name = groups.schema.column(place).path.partition(".")[0]
            # a small excess is left to `well_formed`, which names the row
            if column.num_values > MAX_LIST + group.num_rows * expected.get(name, MAX_LIST):
                return f"row group {index} has {column.num_values:,} values of {name} in {group.num_rows:,} rows"
    return None


def well_formed(batch: pa.RecordBatch, dimensions: Dimensions) -> tuple[np.ndarray, Callable[[int], str]]:
    """Return which rows have every value and lists of the right lengths.

    Returns:
        Booleans (rows,), and a function from a row to what is wrong with it.
    """
    wrong: dict[int, str] = {}
    for column in (*SCALARS, *VECTORS, "contacts"):
        nullable = schemas.steps().schema.field(column).nullable
        null = batch.column(column).is_null().to_numpy(zero_copy_only=False)
        if not nullable and null.any():
            wrong |= dict.fromkeys(np.flatnonzero(null).tolist(), f"{column} is null")
    for column in VECTORS:
        shape = dimensions.shape(column)
        ragged = np.flatnonzero(~_has_shape(batch.column(column), shape))
        text = f"{column} is not {' x '.join(map(str, shape))} numbers, as runs and axes say"
        wrong |= {row: text for row in ragged.tolist() if row not in wrong}
    mask = np.ones(len(batch), bool)
    mask[list(wrong)] = False
    return mask, lambda row: wrong[row]


def read(batch: pa.RecordBatch, rows: np.ndarray, dimensions: Dimensions) -> RowBatch:
    """Convert rows that are well formed into NumPy arrays.

    Args:
        batch: the rows.
        rows: their numbers in the file.
        dimensions: the run's.
    """
    scalars = {name: _numpy(batch.column(name)) for name in SCALARS if name not in CODED}
    scalars["method"] = np.asarray(batch.column("method").cast(pa.string()), dtype=object)
    values = {}
    for column in VECTORS:
        values[column] = nested_lists.entries(batch.column(column)).reshape(len(batch), dimensions.n_entries(column))
    counted = pc.list_value_length(batch.column("contacts")).to_numpy(zero_copy_only=False)
    return RowBatch(rows, scalars, values, counted)


def _numpy(column: pa.Array) -> np.ndarray:
    if not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    mask = column.is_null().to_numpy(zero_copy_only=False)
    return np.ma.array(column.fill_null(0).to_numpy(zero_copy_only=False), mask=mask)


def _has_shape(column: pa.Array, shape: tuple[int, ...]) -> np.ndarray:
    """Return which lists have this shape and hold no null."""
    if not shape:
        return column.is_valid().to_numpy(zero_copy_only=False)
    lengths: np.ndarray = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    right = lengths == shape[0]
    inner = _has_shape(column.flatten(), shape[1:])
    if not inner.all():
        owner = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
        right[owner[~inner]] = False
    return right


def _wrong_entry(
    matrix: str, columns: int, stored: np.ndarray, zero: np.ndarray, off: np.ndarray
) -> Callable[[int], str]:
    """Return a function from a row to a sentence on its first wrong entry."""

    def wrong(row: int) -> str:
        entry = int(np.argmax(off[row]))
        kind = "a zero" if zero[row, entry] else "not a zero"
        more = f", and {off[row].sum() - 1} more are wrong" if off[row].sum() > 1 else ""
        place = "[{}, {}]".format(*divmod(entry, columns))
        return f"{matrix}{place} is {stored[row, entry]:.6g} in size, its pattern says it is {kind}{more}"

    return wrong
