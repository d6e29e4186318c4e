"""Compiled code and robot models: where they are kept, also for users without a home, and that damaged code heals."""

import os
import subprocess
import sys

import pytest

# Compiles a program and says what it computes, whether it was in the cache, and where that is
PROGRAM = """
import jax, jax.numpy as jnp
from jacdb import user_cache
from jacdb.ingest import runtime
runtime.configure()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
print(float(jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x))(jnp.arange(100.0))), len(hits) > 0)
print(user_cache.folder())
"""


def compiled(**environment: str) -> tuple[str, str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**ours, **environment}, check=True
    )
    assert ran.stderr == ""
    result, hit, folder = ran.stdout.split()
    return result, hit, folder


@pytest.mark.parametrize("damage", ["cut", pytest.param("turned", marks=pytest.mark.slow)])
def test_users_11_a_damaged_entry_of_compiled_code_is_replaced(damage, tmp_path):
    result, hit, _ = compiled(XDG_CACHE_HOME=str(tmp_path))
    assert hit == "False"
    whole = {path: path.read_bytes() for path in (tmp_path / "jacdb" / "xla").glob("*-cache")}
    assert whole
    for path, content in whole.items():
        half = len(content) // 2
        path.write_bytes(content[:half] if damage == "cut" else content[:half] + b"\xff\0" * 8 + content[half + 16 :])
    assert compiled(XDG_CACHE_HOME=str(tmp_path))[:2] == (result, "False"), "compiled anew, without a word"
    assert compiled(XDG_CACHE_HOME=str(tmp_path))[:2] == (result, "True"), "and kept"


@pytest.mark.thorough
def test_users_11_an_entry_that_jax_wrote_by_itself_is_used_if_it_is_whole(tmp_path):
    result, _, _ = compiled(XDG_CACHE_HOME=str(tmp_path))
    folder = tmp_path / "jacdb" / "xla"
    for path in folder.glob("*-sha256"):
        path.unlink()
    assert compiled(XDG_CACHE_HOME=str(tmp_path))[:2] == (result, "True")
    for path in folder.glob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert compiled(XDG_CACHE_HOME=str(tmp_path))[:2] == (result, "False")
    assert compiled(XDG_CACHE_HOME=str(tmp_path))[:2] == (result, "True")


@pytest.mark.slow
def test_users_11_who_has_no_home_has_a_cache_among_temporary_files(tmp_path):
    """A home that is a file can't be written to by anyone, root included."""
    (tmp_path / "home").touch()
    own = tmp_path / f"jacdb-{os.getuid()}"
    result, hit, folder = compiled(HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path))
    assert (hit, folder) == ("False", str(own)) and own.stat().st_mode & 0o077 == 0
    assert compiled(HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path)) == (result, "True", folder)
