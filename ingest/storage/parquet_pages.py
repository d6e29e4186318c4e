"""Vectors and matrices in Parquet, written for what they are: lists, or lists of lists, that all have one shape.

To Parquet a list is its entries, each with a repetition level (0 where a row of the table begins, 1 where a row of the
matrix does, 2 elsewhere) and a definition level (nothing is null). Arrow works both out for every entry of every row,
and that took half of a part's time: of arrays of one shape they are the same in every row, and are encoded once for
all pages. Everything else of the file is Arrow's: it is given empty lists in place of the arrays, and the footer is
then told where they are.

Reference: Parquet's parquet.thrift and "Encodings" (RLE / bit-packing hybrid, byte stream split).
"""

import functools
import itertools
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from jacdb.ingest.storage import thrift_compact

PAGE_BYTES = 2**20  # of a page's entries, about: Arrow's own choice
_BLOCK_BYTES = 2**18  # of entries that are split at once: they are gathered, out of memory, and still in a cache then
_MAGIC = b"PAR1"
_DATA_PAGE, _BYTE_STREAM_SPLIT, _RLE = 0, 9, 3  # of PageType and Encoding


class _Chunk(NamedTuple):
    """A column of a row group, as its pages lie in the file."""

    name: str
    entries: int
    pages: list[tuple[int, int, int]]  # offset in the file, bytes with its header, first row in the row group
    uncompressed: int  # bytes, headers included

    @property
    def compressed(self) -> int:
        return sum(size for _, size, _ in self.pages)


class DenseColumns:
    """Writes the columns of vectors and matrices of one file whose other columns Arrow writes.

    For every row group: Arrow writes a table with :func:`placeholder`, then :meth:`write` is called. When Arrow has
    closed the file, :meth:`finish`.

    Args:
        stream: the file's, which Arrow writes to.
        schema: the file's.
        names: of the columns, lists, or lists of lists, of numbers.
    """

    def __init__(self, stream: pa.NativeFile, schema: pa.Schema, names: Iterable[str]) -> None:
        self._stream = stream
        self._fields = {name: schema.field(name) for name in names}
        first = itertools.accumulate(map(_n_leaves, schema.types), initial=0)
        self._places = dict(zip(schema.names, first, strict=False))  # a column's first leaf, among the file's
        self._codec = pa.Codec("zstd", compression_level=1)  # Arrow's level
        self._groups: list[list[_Chunk]] = []

    def write(self, arrays: Mapping[str, list[np.ndarray]]) -> None:
        """Write the columns of a row group, given in pieces, (rows, x) or (rows, x, y) each."""
        self._groups.append([self._chunk(self._fields[name], pieces) for name, pieces in arrays.items()])

    def _chunk(self, field: pa.Field, pieces: list[np.ndarray]) -> _Chunk:
        entry, deepest = _leaf(field)
        shape = pieces[0].shape[1:]
        of_page = max(1, PAGE_BYTES // (math.prod(shape) * entry.itemsize))
        pages, rows, uncompressed = [], 0, 0
        for some in rechunk(pieces, of_page):
            count = sum(map(len, some))
            page = _page(some, _levels(count, shape, deepest), entry)
            compressed = self._codec.compress(page)
            header = thrift_compact.encode(_page_header(count * math.prod(shape), len(page), compressed.size))
            pages.append((self._stream.tell(), len(header) + compressed.size, rows))
            self._stream.write(header)
            self._stream.write(compressed)
            rows += count
            uncompressed += len(header) + len(page)
        return _Chunk(field.name, rows * math.prod(shape), pages, uncompressed)

    def finish(self, path: Path) -> None:
        """Tell the footer of the closed file where its arrays are."""
        with path.open("rb+") as file:
            end = file.seek(-8, 2)
            length, magic = struct.unpack("<I4s", file.read(8))
            if magic != _MAGIC:
                raise OSError(f"{path} does not end as a Parquet file does: it can't be completed")
            file.seek(end - length)
            footer = thrift_compact.decode(file.read(length), closed=(4, 1))  # row groups, and columns in each
            file.seek(end - length)
            file.truncate()
            for group, chunks in zip(footer[4].value.items, self._groups, strict=True):
                self._correct(group, chunks, file)
            encoded = thrift_compact.encode(footer)
            file.write(encoded + struct.pack("<I4s", len(encoded), _MAGIC))

    def _correct(self, group: thrift_compact.Struct, chunks: list[_Chunk], file: BinaryIO) -> None:
        """Put arrays into a RowGroup, and where their pages are into the file."""
        columns = group[1].value.items
        more = {"uncompressed": 0, "compressed": 0}
        for chunk in chunks:
            place = self._places[chunk.name]
            columns[place] = column = thrift_compact.decode(columns[place])
            meta = column[3].value  # ColumnMetaData
            if meta[3].value.items[0] != chunk.name.encode():
                raise OSError(f"column {place} of the Parquet file is not {chunk.name}: its footer can't be completed")
            more["uncompressed"] += chunk.uncompressed - meta[6].value
            more["compressed"] += chunk.compressed - meta[7].value
            for optional in (11, 12, 13, 16):  # dictionary, statistics, pages by encoding, sizes: of the empty lists
                meta.pop(optional, None)
            meta |= {
                5: thrift_compact.i64(chunk.entries),
                6: thrift_compact.i64(chunk.uncompressed),
                7: thrift_compact.i64(chunk.compressed),
                9: thrift_compact.i64(chunk.pages[0][0]),
            }
            index = thrift_compact.encode(_offset_index(chunk))
            for optional in (6, 7):  # the column index
                column.pop(optional, None)
            column |= {4: thrift_compact.i64(file.tell()), 5: thrift_compact.i32(len(index))}
            file.write(index)
        group[2] = thrift_compact.i64(group[2].value + more["uncompressed"])
        group[6] = thrift_compact.i64(group[6].value + more["compressed"])


def rechunk(pieces: list[np.ndarray], rows: int) -> Iterator[list[np.ndarray]]:
    """Yield the same rows in lists of so many; the last may have fewer."""
    some: list[np.ndarray] = []
    room = rows
    for piece in pieces:
        while len(piece):
            some.append(piece[:room])
            piece, room = piece[room:], room - len(some[-1])
            if not room:
                yield some
                some, room = [], rows
    if some:
        yield some


def placeholder(rows: int, field: pa.Field) -> pa.Array:
    """Return a column of empty lists, which Arrow writes in the place of one of arrays."""
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), pa.array([], field.type.value_type))


