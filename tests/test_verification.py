"""What is wrong with a dataset is found, and named by file and row; what is right is not."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import call_jacdb, run_jacdb
from learned_results import checkpoint, learned
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, schemas, verification
from jacdb.checksum import sha256_of
from jacdb.dataset import integrity, learning_files, manifest
from jacdb.dataset.layout import Run
from jacdb.verification.findings import LISTED, Check

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
    (root / RUN.manifest).write_text(manifest.encode({path: sha256_of(root / path) for path in paths}))


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


@pytest.mark.slow
def test_nothing_is_wrong_with_what_was_written(whole):
    verified = verification.verify(whole, sample=0)
    assert verified.ok and not [line for check in verified.checks for line in check.lines()]
    checked = {(check.name): check.checked for check in verified.checks}
    assert checked["shapes"] == checked["finite"] == checked["order"] == 24
    assert (checked["zeros"], checked["joined"], checked["summaries"]) == (23, 21, 3)
    assert verified.frame.columns[:5] == ["env", "run_id", "check", "checked", "of"]


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["playground", "file", "model"])
def test_only_where_episodes_are_cut_at_a_length_a_shorter_one_is_a_finding(tmp_path, suite):
    """A recording's have lengths of their own, and MuJoCo stops an unstable simulation before its time."""
    rng = np.random.default_rng(0)
    episodes = [episode(number, *matrices(rng, steps)) for number, steps in enumerate((5, 8, 1))]
    dataset(tmp_path, "E", episodes, suite=suite)
    assert [row for _, _, row in found(tmp_path)] == ([4, 13] if suite == "playground" else [])


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
    (PATTERNS, "zero_state_words", 1, lambda words: [words[0] ^ 1], "patterns", 1),
    (PATTERNS, "zero_action_words", 1, [], "patterns", 1),
    (EPISODES, "trajectory_id", 1, lambda ident: ident + 1, "summaries", 1),
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
    (RUNS, "schema_version", 0, 1, "run", 0),
    (RUNS, "method", 0, "autodiff", "run", 0),
    (RUNS, "policy", 0, "expert", "keys", 0),
    (RUNS, "zero_threshold", 0, 10.0, "zeros", 0),
    (RUNS, "run_id", 0, "run-b", "keys", 0),
    (AXES, "index", 1, 0, "run", None),
    (AXES, "space", 0, "action", "run", None),
    (AXES, "env", 2, "F", "keys", 2),
]


@pytest.mark.parametrize(("path", "column", "row", "value", "check", "at"), CHANGES)
def test_one_value_that_is_wrong_is_found(copy, path, column, row, value, check, at):
    change(copy, path, column, row, value)
    assert (check, at) in {(name, where) for name, _, where in found(copy)}


@pytest.mark.slow
def test_rows_that_are_gone_doubled_or_out_of_order_are_found(whole, tmp_path):
    rows = pq.read_table(whole / STEPS, partitioning=None)
    orders = {
        "gone": ([*range(4), *range(5, 16)], 4),
        "gone at the end": ([*range(15)], 14),
        "gone at the start": ([*range(1, 16)], 0),
        "doubled": ([*range(4), 3, *range(4, 16)], 4),
        "doubled, all of an episode": ([*range(16), *range(8)], 16),
        "two in the other order": ([0, 2, 1, *range(3, 16)], 1),
    }
    for name, (order, at) in orders.items():
        copy = shutil.copytree(whole, tmp_path / name)
        write(copy, STEPS, rows.take(order))
        assert ("order", STEPS, at) in found(copy), name
    episodes = pq.read_table(whole / EPISODES, partitioning=None)
    copy = shutil.copytree(whole, tmp_path / "episode")
    write(copy, EPISODES, episodes.slice(0, 1))
    assert ("summaries", STEPS, 15) in found(copy)
    copy = shutil.copytree(whole, tmp_path / "steps")
    write(copy, STEPS, rows.slice(0, 8))
    assert {("summaries", EPISODES, 1), ("run", RUNS, 0)} <= {*found(copy)}


