"""Batches in PyTorch's DataLoader: each comes once an epoch, whoever decides the order.

The tests that need PyTorch are skipped where it is not installed: `pip install torch` to run them.
"""

import importlib.util
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError
from jacdb.ingest.storage import run_writer

EPISODES = {"E": 12, "F": 3}  # of 10 steps
with_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Two environments in row groups of 20 rows; the number of a row is its action."""
    root = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 20)
        for env, episodes in EPISODES.items():
            numbers = np.arange(episodes * 10, dtype=float).reshape(episodes, 10, 1)
            made = [
                episode(i, np.ones((10, 2, 2)), np.ones((10, 2, 1)), columns={"action": numbers[i]})
                for i in range(episodes)
            ]
            dataset(root, env, made)
    with jacdb.open(root) as one:
        yield one


def numbers_of(batches):
    return [(batch.get("environment"), int(number)) for batch in batches for number in batch["action"][:, 0]]


@with_torch
@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize("env", ["E", ["E", "F"]])
def test_users_17_a_data_loader_with_two_workers_gives_every_row_once(opened, env, map_style, how):
    from torch.utils.data import DataLoader

    batches = opened.batches(env, ("action",), 7, framework="torch", shuffle=not map_style, seed=1)
    items = batches.torch_dataset(map_style=map_style)
    told = {"shuffle": True} if map_style else {}
    loader = DataLoader(items, batch_size=None, num_workers=2, multiprocessing_context=how, **told)
    assert len(loader) == len(batches) == len(items)
    first, second = numbers_of(loader), numbers_of(loader)
    assert sorted(first) == sorted(second) == sorted(numbers_of(batches)) and (first != second) == map_style
    assert len({*first}) == len(first) == batches.n_rows


@with_torch
@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("env", ["E", ["E", "F"]])
def test_data_loaders_of_several_ranks_give_every_row_once(opened, env, num_workers):
    from torch.utils.data import DataLoader

    told = dict(batch_size=7, framework="torch", shuffle=True, seed=1)
    found = []
    for rank in range(2):
        batches = opened.batches(env, ("action",), worker=rank, workers=2, **told)
        context = "forkserver" if num_workers else None  # a fork of many threads may hang
        items = batches.torch_dataset()
        of_rank = numbers_of(
            DataLoader(items, batch_size=None, num_workers=num_workers, multiprocessing_context=context)
        )
        assert len(of_rank) == batches.n_rows
        found += of_rank
    assert sorted(found) == sorted(numbers_of(opened.batches(env, ("action",), **told)))


@with_torch
def test_users_17_a_sampler_drives_a_map_style_dataset(opened):
    from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, SubsetRandomSampler

    batches = opened.batches("E", ("action",), 7, framework="torch")
    items = batches.torch_dataset(map_style=True)
    assert isinstance(items, Dataset) and not isinstance(items, IterableDataset)
    assert isinstance(batches.torch_dataset(), IterableDataset)
    some = numbers_of(DataLoader(items, batch_size=None, sampler=SubsetRandomSampler([2, 5])))
    assert sorted(some) == [(None, number) for number in (*range(14, 21), *range(35, 42))]
    ranks = [DistributedSampler(items, num_replicas=2, rank=rank, seed=3) for rank in range(2)]
    shared = [number for rank in ranks for number in numbers_of(DataLoader(items, batch_size=None, sampler=rank))]
    assert sorted(shared) == sorted(numbers_of(batches))
    with pytest.raises(IndexError, match="batch 18 of 18"):
        items[18]


@with_torch
def test_users_17_what_the_page_on_training_says_of_pytorch_runs():
    section = (ROOT / "docs" / "training.md").read_text().split("\n## PyTorch\n")[1]
    with jacdb.open(ROOT / "datasets" / "sample") as sample:
        scope = {"dataset": sample}
        for block in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            exec(block, scope)
            batches, loader = scope["batches"], scope["loader"]
            assert len(loader) == len(batches)
            assert sum(len(batch["state"]) for batch in loader) == batches.n_rows


@pytest.mark.slow
@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize("env", ["E", ["E", "F"]])
def test_users_17_without_pytorch_there_is_no_dataset_of_its(opened, env, map_style, monkeypatch):
    monkeypatch.delitem(sys.modules, "jacdb.dataset.torch_batches", raising=False)
    for name in ("torch", "torch.utils.data"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"torch_dataset\(\) needs PyTorch: pip install torch"):
        opened.batches(env).torch_dataset(map_style=map_style)
