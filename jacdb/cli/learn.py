"""The commands on models that learn the dynamics: learn."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import typer

from jacdb import interruption
from jacdb.cli.options import LocalData, OwnEnvironment, Quiet
from jacdb.errors import UsageError
from jacdb.learning.loss_names import LOSSES, Loss, loss_of
from jacdb.learning.models.registry import BUILT_IN

if TYPE_CHECKING:
    from jacdb.dataset.views import Views
    from jacdb.learning.problem import LearningProblem
    from jacdb.learning.training_settings import TrainingSettings

NEEDED = ("jax", "optax")
_WEIGHTS = ", ".join(f"{loss.weight:g} of {loss.name}" for loss in LOSSES.values() if loss.jacobian != "none")

Model = Annotated[str, typer.Option("--model", help=f"{', '.join(BUILT_IN)}, or FILE.py:Class.")]
Losses = Annotated[
    list[str] | None,
    typer.Option("--loss", help=f"{', '.join(LOSSES)}, or all; can be repeated; default: mse."),
]
Weight = Annotated[
    float | None, typer.Option("--weight", help=f"Weight of the loss's part on the Jacobian; default: {_WEIGHTS}.")
]
Seeds = Annotated[
    str, typer.Option("--seeds", help="Seeds of parameters and minibatches, such as 0,1,2 or 0-4.", metavar="SEEDS")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of the model, such as width=64 of mlp; docs/learning.md lists them; can be repeated.",
        metavar="NAME=VALUE",
    ),
]
Target = Annotated[str, typer.Option(help="What is predicted: next (the next state) or delta (its change).")]
Policy = Annotated[
    str | None,
    typer.Option("--policy", help="Learn from rows of this policy, and score those of others apart; default: all."),
]
Steps = Annotated[int, typer.Option(help="Minibatches to train on at most, rounded up to whole --validate-every.")]
ValidateEvery = Annotated[int, typer.Option(help="Minibatches between validations.")]
Patience = Annotated[int, typer.Option(help="Validations without improvement after which it stops.")]
JacobianRows = Annotated[
    int | None, typer.Option(help="Rows of a minibatch whose Jacobians are compared; default: all.")
]


def learn(
    env: OwnEnvironment,
    model: Model = "mlp",
    loss: Losses = None,
    weight: Weight = None,
    seeds: Seeds = "0",
    setting: Settings = None,
    target: Target = "next",
    policy: Policy = None,
    steps: Steps = 20_000,
    batch_size: Annotated[int, typer.Option(help="Rows of a minibatch.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    validate_every: ValidateEvery = 250,
    patience: Patience = 12,
    jacobian_rows: JacobianRows = None,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Train models of the dynamics, and score what they predict and their Jacobians on held-out episodes.

    The scores become tables of the dataset: learning_runs and learning_scores. Repeat the command to resume a training
    that was stopped; what is finished is left as it is. docs/learning.md explains models, losses and scores.

    Example: jacdb learn --env CartpoleBalance --loss mse --loss mse+sae --seeds 0-4
    """
    from jacdb.learning.models import registry
    from jacdb.learning.training_settings import TrainingSettings

    # what is typed wrong is told before the slow imports
    settings = TrainingSettings(steps, batch_size, learning_rate, validate_every, patience, jacobian_rows)
    asked = Trainings.of(model, loss, weight, seeds, setting, target, settings)
    model_settings = asked.model_settings
    registry.make(model, model_settings)
    interruption.advise("the last validation of the training is kept; repeat the command to resume")
    from jacdb.dataset.dataset import Dataset
    from jacdb.learning.learn import learn as learned
    from jacdb.learning.problem import LearningProblem
    from jacdb.progress import Reporter

    with Dataset(data) as dataset:
        problem = LearningProblem.of(dataset, env, target=target, policy=policy)
        model_settings = _with_kinematic_tree(model, model_settings, dataset, problem)
    with Reporter(quiet=quiet).shown() as report:
        for seed in asked.seeds:
            for one in asked.losses:
                made = learned(
                    problem, data, model, one, seed=seed, settings=settings, model_settings=model_settings,
                    report=report,
                )  # fmt: skip
                typer.echo(made.describe())


class Trainings(NamedTuple):
    """The trainings that a command asks for, as they are typed.

    Attributes:
        losses: the losses, each for trainings of its own.
        seeds: the seeds, each for trainings of its own.
        model_settings: the settings of the model that are given.
    """

    losses: list[Loss]
    seeds: list[int]
    model_settings: dict[str, Any]

    @classmethod
    def of(
        cls,
        model: str,
        loss: list[str] | None,
        weight: float | None,
        seeds: str,
        setting: list[str] | None,
        target: str,
        settings: "TrainingSettings",
    ) -> Self:
        """Read what is typed, without anything slow; whether the model has such settings, it says itself later.

        Raises:
            UsageError: a name is unknown, a number out of its range, or a model's file is not there.
        """
        from jacdb.learning import coordinates, seed_list
        from jacdb.learning.models import registry

        wanted = list(LOSSES) if loss == ["all"] else loss or ["mse"]
        # beside other losses, one that has no weight is trained as it is
        losses = [loss_of(name, None if name == "mse" and len(wanted) > 1 else weight) for name in wanted]
        chosen = seed_list.parse(seeds)
        settings.check()
        coordinates.check_target(target)
        model_settings = registry.settings_of(setting or [])
        registry.check_name(model)
        _require_packages()
        return cls(losses, chosen, model_settings)


def _with_kinematic_tree(
    model: str, settings: dict[str, Any], dataset: "Views", problem: "LearningProblem"
) -> dict[str, Any]:
    """Return a model's settings with the robot's kinematic tree, if it has such a setting and it is not given.

    Raises:
        UsageError: the simulator is missing, or the runs' model, which have the tree.
    """
    from jacdb import simulator
    from jacdb.learning.models import registry

    if "parents" in settings or not registry.has_setting(model, "parents"):
        return settings
    otherwise = 'or give --set \'parents={"hand": "arm"}\', the parent of each body, or --set parents=null'
    asks = f"--model {model} asks for the robot's kinematic tree"
    if simulator.missing():
        raise UsageError(f"{asks}: pip install 'jacdb[ingest]', {otherwise}")
    from jacdb.ingest.environments.kinematic_tree import parents
    from jacdb.ingest.sources.run_models import tree_of_runs

    try:
        tree = tree_of_runs(dataset, problem.env, problem.run_ids, problem.bodies.names, parents)
        return settings | {"parents": tree}
    except UsageError as error:
        raise UsageError(f"{asks}: {error}; {otherwise}") from error


def _require_packages() -> None:
    """Refuse a command that trains if a package that it needs is not installed.

    Raises:
        UsageError: one is missing.
    """
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"this needs {' and '.join(NEEDED)}, and {name} is missing: pip install 'jacdb[learn]'")
