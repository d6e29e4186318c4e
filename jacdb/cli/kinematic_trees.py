"""The kinematic tree of an environment's robot, for commands that learn and score."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from jacdb.errors import UsageError

if TYPE_CHECKING:
    import mujoco

    from jacdb.dataset.views import Views
    from jacdb.learning.problem import LearningProblem


def tree_of_robot[T](
    dataset: "Views", problem: "LearningProblem", read: "Callable[[mujoco.MjModel], dict[str, T]]"
) -> dict[str, T]:
    """Return what ``read`` says of the tree of the robot that a problem's runs are of.

    Raises:
        UsageError: the runs' model is missing, it lacks a body of the axes, or runs are of robots with different trees.
    """
    from jacdb.ingest.models.body_names import body_names
    from jacdb.ingest.sources.run_models import run_models

    runs = {run for rows in problem.parts.values() for run in rows.run_id.tolist()}
    models = run_models(dataset, problem.env, runs)
    named = {body for body in (*problem.bodies.of_tangent, *problem.bodies.of_action) if body is not None}
    for model in models:
        if unknown := sorted(named.difference(body_names(model))):
            raise UsageError(f"the model of {problem.env} has no body {unknown[0]!r}, which axes of its runs name")
    tree, *others = map(read, models)
    if any(other != tree for other in others):
        raise UsageError(
            f"runs of {problem.env} are of robots with different kinematic trees: keep them in datasets of their own"
        )
    return tree
