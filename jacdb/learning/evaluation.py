"""Score a model on held-out rows: what it predicts over 1, 10 and 50 steps, and its Jacobian."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jacdb.learning.losses import columns_of_jacobian
from jacdb.learning.models.model import Parameters, WorldModel, own_graph
from jacdb.learning.problem import LearningProblem, ProblemRows
from jacdb.learning.row_subsets import named_subsets, scored_rows
from jacdb.learning.scores import Score, jacobian_scores
from jacdb.tangent import TangentSpace

HORIZONS = (1, 10, 50)
AT_ONCE = 256  # rows whose Jacobians are computed together


@dataclass(frozen=True)
class Evaluated:
    """A model's Jacobians and errors on rows.

    Attributes:
        jacobian: of the normalized next state, float32, (n, n_tangent, n_tangent + n_action).
        squared_error: of predictions, by horizon: the places of the rows that they start from, and the mean squared
            error of each in deviations of the state; infinite where a prediction is not finite.
    """

    jacobian: np.ndarray
    squared_error: dict[int, tuple[np.ndarray, np.ndarray]]


class Evaluator:
    """Evaluates parameters of one model; its functions are compiled once."""

    def __init__(self, model: WorldModel, problem: LearningProblem) -> None:
        self._problem = problem
        coordinates = problem.coordinates
        of_sample = columns_of_jacobian(model, coordinates)
        every = jnp.arange(problem.shape[1])

        def jacobians(params: Parameters, state: jax.Array, action: jax.Array, target: jax.Array) -> jax.Array:
            def one(x: jax.Array, u: jax.Array, y: jax.Array) -> jax.Array:
                return of_sample(params, x, u, y, every)[1].T

            return jax.vmap(one)(state, action, target)

        def after(params: Parameters, state: jax.Array, actions: jax.Array) -> jax.Array:
            """Return the state after some actions, (steps, n, n_action)."""

            def step(x: jax.Array, u: jax.Array) -> tuple[jax.Array, None]:
                predicted = jax.vmap(model.predict, (None, 0, 0))(params, x, u)
                return coordinates.next_state(x, predicted).astype(x.dtype), None

            return jax.lax.scan(step, state, actions)[0]

        self._jacobians, self._after = jax.jit(jacobians), jax.jit(after)
        graph = own_graph(model)
        self._own_graph = None if graph is None else jax.jit(jax.vmap(graph, (None, 0, 0)))

    def evaluate(self, params: Parameters, rows: ProblemRows) -> Evaluated:
        """Return what a model says of rows."""
        jacobian = _in_pieces(self._jacobians, params, rows.state, rows.action, rows.target)
        return Evaluated(jacobian, {horizon: self._errors(params, rows, horizon) for horizon in HORIZONS})

    def graphs(self, params: Parameters, rows: ProblemRows) -> np.ndarray:
        """Return a model's graphs of rows, (n, n_tangent, n_tangent + n_action): its own, or the absolute Jacobian.

        Infinity is the largest number. A graph of its own is of the target: where that is the change,
        each row has its own column besides, for the change is added to the state.
        """
        if self._own_graph is None:
            found = np.abs(_in_pieces(self._jacobians, params, rows.state, rows.action, rows.target))
        else:
            raw = _in_pieces(self._own_graph, params, rows.state, rows.action)
            raw = raw if np.issubdtype(raw.dtype, np.floating) else raw.astype(np.float32)  # of gates that are counted
            found = _by_tangent(raw, self._problem.coordinates.space)
            if self._problem.coordinates.target == "delta":
                own = np.arange(found.shape[1])
                found[:, own, own] = np.finfo(found.dtype).max
        return np.nan_to_num(found, nan=np.nan)

    def _errors(self, params: Parameters, rows: ProblemRows, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        starts = rows.windows(horizon)
        errors = [np.zeros(0)]
        for places in _padded(starts):
            actions = rows.action[places + np.arange(horizon)[:, None]]
            found = self._after(params, jnp.asarray(rows.state[places]), jnp.asarray(actions))
            apart = self._problem.coordinates.error(
                np.asarray(found, np.float64), rows.next_state[places + horizon - 1].astype(np.float64)
            )
            errors.append(np.nan_to_num((apart**2).mean(1), nan=np.inf, posinf=np.inf))
        return starts, np.concatenate(errors)[: len(starts)]


def score(
    evaluator: Evaluator,
    problem: LearningProblem,
    params: Parameters,
    part: str = "test",
    called: str | None = None,
) -> list[Score]:
    """Return the scores of a model on a part of a problem's rows; none if it has no rows.

    Args:
        evaluator: of the model.
        problem: the rows.
        params: the model's parameters.
        part: whose rows.
        called: the part's name in the scores, if it is another.
    """
    rows = scored_rows(problem, part)
    if not len(rows):
        return []
    evaluated = evaluator.evaluate(params, rows)
    name, masks = named_subsets(part, rows)
    name = called or name
    return [one for label, mask in masks.items() for one in _of_subset(name, label, mask, evaluated, problem, rows)]


def _of_subset(
    part: str, label: str, mask: np.ndarray, evaluated: Evaluated, problem: LearningProblem, rows: ProblemRows
) -> Iterator[Score]:
    for horizon, (starts, errors) in evaluated.squared_error.items():
        chosen = errors[mask[starts]]
        if len(chosen):
            yield Score(part, label, "prediction_mse", len(chosen), float(chosen.mean()), horizon=horizon)
            yield Score(part, label, "prediction_mse_median", len(chosen), float(np.median(chosen)), horizon=horizon)
    chosen_rows = rows.where(mask)
    yield from jacobian_scores(
        part, label, evaluated.jacobian[mask], problem.jacobian(chosen_rows), problem.zero(chosen_rows)
    )


def _in_pieces(function: Callable[..., jax.Array], params: Parameters, *columns: np.ndarray) -> np.ndarray:
    """Return a function of rows, computed for AT_ONCE of them at a time; there must be some."""
    pieces = [
        np.asarray(function(params, *(jnp.asarray(values[places]) for values in columns)))
        for places in _padded(np.arange(len(columns[0])))
    ]
    return np.concatenate(pieces)[: len(columns[0])]


def _by_tangent(graphs: np.ndarray, space: TangentSpace) -> np.ndarray:
    """Return graphs by tangents, given those by numbers of the state: a rotation has the largest of its quaternion."""
    columns = [
        np.repeat(graphs[..., at].max(-1, keepdims=True), 3, axis=-1) if is_quaternion else graphs[..., at]
        for is_quaternion, at, _ in space.segments
    ]
    return np.concatenate([*columns, graphs[..., space.n_state :]], axis=-1)


def _padded(places: np.ndarray) -> Iterator[np.ndarray]:
    """Yield places some at a time, always as many: one program is compiled."""
    for first in range(0, len(places), AT_ONCE):
        some = places[first : first + AT_ONCE]
        yield np.concatenate([some, np.repeat(some[-1:], AT_ONCE - len(some))])
