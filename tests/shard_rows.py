"""A run of ten episodes, in one piece or cut into four shards, and its rows."""

from pathlib import Path

import numpy as np
import polars as pl
from synthetic import dataset, episode

import jacdb
from jacdb import queries
from jacdb.dataset.shard import Shard

N = 4
EPISODES = 10


def made(number: int):
    """An episode with patterns of its own, and some that others have."""
    chance = np.random.default_rng(number)
    j_state = chance.normal(size=(6, 3, 3)) * (chance.random((6, 3, 3)) < 0.8)
    j_state[:2, 0, 0], j_state[2, 1, 1] = 0.0, np.nan if number == 4 else 1.0
    return episode(number, j_state, np.ones((6, 3, 2)))


def shard(root: Path, index: int, count: int = N, **options) -> None:
    numbers = Shard(index, count).numbers(EPISODES)
    dataset(root, "E", [made(number) for number in numbers], shard=Shard(index, count), part_bytes=300, **options)


def rows(root: Path) -> dict[str, pl.DataFrame]:
    """All rows in an order of their own; which part has an episode, and how long the run took, is left out."""
    left_out = {"runs": ["started", "seconds"], "episodes": ["part"]}
    keys = ("env", "run_id", "episode", "step", "space", "index", "pattern_id")
    with jacdb.open(root) as opened:
        tables = {name: getattr(opened, name)().drop(left_out.get(name, [])) for name in queries.TABLES}
    return {name: table.sort([key for key in keys if key in table.columns]) for name, table in tables.items()}


def same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name in queries.TABLES:
        assert found[name].equals(expected[name]), name
