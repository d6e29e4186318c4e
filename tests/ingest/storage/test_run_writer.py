"""What is written is what is read, and a run that stopped goes on without a row lost or doubled."""

import copy
import errno
import json
import os

import jax
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from synthetic import dataset, episode, trajectory

import jacdb
from jacdb import FailureError, UsageError, schemas
from jacdb.dataset.shard import Shard
from jacdb.ingest import run_failures
from jacdb.ingest.recording import zero_bits
from jacdb.ingest.storage import run_writer, zero_patterns
from jacdb.ingest.storage.run_writer import RunWriter

RNG = np.random.default_rng(0)
AWKWARD = np.array([[np.nan, np.inf, -np.inf], [5e-324, -0.0, 1e308], [1e-12, 9.9e-13, -1.0]])


def matrices(steps: int, zeros: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    j = RNG.normal(size=(steps, 3, 5)) * (RNG.random((steps, 3, 5)) > zeros)
    return j[..., :3], j[..., 3:]


def test_matrices_come_back_as_they_were(tmp_path):
    j_state, j_action = matrices(7)
    j_state[2] = AWKWARD
    dataset(tmp_path, "E", [episode(0, j_state, j_action)])
    with jacdb.open(tmp_path) as opened:
        rows = opened.sql("from steps order by step").pl()
    assert np.array_equal(np.array(rows["j_state"].to_list()), j_state, equal_nan=True)
    assert np.array_equal(np.array(rows["j_action"].to_list()), j_action)
    assert rows["finite"].to_list() == [True, True, False, True, True, True, True]
    assert rows["pattern_id"].null_count() == rows["n_zero_state"].null_count() == 1


def test_a_reward_that_is_nan_is_found_whatever_the_others_are(tmp_path):
    dataset(tmp_path, "E", [episode(0, *matrices(3), columns={"reward": np.array([1.0, np.nan, 1.0])})])
    with jacdb.open(tmp_path) as opened:
        assert opened.sql("select step from steps where isnan(reward)").fetchall() == [(1,)]
        assert opened.sql("select step from steps where reward <= 1 order by step").fetchall() == [(0,), (2,)]
    for condition in (pc.is_nan(pc.field("reward")), pc.field("reward") != 1, ~(pc.field("reward") < 5)):
        assert pq.read_table(tmp_path / "steps", filters=condition)["step"].to_pylist() == [1]


def test_float32_is_stored_as_such_and_zeros_are_decided_before(tmp_path):
    j_state = np.full((1, 3, 3), 1e-60)  # zero in float32, and below the threshold before
    j_state[0, 0, 0] = 1 + 1e-9
    run = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float32())
    run.add(episode(0, j_state, np.ones((1, 3, 2)), dtype=np.float32))
    run.flush()
    table = pq.read_table(next(tmp_path.glob("steps/*/*/part-00000.parquet")), partitioning=None)
    assert table.schema.field("j_state").type == pa.list_(pa.list_(pa.float32()))
    assert table["j_state"].to_pylist()[0][0][0] == 1.0
    assert table["n_zero_state"].to_pylist() == [8]


@pytest.mark.parametrize("table", schemas.TABLES, ids=lambda table: table.name)
def test_files_have_the_schema(table, cartpole):
    for path in cartpole.glob(f"{table.name}/environment=*/run=*/*.parquet"):
        found = pq.read_schema(path)
        assert found.names == table.schema.names
        assert found.types == table.schema.types
        assert found.metadata[schemas.VERSION_KEY] == str(schemas.SCHEMA_VERSION).encode()


def test_matrices_are_split_and_not_coded_by_dictionary(cartpole):
    [path] = cartpole.glob("steps/*/*/*.parquet")
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    matrix = columns["j_state.list.element.list.element"]
    assert "BYTE_STREAM_SPLIT" in matrix.encodings and not matrix.has_dictionary_page
    assert matrix.compression == "ZSTD" and matrix.has_offset_index
    assert columns["pattern_id"].has_dictionary_page


@pytest.mark.slow
def test_a_pattern_has_one_id_and_its_id_means_the_same_everywhere():
    zero = RNG.random((6, 3, 3)) < 0.5
    zero[3:] = zero[:3]

    def identified(zero_state, zero_action):
        bits = jax.vmap(zero_bits.zero_bits)(np.where(zero_state, 1e-13, -1.0), np.where(zero_action, 0.0, np.nan))
        bits = zero_patterns.ZeroBits(*map(np.asarray, bits))
        found = zero_patterns.identify(bits, 3, 2)
        for counted, zeros in zip(found.n_zero, (zero_state, zero_action), strict=True):
            assert np.array_equal(counted, zeros.sum((1, 2)))
        return found.ids, found.patterns, bits

    ids, found, bits = identified(zero, np.zeros((6, 3, 2), bool))
    assert len(found) == 3 and np.array_equal(ids[:3], ids[3:]) and (ids >= 0).all()
    assert np.array_equal(bits.state, np.packbits(zero.reshape(6, 9), axis=1))
    assert found[ids[0]] == (bits.state[0].tobytes(), bytes(1))
    again, *_ = identified(zero[::-1], np.zeros((6, 3, 2), bool))
    assert np.array_equal(again, ids[::-1])
    other, *_ = identified(zero, np.ones((6, 3, 2), bool))
    assert not set(other) & set(ids)


