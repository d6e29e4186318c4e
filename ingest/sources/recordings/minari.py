"""Minari's datasets: the states in their infos, or else what observations tell of them.

An episode has one observation more than actions; ``infos``, where they are kept, have as many rows as observations.
Minari keeps no version of MuJoCo; ``requirements``, if the author gave some, may say it.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from jacdb.errors import FailureError, UsageError, first_line
from jacdb.ingest.sources.recordings import formats, observations
from jacdb.ingest.sources.recordings.checks import trajectory
from jacdb.ingest.sources.recordings.recording import Origin, Recording, precision
from jacdb.ingest.sources.trajectory import Trajectory

STATE = ("qpos", "qvel", "act")
_UNREADABLE = (ValueError, KeyError, OSError, AssertionError, ImportError)  # what Minari raises of damaged files


def read(folder: Path, env: str | None, model: mujoco.MjModel | None, n_substeps: int | None) -> Recording:
    """Return the trajectories of a Minari dataset.

    Args:
        folder: the dataset's, with ``data/`` in it; below Minari's own folder it is fetched if it is not there.
        env, model: what it is of, if not the environment that the dataset names.
        n_substeps: if not the environment's.

    Raises:
        UsageError: Minari is not installed, there is no such dataset, its environment is not known here, or it is of
            a version of Minari that the installed one does not read.
        FailureError: it had to be fetched, and could not.
    """
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError as error:
        raise UsageError(f"{folder} needs Minari, and {error.name} is missing: pip install 'jacdb[minari]'") from error
    if not (folder / "data" / "metadata.json").is_file():
        _fetch(folder.relative_to(formats.minari_root()).as_posix())
    metadata = _metadata(folder)
    origin = _origin(folder, metadata, env, model).with_substeps(n_substeps)
    try:
        dataset = minari.MinariDataset(folder / "data")
        first = next(iter(dataset.iterate_episodes(episode_indices=[0])))
    except (*_UNREADABLE, StopIteration) as error:
        raise UsageError(f"{folder} is no Minari dataset that can be read: {first_line(error)}") from error
    facts = _facts(folder, metadata)
    files = tuple(sorted(path for path in (folder / "data").rglob("*") if path.is_file()))
    states = [first.infos[name] for name in STATE if name in first.infos] if _has_states(first) else []
    dtype = precision(np.asarray(each).dtype for each in states or [_vectors(origin, folder, first)])
    recording = origin.recording("minari", dtype, facts, files, lambda: _episodes(dataset, folder, origin))
    return replace(recording, caveat=_caveat(metadata))


def _fetch(name: str) -> None:
    """Fetch a dataset into Minari's folder.

    Raises:
        UsageError: there is none of this name.
        FailureError: the server is out of reach.
    """
    import contextlib
    import sys

    import minari

    known = f"minari list remote --prefix {name.split('/')[0]} lists those that there are"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does
            minari.download_dataset(name)
    except ValueError as error:  # it says so where there is no such dataset, or no such version
        raise UsageError(
            f"there is no Minari dataset {name!r}, here or to be fetched: {first_line(error)}; {known}"
        ) from error
    except Exception as error:  # of httpx, of huggingface_hub, of a disk: the request was right
        raise FailureError(
            f"Minari dataset {name!r} is not on this machine and could not be fetched ({first_line(error)}): "
            f"fetch it where there is a network (minari download {name}), and put its folder into "
            f"{formats.minari_root()}"
        ) from error
    if not (formats.minari_root() / name / "data" / "metadata.json").is_file():
        raise UsageError(f"there is no Minari dataset {name!r}, here or to be fetched: {known}")


def _metadata(folder: Path) -> dict[str, Any]:
    path = folder / "data" / "metadata.json"
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable JSON: {first_line(error)}") from error
    if not isinstance(metadata, dict) or "dataset_id" not in metadata:
        raise UsageError(f"{path} has no dataset_id: is it a Minari dataset's?")
    return metadata


def _origin(folder: Path, metadata: dict[str, Any], env: str | None, model: mujoco.MjModel | None) -> Origin:
    """Return what a dataset is of: what one says, or else the environment that it names, with its arguments.

    The environment is made by its id and arguments alone: the dataset also names a module to import it from, and
    nobody should run what a data file names.
    """
    if model is not None:
        return Origin.of_model(model)
    said = _said(folder, metadata)
    if env is not None:
        options = said[1] if said is not None and env == f"gymnasium:{said[0]}" else {}
        return Origin.of_env(env, **options)
    if said is None:
        raise UsageError(
            f"{folder} names no environment: name it, --env gymnasium:HalfCheetah-v5, or --model robot.xml"
        )
    try:
        return Origin.of_env(f"gymnasium:{said[0]}", **said[1])
    except UsageError as error:
        raise UsageError(f"{folder} is of {said[0]!r}: {error}; or give its model, --model robot.xml") from error


def _said(folder: Path, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the id and the arguments of the environment that a dataset names; None if it names none."""
    if not metadata.get("env_spec"):
        return None
    try:
        spec = json.loads(metadata["env_spec"])
        name, options = str(spec["id"]), dict(spec.get("kwargs") or {})
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: its env_spec is not what Minari writes: {first_line(error)}") from error
    if ":" in name:  # Gymnasium would import what stands before it
        raise UsageError(
            f"{folder} is of {name!r}, an environment of another package: give its model, --model robot.xml"
        )
    return name, {key: value for key, value in options.items() if key != "render_mode"}


