"""Training and validation: each trajectory is in one of both for good, and none is empty where there are two."""

import re

import numpy as np
import pytest
from loader_rows import IN_VALIDATION, joined, make

import jacdb
from jacdb import UsageError, schemas
from jacdb.dataset.segments import Segments
from jacdb.dataset.split import of_split

pytestmark = pytest.mark.slow


def kept(ids):
    """A segment of one step for each trajectory."""
    one = np.zeros(len(ids), np.int64)
    return Segments(np.full(len(ids), "run-a", object), np.arange(len(ids)), one, one, np.array(ids))


def test_a_split_is_for_good():
    ids = [schemas.trajectory_id("CheetahRun", "noise", "{}", 0, "c57fd73217", number) for number in range(10_000)]
    small, large = (set(of_split(kept(ids), "validation", share, np.sort(ids)).episode) for share in (0.1, 0.2))
    assert sorted(small)[:4] == IN_VALIDATION
    assert 900 < len(small) < 1100 and small < large
    alone = of_split(kept(ids[:40]), "validation", 0.1, np.sort(ids[:40]))
    assert set(alone.episode) == {number for number in small if number < 40}


def test_users_01_no_split_is_empty_where_there_are_two_trajectories():
    ids = np.array([2**60, 2**61, 2**62])  # at shares of 1/8, 1/4 and 1/2
    found = []
    for share in (0.01, 0.2, 0.3, 0.9):
        validation, train = (of_split(kept(ids), split, share, ids) for split in ("validation", "train"))
        assert sorted({*validation.episode, *train.episode}) == [0, 1, 2]
        found.append((len(validation), len(train)))
    assert found == [(1, 2), (1, 2), (2, 1), (2, 1)]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Four trajectories of ten steps; six of finite differences, of which four are the same; two that are longer."""
    root = tmp_path_factory.mktemp("twins")
    make(root, "run-a", 4, 10)
    make(root, "run-fd-a", 6, 10, method="fd")
    make(root, "run-long-a", 2, 20)
    return root


def test_users_01_an_episode_by_another_method_is_in_the_same_split(twins):
    with jacdb.open(twins) as opened:
        for share in (0.2, 0.5, 0.8):
            of = {}
            for split in ("train", "validation"):
                batches = opened.batches("E", ("episode",), split=split, validation=share, twins=True)
                fd = opened.batches("E", ("episode",), split=split, validation=share, method="fd", twins=True)
                of[split] = {*joined(batches, "episode")}, {*joined(fd, "episode")} & {0, 1, 2, 3}
            assert of["train"] == (of["train"][1],) * 2 and of["validation"] == (of["validation"][1],) * 2
            assert not of["train"][0] & of["validation"][0]


def test_users_01_finite_differences_and_twins_are_left_out_unless_asked_for(twins):
    def counts(dataset, **given):
        return np.bincount(joined(dataset.batches("E", ("episode",), **given), "episode")).tolist()

    with jacdb.open(twins) as opened:
        assert counts(opened) == [20, 19, 10, 10]
        assert counts(opened, twins=True) == [30, 28, 10, 10]
        assert counts(opened, method="fd") == [10, 9, 10, 10, 10, 10]
        assert counts(opened.where("run_id = 'run-a'")) == [10, 9, 10, 10]
        with pytest.raises(UsageError, match="no finite row of E of method='autodiff'"):
            opened.batches("E", method="autodiff")
        with pytest.raises(UsageError, match=r"no finite row of E by an exact method: .* method="):
            opened.where("method = 'fd'").batches("E")


@pytest.mark.parametrize(("split", "share"), [("train", 0.9999), ("validation", 0.0001)])
def test_users_01_an_empty_split_says_which_share_would_do(tmp_path, split, share):
    make(tmp_path, "run-a", 1, 5)
    with jacdb.open(tmp_path) as opened:
        with pytest.raises(UsageError, match=f"no row of E in split='{split}'.*of 1 episode: give ") as refused:
            opened.batches("E", split=split, validation=share)
        remedy = float(re.search(r"give validation=(0\.[0-9]+),", str(refused.value))[1])
        assert opened.batches("E", split=split, validation=remedy).n_rows == 5
