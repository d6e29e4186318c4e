"""A dataset as people open it: ``jacdb.open`` returns a :class:`Dataset`."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack, overload

import polars as pl

from jacdb import queries
from jacdb.dataset.views import Views

if TYPE_CHECKING:
    from jacdb.dataset.interleaved_batches import InterleavedBatches
    from jacdb.dataset.loader import Batches, BatchOptions
    from jacdb.tangent import TangentSpace


class ViewMethod(Protocol):
    """A view as a method of a dataset."""

    def __call__(self, env: str | None = None) -> pl.DataFrame:
        """Return the view, of all environments or of one."""


class WindowedViewMethod(Protocol):
    """A view that has windows of steps, as a method of a dataset."""

    def __call__(self, env: str | None = None, *, window: int | None = None) -> pl.DataFrame:
        """Return the view, of all environments or of one, with so many steps in a window."""


class Dataset(Views):
    """A jacdb dataset, open for reading.

    ``dataset.sql("select … from steps")`` answers SQL, ``dataset.view(name)`` returns one view; both return DuckDB
    relations (``.pl()``, ``.arrow()``, ``.df()``). Every view is also a method that returns a polars frame:
    ``dataset.zero_durations("CheetahRun")``. SQL can only read: it writes nothing, attaches nothing, and opens no file
    outside the dataset's folder.
    """

    if TYPE_CHECKING:  # the views, which are added below; a name that is not here is a type error
        steps: ViewMethod
        episodes: ViewMethod
        axes: ViewMethod
        runs: ViewMethod
        patterns: ViewMethod
        samples: ViewMethod
        returns: ViewMethod
        global_sparsity: ViewMethod
        threshold_sweep: ViewMethod
        entry_zero_fraction: ViewMethod
        sparsity_histogram: ViewMethod
        sparsity_timeline: ViewMethod
        zero_durations: ViewMethod
        step_sets: ViewMethod
        constraint_sets: ViewMethod
        step_constraints: ViewMethod
        sparsity_by_constraint: ViewMethod
        pattern_switches: ViewMethod
        switch_explanations: ViewMethod
        symmetries: ViewMethod
        causal_graph: ViewMethod
        method_comparison: ViewMethod
        axis_statistics: ViewMethod
        lyapunov: WindowedViewMethod
        learning_runs: ViewMethod
        learning_scores: ViewMethod
        leaderboard: ViewMethod
    else:

        def __getattr__(self, name: str) -> object:
            if name.startswith("_"):
                raise AttributeError(name)
            close = difflib.get_close_matches(name, queries.VIEWS, n=1)
            hint = f"did you mean {close[0]}?" if close else "docs/tables.md lists the views"
            raise AttributeError(f"a dataset has no view or method {name!r}: {hint}")

    @overload
    def batches(
        self, env: str, columns: Sequence[str] = ..., batch_size: int = ..., **options: "Unpack[BatchOptions]"
    ) -> "Batches": ...

    @overload
    def batches(
        self,
        env: list[str] | tuple[str, ...],
        columns: Sequence[str] = ...,
        batch_size: int = ...,
        **options: "Unpack[BatchOptions]",
    ) -> "InterleavedBatches": ...

    def batches(
        self,
        env: str | list[str] | tuple[str, ...],
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
        method: str | None = None,
        twins: bool = False,
        where: str | None = None,
        normalize: bool = False,
        worker: int = 0,
        workers: int = 1,
        window: int | None = None,
        stride: int | None = None,
    ) -> "Batches | InterleavedBatches":
        """Return batches for training: an iterable of dicts, column -> array of shape (n, …).

        With a list of environments one pass goes over all of them. Each batch is of one, and has its name under the key
        ``environment``; see :class:`jacdb.dataset.interleaved_batches.InterleavedBatches`. With ``window=k`` the items
        of a batch are k consecutive steps of an episode: arrays have shape (n, k, …).

        Rows are the finite ones (``finite = true``) that meet the dataset's condition, by exact methods, of one run for
        each trajectory. Each pass over the batches gives every row once.
        :class:`jacdb.dataset.loader.Batches` says what each argument does.

        Raises:
            UsageError: an argument is not valid, the framework is not installed, or an environment has no row left.
            FailureError: a file can't be read, or its rows differ in shape; this may also happen while iterating.
        """
        from jacdb.dataset import batch_sequence, interleaved_batches, loader

        worker, workers = batch_sequence.checked_share(worker, workers)
        columns = loader.column_names(columns)  # once: an iterator would be used up by the first environment

        def of(one: str) -> "Batches":
            return loader.Batches(
                self, one, columns, batch_size, shuffle, seed, split, validation, framework, device, dtype, drop_last,
                buffer_mib, method, twins, where, normalize, window=window, stride=stride,
            )  # fmt: skip

        whole = of(env) if isinstance(env, str) else interleaved_batches.InterleavedBatches.of(self, env, of)
        return whole.share(worker, workers)

    def tangent_space(self, env: str) -> "TangentSpace":
        """Return the tangent space of an environment's states: what its Jacobians are derivatives in.

        Raises:
            UsageError: the dataset has no such environment.
        """
        from jacdb.dataset import batch_columns

        return batch_columns.tangent_space(self, env)


def _as_method(view: str) -> Callable[..., pl.DataFrame]:
    """Return a method that runs a view and returns a polars frame; its help is the question that the view answers."""

    def frame(self: Dataset, env: str | None = None) -> pl.DataFrame:
        return self.fetch(self.view(view, env))

    def frame_of_windows(self: Dataset, env: str | None = None, *, window: int | None = None) -> pl.DataFrame:
        return self.fetch(self.view(view, env, window=window))

    method = frame_of_windows if view in queries.WINDOWED else frame
    method.__name__, method.__doc__ = view, queries.header(view)["question"]
    return method


for _view in queries.VIEWS:
    setattr(Dataset, _view, _as_method(_view))


def open_dataset(root: Path | str) -> Dataset:
    """Open a dataset: a folder, or ``hf://datasets/OWNER/NAME[@REVISION]``. This is ``jacdb.open``.

    Threads may share it: its calls take turns. Relations of ``dataset.sql`` are then read by ``dataset.fetch``, or each
    thread opens a dataset of its own, which also lets queries run side by side.

    Raises:
        UsageError: there is no dataset, or its schema version is newer than this jacdb reads.
        FailureError: a file can't be read.
    """
    return Dataset(root)
