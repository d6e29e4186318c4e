"""What a run keeps of its sums says the same as its steps, to the last digit; what is not of them is not read."""

import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, call_jacdb
from polars.testing import assert_frame_equal
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, queries, verification
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest, partials, removal
from jacdb.dataset.layout import Run
from jacdb.dataset.location import as_it_is
from jacdb.publishing import publish

pytestmark = pytest.mark.slow

RUNS = Run("E", "run-a"), Run("E", "run-b"), Run("E", "run-fd")
# The order of floats' sums is DuckDB's, returns are of episodes, and the results of learning are not of steps
LEFT_OUT = ("axis_statistics", "returns", *queries.RESULTS)


def matrices(rng: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Zeros in two places go on and off, in few patterns."""
    j = rng.normal(size=(steps, 3, 4))
    j[rng.random(steps) > 0.4, :2, 1] = 0
    j[rng.random(steps) > 0.7, 2, 3] = 0
    return j[..., :3], j[..., 3:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs of one environment: in two parts with a step that is not finite, in one, and by finite differences."""
    root, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    for run, method, seed in zip(RUNS, ("implicit", "implicit", "fd"), range(3), strict=True):
        episodes = []
        for number in range(4):
            j_state, j_action = matrices(rng, 30)
            if number == 1:
                j_state[5] = np.nan
            touching = [["ball", "tip"][: int(n)] for n in rng.integers(0, 3, 30)]
            active = [["joint_limit:a", "ctrl_clip:b"][: int(n)] for n in rng.integers(0, 3, 30)]
            episodes.append(episode(number, j_state, j_action, method=method, touching=touching, active=active))
        size = 2 * episodes[0].nbytes if run == RUNS[0] else 10**9
        dataset(root, "E", episodes, run.run_id, method=method, part_bytes=size, seed=seed)
    return root


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def answers(root, where: str | None = None) -> dict[str, object]:
    """Every view's rows, in an order of their own."""
    with jacdb.Dataset(root, where=where) as opened:
        names = [name for name in queries.VIEWS if name not in LEFT_OUT]
        if where:
            names = [name for name in names if name not in ("episodes", "axes", "runs", "threshold_sweep")]
        return {name: opened.sql(f"from {name} order by all").pl() for name in names}


def explained(root, name: str = "global_sparsity") -> str:
    with jacdb.open(root) as opened:
        return opened.explain(name)


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    for name in one.keys() & other.keys():
        assert_frame_equal(one[name], other[name], check_exact=True), name


def test_every_view_says_the_same_from_partials_and_from_steps(made, copy):
    shutil.rmtree(copy / "partials")
    assert explained(made, "zero_durations") == "from partials: 3 runs"
    assert explained(copy, "zero_durations") == "from steps: 3 runs (no partials)"
    both = answers(made), answers(copy)
    assert_same(*both)
    assert all(len(both[0][name]) for name in ("zero_durations", "switch_explanations", "threshold_sweep"))


def test_a_condition_that_every_step_meets_changes_nothing(made):
    with jacdb.Dataset(made, where="step >= 0") as filtered:
        assert filtered.explain("zero_durations") == "from steps: 3 runs (a condition on steps)"
    assert_same(answers(made), answers(made, "step >= 0"))
    with jacdb.Dataset(made, where="step < 9") as filtered, jacdb.open(made) as whole:
        counted = whole.sql("select count(*) from exact_steps where finite and step < 9").fetchall()
        assert filtered.samples()["samples"].to_list() == [counted[0][0]]


def test_the_sample_says_the_same_both_ways(tmp_path):
    with_sums, without = (
        shutil.copytree(ROOT / "datasets" / "sample", tmp_path / name) for name in ("with", "without")
    )
    partials.refresh(with_sums)
    for run in manifest.finished(without):  # as before there were partials
        shutil.rmtree(without / run.folder("partials"), ignore_errors=True)
    assert explained(with_sums) == "from partials: 9 runs" and explained(without) == "from steps: 9 runs (no partials)"
    assert_same(answers(with_sums), answers(without))


def reseal(root, run: Run) -> None:
    """Give a run the checksums that its files have now."""
    sums = {path: sha256_of(root / path) for path in manifest.read(root, run)}
    (root / run.manifest).write_text(manifest.encode(sums))


def test_what_is_not_of_these_steps_is_not_read(copy, monkeypatch):
    wanted = answers(copy)
    first, second, _ = RUNS
    (copy / first.partials).unlink()
    data = (copy / second.partials).read_bytes()
    (copy / second.partials).write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    said = explained(copy)
    assert said == "from partials: 1 run; from steps: 2 runs (1 no partials; 1 damaged partials)"
    assert_same(answers(copy), wanted)
    (copy / second.partials).write_bytes(data)
    monkeypatch.setattr(queries, "partials_version", lambda: "0" * 16)
    assert explained(copy) == "from steps: 3 runs (1 no partials; 2 partials by other SQL)"
    assert_same(answers(copy), wanted)


def test_partials_of_other_steps_are_stale_and_the_steps_are_counted(copy):
    """The last episode of a run is taken away, and its checksums are made anew, those of the partials too."""
    run = RUNS[1]
    for table in ("steps", "episodes"):
        [path] = (copy / run.folder(table)).glob("*.parquet")
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.filter(pa.compute.less(rows["episode"], 3)), path)
    reseal(copy, run)
    assert explained(copy) == "from partials: 2 runs; from steps: 1 run (partials of other files)"
    with jacdb.open(copy) as opened:
        assert opened.samples()["samples"].to_list() == [119 + 89]
    refreshed = partials.refresh(copy)
    assert refreshed.made == [run] and refreshed.describe("it") == "it: partials of 1 run made, 2 were there"
    assert explained(copy) == "from partials: 3 runs"
    with jacdb.open(copy) as opened:
        assert opened.samples()["samples"].to_list() == [119 + 89]


