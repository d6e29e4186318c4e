"""Windows of consecutive steps, and single batches of a pass: against rows that SQL gives."""

import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic import dataset, episode
from thoroughness import thorough

import jacdb
from jacdb import UsageError
from jacdb.ingest.storage import run_writer
from jacdb.tangent import TangentSpace

RNG = np.random.default_rng(0)
LENGTHS = (23, 9, 30, 4, 17)
NOT_FINITE = (2, 11)  # episode and step, in each run
COLUMNS = ("state", "action", "next_state", "j_state", "j_action", "episode", "step", "reward")
CONDITIONS = [None, "step % 7 < 5", "episode <> 1 and state[1] > -1.2"]


def made(number: int, length: int):
    j_state, j_action = RNG.normal(size=(length, 3, 3)), RNG.normal(size=(length, 3, 2))
    if number == NOT_FINITE[0]:
        j_state[NOT_FINITE[1], 0, 0] = np.nan
    columns = {"action": RNG.normal(size=(length, 2)), "next_state": RNG.normal(size=(length, 3))}
    return episode(number, j_state, j_action, state=RNG.normal(size=(length, 3)), columns=columns)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Two runs of episodes that differ in length, in row groups of 10 rows; the last episodes are stored first."""
    root = tmp_path_factory.mktemp("windows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 10)
        for seed, run_id in enumerate(("run-a", "run-b")):
            episodes = [made(number, length) for number, length in enumerate(LENGTHS)]
            dataset(root, "E", episodes[::-1], run_id, seed=seed, part_bytes=3000)
    with jacdb.open(root) as one:
        yield one


def windows_of(opened, length, stride, condition=None):
    """Windows as SQL has them: the number of each one's first state -> its rows."""
    condition = f"finite and {condition or 'true'}"
    rows = opened.fetch(opened.sql(f"select * from steps where {condition} order by run_id, episode, step"))
    found, run = {}, 0
    for at, (run_id, number, step) in enumerate(rows.select("run_id", "episode", "step").rows()):
        before = rows.row(at - 1, named=True) if at else {"run_id": None, "episode": -1, "step": -1}
        follows = (before["run_id"], before["episode"], before["step"] + 1) == (run_id, number, step)
        run = run + 1 if follows else 1
        if run >= length and (run - length) % stride == 0:
            window = rows[at - length + 1 : at + 1]
            found[window["state"][0][0]] = window
    return found


def joined(batches, name):
    return np.concatenate([np.asarray(batch[name]) for batch in batches])


def firsts(batches):
    return [float(number) for batch in batches for number in batch["state"][:, 0, 0]]


@pytest.mark.slow
def test_episodes_here_straddle_row_groups_and_are_not_stored_in_order(opened):
    numbers, groups = [], 0
    for path in sorted(path for path in opened.location.parts("steps") if "run-a" in path):
        with opened.location.open(path) as stream:
            file = pq.ParquetFile(stream)
            numbers += file.read(["episode"])["episode"].to_pylist()
            groups += file.num_row_groups
    assert {*numbers} == {*range(len(LENGTHS))} and groups > len(LENGTHS) and numbers != sorted(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("length", "stride"), [(1, None), (4, None), (4, 1), (5, 8), (15, 3)])
def test_users_17_windows_are_consecutive_steps_of_an_episode_as_stored(opened, length, stride, shuffle, condition):
    if condition is not None and length == 15:
        pytest.skip("no run of 15 steps")
    told = dict(window=length, stride=stride, shuffle=shuffle, where=condition, buffer_mib=0.004)
    batches = opened.batches("E", COLUMNS, 6, **told)
    found, expected = list(batches), windows_of(opened, length, stride or length, condition)
    assert len(found) == len(batches) and batches.n_rows == len(expected) > 3
    assert sorted(firsts(found)) == sorted(expected)
    for name in COLUMNS:
        stored = np.array([expected[first][name].to_list() for first in firsts(found)])
        assert joined(found, name).shape[1] == length and np.array_equal(joined(found, name), stored), name


