"""Every row once, in an order that the seed says, in bounded memory: against polars reading the same Parquet."""

import gc
import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc

import jax
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loader_rows import RNG, joined, make
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError
from jacdb.dataset import step_rows
from jacdb.ingest.storage import run_writer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs of an environment, one in float32; row groups of 20 rows, two episodes each."""
    root = tmp_path_factory.mktemp("loader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 20)
        make(root, "run-a", 30, 10)
        other = tmp_path_factory.mktemp("other")
        make(other, "run-b", 20, 10, dtype=np.float32)
    shutil.copytree(other, root, dirs_exist_ok=True)  # as no command does
    return root


@pytest.fixture
def opened(root):
    with jacdb.open(root) as one:
        yield one


@pytest.fixture(scope="module")
def stored(root):
    """All finite rows, by run, episode and step."""
    frames = [pl.read_parquet(path, hive_partitioning=False) for path in root.glob("steps/*/*/*.parquet")]
    wide = [frame.cast({name: pl.List(pl.List(pl.Float64)) for name in ("j_state", "j_action")}) for frame in frames]
    return pl.concat(wide).filter("finite").sort("run_id", "episode", "step")


def expected(frame, name):
    return np.array(frame[name].to_list())


def row_names(batches):
    """Which row is where, by a number that no two rows share."""
    return joined(batches, "state")[:, 0]


def test_in_order_every_value_is_as_stored(opened, stored):
    columns = ("state", "j_state", "j_action", "action", "reward", "done", "step", "pattern_id")
    batches = opened.batches("E", columns, batch_size=64)
    found = list(batches)
    assert len(found) == len(batches) == 8 and batches.n_rows == 498 == len(stored)
    assert {len(batch["step"]) for batch in found[:-1]} == {64} and len(found[-1]["step"]) == 50
    for name in columns:
        values = joined(found, name)
        assert values.shape[1:] == {"j_state": (3, 3), "j_action": (3, 2), "state": (4,), "action": (2,)}.get(name, ())
        assert np.array_equal(values, expected(stored, name)), name
    assert found[0]["j_state"].dtype == found[-1]["j_state"].dtype == np.float64  # of both runs
    assert (found[0]["done"].dtype, found[0]["pattern_id"].dtype) == (bool, np.int64)
    found[0]["j_state"][:] = 0  # what is handed out is the caller's


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"), [(498, False, {498}), (300, True, {300}), (1, False, {1})]
)
def test_sizes_of_batches(opened, batch_size, drop_last, sizes):
    batches = opened.batches("E", ("step",), batch_size, drop_last=drop_last)
    found = [len(batch["step"]) for batch in batches]
    assert set(found) == sizes and len(found) == len(batches)


@pytest.mark.parametrize("buffer_mib", [0.001, 0.01, 64.0])
def test_a_shuffled_pass_has_every_row_once_and_its_order_from_the_seed(opened, stored, buffer_mib):
    def order(seed):
        return row_names(opened.batches("E", shuffle=True, seed=seed, batch_size=17, buffer_mib=buffer_mib))

    first, again, other = order(0), order(0), order(1)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    in_order = expected(stored, "state")[:, 0]
    for one in (first, other):
        assert not np.array_equal(one, in_order) and np.array_equal(np.sort(one), np.sort(in_order))


def test_columns_of_a_row_stay_together(opened, stored):
    batches = list(opened.batches("E", shuffle=True, buffer_mib=0.01))
    place = np.argsort(row_names(batches))
    of_stored = np.argsort(expected(stored, "state")[:, 0])
    for name in ("state", "next_state", "action", "j_state", "j_action"):
        assert np.array_equal(joined(batches, name)[place], expected(stored, name)[of_stored])


def test_rows_come_from_many_row_groups_at_a_time(opened):
    [first, *_] = opened.batches("E", ("episode",), 16, shuffle=True)
    assert len(np.unique(first["episode"])) > 4  # a row group has two


def test_the_order_does_not_depend_on_threads_or_the_process(opened, root, monkeypatch):
    told = dict(shuffle=True, seed=3, buffer_mib=0.02)
    plain = row_names(opened.batches("E", **told))
    script = f"""