def test_a_run_that_is_not_finished_is_counted_from_its_steps(copy):
    (copy / RUNS[1].row).unlink()
    (copy / RUNS[1].manifest).unlink()
    assert explained(copy) == "from partials: 2 runs; from steps: 1 run (not finished)"
    wanted = answers(copy)
    shutil.rmtree(copy / "partials")
    assert_same(answers(copy), wanted)


def test_runs_come_and_go_while_a_dataset_is_open(copy):
    with jacdb.open(copy) as opened:
        assert opened.samples()["samples"].to_list() == [2 * 119]
        rng = np.random.default_rng(1)
        dataset(copy, "F", [episode(0, *matrices(rng, 7))], "run-f")
        assert opened.samples()["samples"].to_list() == [2 * 119, 7]
        removal.Removal.find(copy, "run-b").carry_out()
        assert opened.samples()["samples"].to_list() == [119, 7]
        (copy / Run("F", "run-f").partials).unlink()
        assert opened.explain("samples") == "from partials: 2 runs; from steps: 1 run (no partials)"
        assert opened.samples()["samples"].to_list() == [119, 7]


def test_a_run_at_work_grows_while_a_dataset_is_open(copy, tmp_path):
    run = RUNS[0]
    for name in (run.row, run.manifest):
        (copy / name).unlink()
    later = [path.relative_to(copy) for path in copy.glob(f"*/environment=E/run={run.run_id}/part-00001.parquet")]
    for path in later:
        (tmp_path / path).parent.mkdir(parents=True)
        (copy / path).rename(tmp_path / path)
    with jacdb.open(copy) as opened, jacdb.Dataset(as_it_is(copy)) as still:
        assert opened.samples()["samples"].to_list() == still.samples()["samples"].to_list() == [59 + 119]
        for path in later:
            (tmp_path / path).rename(copy / path)
        steps = "select count(*) from steps where finite and method <> 'fd'"
        for found, samples in ((opened, 119 + 119), (still, 59 + 119)):
            assert found.samples()["samples"].to_list() == [samples]
            assert found.sql(steps).fetchall() == [(samples,)]


def test_the_same_files_give_the_same_sums_and_wrong_ones_are_found(copy):
    run = RUNS[0]
    sums = {path: digest for path, digest in manifest.read(copy, run).items() if path != run.partials}
    stored = pq.read_table(copy / run.partials, partitioning=None)
    assert partials.of_run(copy, run, sums).equals(stored) and verification.verify(copy, sample=0).ok
    counts = [{"samples": 1, "excluded": 0}]
    place = stored.schema.get_field_index("sample_counts")
    wrong = stored.set_column(place, stored.schema.field(place), pa.array([counts], stored.schema.field(place).type))
    pq.write_table(wrong, copy / run.partials)
    reseal(copy, run)
    [found] = verification.verify(copy, sample=0).findings
    assert found.path == run.partials and "sample_counts is not what the run's rows add up to" in found.wrong


