"""Export to a Minari dataset, with Minari's own storage: ``minari.load_dataset`` reads it."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from jacdb import schemas
from jacdb.dataset.sql_text import literal
from jacdb.errors import UsageError
from jacdb.exports.trajectories import COLUMNS, Source, Trajectory

AT_ONCE = 8  # episodes per call of the storage, each of which opens the file


def write(source: Source, path: Path, out: Path) -> str:
    """Write the dataset's folder, in HDF5; return its id.

    An episode has one more observation than steps: every state, and the last next_state. ``infos`` has j_state,
    j_action and pattern_id of each step; the episode's metadata name its run, episode and first step. The dataset's
    id is its path below MINARI_DATASETS_PATH (by default ~/.minari/datasets), or else its last name.

    Raises:
        UsageError: Minari is not installed, or does not accept the name.
    """
    try:
        import h5py  # noqa: F401
        import minari
        from gymnasium import spaces
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise UsageError(
            f"the export needs Minari, and {error.name} is missing: pip install 'jacdb[minari]'"
        ) from error
    name = _dataset_id(out)
    try:
        parse_dataset_id(name)
    except (ValueError, TypeError) as error:
        wanted = out.parent / f"{source.env}-v0"
        raise UsageError(f"--out {out}: a Minari dataset has a name with a version, such as {wanted}") from error
    axes = {space: source.axes(space) for space in ("state", "tangent", "action")}
    episodes = map(_buffer, source.trajectories(*COLUMNS))
    first = next(episodes)
    path.mkdir()
    storage = MinariStorage.new(
        (path / "data").absolute(),  # findings/minari_relative_path.sh
        observation_space=_box(spaces, first.observations),
        action_space=_box(spaces, first.actions),
        data_format="hdf5",
    )
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": ", ".join(source.policies),
            "description": f"{_origin(source)}; infos hold the Jacobians of each step, see jacdb_axes.",
            "jacdb_axes": axes,
        }
    )
    for some in itertools.batched(itertools.chain([first], episodes), AT_ONCE):
        storage.update_episodes(some)
    return f" ({name})"


def _buffer(trajectory: Trajectory) -> Any:
    """Return a trajectory as Minari's EpisodeBuffer."""
    from minari.data_collector import EpisodeBuffer

    columns = trajectory.columns
    done, truncated = trajectory.ends
    where = {"run_id": trajectory.run_id, "episode": trajectory.episode, "first_step": trajectory.first_step}
    return EpisodeBuffer(
        options=where,
        observations=np.concatenate([columns["state"], columns["next_state"][-1:]]),
        actions=columns["action"],
        rewards=columns["reward"],
        terminations=done,
        truncations=truncated,
        infos={name: columns[name] for name in ("j_state", "j_action", "pattern_id")},
    )


def _origin(source: Source) -> str:
    """Return an environment with where its runs are from, ``cart (model: cart.xml)`` say."""
    query = f"select distinct run_id, suite, source from runs where env = {literal(source.env)}"
    runs = source.dataset.fetch(source.dataset.sql(query)).iter_rows()
    known = {(suite, name) for run_id, suite, name in runs if run_id in source.runs}  # unfinished ones say nothing
    if known == {(schemas.PLAYGROUND, None)}:
        return f"{source.env} of MuJoCo Playground"
    told = sorted(suite if name is None else f"{suite}: {name}" for suite, name in known)
    return f"{source.env} ({'; '.join(told)})" if told else source.env


def _box(spaces: Any, values: np.ndarray) -> Any:
    """Return a space without bounds: no row states one."""
    return spaces.Box(-np.inf, np.inf, values.shape[1:], values.dtype)


def _dataset_id(out: Path) -> str:
    """Return the id under which Minari finds a folder."""
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets").absolute()
    path = out.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
