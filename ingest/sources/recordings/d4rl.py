"""D4RL's HDF5 files.

A file holds the rows of all episodes one after the other: ``observations``, ``actions``, ``rewards``, ``terminals``
(the environment's own end), ``timeouts`` (cut), and, in Gym's MuJoCo tasks, Adroit and AntMaze, ``infos/qpos`` and
``infos/qvel``: the state before the row's action, mostly in float32. An episode ends with a row that has either flag.
The state after its last action is stored nowhere: an episode of N rows gives N - 1 steps, none of which is ``done``.
As D4RL's scripts/generation/mujoco/collect_data.py writes it. The models were those of Gym's v2: one foot
of Walker2d has less friction than in v5, as in gymnasium:Walker2d-v4.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jacdb.errors import UsageError, first_line, suggestion
from jacdb.ingest.sources.recordings.checks import episodes_with_steps, trajectory
from jacdb.ingest.sources.recordings.recording import Origin, Recording, precision
from jacdb.ingest.sources.trajectory import Trajectory

NEEDED = ("infos/qpos", "infos/qvel", "actions", "terminals", "timeouts")
AT_ONCE = 100_000  # rows of flags


def read(path: Path, origin: Origin) -> Recording:
    """Return the trajectories of a D4RL file.

    Raises:
        UsageError: h5py is not installed, it is no HDF5, or it lacks states or ends of episodes.
    """
    h5py = _h5py(path)
    try:
        with h5py.File(path) as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            _require(path, names)
            lengths = {name: math.prod(file[name].shape[:1]) for name in (*NEEDED, "rewards") if name in names}
            dtype = precision(file[name].dtype for name in ("infos/qpos", "infos/qvel"))
            algorithm = file["metadata/algorithm"][()] if "metadata/algorithm" in names else None
    except OSError as error:
        raise UsageError(f"{path} is no readable HDF5 file: {first_line(error)}") from error
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"{path}: its columns have different numbers of rows ({said})")
    if not lengths["actions"]:
        raise UsageError(f"{path} has no rows: give states, one a row")
    facts = {"source": path.name, "format": "D4RL"}
    if isinstance(algorithm, bytes):
        facts["algorithm"] = algorithm.decode("utf-8", "replace")
    return origin.recording("d4rl", dtype, facts, (path,), lambda: _episodes(path, origin))


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"{path} is HDF5, and h5py is missing: pip install 'jacdb[minari]'") from error
    return h5py


def _require(path: Path, names: list[str]) -> None:
    for name in NEEDED:
        if name in names:
            continue
        if name.startswith("infos/"):
            raise UsageError(
                f"{path} has no {name}, and without it no state: D4RL's version 2 of the MuJoCo tasks has it; "
                f"{suggestion(name, names, NEEDED)}"
            )
        raise UsageError(f"{path} has no {name}: is it a D4RL file? {suggestion(name, names, NEEDED)}")


def _episodes(path: Path, origin: Origin) -> Iterator[Trajectory]:
    """Yield the episodes, each read when it is asked for."""
    h5py = _h5py(path)
    with h5py.File(path) as file:
        flags = [file["terminals"][:].reshape(-1) != 0, file["timeouts"][:].reshape(-1) != 0]
        n_rows = len(flags[0])
        over = flags[0] | flags[1]
        ends = sorted({*(np.flatnonzero(over) + 1).tolist(), n_rows})
        remedy = "let one be True in the last row of an episode alone"
        for number, rows in episodes_with_steps(path.name, over, ends, "terminals or timeouts", remedy):
            arrays = {
                "qpos": file["infos/qpos"][rows],
                "qvel": file["infos/qvel"][rows],
                "ctrl": file["actions"][rows],
                "done": flags[0][rows],
            }
            if "rewards" in file:
                arrays["reward"] = file["rewards"][rows].reshape(-1)
            where = f"{path.name}, episode {number} (rows {rows.start} to {rows.stop - 1})"
            yield trajectory(origin.model, where, arrays, unit_length=not origin.is_gymnasium)
