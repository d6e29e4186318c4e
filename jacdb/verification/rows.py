"""Whether the rows of `steps` are consistent: in themselves, with each other, with patterns, and with the run's sizes.

Batch by batch, so that memory is bounded whatever a part holds; nothing is simulated.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.verification.findings import Check, message

BATCH_ENTRIES, BATCH_ROWS = 4_000_000, 5_000  # entries of matrices, and rows, at most, looked at together
UNREADABLE = (OSError, pa.ArrowException, ValueError, MemoryError)  # what reading a corrupt file raises
MAX_LIST = 100_000  # values in a list of which no more is known
METHODS = ("implicit", "unrolled", "autodiff", "fd")
SCALARS = ("env", "policy", "run_id", "episode", "step", "reward", "done", "truncated", "pattern_id", "n_zero_state",
           "n_zero_action", "in_contact", "n_contacts", "residual", "method", "finite")  # fmt: skip
VECTORS = ("state", "action", "next_state", "j_state", "j_action")
# Of contacts one leaf: how many there are is what rows say elsewhere, and names may unpack to any size
CONTACTS = "contacts.list.element.distance"
CODED = ("env", "policy", "run_id", "method")  # few values: read as codes, whatever they unpack to


@dataclass(frozen=True)
class Dimensions:
    """Dimensions of a run's spaces: of stored states (of these, qpos and qvel), of the tangent space, of actions."""

    n_state: int
    n_moving: int
    d_state: int
    d_action: int

    def shape(self, column: str) -> tuple[int, ...]:
        return {
            "state": (self.n_state,),
            "next_state": (self.n_state,),
            "action": (self.d_action,),
            "j_state": (self.d_state, self.d_state),
            "j_action": (self.d_state, self.d_action),
        }[column]

    def n_entries(self, column: str) -> int:
        return math.prod(self.shape(column))


@dataclass(frozen=True)
class Patterns:
    """A run's zero patterns: ids in order, and of each the zeros of j_state and j_action, flat and packed in bytes."""

    ids: np.ndarray
    bits_state: np.ndarray
    bits_action: np.ndarray


@dataclass
class Batch:
    """Some rows of a part that have the right shapes.

    Attributes:
        rows: their numbers in the file.
        scalars: columns of one value a row; NumPy arrays.
        values: state, action, next_state (rows, n), j_state and j_action (rows, entries), as they are stored.
        counted: contacts listed in each row.
    """

    rows: np.ndarray
    scalars: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    counted: np.ndarray


@dataclass
class RowChecks:
    """The checks of single rows, of one run."""

    keys: Check
    shapes: Check
    finite: Check
    zeros: Check
    contacts: Check

    def __call__(self, path: str, batch: Batch, sizes: Dimensions, patterns: Patterns, threshold: float) -> None:
        self._finite(path, batch)
        self._zeros(path, batch, sizes, patterns, threshold)
        self._contacts(path, batch)

    def of_keys(self, path: str, rows: np.ndarray, batch: pa.RecordBatch, expected: dict[str, str]) -> None:
        """Partition columns say what the folders say; a method is one that there is."""
        self.keys.checked += len(rows)
        for column, value in expected.items():
            other = pc.not_equal(batch.column(column), value).to_numpy(zero_copy_only=False)
            wrong = message(f"{column} is {{!s:.80}}, folder or run say {value}", batch.column(column))
            self.keys.fail_rows(path, rows, other, wrong)
        unknown = pc.invert(pc.is_in(batch.column("method").cast(pa.string()), pa.array(METHODS)))
        wrong = message(f"method is {{!s:.80}}, there are {', '.join(METHODS)}", batch.column("method"))
        self.keys.fail_rows(path, rows, unknown.to_numpy(zero_copy_only=False), wrong)

    def _finite(self, path: str, batch: Batch) -> None:
        finite = np.isfinite(batch.scalars["reward"])
        for column in ("state", "next_state", "j_state", "j_action"):
            finite &= np.isfinite(batch.values[column]).all(axis=1)
        said = batch.scalars["finite"]
        self.finite.checked += len(said)
        wrong = message("finite is {}, state, matrices and reward say {}", said, finite)
        self.finite.fail_rows(path, batch.rows, said != finite, wrong)
        for column in ("pattern_id", "n_zero_state", "n_zero_action"):
            there = ~np.ma.getmaskarray(batch.scalars[column])
            wrong = message(f"that {column} is there is {{}}, that the row is finite {{}}", there, said)
            self.finite.fail_rows(path, batch.rows, there != said, wrong)

    def _zeros(self, path: str, batch: Batch, sizes: Dimensions, patterns: Patterns, threshold: float) -> None:
        """Pattern bits against stored matrices.

        A zero was told in float64, before rounding: |j| < t. Rounding to nearest is monotone, so with s = round(|j|)
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
            wrong = _entry(matrix, sizes.shape(matrix)[1], stored, zero, off)
            self.zeros.fail_rows(path, batch.rows[use], off.any(axis=1), wrong)
            self.zeros.saw(path, batch.rows[use], np.where(zero, stored, 0).max(axis=1, initial=0))
            n_zero, column = zero.sum(axis=1), f"n_zero_{matrix.removeprefix('j_')}"
            said = np.ma.getdata(batch.scalars[column])[use]
            wrong = message(f"{column} is {{}}, its pattern has {{}} zeros", said, n_zero)
            self.zeros.fail_rows(path, batch.rows[use], said != n_zero, wrong)

    def _contacts(self, path: str, batch: Batch) -> None:
        said, touching, counted = batch.scalars["n_contacts"], batch.scalars["in_contact"], batch.counted
        self.contacts.checked += len(said)
        wrong = message("n_contacts is {} and in_contact {}; {} contacts are listed", said, touching, counted)
        self.contacts.fail_rows(path, batch.rows, (said != counted) | (touching != (counted > 0)), wrong)


def batches(path: Path, sizes: Dimensions) -> Iterator[pa.RecordBatch]:
    """A part of `steps`, all columns that are checked."""
    file = pq.ParquetFile(path, read_dictionary=list(CODED))
    columns = [*SCALARS, *VECTORS, CONTACTS]
    entries = sizes.n_entries("j_state") + sizes.n_entries("j_action")
    for batch in file.iter_batches(max(1, min(BATCH_ROWS, BATCH_ENTRIES // entries)), columns=columns):
        batch.validate(full=True)  # offsets that lead elsewhere, text that is none
        yield batch


def swollen(path: Path, table: str, sizes: Dimensions) -> str | None:
    """Whether a part's footer admits to more numbers than its rows can have: they are not to be unpacked."""
    expected = {name: sizes.n_entries(name) for name in VECTORS} if table == "steps" else {}
    groups = pq.read_metadata(path)
    for index in range(groups.num_row_groups):
        group = groups.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            name = groups.schema.column(place).path.split(".")[0]  # checked by now, unlike the group's own
            # a little too much is left to `regular`, which names the row
            if column.num_values > MAX_LIST + group.num_rows * expected.get(name, MAX_LIST):
                return f"row group {index} has {column.num_values:,} values of {name} in {group.num_rows:,} rows"
    return None


