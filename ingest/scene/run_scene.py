"""Make the scene of a run: of the model that it keeps, or of Playground's environment as it is installed."""

from pathlib import Path
from typing import Any

import mujoco

from jacdb.errors import UsageError
from jacdb.ingest.environments.loading import System
from jacdb.ingest.models.loading import hash_of, silence_warnings
from jacdb.ingest.recording.axes import model_axis_rows
from jacdb.ingest.scene.scene import scene
from jacdb.ingest.sources import dm_control, gymnasium, suites
from jacdb.ingest.sources.kept_model import is_of_source, kept_model, mujoco_of
from jacdb.schemas.axis_names import unique_names

_LOADERS = {dm_control.SUITE: dm_control.load, gymnasium.SUITE: gymnasium.load}


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
    model = _model(env, fact, kept)
    positions = [row["name"] for row in model_axis_rows(model) if row["space"] == "state"][: model.nq]
    if positions != unique_names(axes)[: model.nq]:  # runs of before 1.0 have names that collide
        raise UsageError(f"the model of {env} that is installed has other joints than the run's")
    shown = scene(model)
    same = hash_of(model) == fact["model"]
    version = mujoco_of(fact)
    made_with = f"MuJoCo {version}" if version else "other versions"
    note = None if same else f"the robot of the installed versions: the run was made with {made_with}"
    return shown.content | {"note": note}, shown.meshes


def _model(env: str, fact: dict[str, Any], kept: Path | None) -> mujoco.MjModel:
    if not is_of_source(fact):
        return System.load(env).mj_model
    try:
        if kept is None:
            raise UsageError("the run's model is not here")
        return kept_model(kept, kept.name, fact)
    except UsageError as error:
        name = fact["source"] or env
        if f"{fact['suite']}:{name}" not in suites.all_envs():
            raise
        try:
            return _LOADERS[fact["suite"]](name)[0]
        except UsageError as second:
            raise UsageError(f"{error}; {second}") from second