def _caveat(metadata: dict[str, Any]) -> str:
    """Return the wrappers through which actions and observations went, in words; "" if there are none.

    The environment is made without them: their names are those of code to import, as a data file says.
    """
    try:
        wrappers = json.loads(metadata.get("env_spec") or "{}").get("additional_wrappers") or []
        names = ", ".join(str(wrapper["name"]) for wrapper in wrappers)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    if not names:
        return ""
    return (
        f"the dataset was collected through wrappers ({names}), and its actions and observations are taken for the"
        " environment's own: collect it inside them, DataCollector around gymnasium.make's environment"
    )


def _facts(folder: Path, metadata: dict[str, Any]) -> dict[str, str]:
    """Return what a dataset says of itself; a licence stands in its namespace's metadata, if anywhere."""
    facts = {"source": str(metadata.get("dataset_id") or folder.name), "format": "Minari"}
    if metadata.get("minari_version"):
        facts["source_version"] = f"minari {metadata['minari_version']}"
    for key in ("author", "algorithm_name", "requirements", "code_permalink"):
        if value := metadata.get(key):
            facts[key] = ", ".join(sorted(map(str, value))) if isinstance(value, list) else str(value)
    said = _said(folder, metadata)
    if said is not None and said[1]:
        facts["env_arguments"] = json.dumps(said[1], sort_keys=True)
    if licence := metadata.get("license") or metadata.get("licence"):
        facts["licence"] = str(licence)
    return facts


def _has_states(episode: Any) -> bool:
    return isinstance(episode.infos, dict) and "qpos" in episode.infos and "qvel" in episode.infos


def _vectors(origin: Origin, folder: Path, episode: Any) -> np.ndarray:
    """Return an episode's observations, if states may follow from them."""
    values = episode.observations
    if not origin.is_gymnasium:
        raise UsageError(
            f"{folder} has no qpos and qvel in its infos, and nothing is known of its observations: no states"
        )
    if not isinstance(values, np.ndarray) or values.ndim != 2:
        raise UsageError(f"{folder} has no qpos and qvel in its infos, and its observations are no vectors: no states")
    return values


def _episodes(dataset: Any, folder: Path, origin: Origin) -> Iterator[Trajectory]:
    for episode in _read(dataset, folder):
        where = f"{folder.name}, episode {episode.id}"
        _whole(dataset, where, episode)
        arrays = {"ctrl": episode.actions, "reward": episode.rewards, "done": episode.terminations}
        if _has_states(episode):
            arrays |= {name: episode.infos[name] for name in STATE if name in episode.infos}
            yield trajectory(origin.model, where, arrays, unit_length=not origin.is_gymnasium)
            continue
        seen = observations.states(origin.model, origin.name, _vectors(origin, folder, episode))
        arrays |= {"qpos": seen.qpos, "qvel": seen.qvel}
        one = trajectory(origin.model, where, arrays, seen.doubtful, unit_length=not origin.is_gymnasium)
        observations.follow(origin.model, origin.n_substeps, one, seen)
        yield one


def _read(dataset: Any, folder: Path) -> Iterator[Any]:
    """Yield Minari's episodes.

    Raises:
        UsageError: files lack one of them, or a part of it.
    """
    episodes = dataset.iterate_episodes()
    for number in itertools.count():
        try:
            episode = next(episodes, None)
        except _UNREADABLE as error:
            raise UsageError(
                f"{folder}: Minari can't read its episode {number} ({first_line(error)}): copy or download it again"
            ) from error
        if episode is None:
            return
        yield episode


def _whole(dataset: Any, where: str, episode: Any) -> None:
    """Refuse an episode of which Minari returns a part, or another's steps.

    It cuts episodes that it keeps in Arrow or Parquet at 32,768 rows, and returns the rest as the next episode
    (minari 0.5.4; ``findings/minari_long_episodes.sh``).
    """
    [kept] = dataset.storage.get_episode_metadata([episode.id])
    if len(episode.rewards) != int(kept["total_steps"]):
        raise UsageError(
            f"{where}: Minari returns {len(episode.rewards)} of its {int(kept['total_steps'])} steps; it cuts long "
            "episodes in Arrow and Parquet: make the dataset with data_format='hdf5'"
        )