def test_a_part_that_its_partner_lacks_is_found(whole, tmp_path):
    for table in ("steps", "episodes"):
        copy = shutil.copytree(whole, tmp_path / table)
        (copy / part(table, 1)).unlink()
        seal(copy)
        assert {"summaries", "run"} & {name for name, *_ in found(copy)}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rounding_explains_is_no_finding(dtype, tmp_path):
    """Entries that are 1e-12 in float32, and were told apart in float64; one step of the type further is wrong."""
    at = dtype(1e-12)
    j_state, j_action = matrices(np.random.default_rng(0), 2)
    j_state[0, 2] = 0, 1e-12 * (1 - 1e-10), 1e-12 * (1 + 1e-10)
    run = dataset(tmp_path, "E", [episode(0, j_state, j_action, dtype=dtype)], jacobian=pa.from_numpy_dtype(dtype))
    assert found(tmp_path) == []
    stored = pq.read_table(tmp_path / STEPS, partitioning=None)["j_state"][0].as_py()[2]
    assert (stored[1] == stored[2] == at) == (dtype == np.float32)
    for column, wrong in ((1, np.nextafter(at, dtype(1))), (2, np.nextafter(at, dtype(0)))):
        original = (tmp_path / STEPS).read_bytes()
        change(tmp_path, STEPS, "j_state", 0, entry(2, column, float(wrong)))
        assert ("zeros", STEPS, 0) in found(tmp_path)
        (tmp_path / STEPS).write_bytes(original)
    assert run.is_finished()


