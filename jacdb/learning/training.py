"""Train a model of the dynamics: many minibatches in one compiled call, on rows that lie on the device.

The numbers depend on the problem, the model, the loss, the settings and the seed; not on where a training was stopped
and resumed.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jacdb import user_cache
from jacdb.errors import FailureError
from jacdb.learning.checkpoint import Checkpoint, Progress
from jacdb.learning.loss_names import Loss
from jacdb.learning.losses import MinibatchLoss, Tiers, device_rows
from jacdb.learning.minibatches import Minibatches
from jacdb.learning.models.model import Parameters, Sizes, WorldModel
from jacdb.learning.problem import LearningProblem
from jacdb.learning.training_settings import TrainingSettings
from jacdb.progress import Event

VALIDATION_ROWS = 4096  # at most, spread over the validation part


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        params: the parameters of the least validation loss.
        progress: what the training did.
    """

    params: Parameters
    progress: Progress


def configure() -> None:
    """Have JAX keep compiled programs from one process to the next."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(user_cache.folder() / "xla"))


def initial_params(model: WorldModel, problem: LearningProblem, seed: int) -> Parameters:
    """Return a model's parameters before training."""
    return model.init(jax.random.key(seed), sizes_of(problem))


def sizes_of(problem: LearningProblem) -> Sizes:
    """Return the lengths of the vectors that a model of this problem gets and predicts."""
    space, bodies = problem.coordinates.space, problem.bodies
    state_of_target: list[int] = []
    of_state: list[str | None] = []
    for is_quaternion, at, by in space.segments:
        # of a quaternion's four numbers, the last three are the axis that the rotation's three are about
        state_of_target += range(at.start + is_quaternion, at.stop)
        of_state += bodies.of_tangent[by.start : by.start + is_quaternion] + bodies.of_tangent[by]
    return Sizes(
        space.n_state, len(bodies.of_action), space.n_tangent,
        tuple(state_of_target), (*of_state, *bodies.of_action),
    )  # fmt: skip


def n_parameters(params: Parameters) -> int:
    """Return how many numbers parameters have."""
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(params))


def train(
    model: WorldModel,
    problem: LearningProblem,
    loss: Loss,
    settings: TrainingSettings,
    seed: int,
    checkpoint: Path | None = None,
    report: Callable[[Event], None] = lambda event: None,
    name: str = "",
) -> Trained:
    """Train a model, or resume its training at a checkpoint; return it with the parameters that validate best.

    Args:
        model: the model.
        problem: its rows.
        loss: what is minimized; the same loss, on the validation part, decides when to stop.
        settings: how it is trained.
        seed: of parameters and minibatches.
        checkpoint: a file that is written at each validation, and read if it is there; None for none.
        report: called with progress.
        name: what to call it in messages.

    Raises:
        FailureError: the loss is not finite, or the checkpoint is damaged.
    """
    training = Training(model, problem, loss, settings, seed)
    stored = Checkpoint.read(checkpoint) if checkpoint else None
    if stored and checkpoint:
        training.restore(stored, checkpoint)
    progress = training.progress
    while not progress.finished:
        report(Event(f"training {name}", progress.step, settings.all_steps, "steps"))
        training.advance()
        if checkpoint:
            training.checkpoint().write(checkpoint)
    return Trained(training.best, progress)


