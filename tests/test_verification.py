"""What is wrong with a dataset is found, and named by file and row; what is right is not."""

import errno
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import call_jacdb, run_jacdb
from synthetic import dataset, episode
from verified import FLIPS, RUN, change, entry, found, part, refusing, seal, write

from jacdb import UsageError, schemas, verification
from jacdb.dataset import integrity, manifest
from jacdb.dataset.layout import Run
from jacdb.verification.findings import LISTED, Check


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


def test_a_file_that_the_disk_can_not_read_is_a_finding(copy, monkeypatch):
    """And all else is checked."""
    of_run = part("steps")
    monkeypatch.setattr(integrity, "sha256_of", refusing(errno.EIO, of_run))
    assert found(copy) == [("files", of_run, None)]
    [finding] = verification.verify(copy, sample=0).findings
    assert finding.wrong == "it can't be read: Input/output error"


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
