"""Loads the MuJoCo models of a dataset's runs: those that runs keep, and Playground's environment for runs of it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mujoco

from jacdb.dataset.layout import Run
from jacdb.dataset.sql_text import literal
from jacdb.dataset.views import Views
from jacdb.errors import UsageError
from jacdb.ingest.environments.loading import load_env
from jacdb.ingest.models.body_names import body_names
from jacdb.ingest.sources import dm_control, gymnasium, suites
from jacdb.ingest.sources.kept_model import is_of_source, kept_model

_LOADERS = {dm_control.SUITE: dm_control.load, gymnasium.SUITE: gymnasium.load}
_FACTS = ("run_id", "suite", "source", "model", "versions")


def run_models(dataset: Views, env: str, run_ids: Iterable[str]) -> list[mujoco.MjModel]:
    """Return the models of an environment's runs, each once.

    A model that can't be loaded is left out if another run's can: runs of one environment have the same axes.
    JAX stays as it is set up: who trains on the rows does so in float32.

    Args:
        dataset: what has the runs.
        env: the environment. Playground's of that name is loaded for runs of Playground's alone.
        run_ids: the runs, one at least.

    Raises:
        UsageError: none can be loaded; the message says why, for the first of them.
    """
    rows = dataset.fetch(dataset.sql(f"select {', '.join(_FACTS)} from runs where env = {literal(env)}"))
    facts = {row["run_id"]: row for row in rows.to_dicts()}
    found: dict[str | None, mujoco.MjModel] = {}
    errors = []
    for run_id in sorted(set(run_ids)):
        kept = dataset.location.model(Run(env, run_id, dataset.location.layout))
        fact = facts.get(run_id)
        try:
            if fact is None and kept is not None:
                raise UsageError(f"run {run_id} is not finished: repeat its command, for its model is known only then")
            # a run that is not finished keeps its model already, unless it is of Playground's
            known = fact["model"] if fact is not None and (kept is not None or is_of_source(fact)) else None
            if known not in found:
                found[known] = load_env(env).mj_model if known is None else source_model(env, fact or {}, kept)
        except UsageError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return list(found.values())


def tree_of_runs[T](
    dataset: Views,
    env: str,
    run_ids: Iterable[str],
    bodies: set[str],
    read: Callable[[mujoco.MjModel], dict[str, T]],
) -> dict[str, T]:
    """Return what ``read`` says of the kinematic tree of the robot that an environment's runs are of.

    Args:
        dataset: what has the runs.
        env: the environment.
        run_ids: the runs, one at least.
        bodies: the bodies that their axes name.
        read: ``kinematic_tree.parents`` or ``tree_of_body``.

    Raises:
        UsageError: the runs' model is missing, it lacks one of the bodies, or runs are of robots with different trees.
    """
    models = run_models(dataset, env, run_ids)
    for model in models:
        if unknown := sorted(bodies.difference(body_names(model))):
            raise UsageError(f"the model of {env} has no body {unknown[0]!r}, which axes of its runs name")
    tree, *others = map(read, models)
    if any(other != tree for other in others):
        raise UsageError(
            f"runs of {env} are of robots with different kinematic trees: keep them in datasets of their own"
        )
    return tree


def source_model(env: str, fact: dict[str, Any], kept: Path | None) -> mujoco.MjModel:
    """Return the model of a run of a source: the one that it keeps, or else its suite's as it is installed.

    Args:
        env: the run's environment.
        fact: its row in `runs`.
        kept: the model that it keeps; None if it keeps none.

    Raises:
        UsageError: neither can be loaded.
    """
    try:
        if kept is None:
            raise UsageError(
                "the run's model is not here: copy models/ of the dataset that it is from, or make it again"
            )
        return kept_model(kept, kept.name, fact)
    except UsageError as error:
        name = fact["source"] or env
        if f"{fact['suite']}:{name}" not in suites.all_envs():
            raise
        try:
            return _LOADERS[fact["suite"]](name)[0]
        except UsageError as second:
            raise UsageError(f"{error}; {second}") from second