@pytest.mark.slow
@pytest.mark.parametrize("table", [table.name for table in schemas.TABLES])
def test_a_file_that_is_none_is_a_finding(whole, tmp_path, table):
    """Cut short, foreign, of other types, empty, text: with checksums and without, a finding and no traceback."""
    path, original = part(table), (whole / part(table)).read_bytes()
    footer = int.from_bytes(original[-8:-4], "little")
    foreign, read = pa.BufferOutputStream(), pq.read_table(whole / path, partitioning=None)
    pq.write_table(pa.table({"a": [1]}), foreign)
    typed, column = pa.BufferOutputStream(), read.schema.names.index("run_id")
    pq.write_table(read.set_column(column, "run_id", pa.array([1] * len(read))), typed)
    broken = bytearray(original)
    broken[4 : len(original) - footer - 8] = bytes(len(original) - footer - 12)  # pages of zeros below a good footer
    wrong = {
        "half": original[: len(original) // 2],
        "empty": b"",
        "text": b"PAR1 or not",
        "foreign": foreign.getvalue().to_pybytes(),
        "typed": typed.getvalue().to_pybytes(),
        "broken": bytes(broken),
    }
    for name, content in wrong.items():
        for finished in (True, False):
            copy = shutil.copytree(whole, tmp_path / f"{name}{finished}")
            (copy / path).write_bytes(content)
            seal(copy)
            if not finished:
                (copy / RUN.manifest).unlink()
            assert path in {where for _, where, _ in found(copy)}, (name, finished)


def test_lists_that_would_swamp_their_reader_are_not_read(copy):
    table = pq.read_table(copy / STEPS, partitioning=None)
    column = table.schema.names.index("state")
    swollen = pa.ListArray.from_arrays([0, *[500_000] * 16], pa.array(np.zeros(500_000)))
    write(copy, STEPS, table.set_column(column, table.schema.field("state"), swollen))
    assert ("shapes", STEPS, None) in found(copy)


def test_a_run_that_is_not_finished_is_no_failure(copy):
    (copy / RUNS).unlink()
    (copy / RUN.manifest).unlink()
    (copy / part("episodes", 1)).unlink()  # as if it were being written
    verified = verification.verify(copy, sample=3)
    notes = {check.name: check.note for check in verified.checks}
    assert verified.ok and notes["files"].startswith("unfinished: no row in runs and no SHA256SUMS; parts [1]")
    assert "seed" in notes["replay"]
    change_without_sums = pq.read_table(copy / STEPS, partitioning=None)
    pq.write_table(change_without_sums.slice(1), copy / STEPS)
    assert ("order", STEPS, 0) in found(copy)


def test_replay_errors_of_a_run_whose_tolerance_is_not_known_yet_are_no_failure(copy):
    change(copy, STEPS, "replay_error", 0, 0.0)
    assert found(copy) == [("finite", STEPS, 0)]  # the row in runs says that it has no tolerance
    (copy / RUNS).unlink()
    (copy / RUN.manifest).unlink()
    assert found(copy) == []


def test_files_that_nobody_names_are_found(copy):
    extra = copy / part("steps", 7)
    shutil.copy(copy / STEPS, extra)
    stray = copy / "steps" / "environment=E" / "notes.txt"
    stray.write_text("")
    journal = copy / RUN.journal
    (journal / "steps-part-00009.parquet.123.tmp").write_bytes(b"half a file")  # an ingest's draft
    (journal / "lock").touch()
    (copy / "README.md").touch()
    assert {(name, path) for name, path, _ in found(copy)} == {
        ("files", extra.relative_to(copy).as_posix()),
        ("names", stray.relative_to(copy).as_posix()),
    }


def test_of_many_wrong_files_the_first_are_told_whatever_the_file_systems_order(copy):
    strays = [f"steps/environment=X{number:02}/notes.txt" for number in range(40)]
    for path in strays:
        (copy / path).parent.mkdir()
        (copy / path).touch()
    assert [path for _, path, _ in found(copy)] == strays[:LISTED]


def test_what_is_wrong_over_and_over_is_counted(copy):
    table = pq.read_table(copy / STEPS, partitioning=None)
    column = table.schema.names.index("n_contacts")
    write(copy, STEPS, table.set_column(column, table.schema.field("n_contacts"), pa.array([9] * 16, pa.int32())))
    verified = verification.verify(copy, sample=0)
    [contacts] = [check for check in verified.checks if check.failed]
    assert (contacts.failed, len(contacts.findings)) == (16, LISTED)
    assert list(contacts.lines())[-1] == f"contacts of E, run run-a: {16 - LISTED} more are wrong"


@pytest.mark.slow
def test_a_flipped_bit_is_found(copy):
    """Of a run's files, manifest and row in `runs` included, no bit means nothing: each stands under a checksum."""
    rng = np.random.default_rng(0)
    files = [*manifest.parts(copy), RUN.manifest]
    sums = manifest.read(copy, RUN)
    assert {*sums, RUN.manifest} == {*files} == {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()}
    for path in rng.choice(files, FLIPS):
        file = copy / str(path)
        original = file.read_bytes()
        flipped, bit = bytearray(original), int(rng.integers(8 * len(original)))
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        if path == RUN.manifest:
            detected = any(integrity.check_runs(copy, [RUN]))
        else:
            detected = integrity.check_file(file, path, sums[path]) is not None
        assert detected, f"bit {bit} of {path}"
        file.write_bytes(original)
    assert found(copy) == []


@pytest.fixture
def results(tmp_path):
    """Seven learning runs without the rows that they are of, each with a checkpoint; ids as jacdb gives them."""
    root = tmp_path / "results"
    learned(root, "E")  # whose folders say what the checkpoints are called
    runs = [path.name.removeprefix("run=") for path in root.glob("learning_runs/*/*")]
    for run_id in runs:
        checkpoint(root, run_id)
    learned(root, "E")
    for path in root.rglob("run=*+*"):  # an id has no such letter
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


def test_a_file_that_the_disk_can_not_read_is_a_finding(copy, results, monkeypatch):
    """And all else is checked."""
    run = learning_files.in_folder(results)[1]
    of_run, of_results = part("steps"), (learning_files.scores_of(run), learning_files.checkpoint_of(run))
    for module in (integrity, learning_files):
        monkeypatch.setattr(module, "sha256_of", refusing(errno.EIO, of_run, *of_results))
    assert found(copy) == [("files", of_run, None)]
    for path in of_results:
        assert ("learned", path, None) in found(results)
        monkeypatch.setattr(learning_files, "sha256_of", refusing(errno.EIO, of_results[1]))
    [finding] = verification.verify(copy, sample=0).findings
    assert finding.wrong == "it can't be read: Input/output error"


def refusing(code: int, *paths: str):
    """Return a function like ``sha256_of`` that can't read these files."""

    def read(file: Path) -> str:
        if file.as_posix().endswith(paths):
            raise OSError(code, os.strerror(code), str(file))
        return sha256_of(file)

    return read


@pytest.mark.slow
def test_a_flipped_bit_of_a_learning_run_is_found(results):
    rng, run = np.random.default_rng(0), learning_files.in_folder(results)[1]
    assert found(results) == [] and not any(check.note for check in verification.verify(results).checks)
    of_checkpoint = learning_files.checkpoint_of(run)
    for path in (learning_files.row_of(run), learning_files.scores_of(run), of_checkpoint, of_checkpoint):
        file = results / path
        original = file.read_bytes()
        for bit in rng.integers(8 * len(original), size=FLIPS // 20).tolist():
            flipped = bytearray(original)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            if path == of_checkpoint:
                difference = learning_files.difference_of_checkpoint(results, run)
                assert difference and difference.is_problem, f"bit {bit} of {path}"
            else:
                wrong = learning_files.problem(results, run)
                assert wrong and wrong.path == path, f"bit {bit} of {path}"
        assert found(results) == [("learned", path, None)]
        file.write_bytes(original)
        if path == of_checkpoint:  # and then of a training that was repeated, whose file the row does not name
            checkpoint(results, run.run_id, seconds=3.0)
            assert found(results) == []


def test_a_checkpoint_is_its_rows_by_its_parameters(results):
    run = learning_files.in_folder(results)[1]
    path = learning_files.checkpoint_of(run)
    checkpoint(results, run.run_id, seconds=3.0)
    checkpoint(results, run.run_id, seconds=1.0, has_ended=False)  # which has found the best, and does not know it
    assert found(results) == []
    checkpoint(results, run.run_id, value=2.0, has_ended=False)
    verified = verification.verify(results)
    said = "its checkpoint is of a training that has not ended, and goes on from it"
    assert verified.ok and [check.run_id for check in verified.checks if check.note == said] == [run.run_id]
    checkpoint(results, run.run_id, value=2.0)
    [finding] = verification.verify(results).findings
    assert finding.path == path and "it is another training's" in finding.wrong


def test_a_row_of_a_learning_run_that_is_written_anew_is_found_and_one_of_before_is_noted(results):
    run = learning_files.in_folder(results)[0]
    file = results / learning_files.row_of(run)
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table, file)  # as who changes it with Arrow does
    assert found(results) == [("learned", learning_files.row_of(run), None)]
    kept = {schemas.VERSION_KEY: table.schema.metadata[schemas.VERSION_KEY]}
    pq.write_table(table.replace_schema_metadata(kept), file)  # as it was before rows had checksums
    verified = verification.verify(results)
    assert verified.ok and [check.run_id for check in verified.checks if "before 1.0" in check.note] == [run.run_id]
    n_scores = table.schema.get_field_index("n_scores")
    other = table.set_column(n_scores, table.schema.field("n_scores"), pa.array([1]))
    pq.write_table(other.replace_schema_metadata(kept), file)
    [finding] = verification.verify(results).findings
    assert finding.wrong == "n_scores is 1, the run has 10"


@pytest.mark.slow
@pytest.mark.parametrize("tables", [("learning_runs",), ("learning_scores",), ("learning_runs", "learning_scores")])
def test_a_second_part_of_a_learning_run_is_found_and_doubles_no_view(results, tables):
    with jacdb.open(results) as opened:
        views = [opened.leaderboard(), opened.learning_runs(), opened.learning_scores()]
    run = learning_files.in_folder(results)[1]
    for table in tables:
        first = results / run.folder(table) / "part-00000.parquet"
        shutil.copy(first, first.with_name("part-00001.parquet"))
    assert found(results) == [("learned", f"{run.folder(tables[0])}/part-00001.parquet", None)]
    with jacdb.open(results) as opened:
        for before, view in zip(views, (opened.leaderboard, opened.learning_runs, opened.learning_scores), strict=True):
            assert view().sort(pl.all()).equals(before.sort(pl.all()))  # rows of tables have no order


def test_scores_without_a_row_are_said_to_be_unfinished(results):
    run = learning_files.in_folder(results)[0]
    (results / learning_files.row_of(run)).unlink()
    verified = verification.verify(results)
    [check] = [check for check in verified.checks if check.run_id == run.run_id]
    assert verified.ok and check.note == "unfinished: no row in learning_runs"
    (results / learning_files.scores_of(run)).write_bytes(b"")
    assert found(results) == [("learned", learning_files.scores_of(run), None)]


@pytest.mark.slow
def test_the_command_line(copy, tmp_path):
    words = ("verify", "--data", str(copy), "--sample", "0")
    ran = run_jacdb(*words, "--format", "json")
    assert ran.returncode == 0 and {row["failed"] for row in json.loads(ran.stdout)} == {0}
    change(copy, STEPS, "n_contacts", 3, 9)
    assert verification.verify(copy, sample=0).verdict == "1 finding in 1 of 12 checks"
    ran = call_jacdb(*words, "--env", "E", "--out", str(tmp_path / "table.csv"), "--format", "csv")
    assert ran.returncode == 1 and "contacts,24,rows,1," in (tmp_path / "table.csv").read_text()
    assert f"{STEPS}, row 3: n_contacts is 9" in ran.stderr and "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("jacdb: 1 ")
    for wrong, told in ((("--env", "F"), "there are E"), (("--sample", "-1"), "sample=-1")):
        ran = call_jacdb(*words[:3], *wrong)
        assert ran.returncode == 2 and told in ran.stderr
    with pytest.raises(UsageError, match="pull"):
        verification.verify("hf://datasets/alice/dynamics")


@pytest.mark.slow
def test_findings_are_told_run_by_run(copy):
    """Whoever stops a long verification keeps what it found before."""
    after = episode(0, *matrices(np.random.default_rng(0), 8), dtype=np.float32)
    dataset(copy, "E", [after], "z-after-it", pa.float32())
    change(copy, STEPS, "n_contacts", 3, 9)

    def stop_at_the_other(check: Check) -> None:
        told.extend(check.lines())
        if check.run_id == "z-after-it":
            raise KeyboardInterrupt

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        verification.verify(copy, sample=0, tell=stop_at_the_other)
    [line] = told
    assert line.startswith(f"{STEPS}, row 3: n_contacts is 9 ")


@pytest.mark.slow
def test_an_environment_with_two_sets_of_axes_is_found(copy):
    run, other = copy / RUN.folder("axes"), copy / Run("E", "run-b").folder("axes")
    shutil.copytree(run, other)
    assert [check.checked for check in verification.verify(copy, sample=0).checks if check.name == "axes"] == [2]
    table = pq.read_table(other / "part-00000.parquet", partitioning=None)
    names = ["x", *table["name"].to_pylist()[1:]]
    place = table.schema.get_field_index("name")
    changed = table.set_column(place, table.schema.field(place), pa.array(names))
    pq.write_table(changed, other / "part-00000.parquet")
    verified = verification.verify(copy, sample=0)
    [wrong] = [finding.wrong for check in verified.checks if check.name == "axes" for finding in check.findings]
    assert wrong.startswith("tangent axis 0 is x (1), and tangent0 (1) in run run-a: views count both")
