"""Small datasets that alice publishes and pulls, and what her commands answer."""

import subprocess

import numpy as np
import pyarrow as pa
from conftest import ROOT, call_jacdb
from synthetic import dataset, episode

ALICE = "hf_alice"
SAMPLE = ROOT / "datasets" / "sample"


def as_alice(*words: object) -> subprocess.CompletedProcess[str]:
    return call_jacdb(*words, token=ALICE)


def contents(root) -> dict[str, bytes]:
    """A dataset's files, by path; locks left out."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def small(root, run_id="run-a", value=1.0, env="E", dtype=np.float64, **options):
    j = np.full((3, 2, 3), value)
    made = episode(0, j[..., :2], j[..., 2:], dtype=dtype)
    dataset(root, env, [made], run_id, pa.from_numpy_dtype(dtype), **options)
    return root


def refused(ran, *words: str, code: int = 2) -> None:
    """It ended with this code, and one line, after those on its progress, that has these words."""
    *progress, said = ran.stderr.splitlines()
    assert ran.returncode == code and said.startswith("jacdb: "), ran.stderr
    assert not any(line.startswith(("jacdb", "Traceback", " ")) for line in progress), ran.stderr
    for word in words:
        assert word in said
