"""Datasets and batches in worker processes, however these are started; and who shares a pass gives every row once."""

import itertools
import multiprocessing
import pickle

import numpy as np
import pyarrow as pa
import pytest
from synthetic import dataset, episode
from thoroughness import thorough

import jacdb
from jacdb import UsageError
from jacdb.ingest.storage import run_writer

pytestmark = pytest.mark.slow

EPISODES, LENGTH = 6, 10
PATIENCE = 120  # seconds; a worker that hangs is found out


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of 6 episodes of 10 steps, row groups of 20 rows; the number of a row is its action."""
    root = tmp_path_factory.mktemp("workers")
    numbers = np.arange(EPISODES * LENGTH, dtype=float).reshape(EPISODES, LENGTH, 1)
    made = [
        episode(i, np.ones((LENGTH, 2, 2)), np.ones((LENGTH, 2, 1)), columns={"action": numbers[i]})
        for i in range(EPISODES)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 20)
        dataset(root, "E", made, "run-a", pa.float64())
    return root


@pytest.fixture
def opened(root):
    with jacdb.open(root) as one:
        one.global_sparsity()  # polars and DuckDB have begun their threads
        yield one


def numbers_of(*shares):
    return [int(number) for batches in shares for batch in batches for number in batch["action"].ravel()]


def read(batches, told):
    told.put(numbers_of(batches))


def ask(opened, told):
    counted = opened.where("step < 3").sql("select count(*) from steps").fetchall()
    rows = opened.batches("E", ("action",), split="train", validation=0.5).n_rows
    told.put((opened.global_sparsity()["samples"].to_list(), counted, rows))


def answers(how, function, *arguments):
    """What a worker process tells for each of the arguments; the workers end by themselves."""
    context = multiprocessing.get_context(how)
    told = context.Queue()
    workers = [context.Process(target=function, args=(argument, told), daemon=True) for argument in arguments]
    for worker in workers:
        worker.start()
    found = [told.get(timeout=PATIENCE) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    return found


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_users_08_workers_share_a_pass_and_ask_questions(opened, how):
    batches = opened.batches("E", ("action",), batch_size=7, shuffle=True, seed=3)
    found = answers(how, read, *(batches.share(worker, 2) for worker in range(2)))
    assert sorted(itertools.chain(*found)) == [*range(EPISODES * LENGTH)] and all(len(of) >= 25 for of in found)
    rows = opened.batches("E", ("action",), split="train", validation=0.5).n_rows
    assert answers(how, ask, opened) == [([EPISODES * LENGTH], [(3 * EPISODES,)], rows)]


@pytest.mark.parametrize("drop_last", [thorough(False), True])
@pytest.mark.parametrize("workers", [1, 2, 3, 20])
@pytest.mark.parametrize("condition", [None, "step % 3 = 0"])
def test_users_08_shares_are_whole_batches_of_one_pass(opened, workers, drop_last, condition):
    def asked(**given):
        return opened.batches("E", ("action",), 7, drop_last=drop_last, where=condition, **given)

    shares = [asked(worker=worker, workers=workers) for worker in range(workers)]
    whole = asked()
    assert numbers_of(*shares) == numbers_of(whole)
    assert sum(map(len, shares)) == len(whole) and sum(share.n_rows for share in shares) == whole.n_rows
    shuffled = numbers_of(*(asked(shuffle=True, worker=worker, workers=workers) for worker in range(workers)))
    assert len({*shuffled}) == len(shuffled) == len(numbers_of(whole))


@pytest.mark.parametrize(("outer", "inner"), [(2, 1), (2, 3), (3, 20)])
@pytest.mark.parametrize("given", [{}, {"window": 3, "stride": 1}, {"shuffle": True, "buffer_mib": 0.001}])
def test_shares_of_a_share_give_its_rows_each_once(opened, given, outer, inner):
    numbers = []
    for worker in range(outer):
        share = opened.batches("E", ("action",), 7, worker=worker, workers=outer, **given)
        parts = [share.share(one, np.uint8(inner)) for one in range(inner)]
        assert sum(map(len, parts)) == len(share) and sum(part.n_rows for part in parts) == share.n_rows
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        if "shuffle" not in given:
            expected = [batch["action"].tolist() for batch in share]
            assert [batch["action"].tolist() for part in parts for batch in part] == expected
        assert sorted(numbers_of(*parts)) == sorted(numbers_of(share))
        numbers += numbers_of(*parts)
        with pytest.raises(UsageError, match=f"worker={inner} of workers={inner}: give"):
            share.share(inner, inner)
    assert sorted(numbers) == sorted(numbers_of(opened.batches("E", ("action",), 7, **given)))


def test_users_08_pickled_batches_give_what_was_there_when_they_were_made(root, opened):
    batches = opened.batches("E", ("action",), shuffle=True, seed=5)
    again = pickle.loads(pickle.dumps(batches))
    assert numbers_of(again) == numbers_of(batches) and again.dataset.environments == ["E"]
    condition = pickle.loads(pickle.dumps(opened.where("step = 0")))
    assert condition.sql("select count(*) from steps").fetchall() == [(EPISODES,)]


@pytest.mark.parametrize(("worker", "workers"), [(2, 2), (-1, 1), (0, 0)])
def test_users_08_a_worker_that_is_not_there_is_refused(opened, worker, workers):
    with pytest.raises(UsageError, match=f"worker={worker} of workers={workers}: give 0 or more, below workers"):
        opened.batches("E", worker=worker, workers=workers)
