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
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jacdb.ingest.storage import thrift_compact

PAGE_BYTES = 2**19  # of a page's entries, about: a plane of float32 is one block of zstd, and all stay in a cache
_BLOCK_BYTES = 2**17  # of entries that are split at once: they are gathered, out of memory, and still in a cache then
_SAMPLE_BYTES = 2**16  # of a plane, to decide how to compress those that follow
_QUICK, _SMALL = (pa.Codec("zstd", compression_level=level) for level in (-2, 1))  # 1 is Arrow's
_QUICK_MAY_LEAVE = 1.03  # times as many bytes
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
    closed the file, :meth:`completed` returns its end.

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
        self._planes = _Planes()
        self._codecs: dict[str, list[pa.Codec]] = {}  # by column, of each plane
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
            levels, planes = _levels(count, shape, deepest), self._planes.split(some, entry)
            if field.name not in self._codecs:
                self._codecs[field.name] = [_codec_for(plane) for plane in planes]
            codecs = zip(self._codecs[field.name], planes, strict=True)
            frames = [codec.compress(plane) for codec, plane in codecs]
            size, compressed = levels.size + planes.nbytes, len(levels.frame) + sum(map(len, frames))
            header = thrift_compact.encode(_page_header(count * math.prod(shape), size, compressed))
            pages.append((self._stream.tell(), len(header) + compressed, rows))
            for part in (header + levels.frame, *frames):
                self._stream.write(part)
            rows += count
            uncompressed += len(header) + size
        return _Chunk(field.name, rows * math.prod(shape), pages, uncompressed)

    def completed(self, end: bytes, offset: int) -> bytes:
        """Return the end of a file, from behind the last page, with its arrays in the footer.

        Args:
            end: as Arrow wrote it: indices, and the footer.
            offset: of the end, in the file.

        Raises:
            OSError: Arrow's footer is not as it was expected.
        """
        length, magic = struct.unpack("<I4s", end[-8:])
        if magic != _MAGIC:
            raise OSError("a Parquet file does not end as it should: it can't be completed")
        footer = thrift_compact.decode(end[-8 - length : -8], closed=(4, 1))  # row groups, and columns in each
        indices = bytearray(end[: -8 - length])
        for group, chunks in zip(footer[4].value.items, self._groups, strict=True):
            self._correct(group, chunks, indices, offset)
        encoded = thrift_compact.encode(footer)
        return bytes(indices) + encoded + struct.pack("<I4s", len(encoded), _MAGIC)

    def _correct(self, group: thrift_compact.Struct, chunks: list[_Chunk], indices: bytearray, offset: int) -> None:
        """Put arrays into a RowGroup, and where their pages are into the indices, which begin at ``offset``."""
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
            column |= {4: thrift_compact.i64(offset + len(indices)), 5: thrift_compact.i32(len(index))}
            indices += index
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


class _Planes:
    """Splits pages: memory for their bytes, used again for every page, so that it stays in a cache."""

    def __init__(self) -> None:
        self._planes = np.empty(0, np.uint8)

    def split(self, pieces: list[np.ndarray], entry: np.dtype) -> np.ndarray:
        """Return every entry's first byte, then every entry's second byte, …: a plane each, (bytes, entries).

        They stay until the next call.
        """
        n_entries = sum(piece.size for piece in pieces)
        if self._planes.size < n_entries * entry.itemsize:
            self._planes = np.empty(n_entries * entry.itemsize, np.uint8)
        planes = self._planes[: n_entries * entry.itemsize].reshape(entry.itemsize, n_entries)
        of_block = max(1, _BLOCK_BYTES // (math.prod(pieces[0].shape[1:]) * entry.itemsize))
        done = 0
        for some in rechunk(pieces, of_block):
            bits = np.concatenate(some, dtype=entry, casting="same_kind").view(f"u{entry.itemsize}").ravel()
            _split(bits, planes[:, done : done + bits.size])
            done += bits.size
        return planes


def _split(bits: np.ndarray, planes: np.ndarray) -> None:
    """Write each byte of unsigned numbers into its plane, by halves: shorter numbers are quicker to shift."""
    if len(planes) == 1:
        planes[0] = bits
        return
    half = len(planes) // 2
    lower = bits.astype(f"u{half}")  # of an unsigned number the lowest bytes stay
    _split(lower, planes[:half])
    np.right_shift(bits, 8 * half, out=bits)
    lower[...] = bits
    _split(lower, planes[half:])


# --- compression: a frame of zstd for the levels, and for each plane; frames that follow one another are one content --


def _codec_for(plane: np.ndarray) -> pa.Codec:
    """Return what to compress planes like this one with.

    The quick way stores what does not repeat as it is. Mantissas with zeros among them take two thirds of the time, and
    leave as many bytes, for in a whole plane it finds more of the zeros than in a sample.
    """
    quick, small = (codec.compress(plane[:_SAMPLE_BYTES]).size for codec in (_QUICK, _SMALL))
    return _QUICK if quick <= _QUICK_MAY_LEAVE * small else _SMALL


# --- levels ---------------------------------------------------------------------------------------------------


class _Levels(NamedTuple):
    """A page's repetition and definition levels."""

    size: int  # bytes
    frame: bytes  # compressed


@functools.lru_cache(maxsize=16)
def _levels(rows: int, shape: tuple[int, ...], deepest: int) -> _Levels:
    """Return the levels of a page of so many arrays of one shape.

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
    return _Levels(len(both), _SMALL.compress(both, asbytes=True))


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