import hashlib, numpy as np, jacdb
batches = jacdb.open({str(root)!r}).batches("E", **{told!r})
print(hashlib.sha256(np.concatenate([b["state"][:, 0] for b in batches]).tobytes()).hexdigest())"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == hashlib.sha256(plain.tobytes()).hexdigest()
    read = step_rows.StepRows.read

    def late(*arguments):
        time.sleep(random.random() / 100)
        return read(*arguments)

    monkeypatch.setattr(step_rows.StepRows, "read", late)
    assert np.array_equal(row_names(opened.batches("E", **told)), plain)


@pytest.mark.parametrize("shuffle", [False, True])
def test_splits_are_disjoint_whole_episodes_and_cover_all(opened, stored, shuffle):
    def episodes(**given):
        batches = opened.batches("E", ("state", "episode"), shuffle=shuffle, validation=0.3, **given)
        where = dict(
            zip(expected(stored, "state")[:, 0], zip(stored["run_id"], stored["episode"], strict=True), strict=True)
        )
        return [where[one] for one in row_names(batches)]

    train, validation = episodes(split="train"), episodes(split="validation", seed=9)
    assert not set(train) & set(validation) and len(train) + len(validation) == len(stored)
    assert set(train) | set(validation) == set(zip(stored["run_id"], stored["episode"], strict=True))
    assert 5 <= len(set(validation)) <= 25  # 15 of 50 in expectation; the hash is a constant


CONDITIONS = {
    "step % 3 = 0": pl.col("step") % 3 == 0,
    "episode = 1": pl.col("episode") == 1,
    "run_id = 'run-b' and step > 7": (pl.col("run_id") == "run-b") & (pl.col("step") > 7),
    "j_state[1][1] > 0": pl.col("j_state").list.get(0).list.get(0) > 0,
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds(opened, stored, condition, shuffle):
    batches = opened.where(condition).batches("E", batch_size=7, shuffle=shuffle, buffer_mib=0.005)
    wanted = stored.filter(CONDITIONS[condition])
    found, names = row_names(batches), expected(wanted, "state")[:, 0]
    assert batches.n_rows == len(found) == len(wanted) > 0
    assert np.array_equal(np.sort(found), np.sort(names)) and (shuffle or np.array_equal(found, names))


def test_floats_are_cast_and_nothing_else(opened, stored):
    batches = opened.batches("E", ("j_state", "reward", "step", "done"), dtype="float32")
    [first, *_] = batches
    assert [first[name].dtype for name in batches.columns] == [np.float32, np.float32, np.int32, bool]
    assert np.array_equal(joined(batches, "j_state"), expected(stored, "j_state").astype(np.float32))
    only = opened.where("run_id = 'run-b'").batches("E", ("j_state",))
    assert next(iter(only))["j_state"].dtype == np.float64  # of the environment, whichever rows are asked for


def test_jax_and_a_device_that_is_not_there(opened, stored):
    batches = opened.batches("E", framework="jax", device="cpu", batch_size=100)
    [first, *_] = batches
    assert isinstance(first["j_state"], jax.Array)
    assert np.array_equal(joined(batches, "j_action"), expected(stored, "j_action"))
    with pytest.raises(UsageError, match="device='gpu:7': JAX has"):
        opened.batches("E", framework="jax", device="gpu:7")


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint64])
@pytest.mark.parametrize("given", [{}, {"window": 5, "stride": 2}])
def test_whole_numbers_of_numpy_are_those_of_python(opened, kind, given):
    """NumPy computes in the type that it is given: 498 rows are not below 128."""
    own = {"batch_size": 100, "workers": 3, "worker": 1, "seed": 7, "shuffle": True, **given}
    numpys = {name: value if value is True else kind(value) for name, value in own.items()}
    plain, small = opened.batches("E", ("state",), **own), opened.batches("E", ("state",), **numpys)
    assert len(small) == len(plain) > 0 and small.n_rows == plain.n_rows > 0
    assert np.array_equal(joined(small, "state"), joined(plain, "state"))
    for env in ("E", ["E"]):
        whole = opened.batches(env, ("state",), 100)
        assert whole.share(kind(1), kind(3)).n_rows == whole.share(1, 3).n_rows