def test_parts_hold_whole_episodes_and_no_pattern_twice(tmp_path):
    episodes = [episode(number, *matrices(20, zeros=0.0)) for number in range(6)]
    run = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64(), part_bytes=2 * episodes[0].nbytes)
    for one in episodes:
        run.add(one)
    run.flush()
    assert len(list(tmp_path.glob("steps/*/*/part-*.parquet"))) == 3
    assert len(list(tmp_path.glob("patterns/*/*/part-*.parquet"))) == 1  # all show one pattern
    for path in tmp_path.glob("steps/*/*/part-*.parquet"):
        steps = pq.read_table(path, columns=["episode", "step"], partitioning=None)
        assert steps["step"].to_pylist() == [*range(20)] * 2


def test_a_row_group_holds_whole_episodes_if_they_are_short_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(run_writer, "ROW_GROUP_ROWS", 50)
    lengths = [20, 30, 10, 120, 7]
    dataset(tmp_path, "E", [episode(number, *matrices(length)) for number, length in enumerate(lengths)])
    [path] = tmp_path.glob("steps/*/*/part-*.parquet")
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(i, ["episode"]).column(0).to_pylist() for i in range(file.num_row_groups)]
    assert [sorted(set(group)) for group in groups] == [[0, 1], [2], [3], [3], [3], [4]]
    assert [len(group) for group in groups] == [50, 10, 50, 50, 20, 7]


def test_episodes_that_end_together_make_equal_parts(tmp_path):
    episodes = [episode(number, *matrices(10)) for number in range(7)]
    run = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64(), part_bytes=4 * episodes[0].nbytes)
    run.add(*reversed(episodes))
    run.flush()
    rows = [pq.read_metadata(path).num_rows for path in sorted(tmp_path.glob("steps/*/*/part-*.parquet"))]
    assert rows == [40, 30]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["episodes", "steps and episodes"])
def test_a_run_that_stopped_goes_on(tmp_path, lost):
    """The last flush was cut short: its number is dropped whole, and its episodes are wanted again."""
    episodes = [episode(number, *matrices(10)) for number in range(4)]
    expected = np.concatenate([one.pieces[0].j_state for one in episodes])
    size = 2 * episodes[0].nbytes
    again = copy.deepcopy(episodes[2:])
    stopped = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64(), part_bytes=size)
    stopped.write_axes([])
    for one in episodes:
        stopped.add(one)
    stopped.flush()  # waits for the part being written
    for table in lost.split(" and "):
        next(tmp_path.glob(f"{table}/*/*/part-00001.parquet")).unlink()
    (next(tmp_path.glob("steps/*/*/")) / "part-00002.999.tmp").write_bytes(b"half a file")

    resumed = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64(), part_bytes=size)
    assert resumed.resume() == {number: trajectory(number) for number in (0, 1)}
    for one in again:
        resumed.add(one)
    resumed.flush()
    assert not list(tmp_path.rglob("*.tmp"))
    with jacdb.open(tmp_path) as opened:
        counted = opened.sql("select episode, count(*) from steps group by all order by all").fetchall()
        stored = np.array(opened.sql("from steps order by episode, step").pl()["j_state"].to_list())
        assert sum(opened.sql("from patterns").pl()["counts"]) == 40
    assert counted == [(0, 10), (1, 10), (2, 10), (3, 10)]
    assert np.array_equal(stored, expected)


def test_nothing_follows_a_part_that_could_not_be_written(tmp_path):
    """Parts are written side by side, and come to be in order: a later one may need the patterns of an earlier one."""
    episodes = [episode(number, *matrices(10)) for number in range(4)]
    run = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64(), part_bytes=episodes[0].nbytes)
    in_the_way = tmp_path / "steps/environment=E/run=r/part-00001.parquet"
    in_the_way.mkdir(parents=True)

    def write() -> None:
        for one in episodes:
            run.add(one)
        run.flush()

    with pytest.raises(OSError, match="part-00001"):
        write()
    with pytest.raises(OSError, match="part-00001"):
        run.flush()
    assert [path.name for path in tmp_path.glob("episodes/*/*/part-*")] == ["part-00000.parquet"]  # nor a draft
    in_the_way.rmdir()
    assert RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64()).resume().keys() == {0}


def test_a_run_has_one_writer_at_a_time(tmp_path):
    first, second = (RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64()) for _ in range(2))
    with first.alone(), pytest.raises(UsageError, match="another ingest"), second.alone():
        pass
    with second.alone():
        pass


def axes_of(*names: str) -> list[dict]:
    axis = {"space": "tangent", "joint": None, "quantity": "q", "unit": "1"}
    return [{**axis, "index": index, "name": name, "body": name} for index, name in enumerate(names)]