class Training:
    """A training in progress: ``train`` runs one to its end.

    Attributes:
        progress: how far it is.
        best: the parameters of the least validation loss so far.
    """

    def __init__(
        self, model: WorldModel, problem: LearningProblem, loss: Loss, settings: TrainingSettings, seed: int
    ) -> None:
        self.progress = Progress()
        self._settings, self._loss, self._optimizer = settings, loss, optax.adam(settings.learning_rate)
        self._value = MinibatchLoss(model, problem, loss)
        rows, zeros = problem.parts["train"], self._value.zeros
        self._pattern = rows.pattern
        self._minibatches = Minibatches(
            len(rows), settings.batch_size, seed, None if zeros is None else zeros.filled[rows.pattern],
            settings.jacobian_rows,
        )  # fmt: skip
        self._rows = device_rows(problem, rows, loss)
        batch_size = self._minibatches.batch_size
        self._compared = min(settings.jacobian_rows or batch_size, batch_size)
        self._validated = validated_rows(problem, loss, settings)
        self._whole = self._value.whole(self._compared)
        self._tiers = self._whole if zeros is None else zeros.tiers(rows.pattern, self._compared)
        self._validation = _in_pieces(problem, loss, *self._validated)
        # copies: a call takes the memory of the state that it gets, and a model may keep an array, or give one twice
        params = jax.tree.map(jnp.array, initial_params(model, problem, seed))
        self._state = params, self._optimizer.init(params)
        self.best = jax.tree.map(np.array, params)  # a copy: the next call takes the state's own memory

    def advance(self) -> None:
        """Take the minibatches up to the next validation, and validate."""
        progress, started = self.progress, time.perf_counter()
        self.take(self._settings.validate_every)
        value = float(self._validate(self._state[0], self._validation))
        progress.seconds += time.perf_counter() - started
        progress.history.append((progress.step, value))
        if not np.isfinite(value):
            raise FailureError(
                f"the loss of seed {self._minibatches.seed} is {value} at step {progress.step}: give a smaller"
                " --learning-rate, or a smaller --weight"
            )
        progress.since_best += 1
        if value < progress.best_loss:
            self.best = jax.tree.map(np.array, self._state[0])
            progress.best_loss, progress.best_step, progress.since_best = value, progress.step, 0
        progress.finished = progress.since_best >= self._settings.patience or progress.step >= self._settings.all_steps

    def take(self, steps: int) -> None:
        """Take some minibatches, a whole number of calls, and wait for the last."""
        progress, call = self.progress, self._settings.call
        for _ in range(steps // call):
            begun = time.perf_counter()
            places = self._minibatches.between(progress.step, progress.step + call)
            tiers = self._tiers
            compared = self._pattern[places[:, : self._compared]]
            if self._value.zeros is not None and not self._value.zeros.fit(tiers, compared):
                tiers = self._whole
            progress.feeding += time.perf_counter() - begun
            numbers = np.arange(progress.step, progress.step + call)
            self._state = self._steps(self._state, self._rows, jnp.asarray(places), jnp.asarray(numbers), tiers)
            progress.step += call
        jax.block_until_ready(self._state)

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to resume; of a finished training, its parameters alone."""
        state = [] if self.progress.finished else jax.tree.leaves(self._state)
        return Checkpoint(self.progress, jax.tree.leaves(self.best), state)

    def restore(self, stored: Checkpoint, path: Path) -> None:
        """Go back to a checkpoint.

        Raises:
            FailureError: its arrays are not those of this model.
        """
        self.best = _restored(self.best, stored.best, path)
        if not stored.progress.finished:
            self._state = _restored(self._state, stored.state, path)
        self.progress = stored.progress

    @functools.cached_property
    def _steps(self) -> Callable[..., Any]:
        """Take some minibatches, given the state, all rows, the places of theirs, their numbers, and tiers."""

        def steps(state: Any, rows: Any, places: jax.Array, numbers: jax.Array, tiers: Tiers) -> Any:
            def step(state: Any, of_step: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
                params, moments = state
                minibatch = {name: values[of_step[0]] for name, values in rows.items()}
                # the seed and the step alone decide, so that a training resumes anywhere
                key = jax.random.fold_in(jax.random.key(self._minibatches.seed), of_step[1])
                gradient = jax.grad(self._value)(params, minibatch, tiers, key)
                updates, moments = self._optimizer.update(gradient, moments, params)
                return (optax.apply_updates(params, updates), moments), None

            return jax.lax.scan(step, state, (places, numbers))[0]

        return jax.jit(steps, static_argnums=4, donate_argnums=0)

    @functools.cached_property
    def _validate(self) -> Callable[..., jax.Array]:
        """Return the mean loss of parameters over pieces of rows of equal size."""

        def validate(params: Parameters, pieces: Any) -> jax.Array:
            _, compared = self._validated
            return jnp.mean(jax.lax.map(lambda rows: self._value(params, rows, self._value.whole(compared)), pieces))

        return jax.jit(validate)


def validated_rows(problem: LearningProblem, loss: Loss, settings: TrainingSettings) -> tuple[int, int]:
    """Return how many rows validation takes at once, and of how many of these it compares Jacobians, if it does."""
    size = min(settings.batch_size, len(problem.parts["train"]), len(problem.parts["validation"]))
    return size, size if loss.jacobian == "none" else min(settings.jacobian_rows or size, size)


def _in_pieces(problem: LearningProblem, loss: Loss, size: int, compared: int) -> Any:
    """Return validation rows in pieces of ``size``, (pieces, rows, …), spread over the validation part.

    So are the first ``compared`` of each, whose Jacobians are compared.
    """
    rows = problem.parts["validation"]
    n_pieces = max(1, min(len(rows), VALIDATION_ROWS) // size)
    chosen = np.linspace(0, len(rows) - 1, n_pieces * size).astype(int)
    n_first = n_pieces * compared
    first = (2 * np.arange(n_first) + 1) * len(chosen) // (2 * n_first)
    order = np.concatenate([first, np.delete(np.arange(len(chosen)), first)])
    # each piece is spread over the part, too
    places = chosen[order].reshape(size, n_pieces).T.ravel()
    columns = device_rows(problem, rows.where(places), loss)
    return {name: values.reshape(n_pieces, size, *values.shape[1:]) for name, values in columns.items()}


def _restored(like: Any, leaves: Any, path: Path) -> Any:
    """Return a pytree of another's structure with these leaves."""
    given, structure = jax.tree.flatten(like)
    if [np.shape(leaf) for leaf in given] != [np.shape(leaf) for leaf in leaves]:
        raise FailureError(f"{path} is of another model: delete it to begin anew")
    return jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in leaves])