def test_jax_does_not_cut_ids(opened, stored):
    """With 32 bits an id would be another pattern's."""
    columns = ("pattern_id", "step", "zero_state")
    before = opened.batches("E", columns, framework="jax")  # while JAX has 64 bits, as in all tests
    assert np.array_equal(joined(before, "pattern_id"), expected(stored, "pattern_id"))
    with jax.enable_x64(False):
        with pytest.raises(UsageError, match=r"column 'pattern_id' has 64 bits.*jax_enable_x64.*framework='numpy'"):
            opened.batches("E", columns, framework="jax")
        with pytest.raises(UsageError, match="'pattern_id' has 64 bits"):
            next(iter(before))
        [first, *_] = opened.batches("E", columns[1:], framework="jax")
        assert first["step"].dtype == np.int32


def test_torch(opened, stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="pip install torch"):
        opened.batches("E", framework="torch")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"columns": ("stat",)}, "no column 'stat': .*did you mean state?"),
        ({"columns": ("contacts",)}, "'contacts' holds no numbers: there are episode, step, state"),
        ({"columns": ("state", "run_id")}, "'run_id' holds no numbers"),
        ({"columns": ()}, "no column is asked for"),
        ({"batch_size": 0}, "batch_size=0: give 1 or more"),
        ({"seed": -1}, "seed=-1"),
        ({"batch_size": 2.5}, "batch_size=2.5: give a whole number"),
        ({"batch_size": None}, "batch_size=None: give a whole number"),
        ({"workers": "2"}, "workers='2': give a whole number"),
        ({"window": 2.5}, "window=2.5: give a whole number"),
        ({"validation": "half"}, "validation='half': give a number"),
        ({"split": "test"}, "split='test': give train or validation"),
        ({"split": "train", "validation": 1.5}, "validation=1.5"),
        ({"buffer_mib": 0}, "buffer_mib=0"),
        ({"framework": "tensorflow"}, "framework='tensorflow': give numpy, jax, torch"),
        ({"device": "cpu"}, "device='cpu': NumPy has none"),
        ({"dtype": "int8"}, "dtype='int8': give float16"),
        ({"method": "magic"}, "method='magic': give implicit, unrolled, autodiff, fd"),
        ({"env": "F"}, "no steps of 'F' here: there are E"),
        ({"workers": True}, "workers=True: give a whole number"),
        ({"buffer_mib": float("inf")}, "buffer_mib=inf: give more than 0, and less than"),
        ({"columns": None}, "column None is no name: give some, such as state"),
        ({"columns": [["state"]]}, r"column \['state'\] is no name"),
        ({"framework": "jax", "device": 0}, "device=0: give a name"),
        ({"framework": "jax", "device": "cpu:-1"}, "device='cpu:-1': JAX has"),
    ],
)
def test_wrong_words_are_refused_with_the_remedy(opened, given, told):
    with pytest.raises(UsageError, match=told):
        opened.batches(**{"env": "E", **given})


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("jacdb-")]


@pytest.mark.parametrize("shuffle", [False, True])
def test_threads_end_with_their_iterator(opened, shuffle):
    batches = opened.batches("E", batch_size=4, shuffle=shuffle, buffer_mib=0.001)
    for taken in (0, 1, 3):
        some = iter(batches)
        list(itertools.islice(some, taken))
        del some
        gc.collect()
        assert not readers()
    assert len(list(batches)) == len(batches) and not readers()


