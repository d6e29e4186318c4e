"""A dataset, opened: DuckDB over its Parquet files, with the views registered. Needs no simulator."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import duckdb
import polars as pl

from jacdb import queries, schemas
from jacdb.dataset import sandbox
from jacdb.dataset.location import Folder, locate, quoted
from jacdb.dataset.schema_version import check_version
from jacdb.errors import FailureError, UsageError, first_line, known

if TYPE_CHECKING:
    from jacdb.dataset.loader import Batches

# A condition on steps says nothing of these.
_NOT_OF_STEPS = ("episodes", "axes", "runs", "threshold_sweep")


class Dataset:
    """A jacdb dataset, open for reading.

    Every view is a DuckDB view: ``dataset.sql("select … from steps")``, or by name, ``dataset.view(name)``.
    Results are DuckDB relations: ``.pl()``, ``.arrow()``, ``.df()``. What is given to ``sql`` can only read: it
    writes nothing, attaches nothing, and opens no file outside the dataset's folder. Every view is a method, too,
    ``dataset.zero_durations("CheetahRun")``, that returns a polars frame.
    """

    if TYPE_CHECKING:  # the views, below

        def __getattr__(self, view: str) -> Callable[..., pl.DataFrame]: ...

    def __init__(
        self,
        root: Path | str | Folder,
        *,
        where: str | None = None,
        memory: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Open the dataset in a folder, or on the Hugging Face Hub.

        Args:
            root: the folder, or ``hf://datasets/OWNER/NAME``, at a branch, tag or commit with ``@REVISION``.
            where: a condition on steps, in SQL; every statistic is then of the steps that meet it.
            memory: GiB that a query may take, and its answer; None for 80 % of the machine's, and half of it.
            timeout: seconds after which ``fetch`` ends a query; None for never.

        Raises:
            UsageError: there is no dataset, it is of a newer schema version, the condition is none, or a limit is not
                above 0.
            FailureError: a file of it can't be read.
        """
        for name, limit in (("memory", memory), ("timeout", timeout)):
            if limit is not None and not 0 < limit < math.inf:
                raise UsageError(f"{name}={limit:g}: give a number above 0")
        self.location = locate(root)
        self._where, self._memory, self._timeout = where, memory, timeout
        check_version(self.location.path)
        self._connection = sandbox.connect(self.location, memory)
        self._register()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The answer to one SELECT, as a DuckDB relation.

        Raises:
            UsageError: it is no single SELECT, names what is not there, or reaches outside the dataset.
            FailureError: it fails as it runs.
        """
        select = sandbox.one_select(self._connection, query)
        try:
            # As a subquery: DuckDB takes a WITH that copies or deletes for a SELECT, and refuses it here.
            return self._connection.sql(f"from (\n{select}\n)")
        except duckdb.PermissionException as error:
            raise UsageError(f"not allowed: {first_line(error)}; a query reads this dataset only") from error
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise UsageError(f"SQL: {first_line(error)}") from error
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise FailureError(f"SQL: {first_line(error)}") from error

    def view(self, name: str, env: str | None = None) -> duckdb.DuckDBPyRelation:
        """A named view, whole or of one environment.

        Raises:
            UsageError: there is no such view (they are listed), or the dataset has no such environment.
        """
        if name not in queries.VIEWS:
            raise UsageError(f"no view {name!r}: there are {', '.join(queries.VIEWS)}")
        if self._where is not None and name in _NOT_OF_STEPS:
            raise UsageError(self._refusal(name))
        if env is None:
            return self.sql(f"from {name}")
        if env not in self.environments:
            raise UsageError(f"no steps of {env!r} here: {known(env, self.environments)}")
        return self.sql(f"from {name} where env = {quoted(env)}")

    def fetch(self, relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
        """Run what ``sql`` or ``view`` gave, within the dataset's limits of memory and time, as a polars frame.

        Raises:
            FailureError: it fails as it runs, or reaches a limit.
        """
        with sandbox.within(self._connection, self._timeout):
            return sandbox.fetch(relation, self._memory)

    @property
    def environments(self) -> list[str]:
        """The environments that have steps, in order."""
        return sorted({part.split("/")[1].removeprefix("env=") for part in self.location.parts("steps")})

    def where(self, condition: str) -> "Dataset":
        """The same dataset seen through a condition on steps, such as ``not in_contact``; conditions add up."""
        both = condition if self._where is None else f"({self._where}) and ({condition})"
        return Dataset(self.location, where=both, memory=self._memory, timeout=self._timeout)

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
        """Batches for training: dicts of arrays, column -> (n, …), over and over the same rows.

        Rows are the finite ones (``finite = true``) that meet the dataset's condition, each once in a pass. ``len()``
        is the number of batches, ``.n_rows`` that of rows.

        Args:
            env: the environment.
            columns: numeric columns of `steps`; j_state comes as (n, d, d), state as (n, s), reward as (n,).
            batch_size: rows of a batch; the last may have fewer.
            shuffle: in another order than by run, episode and step: row groups in random order fill a buffer, whose
                rows are permuted. The order follows from the seed alone; for another in each epoch, give
                ``seed=epoch``.
            seed: of the order; 0 or more.
            split: "train" or "validation", by whole episodes, or None for all. An episode stays in its split for
                good: on every machine, with every seed, and when runs are added.
            validation: the share of episodes in the validation split, in expectation: a hash decides each by itself.
                Of a larger share's split, a smaller one's is a part.
            framework: numpy, jax or torch.
            device: "cpu", "gpu:0", "cuda:1", …; default: the framework's own.
            dtype: float16, float32 or float64 for all columns of floats; None keeps what is stored: float64, and
                float32 for the matrices of most runs. Where a float64 run stands beside a float32 one, both come as
                float64. JAX makes float32 of float64 unless ``jax_enable_x64`` is set.
            drop_last: leave out a last batch that is not full.
            buffer_mib: MiB of rows to shuffle at once, of one row group at least. The next buffer is filled while one
                is used: memory is twice as much, kept for the next pass, and what a few row groups have in the file.

        Raises:
            UsageError: a word or number can't be right, the framework is not installed, or there is no such row.
            FailureError: a file can't be read or its rows differ in shape; while iterating, too.
        """
        from jacdb.dataset import loader

        return loader.Batches(
            self, env, columns, batch_size, shuffle, seed, split, validation, framework, device, dtype, drop_last,
            buffer_mib,
        )  # fmt: skip

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jacdb.Dataset {self.location.name!r}: {', '.join(self.environments)}>"

    def _refusal(self, name: str) -> str:
        return f"a condition on steps ({self._where}) does not apply to {name}"

    def _register(self) -> None:
        create = self._connection.execute
        try:
            for table in schemas.TABLES:
                if self.location.parts(table.name):
                    create(f"create view stored_{table.name} as select * from {self.location.scan(table.name)}")
                else:  # a dataset is readable before its first part is there
                    self._connection.register(f"stored_{table.name}", table.schema.empty_table())
            for name in queries.VIEWS:
                create(f"create view {name} as {queries.sql(name)}")
        except (duckdb.Error, UnicodeDecodeError) as error:  # a broken footer may name columns that are no text
            raise FailureError(f"{self.location.name} can't be read: {first_line(error)}") from error
        if self._where is not None:
            try:
                duckdb.SQLExpression(self._where)  # one expression and no more
                create(f"create or replace view steps as {queries.sql('steps')} where ({self._where}\n)")
                self.sql("from steps limit 0")
                # not silently of all steps, where a query names it
                refusal = quoted(self._refusal("threshold_sweep"))
                whole = queries.sql("threshold_sweep")
                create(f"create or replace view threshold_sweep as select * from ({whole}) where error({refusal})")
            except (duckdb.Error, UsageError) as error:
                raise UsageError(f"condition {self._where!r}: {first_line(error)}") from error
        create("set lock_configuration = true")


def _as_method(view: str) -> Callable[..., pl.DataFrame]:
    """A view as a method that returns a polars frame; its help is the question that the view answers."""

    def frame(self: Dataset, env: str | None = None) -> pl.DataFrame:
        return self.fetch(self.view(view, env))

    frame.__name__, frame.__doc__ = view, queries.header(view)["question"]
    return frame


for _view in queries.VIEWS:
    setattr(Dataset, _view, _as_method(_view))


def open_dataset(root: Path | str) -> Dataset:
    """Open a dataset; ``jacdb.open``."""
    return Dataset(root)
