"""jacdb: the database of how robots' worlds really depend on themselves.

>>> import jacdb
>>> dataset = jacdb.open("data")
>>> dataset.global_sparsity()
>>> dataset.sql("select in_contact, avg(n_zero_state) from steps group by all").pl()
>>> jacdb.linearize(mujoco_model, qpos, qvel, ctrl).j_state
"""

import random
from typing import TYPE_CHECKING

from jacdb._version import __version__
from jacdb.errors import FailureError, JacdbError, UsageError

if TYPE_CHECKING:
    from jacdb.dataset.dataset import Dataset
    from jacdb.dataset.dataset import open_dataset as open
    from jacdb.ingest.linearization.linearize import linearize

__all__ = ["Dataset", "FailureError", "JacdbError", "UsageError", "__version__", "linearize", "open"]


def __getattr__(name: str) -> object:
    # DuckDB, polars and Arrow are loaded when a dataset is opened, and not to print `jacdb --help`.
    if name in ("open", "Dataset"):
        from jacdb.dataset import dataset

        return {"open": dataset.open_dataset, "Dataset": dataset.Dataset}[name]
    if name == "linearize":
        from jacdb import simulator

        simulator.require()
        drawn = random.getstate()  # flax imports rich, which draws from Python's random numbers as it is imported
        try:
            from jacdb.ingest.linearization import linearize
        finally:
            random.setstate(drawn)
        return linearize.linearize
    raise AttributeError(f"module 'jacdb' has no attribute {name!r}")