def test_an_environment_has_one_set_of_axes(tmp_path):
    first, second = (RunWriter(tmp_path, "E", "noise", run_id, trajectory) for run_id in "ab")
    first.write_axes(axes_of("x", "x"))  # a former version's: the present one says x#2
    for names in (["x"], ["x", "y"], ["x", "x#2", "y"]):
        with pytest.raises(UsageError, match=r"E: tangent axis . is .* in run a in .* `jacdb rm a --data "):
            second.check_axes(axes_of(*names))
    second.write_axes([{**axis, "body": "other"} for axis in axes_of("x", "x#2")])
    RunWriter(tmp_path, "F", "noise", "c", trajectory).write_axes(axes_of("z"))


def test_of_two_runs_that_begin_together_one_at_most_stays_where_their_axes_differ(tmp_path, monkeypatch):
    first, second = (RunWriter(tmp_path, "E", "noise", run_id, trajectory) for run_id in "ab")
    first.check_axes(axes_of("x"))
    second.check_axes(axes_of("y"))  # none of them has written yet
    first.write_axes(axes_of("x"))
    with pytest.raises(UsageError, match="tangent axis 0 is y"):
        second.write_axes(axes_of("y"))
    assert first.has_begun() and not second.has_begun()


@pytest.mark.parametrize("cut", [None, Shard(0, 2)])
def test_of_two_runs_that_begin_together_one_at_most_stays_where_their_matrices_are_of_two_types(tmp_path, cut):
    """The axes say the type: none of the two has a step yet."""
    first = RunWriter(tmp_path, "E", "noise", "a", trajectory, pa.float64(), shard=cut)
    second = RunWriter(tmp_path, "F", "noise", "b", trajectory, pa.float32())
    first.write_axes(axes_of("x"))
    said = r"run b of F are float32, those of run a in .* float64, .* one type: .* `jacdb rm a --data [^ ]*`$"
    with pytest.raises(UsageError, match=said):
        second.write_axes(axes_of("y"))
    assert first.has_begun() and not second.has_begun()
    RunWriter(tmp_path, "F", "noise", "b", trajectory, pa.float64()).write_axes(axes_of("y"))


@pytest.mark.slow
def test_a_file_that_is_no_part_is_no_part(tmp_path):
    run = dataset(tmp_path, "E", [episode(0, *matrices(3))])
    [path] = tmp_path.glob("steps/*/*/*.parquet")
    path.with_name("part-00000 (copy).parquet").write_bytes(b"")
    assert run.counts("implicit")["n_rows"] == 3
    with jacdb.open(tmp_path) as opened:
        assert opened.sql("select count(*) from steps").fetchall() == [(3,)]


def test_versions_and_settings_are_in_the_run(cartpole):
    with jacdb.open(cartpole) as opened:
        [run] = opened.sql("from runs").pl().to_dicts()
    assert json.loads(run["versions"]).keys() >= {"jax", "mujoco", "mujoco-mjx", "playground", "jacdb"}
    assert json.loads(run["policy_config"]) == {"name": "noise", "beta": 0.5, "scale": 1.0}
    assert (run["n_rows"], run["episodes"], run["steps"]) == (120, 3, 40)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_users_11_a_file_system_without_locks_is_told_in_one_line(tmp_path, monkeypatch, code):
    def no_locks(descriptor, operation):
        raise OSError(code, os.strerror(code))

    writer = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64())
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", no_locks)
        told = rf"can't be locked in .* \({os.strerror(code)}\): give a --data on a disk that has locks"
        with pytest.raises(FailureError, match=told), writer.alone():
            pytest.fail("it went on")
    with writer.alone():  # and the next one is not kept out
        pass


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EACCES, "make .*/lock writable"), (errno.EROFS, "copy the dataset to a disk that can be written to")],
)
def test_a_lock_that_may_not_be_written_is_no_missing_lock(tmp_path, monkeypatch, code, said):
    writer = RunWriter(tmp_path, "E", "noise", "r", trajectory, pa.float64())
    writer.journal.mkdir(parents=True)
    (lock := writer.journal / "lock").touch()

    def denied(path, *_):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "access", lambda path, mode: path != lock or not mode & os.W_OK)  # root may all
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        with (
            pytest.raises(FailureError, match=f": {said}; finished parts"),
            run_failures.told(tmp_path),
            writer.alone(),
        ):
            pytest.fail("it went on")


def test_a_shard_is_finished_once_its_run_is_whole_whatever_is_left_of_it(tmp_path):
    """Who completes the run removes the shards' files, also while a repeated shard begins."""
    repeated = RunWriter(tmp_path, "E", "noise", "run-a", trajectory, shard=Shard(0, 2))
    assert not repeated.is_finished()
    dataset(tmp_path, "E", [episode(number, *matrices(7)) for number in range(2)])
    assert repeated.is_finished()
    assert repeated.counts("implicit") == {"n_rows": 14, "n_excluded": 0, "n_recomputed": 0}
