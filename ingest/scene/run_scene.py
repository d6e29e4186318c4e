"""Make the scene of a run: of the model that it keeps, or of Playground's environment as it is installed."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from jacdb.errors import UsageError
from jacdb.ingest.environments.loading import System
from jacdb.ingest.models.loading import hash_of, silence_warnings
from jacdb.ingest.recording.axes import model_axis_rows
from jacdb.ingest.scene.scene import scene
from jacdb.ingest.sources.kept_model import is_of_source, mujoco_of
from jacdb.ingest.sources.model import resting_mocap
from jacdb.ingest.sources.run_models import source_model
from jacdb.schemas.axis_names import unique_names


def run_scene(env: str, fact: dict[str, Any], kept: Path | None, axes: list[str]) -> tuple[dict[str, Any], bytes]:
    """Return the scene of a run's robot, its meshes apart. It is what the explorer takes as a maker of scenes.

    Where the run keeps no model that can be read here, the environment of the installed versions is shown, if its
    positions have the run's names: the scene's ``note`` then says so.

    Args:
        env: the run's environment.
        fact: its row in `runs`.
        kept: the model that it keeps; None if it keeps none.
        axes: the names of its axes of space 'state'.

    Raises:
        UsageError: no model can be loaded (a sentence says why), or the one that is installed has other joints.
    """
    silence_warnings()
    model = source_model(env, fact, kept) if is_of_source(fact) else System.load(env).mj_model
    positions = [row["name"] for row in model_axis_rows(model) if row["space"] == "state"][: model.nq]
    if positions != unique_names(axes)[: model.nq]:  # runs of before 1.0 have names that collide
        raise UsageError(f"the model of {env} that is installed has other joints than the run's")
    same = hash_of(model) == fact["model"]
    shown = scene(_at_rest(model, fact) if same else model)
    version = mujoco_of(fact)
    made_with = f"MuJoCo {version}" if version else "other versions"
    note = None if same else f"the robot of the installed versions: the run was made with {made_with}"
    return shown.content | {"note": note}, shown.meshes


def _at_rest(model: mujoco.MjModel, fact: dict[str, Any]) -> mujoco.MjModel:
    """Return the model with its mocap bodies, which hang on the world, where they rest in the run, if that is known."""
    poses = resting_mocap(model, fact) if model.nmocap else None
    if poses is None:
        return model
    posed, bodies = model.__copy__(), np.argsort(model.body_mocapid)[-model.nmocap :]
    posed.body_pos[bodies] = poses[0]
    posed.body_quat[bodies] = poses[1] / np.linalg.norm(poses[1], axis=1, keepdims=True)
    return posed
