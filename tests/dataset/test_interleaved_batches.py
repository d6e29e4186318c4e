"""Several environments in one pass: every row of each once, and in each what the environment alone would give."""

import inspect
import pickle
import threading
import tracemalloc

import jax
import numpy as np
import pyarrow as pa
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError
from jacdb.dataset.loader import BatchOptions
from jacdb.ingest.storage import run_writer

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
SIZES = {"E": (3, 24), "F": (5, 6), "G": (2, 2)}  # environment -> width of its matrices, episodes of 10 steps
COLUMNS = ("state", "dx", "j_state", "j_action", "zero_state", "step", "episode")


def make(root, env, d, episodes, length=10):
    made = []
    for number in range(episodes):
        state, next_state = RNG.normal(size=(2, length, d))
        j_state, j_action = RNG.normal(size=(length, d, d)), RNG.normal(size=(length, d, 2))
        made.append(episode(number, j_state, j_action, state=state, columns={"next_state": next_state}))
    dataset(root, env, made)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Environments of other shapes and sizes, in row groups of 20 rows."""
    root = tmp_path_factory.mktemp("interleaved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 20)
        for env, (d, episodes) in SIZES.items():
            make(root, env, d, episodes)
    with jacdb.open(root) as one:
        yield one


def check_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert list(one) == list(other)
        for name in one:
            assert np.array_equal(one[name], other[name]), name


def of(env, found):
    """The batches of one environment, as that environment alone gives them."""
    batches = [{**batch} for batch in found if batch["environment"] == env]
    assert all(batch.popitem() == ("environment", env) for batch in batches)  # behind the columns
    return batches


def names(batches):
    """Each row or window of a pass, by environment and the first number of its first state."""
    firsts = [(batch["environment"], batch["state"].reshape(len(batch["state"]), -1)[:, 0]) for batch in batches]
    return [(env, float(number)) for env, numbers in firsts for number in numbers]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"split": "train", "validation": 0.4, "normalize": True, "dtype": "float32"},
        {"split": "validation", "validation": 0.4, "where": "step % 3 > 0"},
        {"window": 3, "stride": 2, "normalize": True},
        {"drop_last": True, "where": "episode < 5"},
        {"worker": 1, "workers": 3},
    ],
)
def test_users_17_a_pass_has_of_each_environment_the_rows_that_it_alone_would_give(opened, given, shuffle):
    batches = opened.batches(list(SIZES), COLUMNS, 7, shuffle=shuffle, **given)
    found = list(batches)
    assert len(found) == len(batches) > 5
    assert batches.n_rows == sum(alone.n_rows for alone in batches.by_environment.values())
    for place, env in enumerate(SIZES):
        worker = {"worker": (given["worker"] + place) % 3} if "worker" in given else {}
        alone = opened.batches(env, COLUMNS, 7, shuffle=shuffle, **{**given, **worker})
        check_same(of(env, found), alone)
        assert (batches.normalization[env] is None) == ("normalize" not in given)
        if alone.normalization is not None:
            assert np.array_equal(batches.normalization[env].state.mean, alone.normalization.state.mean)


def test_users_17_environments_come_in_proportion_to_their_rows(opened):
    def order(**given):
        return [batch["environment"] for batch in opened.batches([*SIZES], ("state",), 2, **given)]

    assert order() == ["E"] * 120 + ["F"] * 30 + ["G"] * 10  # one after the other
    first, again, other = order(shuffle=True), order(shuffle=True), order(shuffle=True, seed=1)
    assert first == again != other and sorted(first) == sorted(other) == sorted(order())
    for quarter in (first[:40], first[40:80], first[80:120], first[120:]):
        assert 22 <= quarter.count("E") <= 38 and quarter.count("F") >= 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_users_17_a_list_of_one_environment_gives_the_batches_of_its_name(opened, shuffle):
    told = dict(batch_size=7, shuffle=shuffle, seed=3, buffer_mib=0.004)
    listed, plain = opened.batches(["E"], COLUMNS, **told), opened.batches("E", COLUMNS, **told)
    assert (len(listed), listed.n_rows) == (len(plain), plain.n_rows)
    check_same(of("E", listed), plain)


@pytest.mark.parametrize("given", [{}, {"window": 4}, {"drop_last": True}])
@pytest.mark.parametrize("shuffle", [False, True])
def test_users_17_a_batch_of_several_environments_by_its_number(opened, shuffle, given):
    every = opened.batches([*SIZES], COLUMNS, 7, shuffle=shuffle, buffer_mib=0.01, **given)
    for batches in (every, every.share(1, 2)):
        found = list(batches)
        check_same([batches[at] for at in (*range(len(found)), -2)], [*found, found[-2]])
        with pytest.raises(IndexError, match=f"batch {len(found)} of {len(found)}"):
            batches[len(found)]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_users_17_workers_give_every_row_of_every_environment_once(opened, shuffle, workers):
    told = dict(batch_size=4, shuffle=shuffle, seed=2, buffer_mib=0.01)
    whole = opened.batches([*SIZES], ("state",), **told)
    shares = [pickle.loads(pickle.dumps(whole.share(worker, workers))) for worker in range(workers)]
    found = [name for share in shares for name in names(share)]
    assert len({*found}) == len(found) == whole.n_rows == 320 and sorted(found) == sorted(names(whole))
    assert sum(map(len, shares)) == len(whole) and max(map(len, shares)) - min(map(len, shares)) <= len(SIZES)
    asked = opened.batches([*SIZES], ("state",), worker=workers - 1, workers=workers, **told)
    assert names(asked) == names(shares[-1])


@pytest.mark.parametrize("shuffle", [False, True])
def test_shares_of_a_share_of_several_environments_give_its_rows_each_once(opened, shuffle):
    told = dict(batch_size=4, shuffle=shuffle, seed=2, buffer_mib=0.01)
    whole = opened.batches([*SIZES], ("state",), **told)
    ranks = [opened.batches([*SIZES], ("state",), worker=rank, workers=2, **told) for rank in range(2)]
    for rank in ranks:
        shares = [pickle.loads(pickle.dumps(rank.share(worker, 3))) for worker in range(3)]
        found = [name for share in shares for name in names(share)]
        assert sorted(found) == sorted(names(rank)) and len(found) == rank.n_rows
        assert sum(map(len, shares)) == len(rank) and max(map(len, shares)) - min(map(len, shares)) <= len(SIZES)
    assert sorted(name for rank in ranks for name in names(rank)) == sorted(names(whole))


def test_users_17_several_environments_as_arrays_of_jax(opened):
    for batch in opened.batches(("F", "G"), ("j_state",), 4, framework="jax"):
        d, _ = SIZES[batch.pop("environment")]
        assert jax.jit(lambda one: one["j_state"].sum(0))(batch).shape == (d, d)


@pytest.mark.parametrize(
    ("envs", "told"),
    [
        ([], "no environment is asked for: give some of E, F, G"),
        (["E", "F", "E"], "environment 'E' is given twice: give each once"),
        (["E", "EE"], "no steps of 'EE' here: "),
        (["E", 5], "environment 5 is no name: give some of E, F, G"),
        (None, "environment None is no name: give some of E, F, G"),
    ],
)
def test_users_17_lists_that_make_no_pass_are_refused(opened, envs, told):
    with pytest.raises(UsageError, match=told) as refused:
        opened.batches(envs)
    assert "\n" not in str(refused.value)


def test_users_17_a_worker_of_several_environments_that_is_not_there_is_refused(opened):
    for worker, workers in ((2, 2), (-1, 1), (0, 0)):
        with pytest.raises(UsageError, match=f"worker={worker} of workers={workers}: give"):
            opened.batches(["E", "F"]).share(worker, workers)


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("jacdb-")]


def test_users_17_environments_share_threads_which_end_with_the_pass(opened):
    batches = opened.batches([*SIZES], batch_size=2, shuffle=True, buffer_mib=0.001)
    for taken in (0, 1, 30):
        some = iter(batches)
        for _ in range(taken):
            next(some)
        assert len(readers()) <= 9
        some.close()
        assert not readers()
    assert len(list(batches)) == len(batches) and not readers()


def test_users_17_an_environment_whose_file_is_gone_is_named(tmp_path):
    for env in ("E", "F"):
        make(tmp_path, env, 2, 3)
    [path] = tmp_path.glob("steps/*=F/*/*.parquet")
    with jacdb.open(tmp_path) as opened:
        batches = opened.batches(["E", "F"], batch_size=4, shuffle=True)
        path.unlink()
        with pytest.raises(FailureError, match=r"environment=F.* can't be read"):
            list(batches)
    assert not readers()


@pytest.mark.thorough
def test_users_17_environments_share_the_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr(run_writer, "ROW_GROUP_ROWS", 50)
    envs = ["E", "F", "G", "H"]
    for env in envs:
        make(tmp_path, env, 20, 60, length=50)
    with jacdb.open(tmp_path) as opened:
        batches = opened.batches(envs, ("j_state",), batch_size=32, shuffle=True, buffer_mib=2)
        held, before, nbytes = 0, pa.total_allocated_bytes(), 0
        tracemalloc.start()
        for batch in batches:
            nbytes += batch["j_state"].nbytes
            held = max(held, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert nbytes > 36 * 2**20
    assert held + peak < 8 * 2**20  # two buffers of 2 MiB in all, row groups that are being decoded; not 16 MiB


def test_users_17_type_checkers_know_every_option(opened):
    options = inspect.signature(jacdb.Dataset.batches).parameters.values()
    assert list(BatchOptions.__annotations__) == [one.name for one in options if one.kind is one.KEYWORD_ONLY]


def test_an_iterator_of_columns_is_for_all_environments(opened):
    for batch in opened.batches(("F", "G"), iter(("state", "action")), 4):
        assert batch.keys() == {"state", "action", "environment"}
