"""Compiled programs on disk: found again, compiled once for a text, and made anew where they are damaged."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jacdb import tangent
from jacdb.ingest import program_store, runtime
from jacdb.ingest.program_store import ProgramStore

X = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def store(tmp_path):
    runtime.configure()
    return ProgramStore(tmp_path / "programs")


def lowered(factor):
    """A program that calls LAPACK, which compiled code finds by an address that is another in every process."""
    return jax.jit(lambda x: {"root": factor * jnp.linalg.cholesky(x @ x.T + jnp.eye(2))}).lower(X)


def entries(tmp_path):
    return sorted((tmp_path / "programs").glob("*-cache"), key=lambda path: path.stat().st_size)


def test_a_program_is_found_by_what_it_is_made_of_and_gives_the_same_bits(store):
    assert store.find({"made": "so"}) is None
    compiled = store.compile({"made": "so"}, lowered(2.0))
    found = store.find({"made": "so"})
    assert np.array_equal(found(X)["root"], compiled(X)["root"])
    np.testing.assert_allclose(found(X)["root"], 2 * np.linalg.cholesky(X @ X.T + np.eye(2)))
    assert store.find({"made": "otherwise"}) is None


@pytest.mark.slow
def test_another_process_finds_it(store, tmp_path):
    expected = store.compile({"made": "so"}, lowered(2.0))(X)["root"]
    program = f"""
import numpy as np
from jacdb.ingest import runtime
from jacdb.ingest.program_store import ProgramStore
runtime.configure()
found = ProgramStore(__import__("pathlib").Path({str(tmp_path / "programs")!r})).find({{"made": "so"}})
print(np.asarray(found(np.arange(6.0).reshape(2, 3))["root"]).tolist())
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == str(np.asarray(expected).tolist())


def test_two_names_of_one_text_are_compiled_once(store, tmp_path):
    store.compile({"made": "so"}, lowered(2.0))
    before = len(entries(tmp_path))
    store.compile({"made": "otherwise"}, lowered(2.0))
    assert len(entries(tmp_path)) == before + 1  # a name, no program
    store.compile(None, lowered(3.0))
    assert len(entries(tmp_path)) == before + 2  # a program, no name


def test_one_text_of_other_trees_is_another_program(store):
    """What is no array leaves no trace in the text: a program of (x, None) is not one of (x, {})."""
    first = jax.jit(lambda x, nothing: x + 1)
    for name, nothing in (("none", None), ("empty", {})):
        assert store.compile({"made": name}, first.lower(X, nothing))(X, nothing).shape == X.shape


@pytest.mark.parametrize("damage", [b"", b"not at all", None])
def test_a_damaged_program_is_made_anew(store, tmp_path, damage):
    store.compile({"made": "so"}, lowered(2.0))
    program = entries(tmp_path)[-1]
    program.write_bytes(program.read_bytes()[:-100] if damage is None else damage)
    assert store.find({"made": "so"}) is None
    expected = store.compile({"made": "so"}, lowered(2.0))(X)["root"]
    assert np.array_equal(store.find({"made": "so"})(X)["root"], expected)


def test_a_program_of_another_machine_is_not_taken(store, monkeypatch):
    store.compile({"made": "so"}, lowered(2.0))
    monkeypatch.setattr(program_store, "_machine", lambda: {"processor": "another"})
    assert store.find({"made": "so"}) is None


def test_a_program_is_not_taken_once_rotations_are_computed_otherwise(store, monkeypatch, tmp_path):
    """What stands outside `ingest/` and is traced belongs to a program, too."""
    store.compile({"made": "so"}, lowered(2.0))
    changed = tmp_path / "tangent.py"
    changed.write_text(Path(tangent.__file__).read_text() + "# otherwise\n")
    monkeypatch.setattr(tangent, "__file__", str(changed))
    monkeypatch.setattr(program_store, "_source", program_store._source.__wrapped__)  # asks anew
    assert store.find({"made": "so"}) is None


def test_a_program_that_was_compiled_without_optimizations_is_not_taken_for_one_with(store, monkeypatch):
    """JAX_DISABLE_MOST_OPTIMIZATIONS, of whoever looks for a bug, would leave slow programs for all later runs."""
    store.compile({"made": "so"}, lowered(2.0))
    monkeypatch.setattr(program_store, "_machine", program_store._machine.__wrapped__)  # asks anew
    assert store.find({"made": "so"}) is not None
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        assert store.find({"made": "so"}) is None
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def test_where_nothing_can_be_kept_programs_are_compiled(tmp_path):
    runtime.configure()
    (tmp_path / "a_file").touch()
    store = ProgramStore(tmp_path / "a_file")
    assert store.compile({"made": "so"}, lowered(2.0))(X)["root"].shape == (2, 2)
    assert store.find({"made": "so"}) is None


@pytest.mark.slow
def test_users_28_a_program_is_found_again_on_another_number_of_cores():
    program = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from jacdb.ingest import program_store, runtime
runtime.configure()
print(program_store._machine())
"""
    made = [
        subprocess.run([sys.executable, "-c", program, cores], check=True, capture_output=True, text=True).stdout
        for cores in ("1", "2")
    ]
    assert made[0] == made[1]
    assert "cpu" in made[0]
