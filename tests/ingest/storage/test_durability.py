"""A file that grows while it is sent to the disk has the checksum of what lies there in the end."""

import hashlib
import subprocess
import sys

from conftest import ROOT

from jacdb.ingest.storage.durability import durable_file


def test_the_checksum_is_that_of_the_file_whatever_was_settled_before(tmp_path):
    path = tmp_path / "part"
    with durable_file(path) as settled, path.open("rb+", buffering=0) as file:
        for stretch in (b"PAR1", b"a" * 3_000_000, b"b"):
            file.write(stretch)
            settled.advance(file.tell())
        end = file.tell()
        file.write(b"a footer")  # which is not settled, and another takes its place
        file.truncate(end)
        file.seek(end)
        file.write(b"the footer")
        assert settled.checksum() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.read_bytes().endswith(b"bthe footer")


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
