"""Vectors and matrices that jacdb writes beside Arrow's columns: readers find them, as if Arrow had written them."""

import io
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic

from jacdb import schemas
from jacdb.ingest.storage import parquet_pages, thrift_compact
from jacdb.ingest.storage.parquet import RowGroup, writing, writing_steps
from jacdb.ingest.storage.parquet_pages import rechunk
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.nested_lists import from_array

GROUPS = (7, 12, 1)  # rows of the row groups


def arrays(rows, shapes, dtype):
    """Columns of `steps`, by name: matrices of these shapes, and vectors of their rows and columns."""
    rng = np.random.default_rng(rows)
    (d_state, _), (_, d_action) = shapes
    vectors = {"state": d_state, "action": d_action, "next_state": d_state}
    return {name: rng.normal(size=(rows, size)) for name, size in vectors.items()} | {
        name: rng.normal(size=(rows, *shape)).astype(dtype)
        for name, shape in zip(("j_state", "j_action"), shapes, strict=True)
    }


def files(folder, of_columns):
    """The same rows in two files: by Arrow alone, and by jacdb."""
    rows = sum(GROUPS)
    kinds = {name: pa.from_numpy_dtype(values.dtype) for name, values in of_columns.items()}
    kinds = {name: pa.list_(pa.list_(kind) if name[:2] == "j_" else kind) for name, kind in kinds.items()}
    fields = [("step", pa.int32()), *kinds.items()]
    fields.insert(3, ("reward", pa.float64()))
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])
    own = {"step": pa.array(np.arange(rows), pa.int32()), "reward": pa.array(np.linspace(0, 1, rows))}
    given = own | {name: from_array(values, kinds[name]) for name, values in of_columns.items()}
    left = own | {name: parquet_pages.placeholder(rows, schema.field(name)) for name in of_columns}
    whole, without = (pa.table([columns[name] for name in schema.names], schema=schema) for columns in (given, left))

    def groups():
        for start, end in zip(np.cumsum([0, *GROUPS]), np.cumsum(GROUPS), strict=False):
            pieces = {name: np.array_split(values[start:end], 3) for name, values in of_columns.items()}
            yield RowGroup(without.slice(start, end - start), pieces)

    writing(whole)(folder / "arrow.parquet")
    writing_steps(schema, groups())(folder / "jacdb.parquet")
    return folder / "arrow.parquet", folder / "jacdb.parquet", whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [((1, 1), (1, 1)), ((3, 3), (3, 2)), ((5, 5), (5, 9))])
@pytest.mark.parametrize("page_bytes", [1, 200, 2**20])  # a page for each row, pages for some, one for all
def test_every_reader_finds_what_arrow_would_have_written(tmp_path, monkeypatch, dtype, shapes, page_bytes):
    monkeypatch.setattr(parquet_pages, "PAGE_BYTES", page_bytes)
    by_arrow, ours, whole = files(tmp_path, arrays(sum(GROUPS), shapes, dtype))
    assert pq.read_table(ours).equals(whole)
    assert pl.read_parquet(ours).equals(pl.read_parquet(by_arrow))
    for where in ("true", "step = 9", "step % 5 = 3"):
        query = f"from '{{}}' where {where} order by step"
        assert duckdb.sql(query.format(ours)).fetchall() == duckdb.sql(query.format(by_arrow)).fetchall()
    with pq.ParquetFile(ours) as file:
        for number, (start, count) in enumerate(zip(np.cumsum([0, *GROUPS]), GROUPS, strict=False)):
            assert file.read_row_group(number).equals(whole.slice(start, count))