def test_passes_side_by_side_and_one_after_the_other_are_the_same(opened):
    batches = opened.batches("E", ("state",), batch_size=16, shuffle=True, buffer_mib=0.005)
    after = list(batches)
    for one, other, third in zip(batches, batches, after, strict=True):
        assert np.array_equal(one["state"], other["state"]) and np.array_equal(one["state"], third["state"])


def rewritten(root, change):
    [path] = root.glob("steps/*/*/*.parquet")
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(change(rows), path)
    return path


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_that_make_no_array_are_a_failure_that_names_the_file(tmp_path, shuffle):
    make(tmp_path, "run-a", 3, 5)

    def ragged(rows):
        actions = [[0.0] * (1 + i % 2) for i in range(len(rows))]
        return rows.set_column(rows.schema.get_field_index("action"), "action", pa.array(actions))

    path = rewritten(tmp_path, ragged)
    with jacdb.open(tmp_path) as opened, pytest.raises(FailureError, match=f"{path.name}.*action.*differ in length"):
        list(opened.batches("E", shuffle=shuffle))
    assert not readers()


@pytest.mark.parametrize("shuffle", [False, True])
def test_runs_of_other_shapes_are_a_failure_with_the_remedy(tmp_path, shuffle):
    make(tmp_path, "run-a", 2, 5)
    make(tmp_path / "other", "run-b", 2, 5, d=4)
    shutil.copytree(tmp_path / "other", tmp_path, dirs_exist_ok=True)  # ingest refuses it since version 1.0
    with jacdb.open(tmp_path) as opened:
        with pytest.raises(FailureError, match=r"of shape \(\d, \d\).*where\(\"run_id = 'run-"):
            list(opened.batches("E", ("j_state",), shuffle=shuffle))
        assert next(iter(opened.where("run_id = 'run-b'").batches("E")))["j_state"].shape == (9, 4, 4)


def test_a_file_that_is_gone_is_named(tmp_path):
    make(tmp_path, "run-a", 3, 5)
    [path] = tmp_path.glob("steps/*/*/*.parquet")
    with jacdb.open(tmp_path) as opened:
        batches = opened.batches("E")
        path.unlink()
        with pytest.raises(FailureError, match=path.name):
            list(batches)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(run_writer, "ROW_GROUP_ROWS", 50)
    make(tmp_path, "run-a", 160, 50, d=20)
    with jacdb.open(tmp_path) as opened:
        batches = opened.batches("E", batch_size=32, shuffle=True, buffer_mib=1)
        held, before = 0, pa.total_allocated_bytes()
        tracemalloc.start()
        nbytes = 0
        for batch in batches:
            nbytes += sum(values.nbytes for values in batch.values())
            held = max(held, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert nbytes > 29 * 2**20
    assert held + peak < 6 * 2**20  # two buffers, row groups that are being decoded, a batch


def test_an_environment_without_actuators_has_actions_without_numbers(tmp_path):
    j_state = RNG.normal(size=(9, 2, 2))
    dataset(tmp_path, "Passive", [episode(number, j_state, np.zeros((9, 2, 0))) for number in range(2)])
    columns = ("state", "action", "j_state", "j_action", "zero_state", "zero_action")
    with jacdb.open(tmp_path) as opened:
        batches = [*opened.batches("Passive", columns, batch_size=6, shuffle=True)]
    assert [len(batch["action"]) for batch in batches] == [6, 6, 6]
    assert batches[0]["action"].shape == (6, 0)
    assert batches[0]["j_action"].shape == batches[0]["zero_action"].shape == (6, 2, 0)
    np.testing.assert_array_equal(np.sort(joined(batches, "j_state"), axis=0), np.sort([*j_state, *j_state], axis=0))
