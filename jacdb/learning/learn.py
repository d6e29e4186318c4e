"""Train and score one model, with one seed, and keep what came of it: the work of `jacdb learn`."""

import datetime
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from jacdb import out_path
from jacdb.dataset.layout import Run
from jacdb.dataset.learning_files import checkpoint_of
from jacdb.learning import evaluation, graph_evaluation, results, training
from jacdb.learning.checkpoint import Progress
from jacdb.learning.loss_names import Loss
from jacdb.learning.models import protocol_check, registry
from jacdb.learning.models.given import GivenDynamics
from jacdb.learning.models.model import Parameters, WorldModel
from jacdb.learning.problem import LearningProblem
from jacdb.learning.row_subsets import SCORED
from jacdb.learning.scores import MODEL_THRESHOLD, Score
from jacdb.learning.training_settings import TrainingSettings
from jacdb.progress import Event

PACKAGES = ("jax", "jaxlib", "optax", "numpy")


@dataclass(frozen=True)
class Learned:
    """A model that was trained and scored, or that had been.

    Attributes:
        run_id: its id in `learning_runs`.
        was_there: whether the dataset had it already.
        scores: its scores; none if it was there.
        progress: what its training did; None if it was there, or was not trained here.
    """

    run_id: str
    was_there: bool
    scores: list[Score]
    progress: Progress | None = None

    def describe(self) -> str:
        """Return one line for people."""
        if self.was_there:
            return f"{self.run_id}: it is there already"

        def of(metric: str, **where: float) -> float:
            return next(
                s.value for s in self.scores
                if (s.part, s.rows, s.metric) == ("test", "all", metric) and s.value is not None
                and all(getattr(s, name) == value for name, value in where.items())
            )  # fmt: skip

        told = [f"test error {of('prediction_mse', horizon=1):.3g}", f"error of the Jacobian {of('jacobian_mse'):.3g}"]
        if of("true_sparsity"):
            told.append(f"relative sparsity {of('relative_sparsity', threshold=MODEL_THRESHOLD):.2g}")
        words = f"{self.run_id}: {', '.join(told)}"
        if (did := self.progress) is None:
            return words
        return f"{words}; {did.step:,} steps in {did.seconds:.0f} s, the best after {did.best_step:,}"