def test_users_28_each_byte_of_the_entries_is_compressed_as_suits_it(tmp_path, monkeypatch):
    """By frames of zstd, for the levels and each byte, that leave less than Arrow's one way of a whole page."""
    monkeypatch.setattr(sys.modules[__name__], "GROUPS", (60, 30))
    of_columns = arrays(sum(GROUPS), ((60, 60), (60, 8)), np.float32)
    blocks = np.kron(np.random.default_rng(0).random((12, 12)) < 0.5, np.ones((5, 5), bool))
    of_columns["j_state"] *= blocks  # zero in every step, as where arm and cube do not depend on each other
    by_arrow, ours, whole = files(tmp_path, of_columns)
    assert pq.read_table(ours).equals(whole) and pl.read_parquet(ours).equals(pl.read_parquet(by_arrow))
    sizes, content = [], ours.read_bytes()
    for path in (by_arrow, ours):
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(i).column(5) for i in range(metadata.num_row_groups)]
        sizes.append(sum(group.total_compressed_size for group in groups))
    starts = [group.data_page_offset for group in groups]
    chunks = [content[at : at + group.total_compressed_size] for at, group in zip(starts, groups, strict=True)]
    pages = [-(-rows // (parquet_pages.PAGE_BYTES // (4 * 60 * 60))) for rows in GROUPS]
    assert [chunk.count(b"\x28\xb5\x2f\xfd") for chunk in chunks] == [5 * count for count in pages]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("jacobian", [pa.float32(), pa.float64()])
def test_a_run_reads_the_same_by_either_encoder(tmp_path, jacobian):
    """Our own pages have an exit: Arrow writes the same run alone."""
    found = []
    for encoder in ("pages", "arrow"):
        rng = np.random.default_rng(0)
        matrices = [(rng.normal(size=(40, 3, 3)), rng.normal(size=(40, 3, 2))) for _ in range(3)]
        writer = RunWriter(
            tmp_path / encoder, "Acrobot", "noise", "run", synthetic.trajectory, jacobian, encoder=encoder
        )
        writer.root.mkdir()
        dtype = jacobian.to_pandas_dtype()
        writer.add(*(synthetic.episode(number, *of_one, dtype=dtype) for number, of_one in enumerate(matrices)))
        writer.flush()
        (part,) = (tmp_path / encoder).glob("steps/environment=*/run=*/*.parquet")
        found.append(pq.read_table(part, partitioning=None))
    assert found[0].num_rows == 120 and found[0].equals(found[1])


def test_metadata_say_what_is_there(tmp_path):
    by_arrow, ours, _ = files(tmp_path, arrays(sum(GROUPS), ((4, 4), (4, 2)), np.float32))
    found, expected = pq.read_metadata(ours), pq.read_metadata(by_arrow)
    assert found.schema.equals(expected.schema) and found.num_rows == expected.num_rows
    assert pq.read_schema(ours).equals(pq.read_schema(by_arrow), check_metadata=True)
    groups = [found.row_group(i) for i in range(found.num_row_groups)]
    assert [group.num_rows for group in groups] == list(GROUPS)
    for group in groups:
        columns = [group.column(i) for i in range(group.num_columns)]
        assert group.total_byte_size == sum(column.total_uncompressed_size for column in columns)
        for column, like in zip(columns, map(expected.row_group(0).column, range(7)), strict=True):
            assert (column.encodings, column.compression) == (like.encodings, like.compression)
            assert column.has_offset_index
        assert [column.num_values for column in columns] == [group.num_rows * n for n in (1, 4, 2, 1, 4, 16, 8)]
    sizes = [group.column(5).total_uncompressed_size for group in groups]
    entries = [64 * rows for rows in GROUPS]
    assert all(size - 64 * 4 < bytes_ < size for size, bytes_ in zip(sizes, entries, strict=True))


@pytest.mark.parametrize("table", schemas.TABLES, ids=lambda table: table.name)
def test_a_footer_is_decoded_and_encoded_without_a_change(cartpole, table):
    for path in cartpole.glob(f"{table.name}/environment=*/run=*/*.parquet"):
        footer = io.BytesIO()
        pq.read_metadata(path).write_metadata_file(footer)
        content = footer.getvalue()[4:-8]
        assert len(content) > 100 and thrift_compact.encode(thrift_compact.decode(content)) == content
        left = thrift_compact.decode(content, closed=(4, 1))
        columns = [column for group in left[4].value.items for column in group[1].value.items]
        assert columns and all(thrift_compact.encode(thrift_compact.decode(column)) == column for column in columns)
        assert thrift_compact.encode(left) == content


def test_a_struct_of_any_kinds_can_be_left_encoded():
    """Among others, before which and after which everything is decoded."""
    inner = {
        1: thrift_compact.Field(thrift_compact.TRUE, None),
        2: thrift_compact.Field(thrift_compact.I8, 200),
        3: thrift_compact.i32(-70_000),
        4: thrift_compact.i64(2**40),
        5: thrift_compact.Field(thrift_compact.DOUBLE, bytes([0x80, 0] * 4)),
        6: thrift_compact.Field(thrift_compact.BINARY, bytes(200)),
        7: thrift_compact.Field(thrift_compact.LIST, thrift_compact.List(thrift_compact.TRUE, [1, 2, 1])),
        8: thrift_compact.Field(thrift_compact.SET, thrift_compact.List(thrift_compact.DOUBLE, [bytes(8)] * 20)),
        9: thrift_compact.struct(
            {
                300: thrift_compact.Field(
                    thrift_compact.LIST, thrift_compact.List(thrift_compact.BINARY, [b"", b"\x00\xff"])
                )
            }
        ),
    }
    whole = {1: thrift_compact.i32(1), 2: thrift_compact.structs([inner, {}, inner]), 3: thrift_compact.i32(3)}
    content = thrift_compact.encode(whole)
    assert thrift_compact.decode(content) == whole
    left = thrift_compact.decode(content, closed=[2])
    assert left[2].value.items == [
        thrift_compact.encode(inner),
        thrift_compact.encode({}),
        thrift_compact.encode(inner),
    ]
    assert (left[1], left[3]) == (whole[1], whole[3]) and thrift_compact.encode(left) == content


@pytest.mark.parametrize("closed", [(), (1,)])
def test_a_map_is_refused(closed):
    content = thrift_compact.encode({1: thrift_compact.structs([{}])})
    assert content[-2:] == bytes(2)
    with pytest.raises(ValueError, match="type 11"):
        thrift_compact.decode(content[:-2] + bytes([0x1B, 0, 0, 0]), closed)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**31 - 1, -1, -64, -65, -(2**63), 2**63 - 1])
def test_numbers_of_any_size_come_back(value):
    fields = {
        1: thrift_compact.i64(value),
        200: thrift_compact.i64(value),
    }  # a number too far from the one before for its head
    assert thrift_compact.decode(thrift_compact.encode(fields)) == fields


def test_stretches_keep_rows_and_their_order():
    pieces = np.split(np.arange(20), [3, 3, 11])
    found = list(rechunk(pieces, 6))
    assert [sum(map(len, some)) for some in found] == [6, 6, 6, 2]
    assert np.array_equal(np.concatenate([piece for some in found for piece in some]), np.arange(20))
