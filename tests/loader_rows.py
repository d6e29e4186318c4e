"""Runs of random rows that batches are read from, and columns of a pass."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from synthetic import dataset, episode

RNG = np.random.default_rng(0)
NOT_FINITE = (1, 3)  # episode and step, in each run
IN_VALIDATION = [2, 17, 20, 22]  # the first episodes of a run that are, for good


def make(
    root: Path, run_id: str, episodes: int, length: int, d: int = 3, dtype: type = np.float64, method: str = "implicit"
) -> None:
    """A run; its seed is the last letter of its id, after a dash: run-a, run-fd-a and run-long-a have one seed."""
    made = []
    for number in range(episodes):
        j_state, j_action = RNG.normal(size=(length, d, d)), RNG.normal(size=(length, d, 2))
        if number == NOT_FINITE[0]:
            j_state[NOT_FINITE[1], 0, 0] = np.nan
        state = RNG.normal(size=(length, d + 1))
        made.append(episode(number, j_state, j_action, dtype=dtype, state=state, method=method))
    dataset(root, "E", made, run_id, pa.from_numpy_dtype(dtype), method, seed=ord(run_id[-1]))


def joined(batches, name):
    return np.concatenate([np.asarray(batch[name]) for batch in batches])