def _page(pieces: list[np.ndarray], levels: np.ndarray, entry: np.dtype) -> np.ndarray:
    """Return a page's bytes: after the levels every entry's first byte, then every entry's second byte, …"""
    entries = sum(piece.size for piece in pieces)
    page = np.empty(len(levels) + entries * entry.itemsize, np.uint8)
    page[: len(levels)] = levels
    split = page[len(levels) :].reshape(entry.itemsize, entries)
    of_block = max(1, _BLOCK_BYTES // (math.prod(pieces[0].shape[1:]) * entry.itemsize))
    done = 0
    for some in rechunk(pieces, of_block):
        bits = np.concatenate(some, dtype=entry, casting="same_kind").view(f"u{entry.itemsize}").ravel()
        for byte, plane in enumerate(split):
            plane[done : done + bits.size] = bits >> (8 * byte)  # of an unsigned number the lowest byte stays
        done += bits.size
    return page


# --- levels ---------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _levels(rows: int, shape: tuple[int, ...], deepest: int) -> np.ndarray:
    """Return the bytes of a page's repetition and definition levels.

    Repetition levels are one bit-packed run, of a bit each, or two; definition levels one run of the same value.
    """
    depth = len(shape)
    repetition = np.full((rows, *shape), depth, np.uint8)
    for level in reversed(range(depth)):  # where all deeper lists begin
        repetition.reshape(*repetition.shape[: level + 1], -1)[..., 0] = level
    groups = -(-repetition.size // 8)
    bits = np.zeros((8 * groups, depth.bit_length()), np.uint8)  # the lower bit first
    bits[: repetition.size] = repetition.reshape(-1, 1) >> np.arange(depth.bit_length()) & 1
    packed = thrift_compact.varint(groups << 1 | 1) + np.packbits(bits, bitorder="little").tobytes()
    constant = thrift_compact.varint(repetition.size << 1) + bytes([deepest])
    both = b"".join(struct.pack("<I", len(levels)) + levels for levels in (packed, constant))
    return np.frombuffer(both, np.uint8)


def _n_leaves(kind: pa.DataType) -> int:
    """Return how many columns of a Parquet file a column of this type takes."""
    return sum(_n_leaves(kind.field(i).type) for i in range(kind.num_fields)) or 1


def _leaf(field: pa.Field) -> tuple[np.dtype, int]:
    """Return type and definition level of an entry: a step for each list, and for each thing that might be null."""
    deepest, kind = int(field.nullable), field.type
    while pa.types.is_list(kind):
        deepest, kind = deepest + 1 + kind.value_field.nullable, kind.value_type
    return np.dtype(kind.to_pandas_dtype()), deepest


# --- metadata: numbers of fields are parquet.thrift's ----------------------------------------------------------


def _page_header(entries: int, uncompressed: int, compressed: int) -> thrift_compact.Struct:
    data_page = {1: entries, 2: _BYTE_STREAM_SPLIT, 3: _RLE, 4: _RLE}
    return {
        1: thrift_compact.i32(_DATA_PAGE),
        2: thrift_compact.i32(uncompressed),
        3: thrift_compact.i32(compressed),
        5: thrift_compact.struct({number: thrift_compact.i32(value) for number, value in data_page.items()}),
    }


def _offset_index(chunk: _Chunk) -> thrift_compact.Struct:
    pages = [
        {1: thrift_compact.i64(offset), 2: thrift_compact.i32(size), 3: thrift_compact.i64(first_row)}
        for offset, size, first_row in chunk.pages
    ]
    return {1: thrift_compact.structs(pages)}