@pytest.mark.slow
def test_users_17_the_seed_permutes_windows(opened):
    def order(seed, **given):
        return firsts(opened.batches("E", window=3, shuffle=True, seed=seed, **given))

    in_order = firsts(opened.batches("E", window=3))
    assert order(0) == order(0) != order(1) and sorted(order(1)) == sorted(in_order) and order(0) != in_order
    assert order(0, framework="jax", dtype="float32") == pytest.approx(order(0))


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
def test_users_17_workers_and_splits_give_every_window_once(opened, shuffle):
    told = dict(batch_size=4, window=3, stride=2, shuffle=shuffle, validation=0.4, buffer_mib=0.004)
    every = []
    for split in ("train", "validation"):
        batches = opened.batches("E", split=split, **told)
        shares = [firsts(pickle.loads(pickle.dumps(batches.share(worker, 3)))) for worker in range(3)]
        together, of_pass = [*shares[0], *shares[1], *shares[2]], firsts(batches)
        assert sorted(together) == sorted(of_pass) and (shuffle or together == of_pass)
        every += firsts(batches)
    assert sorted(every) == sorted(windows_of(opened, 3, 2))


@pytest.mark.slow
def test_users_17_normalized_and_made_columns_of_windows_are_those_of_their_rows(opened):
    names = ("x", "dx", "state", "j_state", "j_action", "zero_state", "method", "step", "episode")
    told = dict(normalize=True, split="train", validation=0.4, dtype="float32")
    rows = opened.batches("E", names, 1000, **told)[0]
    windows = opened.batches("E", names, 1000, window=4, shuffle=True, **told)[0]
    at = {first: place for place, first in enumerate(rows["state"][:, 0])}
    places = np.array([[at[first] for first in window] for window in windows["state"][:, :, 0]])
    for name in names:
        assert windows[name].dtype == rows[name].dtype and np.array_equal(windows[name], rows[name][places]), name


def test_users_17_windows_of_a_free_body_have_tangents(tmp_path):
    with jacdb.open("datasets/sample") as sample:
        batches = sample.batches("PandaPickCube", ("state", "next_state", "dx", "j_state", "zero_state"), 8, window=13)
        axes = sample.fetch(sample.sql("select * from axes where env = 'PandaPickCube'"))
        batch = batches[-1]
    assert batches.n_rows == 4 * (40 // 13) and batch["dx"].shape == (4, 13, 38)
    assert batch["j_state"].shape == batch["zero_state"].shape == (4, 13, 38, 38)
    space = TangentSpace.from_axes(axes)
    assert np.array_equal(batch["dx"][2], space.difference(batch["state"][2], batch["next_state"][2]))
    now, then = batch["state"][:, 1:], batch["next_state"][:, :-1]
    assert np.array_equal(now[..., :31], then[..., :31])  # qpos, qvel
    assert np.abs(now - then).max() <= 2e-15  # ctrl: docs/verification.md


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"window": 31}, "window=31: E has 23 consecutive steps at most: give fewer"),
        ({"window": 6, "where": "step % 7 < 5"}, "window=6: E has 5 consecutive steps at most"),
        ({"window": 0}, "window=0: give 1 step or more"),
        ({"window": 4, "stride": 0}, "stride=0 of window=4"),
        ({"stride": 2}, "stride=2 of window=None: give a window"),
    ],
)
def test_users_17_windows_that_do_not_fit_are_refused(opened, given, told):
    with pytest.raises(UsageError, match=told):
        opened.batches("E", **given)


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("condition", [None, thorough("step % 7 < 5")])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_users_17_a_batch_by_its_number_is_that_of_a_pass(opened, shuffle, drop_last, condition, window):
    told = dict(shuffle=shuffle, drop_last=drop_last, where=condition, window=window, buffer_mib=0.004)
    every = opened.batches("E", COLUMNS, 3, **told)
    for batches in (every, every.share(1, 2)):
        found = list(batches)
        assert len(found) == len(batches) > 2
        for at in (*range(len(found)), -1, -len(found)):
            batch = batches[at]
            assert all(np.array_equal(batch[name], found[at][name]) for name in COLUMNS)
        for at in (len(found), -len(found) - 1):
            with pytest.raises(IndexError, match=f"batch {at} of {len(found)}"):
                batches[at]
