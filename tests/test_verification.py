"""What is wrong with a dataset is found, and named by file and row; what is right is not."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_jacdb
from synthetic import dataset, episode

from jacdb import UsageError, integrity, manifest, schemas, verification
from jacdb.findings import LISTED
from jacdb.manifest import Run

RUN = Run("E", "run-a")
FLIPS = 1_000


def matrices(rng: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    j = rng.normal(size=(steps, 3, 5)) * (rng.random((steps, 3, 5)) > 0.5)
    j[:, 0, :2] = 0, 1  # for tests to change
    j[:, 0, 3:] = 0, 1
    return j[..., :3], j[..., 3:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three episodes of eight steps in two parts, one step not finite, some in contact; float32."""
    root, rng = tmp_path_factory.mktemp("whole"), np.random.default_rng(0)
    episodes = []
    for number in range(3):
        j_state, j_action = matrices(rng, 8)
        if number == 1:
            j_state[5] = np.nan
        touching = [["ball"], *[[]] * 7]
        episodes.append(episode(number, j_state, j_action, dtype=np.float32, touching=touching))
    run = dataset(root, "E", episodes, jacobian=pa.float32(), part_bytes=2 * episodes[0].nbytes)
    assert len(list(root.glob("steps/*/*/part-*.parquet"))) == 2 and run.is_finished()
    return root


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def part(table: str, number: int = 0) -> str:
    return f"{RUN.folder(table)}/part-{number:05d}.parquet"


def seal(root: Path) -> None:
    """Give the run the checksums of the files that it has now, as one would who wants to deceive."""
    paths = [path for path in manifest.parts(root) if f"/run={RUN.run_id}/" in path]
    (root / RUN.manifest).write_text(manifest.encode({path: manifest.digest(root / path) for path in paths}))


def write(root: Path, path: str, table: pa.Table) -> None:
    pq.write_table(table, root / path)
    seal(root)


def change(root: Path, path: str, column: str, row: int, value: object) -> None:
    """Another value in one row; a function is given the old one."""
    table = pq.read_table(root / path, partitioning=None)
    values = table[column].to_pylist()
    values[row] = value(values[row]) if callable(value) else value
    field = table.schema.field(column)
    write(root, path, table.set_column(table.schema.names.index(column), field, pa.array(values, field.type)))


def found(root: Path) -> list[tuple[str, str, int | None]]:
    """(check, path, row) of every finding."""
    verified = verification.verify(root, sample=0)
    assert verified.ok == (not verified.findings)
    return [(check.name, one.path, one.row) for check in verified.checks for one in check.findings]


def entry(row: int, column: int, value: object):
    def put(matrix: list[list]) -> list[list]:
        matrix[row][column] = value
        return matrix

    return put


def test_nothing_is_wrong_with_what_was_written(whole):
    verified = verification.verify(whole, sample=0)
    assert verified.ok and not list(verified.lines())
    checked = {(check.name): check.checked for check in verified.checks}
    assert checked["shapes"] == checked["finite"] == checked["order"] == 24
    assert (checked["zeros"], checked["joined"], checked["summaries"]) == (23, 21, 3)
    assert verified.frame.columns[:5] == ["env", "run_id", "check", "checked", "of"]


