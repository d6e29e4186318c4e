"""Draw steps of a run to replay, and read their episodes from the reset up to the last drawn step."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import nested_lists
from jacdb.verification import rows
from jacdb.verification.rows import Dimensions

SEED = 0


@dataclass(frozen=True)
class EpisodePrefix:
    """A stored episode, from its reset to the last of its drawn steps.

    Attributes:
        path: the part that holds it.
        first: the row of its step 0.
        number: the episode.
        state, action, next_state: (steps, n).
        finite: (steps,)
        drawn: the steps to check closely.
        jacobians: for each drawn step (d_state, d_state + d_action), in the stored type.
        methods: for each drawn step, the method that computed its Jacobian.
    """

    path: str
    first: int
    number: int
    state: np.ndarray
    action: np.ndarray
    next_state: np.ndarray
    finite: np.ndarray
    drawn: list[int]
    jacobians: list[np.ndarray]
    methods: list[str]


def draw(root: Path, paths: list[str], count: int, dimensions: Dimensions) -> list[EpisodePrefix]:
    """Draw finite steps of a run, the same ones every time, and read their episodes up to them.

    Args:
        root: the dataset's folder.
        paths: the run's parts of `steps`, whose rows are in order.
        count: how many steps to draw; all finite steps if there are fewer.
        dimensions: the run's.
    """
    keys = ["episode", "step", "finite"]
    tables = [pq.read_table(root / path, columns=keys, partitioning=None) for path in paths]
    part = np.repeat(np.arange(len(paths)), [len(table) for table in tables])
    row = np.concatenate([np.arange(len(table)) for table in tables])
    episode, step, finite = (np.concatenate([table[key].to_numpy() for table in tables]) for key in keys)
    candidates = np.flatnonzero(finite)
    rng = np.random.default_rng(SEED)
    chosen = np.sort(rng.choice(candidates, min(count, len(candidates)), replace=False))
    prefixes = []
    for number in np.unique(episode[chosen]):
        of_episode = chosen[episode[chosen] == number]
        first = int(row[of_episode[0]] - step[of_episode[0]])
        path = paths[part[of_episode[0]]]
        prefixes.append(_read(root / path, path, first, int(number), step[of_episode].tolist(), dimensions))
    return prefixes


def _read(file: Path, path: str, first: int, number: int, drawn: list[int], dimensions: Dimensions) -> EpisodePrefix:
    prefix = np.arange(first, first + drawn[-1] + 1)
    columns = ("state", "action", "next_state")
    stored = pa.Table.from_batches(_rows(file, [*columns, "finite"], prefix))
    values = {name: _numbers(stored[name], dimensions.shape(name)) for name in columns}
    matrices = pa.Table.from_batches(_rows(file, ["j_state", "j_action", "method"], first + np.array(drawn)))
    both = [_numbers(matrices[name], dimensions.shape(name)) for name in ("j_state", "j_action")]
    return EpisodePrefix(
        path=path,
        first=first,
        number=number,
        **values,
        finite=stored["finite"].to_numpy(),
        drawn=drawn,
        jacobians=list(np.concatenate(both, axis=2)),
        methods=matrices["method"].to_pylist(),
    )


def _rows(file: Path, columns: list[str], wanted: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield these rows of a file, in order; read only the row groups that hold one of them."""
    parquet = pq.ParquetFile(file)
    first = 0
    for index in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(index).num_rows
        if ((wanted >= first) & (wanted < first + count)).any():
            for batch in parquet.iter_batches(rows.BATCH_ROWS, row_groups=[index], columns=columns):
                inside = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
                if len(inside):
                    yield batch.take(pa.array(inside))
                first += len(batch)
        else:
            first += count


def _numbers(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a column of nested lists as an array (rows, …), given the shape of a row."""
    return nested_lists.entries(column.combine_chunks()).reshape(len(column), *shape)
