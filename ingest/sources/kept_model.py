"""Loads the MuJoCo model that a run of a source keeps: an MJB, which is for one version of MuJoCo alone."""

import json
from pathlib import Path
from typing import Any

import mujoco

from jacdb.errors import UsageError
from jacdb.ingest.models.loading import hash_of
from jacdb.schemas import PLAYGROUND


def is_of_source(fact: dict[str, Any]) -> bool:
    """Return whether a run came from a source, and not from Playground's environments, given its row in `runs`."""
    return fact["suite"] not in (None, PLAYGROUND)


def kept_model(path: Path, name: str, fact: dict[str, Any]) -> mujoco.MjModel:
    """Return the model that a run keeps.

    Args:
        path: the file.
        name: what messages call it: its path below the dataset's folder.
        fact: the run's row in `runs`.

    Raises:
        UsageError: the model is not there, can't be read by this MuJoCo, or is another.
    """
    if not path.is_file():
        raise UsageError(f"the run's model is not here ({name})")
    if (other := mujoco_of(fact)) not in (None, mujoco.__version__):
        raise UsageError(
            f"{name} is MuJoCo {other}'s, and {mujoco.__version__} is installed: an MJB is for one"
            f" version alone; `pip install mujoco=={other}` to replay the run"
        )
    try:
        model = mujoco.MjModel.from_binary_path(str(path))
    except (ValueError, mujoco.FatalError) as error:
        raise UsageError(f"{name} can't be read by MuJoCo {mujoco.__version__}: {error}") from error
    if hash_of(model) != fact["model"]:
        raise UsageError(f"{name} is not the model of the run")
    return model


def mujoco_of(fact: dict[str, Any]) -> str | None:
    """Return the version of the MuJoCo that made a run, cut to 20 characters; None where its row does not say."""
    try:
        return str(json.loads(fact["versions"])["mujoco"])[:20]
    except (ValueError, TypeError, KeyError):
        return None