STEPS, EPISODES, PATTERNS = (part(table) for table in ("steps", "episodes", "patterns"))
RUNS, AXES = part("runs"), part("axes")
CHANGES = [
    (STEPS, "finite", 2, False, "finite", 2),
    (STEPS, "finite", 13, True, "finite", 13),
    (STEPS, "reward", 3, np.nan, "finite", 3),
    (STEPS, "pattern_id", 4, None, "finite", 4),
    (STEPS, "j_state", 3, entry(0, 0, 1.5e-12), "zeros", 3),
    (STEPS, "j_state", 3, entry(0, 1, 0.5e-12), "zeros", 3),
    (STEPS, "j_action", 9, entry(0, 0, -1.0), "zeros", 9),
    (STEPS, "n_zero_state", 6, lambda n: n + 1, "zeros", 6),
    (STEPS, "n_zero_action", 6, lambda n: n - 1, "zeros", 6),
    (STEPS, "pattern_id", 7, lambda n: n ^ 1, "zeros", 7),
    (STEPS, "in_contact", 1, True, "contacts", 1),
    (STEPS, "n_contacts", 0, 2, "contacts", 0),
    (STEPS, "contacts", 8, [], "contacts", 8),
    (STEPS, "state", 5, lambda x: [*x, 0.0], "shapes", 5),
    (STEPS, "action", 5, [0.0, None], "shapes", 5),
    (STEPS, "j_state", 5, lambda j: j[:2], "shapes", 5),
    (STEPS, "j_action", 5, lambda j: [*j[:2], [0.0]], "shapes", 5),
    (STEPS, "next_state", 2, [0.0, 5e-324, 0.0], "joined", 3),
    (STEPS, "state", 9, [0.0, 0.0, -0.0], "joined", 9),
    (STEPS, "step", 4, 5, "order", 4),
    (STEPS, "episode", 15, 2, "order", 15),
    (STEPS, "done", 3, True, "order", 4),
    (STEPS, "truncated", 7, False, "order", 7),
    (STEPS, "done", 7, True, "order", 7),
    (STEPS, "env", 11, "F", "keys", 11),
    (STEPS, "run_id", 11, "run-b", "keys", 11),
    (STEPS, "policy", 11, "expert", "keys", 11),
    (STEPS, "method", 11, "guess", "keys", 11),
    (PATTERNS, "zero_state", 1, lambda bits: bytes([bits[0] ^ 2, bits[1]]), "patterns", 1),
    (PATTERNS, "zero_state", 1, lambda bits: bytes([bits[0], bits[1] ^ 1]), "patterns", 1),  # behind the last entry
    (PATTERNS, "zero_action", 2, b"", "patterns", 2),
    (PATTERNS, "pattern_id", 0, 7, "patterns", 0),
    (PATTERNS, "d_state", 0, 4, "patterns", 0),
    (EPISODES, "total_reward", 1, 8.0 + 1e-9, "summaries", 1),
    (EPISODES, "n_contact_steps", 0, 2, "summaries", 0),
    (EPISODES, "n_excluded", 1, 0, "summaries", 1),
    (EPISODES, "done", 1, True, "summaries", 1),
    (EPISODES, "largest_state", 0, entry(0, 1, 1.0001), "summaries", 0),
    (EPISODES, "largest_action", 0, None, "summaries", 0),
    (EPISODES, "largest_action", 0, [[1.0]], "summaries", 0),
    (EPISODES, "below_action", 1, lambda counts: [*counts[:-1], counts[-1] + 1], "summaries", 1),
    (EPISODES, "part", 0, 1, "summaries", 0),
    (EPISODES, "episode", 1, 5, "summaries", 1),
    (EPISODES, "n_steps", 1, 9, "order", 15),
    (EPISODES, "env", 1, "F", "keys", 1),
    (RUNS, "n_rows", 0, 25, "run", 0),
    (RUNS, "n_excluded", 0, 0, "run", 0),
    (RUNS, "n_recomputed", 0, 1, "run", 0),
    (RUNS, "episodes", 0, 4, "run", 0),
    (RUNS, "steps", 0, 9, "order", 7),
    (RUNS, "d_state", 0, 2, "run", 0),
    (RUNS, "dtype", 0, "float64", "run", 0),
    (RUNS, "schema_version", 0, 2, "run", 0),
    (RUNS, "method", 0, "autodiff", "run", 0),
    (RUNS, "policy", 0, "expert", "keys", 0),
    (RUNS, "zero_threshold", 0, 1e-3, "zeros", 0),
    (RUNS, "run_id", 0, "run-b", "keys", 0),
    (AXES, "index", 1, 0, "run", None),
    (AXES, "space", 0, "action", "run", None),
    (AXES, "env", 2, "F", "keys", 2),
]


@pytest.mark.parametrize(("path", "column", "row", "value", "check", "at"), CHANGES)
def test_one_value_that_is_wrong_is_found(copy, path, column, row, value, check, at):
    change(copy, path, column, row, value)
    assert (check, at) in {(name, where) for name, _, where in found(copy)}
