"""What comes from a stranger's repository is not trusted: each file has its path, its checksum and its columns."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_datasets import as_alice, contents, refused, small
from loopback import HUB

from jacdb import schemas
from jacdb.dataset import manifest
from jacdb.dataset.layout import Run

pytestmark = pytest.mark.slow


def _flip(files, sums):
    path = next(path for path in files if path.startswith("steps/"))
    files[path] = files[path][:-20] + bytes([files[path][-20] ^ 1]) + files[path][-19:]


def _escape(files, sums):
    files["../../evil.parquet"] = b"x"
    sums["../../evil.parquet"] = "0" * 64


def _foreign(files, sums):
    _replace(files, sums, "steps", pa.table({"x": [1]}))


def _bomb(files, sums):
    column = pa.repeat(pa.scalar("E"), 2_000_000)
    schema = schemas.PATTERNS.schema
    table = pa.table([column.cast(f.type) if f.type == pa.string() else pa.nulls(len(column), f.type) for f in schema],
                     schema=pa.schema([f.with_nullable(True) for f in schema], schema.metadata))  # fmt: skip
    _replace(files, sums, "patterns", table, row_group_size=len(table))


def _short(files, sums):
    for path in [path for path in sums if path.startswith("episodes/")]:
        del sums[path]


def _replace(files, sums, table, content, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(content, sink, compression="zstd", **options)
    path = next(path for path in files if path.startswith(f"{table}/"))
    files[path] = sink.getvalue().to_pybytes()
    sums[path] = HUB.keep(files[path])


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (_flip, "not what the run's checksums say"),
        (_escape, "evil"),
        (_foreign, "schema version"),
        (_bomb, "2,000,000 rows"),
        (_short, "episodes"),
    ],
)
def test_what_comes_from_a_stranger_is_not_trusted(tmp_path, attack, told):
    files = contents(small(tmp_path / "data"))
    run = Run("E", "run-a")
    sums = manifest.decode(files[run.manifest].decode(), run)
    attack(files, sums)
    files[run.manifest] = manifest.encode(sums).encode()
    name = f"alice/stranger{attack.__name__}"
    as_alice("publish", name, "--data", small(tmp_path / "first"))
    HUB.repositories[name].commit({path: HUB.keep(content) for path, content in files.items()})
    refused(as_alice("pull", name, "--data", tmp_path / "pulled"), told, code=1)
    placed = [path for path in contents(tmp_path / "pulled") if not path.startswith(".pull/")]
    assert placed == [] and not list(tmp_path.rglob("evil*"))
