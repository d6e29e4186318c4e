"""Recordings in columns: npz and Parquet, and the mapping that says which column is what.

A row holds a state and the control that is applied to it; the next row of the episode holds the state after that. The
last row of an episode so gives its last state alone.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from jacdb.errors import UsageError, first_line
from jacdb.ingest.sources.recordings.checks import episodes_with_steps, trajectory, with_steps
from jacdb.ingest.sources.recordings.mapping import Mapped, identity
from jacdb.ingest.sources.recordings.recording import Origin, Recording
from jacdb.ingest.sources.trajectory import Trajectory

Columns = Mapping[str, np.ndarray]
FACTS = ("author", "licence", "license", "dataset_id", "mujoco")  # what a file may say of itself


def npz(path: Path, origin: Origin, mapping: Mapped | None) -> Recording:
    """Return the trajectories of a NumPy archive.

    Its arrays are qpos, qvel, ctrl and whatever else of Trajectory's attributes there is, by these names or others that
    a mapping gives.
    Either (rows, …), cut into episodes where ``episode`` changes or, without it, where rows are ``done``; or
    (T + 1, …) states to (T, …) steps of one episode; or both with episodes as a further first dimension. ``author``,
    ``licence``, ``dataset_id`` and ``mujoco`` may be strings.

    Raises:
        UsageError: it is no such archive, or lacks an array.
    """
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no npz of plain arrays (np.savez writes one): {first_line(error)}") from error
    facts = {key: str(arrays.pop(key)) for key in FACTS if key in arrays and arrays[key].dtype.kind in "US"}
    columns = {key: values for key, values in arrays.items() if values.ndim}
    return recording(path, (path,), columns, origin, mapping, facts)


def parquet(path: Path, origin: Origin, mapping: Mapped | None) -> Recording:
    """Return the trajectories of a Parquet file, or of the files of a folder in the order of their names.

    Columns are as in :func:`npz` with rows, as lists or, where there is one number, as numbers; a folder that is named
    ``column=value`` gives such a column to the files in it.

    Raises:
        UsageError: it is no Parquet, or lacks a column; an episode is in two files, and nothing says that it goes on.
    """
    from jacdb.ingest.sources.recordings import formats, parquet_files

    files = formats.parquet_below(path) if path.is_dir() else (path,)
    rows = parquet_files.read(files, wanted(mapping), path if path.is_dir() else None)
    facts = {key: rows.facts[key] for key in FACTS if key in rows.facts}
    return recording(path, files, rows.columns, origin, mapping, facts, check=rows.check_episodes)


def wanted(mapping: Mapped | None) -> set[str]:
    """Return the columns that are read, of those that there are."""
    return {part.column for parts in (mapping or identity()).fields.values() for part in parts}


def recording(
    path: Path, files: tuple[Path, ...], columns: Columns, origin: Origin, mapping: Mapped | None,
    facts: Mapping[str, str], suite: str = "file",
    check: Callable[[set[int], np.ndarray | None], None] = lambda begins, numbers: None,
) -> Recording:  # fmt: skip
    """Return columns in memory as a recording.

    Args:
        check: called with the rows at which episodes begin and, if there is such a column, the number of each row's
            episode; what it raises is raised.

    Raises:
        UsageError: a column that the mapping names, or one that is needed, is missing; there are no rows.
    """
    mapping = mapping or identity()
    arrays = mapping.apply(columns, path.name, needed=_needed(origin.model))
    if _all_missing(arrays.get("episode")):
        del arrays["episode"]
    if "episode" in arrays:
        _each_has_an_episode(path.name, arrays["episode"])
    if not len(arrays["qpos"]):
        raise UsageError(f"{path.name} has no rows: give states, one a row")
    if arrays["qpos"].ndim < 3:
        check(*_begins(path.name, arrays))
    every = {"source": path.name, **{"licence" if key == "license" else key: said for key, said in facts.items()}}
    if said := mapping.said(columns):
        every["mapping"] = json.dumps(said, sort_keys=True)
    unit_length = not origin.is_gymnasium
    return origin.recording(
        suite, mapping.precision(columns), every, files,
        lambda: _episodes(origin.model, path.name, arrays, unit_length),
    )  # fmt: skip


def _needed(model: mujoco.MjModel) -> tuple[str, ...]:
    """Return the columns without which there is no trajectory."""
    return ("qpos", "qvel", *(["ctrl"] if model.nu else []), *(["act"] if model.na else []))


def _all_missing(values: np.ndarray | None) -> bool:
    """Return whether a column has numbers, and all of them are missing."""
    return values is not None and values.dtype.kind == "f" and values.size > 0 and bool(np.isnan(values).all())


def _each_has_an_episode(where: str, values: np.ndarray) -> None:
    """Refuse rows that belong to no episode, where others have one."""
    missing = np.array([each is None for each in values]) if values.dtype == object else values != values
    if missing.any():
        row = int(np.argwhere(missing)[0, 0])
        raise UsageError(f"{where}: row {row} has no episode, others have: give every row its episode's number")


def _begins(where: str, arrays: Columns) -> tuple[set[int], np.ndarray | None]:
    """Return the rows at which episodes begin, and the number of each row's episode, None if there is no such column.

    Raises:
        UsageError: rows have several numbers.
    """
    if "episode" not in arrays:
        return {0, *_ends(arrays)[:-1]}, None
    numbers = arrays["episode"].reshape(-1)
    if len(numbers) != len(arrays["episode"]):
        raise UsageError(f"{where}: episode has {len(numbers) // len(arrays['episode'])} numbers a row: give one")
    return {0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()}, numbers


def _episodes(model: mujoco.MjModel, where: str, arrays: Columns, unit_length: bool) -> Iterator[Trajectory]:
    """Yield the episodes of columns."""
    if arrays["qpos"].ndim == 3:
        n_episodes = len(arrays["qpos"])
        for name, values in arrays.items():
            if len(values) != n_episodes:
                raise UsageError(f"{where}: {len(values)} episodes of {name}, {n_episodes} of qpos: give the same")
        for number in range(n_episodes):
            one = {name: values[number] for name, values in arrays.items() if name != "episode"}
            yield trajectory(model, f"{where}, episode {number}", one, unit_length=unit_length)
        return
    if "episode" not in arrays:
        if len(ends := _ends(arrays)) == 1:
            yield trajectory(model, where, arrays, unit_length=unit_length)
            return
        remedy = "leave done out, or give episode"
        for number, rows in episodes_with_steps(where, _over(arrays["done"]), ends, "done", remedy):
            one = {name: values[rows] for name, values in arrays.items()}
            label = f"{where}, episode {number} (rows {rows.start} to {rows.stop - 1})"
            yield trajectory(model, label, one, unit_length=unit_length)
        return
    for name, values in arrays.items():
        if len(values) != len(arrays["episode"]):
            said = f"{len(values)} rows of {name} to {len(arrays['episode'])} of episode"
            raise UsageError(f"{where}: {said}: with an episode's number, all have a row for each state")
    numbered = episodes(arrays["episode"], where)
    if len(numbered) > 1 and not with_steps(numbered):
        raise UsageError(
            f"{where}: every row has another episode, and no state after it: give all rows of one its number"
        )
    for number, rows in with_steps(numbered) or numbered:
        one = {name: values[rows] for name, values in arrays.items() if name != "episode"}
        yield trajectory(model, f"{where}, episode {number}", one, unit_length=unit_length)


def _ends(arrays: Columns) -> list[int]:
    """Return where the episodes of columns without ``episode`` end: the row after the last of each.

    As in D4RL and in replay buffers, an episode's last row is ``done`` and the next one begins another: the state to
    which its control led is not there. Where the row after it has no control, it is that state, and the last row.
    A recording of which only the last step is done is one episode, whatever stands in its last row.
    """
    n_rows = len(arrays["qpos"])
    done = arrays.get("done", np.zeros(0))
    ctrl = arrays.get("ctrl", np.zeros((n_rows, 0)))  # none, where there are no actuators
    sizes = {len(values) for values in arrays.values()}
    if done.dtype.kind not in "fiub" or ctrl.dtype.kind not in "fiub" or not sizes <= {n_rows, n_rows - 1}:
        return [n_rows]  # what is wrong is told of the whole
    over = np.flatnonzero(_over(done))
    if not (over < n_rows - 2).any():
        return [n_rows]
    alone = np.ones(n_rows + 1, bool)
    alone[: len(ctrl)] = _any_in_row(np.isnan(ctrl))
    return sorted({*np.minimum(over + 1 + alone[over + 1], n_rows).tolist(), n_rows})


def _over(done: np.ndarray) -> np.ndarray:
    """Return whether each row ends its episode; where it is unknown, it does not."""
    return _any_in_row(np.nan_to_num(done))


def _any_in_row(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.any(axis=tuple(range(1, values.ndim))))


def episodes(numbers: np.ndarray, where: str) -> list[tuple[Any, slice]]:
    """Return each episode's number and its rows.

    Raises:
        UsageError: an episode's rows are not together.
    """
    numbers = numbers.reshape(-1)
    starts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
    found: dict[Any, slice] = {}
    for start, stop in itertools.pairwise(starts):
        number = numbers[start]
        if number in found:
            raise UsageError(f"{where}: rows of episode {number} are not together (row {start}): sort them by episode")
        found[number] = slice(start, stop)
    return list(found.items())
