"""A dataset as people open it: ``jacdb.open`` returns a :class:`Dataset`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from jacdb import queries
from jacdb.dataset.views import Views

if TYPE_CHECKING:
    from jacdb.dataset.loader import Batches
    from jacdb.tangent import TangentSpace


class Dataset(Views):
    """A jacdb dataset, open for reading.

    ``dataset.sql("select … from steps")`` answers SQL, ``dataset.view(name)`` returns one view; both return DuckDB
    relations (``.pl()``, ``.arrow()``, ``.df()``). Every view is also a method that returns a polars frame:
    ``dataset.zero_durations("CheetahRun")``. SQL can only read: it writes nothing, attaches nothing, and opens no file
    outside the dataset's folder.
    """

    if TYPE_CHECKING:  # the views, which are added below

        def __getattr__(self, view: str) -> Callable[..., pl.DataFrame]: ...

    def batches(
        self,
        env: str,
        columns: Sequence[str] = ("state", "action", "next_state", "j_state", "j_action"),
        batch_size: int = 256,
        *,
        shuffle: bool = False,
        seed: int = 0,
        split: str | None = None,
        validation: float = 0.1,
        framework: str = "numpy",
        device: str | None = None,
        dtype: str | None = None,
        drop_last: bool = False,
        buffer_mib: float = 64.0,
    ) -> "Batches":
        """Return batches for training: an iterable of dicts, column -> array of shape (n, …).

        Rows are the finite ones (``finite = true``) that meet the dataset's condition. Each pass over the batches gives
        every row once. ``len()`` is the number of batches, ``.n_rows`` the number of rows.

        Args:
            env: the environment.
            columns: numeric columns of `steps`; j_state comes as (n, d, d), state as (n, s), reward as (n,).
            batch_size: rows in a batch; the last batch may have fewer.
            shuffle: permute the rows. Row groups are read in random order into a buffer, and the rows in the buffer are
                permuted. The seed alone decides the order. Give ``seed=epoch`` for a new order in each epoch.
            seed: seed of the order; 0 or more.
            split: "train" or "validation", by whole episodes; None for all rows. An episode stays in its split on every
                machine, with every seed, and when runs are added.
            validation: the expected share of episodes in the validation split: a hash decides for each episode by
                itself. The validation split of a smaller share is part of that of a larger one.
            framework: numpy, jax or torch.
            device: "cpu", "gpu:0", "cuda:1", …; default: the framework's own.
            dtype: float16, float32 or float64 for all float columns. None keeps the stored types: float64, and float32
                for the matrices of most runs; where some runs store a column as float64 and others as float32, all rows
                come as float64. JAX turns float64 into float32 unless ``jax_enable_x64`` is set.
            drop_last: leave out the last batch if it is not full.
            buffer_mib: MiB of rows to shuffle at once; at least one row group. The next buffer is filled while one is
                used, so memory is twice this, plus a few row groups as they are stored. It is kept for the next pass.

        Raises:
            UsageError: an argument is not valid, the framework is not installed, or no row is left.
            FailureError: a file can't be read, or its rows differ in shape; this may also happen while iterating.
        """
        from jacdb.dataset import loader

        return loader.Batches(
            self, env, columns, batch_size, shuffle, seed, split, validation, framework, device, dtype, drop_last,
            buffer_mib,
        )  # fmt: skip

    def tangent_space(self, env: str) -> "TangentSpace":
        """Return the tangent space of an environment's states: what its Jacobians are derivatives in.

        Raises:
            UsageError: the dataset has no such environment.
        """
        from jacdb.tangent import TangentSpace

        return TangentSpace.from_axes(self.fetch(self.view("axes", env)))


def _as_method(view: str) -> Callable[..., pl.DataFrame]:
    """Return a method that runs a view and returns a polars frame; its help is the question that the view answers."""

    def frame(self: Dataset, env: str | None = None) -> pl.DataFrame:
        return self.fetch(self.view(view, env))

    frame.__name__, frame.__doc__ = view, queries.header(view)["question"]
    return frame


for _view in queries.VIEWS:
    setattr(Dataset, _view, _as_method(_view))


def open_dataset(root: Path | str) -> Dataset:
    """Open a dataset: a folder, or ``hf://datasets/OWNER/NAME[@REVISION]``. This is ``jacdb.open``.

    Raises:
        UsageError: there is no dataset, or its schema version is newer than this jacdb reads.
        FailureError: a file can't be read.
    """
    return Dataset(root)
