"""How a table becomes a Parquet file: on the disk when it is written, with arrays beside Arrow's columns."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.dataset.encoding import parquet_options
from jacdb.ingest.storage.durability import DurableFile, durable_file
from jacdb.ingest.storage.episodes import ARRAYS
from jacdb.ingest.storage.parquet_pages import DenseColumns
from jacdb.nested_lists import from_array, leaf_type

type Encoder = Literal["pages", "arrow"]  # who encodes the columns ARRAYS: DenseColumns, or Arrow as any column
type Writing = Callable[[Path], str]  # writes a file, on the disk when it returns; its SHA-256


class RowGroup(NamedTuple):
    """A row group of `steps`."""

    rows: pa.Table  # with nothing in the columns ARRAYS
    arrays: dict[str, list[np.ndarray]]  # in pieces, (rows, x) or (rows, x, y) each

    def with_arrays(self) -> pa.Table:
        """Return the rows with their arrays as columns of Arrow: a copy of them."""
        table = self.rows
        for name, pieces in self.arrays.items():
            place = table.schema.get_field_index(name)
            field = table.schema.field(place)
            entry = leaf_type(field.type).to_pandas_dtype()
            values = np.concatenate(pieces, dtype=entry, casting="same_kind")
            table = table.set_column(place, field, from_array(values, field.type))
        return table


def writing(table: pa.Table) -> Writing:
    """Return the function that writes a table."""

    def write(path: Path) -> str:
        with durable_file(path) as file:
            with _parquet(file, table.schema) as (_, parquet):
                parquet.write_table(table)
            return file.checksum()

    return write


def writing_steps(schema: pa.Schema, groups: Iterable[RowGroup], encoder: Encoder = "pages") -> Writing:
    """Return the function that writes `steps`, by row groups: a copy of a whole part takes memory not at hand.

    Args:
        schema: the file's.
        groups: the row groups, each asked for when the one before is written.
        encoder: "pages" for our own pages, which are quicker to write; "arrow" for Arrow's, which need none of
            :mod:`jacdb.ingest.storage.parquet_pages`. Both read back equal.
    """

    def write(path: Path) -> str:
        with durable_file(path) as file:
            with _parquet(file, schema) as (stream, parquet):
                arrays = DenseColumns(stream, schema, ARRAYS) if encoder == "pages" else None
                for group in groups:
                    parquet.write_table(group.rows if arrays else group.with_arrays())
                    if arrays:
                        arrays.write(group.arrays)
                    file.advance()
                if arrays:
                    file.keep()  # the footer, which does not know of the arrays
            if arrays:
                file.write(arrays.completed(file.kept(), file.tell()))
            return file.checksum()

    return write


@contextmanager
def _parquet(file: DurableFile, schema: pa.Schema) -> Iterator[tuple[pa.NativeFile, pq.ParquetWriter]]:
    """Open the file for Arrow, and Arrow's writer of it. Both count the bytes that go through the stream."""
    with (
        pa.PythonFile(file, mode="w") as stream,
        pq.ParquetWriter(stream, schema, **parquet_options(schema)) as parquet,
    ):
        yield stream, parquet
