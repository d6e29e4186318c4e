"""A file that grows while it is sent to the disk has the checksum of what lies there in the end."""

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import ROOT

from jacdb.ingest.storage.durability import DurableFile, durable_file


def test_the_checksum_is_that_of_the_file_whatever_was_settled_before(tmp_path):
    path = tmp_path / "part"
    stretches = [b"PAR1", b"a" * 3_000_000, b"b", np.arange(70_000), b"c" * 70_000, b"d"]
    with durable_file(path) as file:
        for stretch in stretches:
            before = file.tell()
            assert file.write(stretch) == file.tell() - before == memoryview(stretch).nbytes
            file.advance()
        file.keep()
        file.write(b"a footer")  # which is not the file's, and another takes its place
        end = file.tell()
        assert file.kept() == b"a footer" and file.tell() == end == sum(memoryview(one).nbytes for one in stretches)
        file.write(b"the footer")
        assert file.checksum() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.read_bytes() == b"".join(map(bytes, stretches)) + b"the footer"


def test_a_write_that_falls_short_goes_on(tmp_path):
    """The system may take less than it is given, as where a signal comes between."""

    class Reluctant(io.FileIO):
        def write(self, data):
            return super().write(data[: 1 + len(data) // 2])

    content = np.random.default_rng(0).bytes(200_000)
    with Reluctant(tmp_path / "part", "wb") as raw, ThreadPoolExecutor(1) as thread:
        file = DurableFile(raw, thread)
        file.write(content)
        assert file.checksum() == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "part").read_bytes() == content


def test_users_28_what_arrow_writes_bit_by_bit_is_a_few_calls_of_the_system(tmp_path):
    """A row group's columns are a thousand writes of some bytes: each call would cost more than its bytes."""

    class Counted(io.FileIO):
        calls = 0

        def write(self, data):
            self.calls += 1
            return super().write(data)

    table = pa.table({f"column {i}": pa.array(np.arange(3000) % 7 + i) for i in range(50)})
    with Counted(tmp_path / "part", "wb") as raw, ThreadPoolExecutor(1) as thread:
        file = DurableFile(raw, thread)
        with pa.PythonFile(file, mode="w") as stream:
            pq.write_table(table, stream, row_group_size=300)
        file.checksum()
        assert raw.calls <= 1 + file.tell() // 2**16
    assert pq.read_table(tmp_path / "part").equals(table)


def test_storage_needs_no_jax():
    """Of jaxtyping it uses the types of NumPy's arrays alone: to ask for `Array` imports JAX."""
    program = """
import importlib, pkgutil, sys
from jacdb.ingest import storage
for module in pkgutil.iter_modules(storage.__path__, "jacdb.ingest.storage."):
    importlib.import_module(module.name)
sys.exit("jax" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