def regular(batch: pa.RecordBatch, sizes: Dimensions) -> tuple[np.ndarray, Callable[[int], str]]:
    """Which rows have every value, and lists of the right lengths; and what is wrong with one that has not."""
    wrong: dict[int, str] = {}
    for column in (*SCALARS, *VECTORS, "contacts"):
        nullable = schemas.steps().schema.field(column).nullable
        null = batch.column(column).is_null().to_numpy(zero_copy_only=False)
        if not nullable and null.any():
            wrong |= dict.fromkeys(np.flatnonzero(null).tolist(), f"{column} is null")
    for column in VECTORS:
        shape = sizes.shape(column)
        ragged = np.flatnonzero(~_has_shape(batch.column(column), shape))
        text = f"{column} is not {' x '.join(map(str, shape))} numbers, as runs and axes say"
        wrong |= {row: text for row in ragged.tolist() if row not in wrong}
    mask = np.ones(len(batch), bool)
    mask[list(wrong)] = False
    return mask, lambda row: wrong[row]


def read(batch: pa.RecordBatch, rows: np.ndarray, sizes: Dimensions) -> Batch:
    """Rows whose shapes are right, as NumPy arrays."""
    scalars = {name: _numpy(batch.column(name)) for name in SCALARS if name not in CODED}
    scalars["method"] = np.asarray(batch.column("method").cast(pa.string()), dtype=object)
    values = {}
    for column in VECTORS:
        leaf = batch.column(column)
        while pa.types.is_list(leaf.type):
            leaf = leaf.flatten()
        values[column] = leaf.to_numpy(zero_copy_only=False).reshape(len(batch), sizes.n_entries(column))
    counted = pc.list_value_length(batch.column("contacts")).to_numpy(zero_copy_only=False)
    return Batch(rows, scalars, values, counted)


def _numpy(column: pa.Array) -> np.ndarray:
    if not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    mask = column.is_null().to_numpy(zero_copy_only=False)
    return np.ma.array(column.fill_null(0).to_numpy(zero_copy_only=False), mask=mask)


def _has_shape(column: pa.Array, shape: tuple[int, ...]) -> np.ndarray:
    """Which lists have this shape, with no null in them."""
    if not shape:
        return column.is_valid().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    right = lengths == shape[0]
    inner = _has_shape(column.flatten(), shape[1:])
    if not inner.all():
        owner = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
        right[owner[~inner]] = False
    return right


def _entry(matrix: str, columns: int, stored: np.ndarray, zero: np.ndarray, off: np.ndarray) -> Callable[[int], str]:
    def wrong(row: int) -> str:
        entry = int(np.argmax(off[row]))
        called = "a zero" if zero[row, entry] else "no zero"
        more = f", and {off[row].sum() - 1} more are wrong" if off[row].sum() > 1 else ""
        place = "[{}, {}]".format(*divmod(entry, columns))
        return f"{matrix}{place} is {stored[row, entry]:.6g} in size, its pattern calls it {called}{more}"

    return wrong