def learn(
    problem: LearningProblem,
    root: Path,
    model_name: str,
    loss: Loss,
    *,
    seed: int = 0,
    settings: TrainingSettings | None = None,
    model_settings: Mapping[str, Any] | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Learned:
    """Train a model on a problem, score it, and write both into the dataset; one that is there is left as it is.

    A training that was stopped is resumed at its last validation. Where rows of other policies came or changed, what is
    there is scored anew, by the parameters of its checkpoint.

    Args:
        problem: the rows.
        root: the dataset's folder.
        model_name: a model's name, or FILE.py:Class.
        loss: what is minimized.
        seed: of parameters and minibatches.
        settings: how it is trained.
        model_settings: the model's own settings.
        report: called with progress.

    Raises:
        UsageError: there is no such model or setting, the model does not keep to the protocol, or the dataset may not
            be written to.
        FailureError: training fails, or a checkpoint is damaged.
    """
    settings = settings or TrainingSettings()
    settings.check()
    started = datetime.datetime.now(datetime.UTC)
    model = registry.make(model_name, model_settings or {})
    about_model = registry.described(model_name, model, model_settings or {})
    configuration = about_model | _about_training(problem, loss, settings)
    run = _run_id(problem, configuration, seed)
    if results.is_written(root, problem, run):
        return Learned(run, True, [])
    out_path.check_folder(root, "--data")
    if model_name not in registry.BUILT_IN:
        protocol_check.check(model_name, model, training.sizes_of(problem), loss)
    training.configure()
    path = root / checkpoint_of(Run(problem.env, run))
    trained = training.train(model, problem, loss, settings, seed, path, report, f"{run} of {problem.env}")
    begun = time.perf_counter()
    scores = _scores(model, problem, trained.params, seed, lambda: report(Event(f"scoring {run}")))
    row = _facts(problem, configuration, trained) | {
        "weight": None if loss.jacobian == "none" else loss.weight,
        "seed": seed,
        "seconds": trained.progress.seconds + time.perf_counter() - begun,
        "started": started.replace(tzinfo=None),
    }
    results.write(root, problem.env, run, row, scores)
    return Learned(run, False, scores, trained.progress)


def score_function(
    problem: LearningProblem, root: Path, name: str, step: Callable[[jax.Array, jax.Array], jax.Array]
) -> Learned:
    """Score dynamics that somebody has as a function, and write the scores into the dataset; those there are replaced.

    Args:
        problem: the rows.
        root: the dataset's folder.
        name: what to call the function.
        step: a function of JAX: given a state, (n_state,), and an action, (n_action,), in their units, it returns the
            next state. It is traced, batched by ``jax.vmap``, and differentiated.

    Raises:
        UsageError: the function returns something else, or the dataset may not be written to.
    """
    out_path.check_folder(root, "--data")
    sizes = training.sizes_of(problem)
    protocol_check.check_step(name, step, sizes.n_state, sizes.n_action)
    started, begun = datetime.datetime.now(datetime.UTC), time.perf_counter()
    training.configure()
    evaluator = evaluation.Evaluator(GivenDynamics(step, problem.coordinates), problem)
    scores = _held_out(evaluator, problem, ())
    configuration = {"model": name, "loss": None, "target": None}
    run = results.run_id(name, determined_by=json.dumps([name, problem.version, problem.policy]))
    row = _facts(problem, configuration) | {
        "weight": None,
        "seed": None,
        "seconds": time.perf_counter() - begun,
        "started": started.replace(tzinfo=None),
    }
    results.write(root, problem.env, run, row, scores)
    return Learned(run, False, scores)


def _about_training(problem: LearningProblem, loss: Loss, settings: TrainingSettings) -> dict[str, Any]:
    """Return what determines a training besides its rows, the model and the seed."""
    told = {
        "loss": loss.name,
        "weight": loss.weight,
        "target": problem.coordinates.target,
        # steps as they are taken: numbers that are rounded up to the same are equal work
        "training": {**asdict(settings), "steps": settings.all_steps},
    }
    n_validated, n_compared = training.validated_rows(problem, loss, settings)
    # before 1.0 these were the first of the validation part: such a run has another id
    return told | ({"validation": "spread"} if n_compared < n_validated else {})


def _run_id(problem: LearningProblem, configuration: Mapping[str, Any], seed: int) -> str:
    """Return the id of a run: its model's name, loss and seed, and a hash of all that determines its numbers."""
    whole = {**configuration, "seed": seed, "benchmark": problem.version, "policy": problem.policy}
    words = configuration["model"].rpartition(":")[2], configuration["loss"], f"seed{seed}"
    return results.run_id(*words, determined_by=json.dumps(whole))


def _scores(
    model: WorldModel, problem: LearningProblem, params: Parameters, seed: int, report: Callable[[], None]
) -> list[Score]:
    """Return the scores of a model before its training, and after it."""
    evaluator = evaluation.Evaluator(model, problem)
    report()
    scores = evaluation.score(evaluator, problem, training.initial_params(model, problem, seed), called="untrained")
    return scores + _held_out(evaluator, problem, params, report)


def _held_out(
    evaluator: evaluation.Evaluator,
    problem: LearningProblem,
    params: Parameters,
    report: Callable[[], None] = lambda: None,
) -> list[Score]:
    """Return the scores of parameters: predictions, Jacobian and graphs."""
    scores = []
    for part in SCORED:
        report()
        scores += evaluation.score(evaluator, problem, params, part)
    return scores + graph_evaluation.evaluate(problem, lambda rows: evaluator.graphs(params, rows), report=report)


def _facts(
    problem: LearningProblem, configuration: Mapping[str, Any], trained: training.Trained | None = None
) -> dict[str, Any]:
    """Return what a row of `learning_runs` says of the problem, the model, its training if any, and the machine."""
    progress = trained.progress if trained else None
    return {
        **results.facts(problem, configuration, PACKAGES),
        **{name: configuration[name] for name in ("loss", "target")},
        "n_parameters": training.n_parameters(trained.params) if trained else None,
        "steps": progress.step if progress else None,
        "best_step": progress.best_step if progress else None,
        "validation_loss": progress.best_loss if progress else None,
        "device": jax.devices()[0].device_kind,
    }