def test_the_command_makes_what_is_missing_and_refuses_what_is_damaged(copy):
    shutil.rmtree(copy / "partials")
    ran = call_jacdb("partials", "--data", copy, "--quiet")
    assert (ran.returncode, ran.stdout) == (0, f"{copy}: partials of 3 runs made, 0 were there\n")
    ran = call_jacdb("query", "causal_graph", "--data", copy, "--explain")
    assert ran.stdout == "from partials: 3 runs\n"
    ran = call_jacdb("sql", "select n_contacts from steps", "--data", copy, "--explain")
    assert ran.stdout == "from steps: 3 runs\n"
    assert verification.verify(copy, sample=0).ok
    for data, env, told in ((copy, "G", "no finished run of 'G'"), ("hf:x", "E", "on the Hub")):
        ran = call_jacdb("partials", "--data", data, "--env", env)
        assert ran.returncode == 2 and told in ran.stderr
    with pytest.raises(UsageError, match="jacdb upgrade"):
        partials.refresh(ROOT / "tests" / "frozen" / "v2")
    (copy / RUNS[0].partials).unlink()
    [path] = (copy / RUNS[0].folder("axes")).glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FailureError, match=re.escape(path.name)):
        partials.refresh(copy)
    assert not (copy / RUNS[0].partials).exists()


def test_partials_whose_making_was_stopped_are_no_fault(copy, monkeypatch):
    """Between the new file and the checksums that name it; the old one was another jacdb's."""
    run, write = RUNS[0], manifest.write

    def stop_at_the_last(root, run, sums) -> None:
        if run.partials in sums:
            raise KeyboardInterrupt
        write(root, run, sums)

    monkeypatch.setattr(queries, "partials_version", lambda: "0" * 16)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(manifest, "write", stop_at_the_last)
        partials.refresh(copy)
    (copy / run.journal / "SHA256SUMS.jacdb-0.tmp").write_text("half a file")
    assert explained(copy) == "from steps: 3 runs (1 no partials; 2 partials by other SQL)"
    verified = verification.verify(copy, sample=0)
    [note] = [check.note for check in verified.checks if (check.run_id, check.name) == (run.run_id, "partials")]
    assert verified.ok and note.startswith("the run's checksums do not name them") and "`jacdb partials`" in note
    assert publish.prepare(copy, "alice/one").files.keys().isdisjoint({run.partials})
    assert partials.refresh(copy).made == [*RUNS]
    assert explained(copy) == "from partials: 3 runs" and not [*copy.rglob("*.tmp")]


def test_damaged_partials_are_told_with_the_remedy(copy):
    (copy / RUNS[0].partials).write_bytes(b"damaged")
    with pytest.raises(FailureError, match="it has changed; `jacdb partials` makes it anew; nothing was published"):
        publish.prepare(copy, "alice/one")


def test_a_run_of_float64_is_summed_beside_one_of_float32(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "mixed"
    dataset(root, "E", [episode(0, *matrices(rng, 9), dtype=np.float32)], "run-a", pa.float32())
    dataset(tmp_path / "other", "E", [episode(0, *matrices(rng, 9))], "run-b", seed=1)
    shutil.copytree(tmp_path / "other", root, dirs_exist_ok=True)  # as no command does
    wanted = answers(root)
    shutil.rmtree(root / Run("E", "run-b").folder("partials"))
    assert explained(root) == "from partials: 1 run; from steps: 1 run (no partials)"
    assert_same(answers(root), wanted)


def test_the_page_says_which_views_add_sums_up(made):
    """docs/sql.md, against what DuckDB would read."""
    page = (ROOT / "docs" / "sql.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| `samples`")]
    sums, steps = (re.findall(r"`(\w+)`[,: |]", cell + " ") for cell in row.strip("|").split("|"))
    with jacdb.open(made) as opened:
        said = {name: opened.explain(name) for name in queries.VIEWS}
    assert {name for name, way in said.items() if way == "from partials: 3 runs"} == {*sums}
    assert {name for name, way in said.items() if way == "from steps: 3 runs"} == {*steps}


def test_the_sample_is_answered_from_partials():
    """After a change of their SQL: jacdb partials --data datasets/sample."""
    runs = len(manifest.finished(ROOT / "datasets" / "sample"))
    assert explained(ROOT / "datasets" / "sample", "zero_durations") == f"from partials: {runs} runs"
