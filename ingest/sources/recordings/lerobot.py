"""LeRobot datasets, format v3: Parquet in ``data/``, what it means in ``meta/``; read with pyarrow alone.

A frame holds what was observed and the action that followed; LeRobot has no names for positions and velocities, so a
mapping file says which entries of which column they are, and in which unit. Floats are mostly float32.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from jacdb.errors import UsageError, first_line
from jacdb.ingest.sources.recordings import formats, parquet_files, table
from jacdb.ingest.sources.recordings.mapping import Mapped, Part
from jacdb.ingest.sources.recordings.recording import Origin, Recording
from jacdb.ingest.sources.trajectory import MAX_SUBSTEPS

WHOLE = 0.02  # how far from a whole number, relative, the physics steps of a frame may be: fps is a whole number


def read(folder: Path, origin: Origin, mapping: Mapped | None) -> Recording:
    """Return the trajectories of a LeRobot dataset.

    Raises:
        UsageError: it is of another version of the format, or not whole; there is no mapping, or it does not fit; a
            frame is no whole number of physics steps.
    """
    info = _info(folder)
    features = info["features"]
    if mapping is None:
        names = ", ".join(features)
        example = '[qpos] column = "observation.state", [qvel] column = "…", [ctrl] column = "action"'
        raise UsageError(
            f"{folder} names no qpos and qvel: --mapping FILE says which they are ({example}); there are {names}"
        )
    mapping = replace(
        mapping,
        fields={**mapping.fields, "episode": (Part("episode_index"),), **_reward_and_done(mapping, features)},
        entry_names={name: _entry_names(feature) for name, feature in features.items()},
    )
    files = formats.parquet_below(folder / "data")
    if not files:
        raise UsageError(f"{folder}: no Parquet in data/: download the dataset whole")
    columns = parquet_files.read(files, table.wanted(mapping)).columns
    n_frames = len(next(iter(columns.values()))) if columns else 0
    if n_frames != info["total_frames"]:
        raise UsageError(f"{folder}: {n_frames} of {info['total_frames']} frames are there: download the dataset whole")
    if not origin.is_gymnasium and not origin.n_substeps_given:
        origin = origin.with_substeps(_substeps(folder, mapping.fps or float(info["fps"]), origin.model.opt.timestep))
    recording = table.recording(folder, files, columns, origin, mapping, _facts(folder, info), suite="lerobot")
    return replace(recording, files=(*files, folder / "meta" / "info.json"))


def _info(folder: Path) -> dict[str, Any]:
    """Return meta/info.json."""
    path = folder / "meta" / "info.json"
    try:
        info = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable JSON: {first_line(error)}") from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not str(version).startswith("v3"):
        convert = "python -m lerobot.scripts.convert_dataset_v21_to_v30 makes v3.0 of v2.1"
        raise UsageError(f"{folder} is of LeRobot's format {version}, and v3 is what is read: {convert}")
    wrong = [key for key, kind in (("features", dict), ("fps", int | float), ("total_frames", int))
             if not isinstance(info.get(key), kind)]  # fmt: skip
    if wrong or info["fps"] <= 0:
        raise UsageError(f"{path} has no {(wrong or ['fps above 0'])[0]}: is it whole?")
    return dict(info)


def _entry_names(feature: Any) -> list[str]:
    """Return the names of a feature's entries, [] if it has none.

    LeRobot keeps a list, a dictionary of lists (``{"motors": [...]}``), or, of its teleoperators, one of each name's
    place (``{"delta_x": 0, "delta_y": 1}``).
    """
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, dict):
        by_place = {place: name for name, place in names.items() if isinstance(place, int)}
        if sorted(by_place) == [*range(len(names))]:
            names = [by_place[place] for place in range(len(names))]
        else:
            names = [each for value in names.values() if isinstance(value, list) for each in value]
    return [str(name) for name in names] if isinstance(names, list) else []


def _reward_and_done(mapping: Mapped, features: dict[str, Any]) -> dict[str, tuple[Part, ...]]:
    """Return LeRobot's own columns of both, where it has them and the mapping names no other."""
    own = {"reward": "next.reward", "done": "next.done"}
    return {name: (Part(own[name]),) for name in own if name not in mapping.named and own[name] in features}


def _substeps(folder: Path, fps: float, timestep: float) -> int:
    """Return the physics steps of a frame."""
    n_substeps = 1 / (fps * timestep)
    if not 1 <= round(n_substeps) <= MAX_SUBSTEPS or abs(n_substeps - round(n_substeps)) > WHOLE * n_substeps:
        raise UsageError(
            f"{folder}: at {fps:g} frames a second and a timestep of {timestep:g} s a frame is {n_substeps:.4g} "
            "physics steps: n_substeps or fps in the mapping file say what it is"
        )
    return round(n_substeps)


def _facts(folder: Path, info: dict[str, Any]) -> dict[str, str]:
    """Return what the dataset says of itself; its licence stands at the head of its card."""
    facts = {"source_version": f"LeRobot {info['codebase_version']}", "fps": f"{info['fps']:g}"}
    if info.get("robot_type"):
        facts["robot_type"] = str(info["robot_type"])
    card = folder / "README.md"
    if card.is_file() and (
        match := re.search(r"^license:\s*(\S+)", card.read_text("utf-8", errors="replace"), re.MULTILINE)
    ):
        facts["licence"] = match[1]
    return facts
