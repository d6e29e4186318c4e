"""The paper's losses: the mean squared error of the prediction, and a part on the model's Jacobian.

Which there are stands in ``loss_names``. SAE asks only for columns of the Jacobian that hold a true zero. So its
minibatches are sorted by how many columns that is, and only the first rows have the later slots computed. In CheetahRun
three columns of 24 are computed in the mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jacdb.learning.coordinates import Coordinates
from jacdb.learning.loss_names import Loss
from jacdb.learning.models.model import Parameters, WorldModel, own_loss
from jacdb.learning.problem import LearningProblem, ProblemRows

type Rows = dict[str, jax.Array]  # column -> values, (n, …)
type Tiers = tuple[tuple[int, int, int], ...]  # rows, and the first and the end of the slots that are theirs

_TERMS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "msej": lambda found, true: (found - true) ** 2,
    "maej": lambda found, true: jnp.abs(found - true),
    "l1": lambda found, true: jnp.abs(found),
    "sae": lambda found, true: jnp.abs(found),
}
SPARE = 4.0  # standard deviations above the mean: so many rows more than expected have a tier's columns at most


class ZeroColumns(NamedTuple):
    """Which columns of a Jacobian hold true zeros, by its pattern.

    Attributes:
        columns: those with a zero, then others, (patterns, slots).
        is_zero: where the entries in them are zero, (patterns, slots, n_tangent); nowhere in the others.
        filled: how many have a zero, (patterns,).
    """

    columns: np.ndarray
    is_zero: np.ndarray
    filled: np.ndarray

    @classmethod
    def of(cls, patterns: np.ndarray) -> "ZeroColumns":
        """Return the columns of patterns, (patterns, n_tangent, columns)."""
        has_zero = patterns.any(axis=1)
        filled = has_zero.sum(1)
        columns = np.argsort(~has_zero, axis=1, kind="stable")[:, : filled.max(initial=0)]
        is_zero = np.take_along_axis(patterns, columns[:, None, :], axis=2)
        return cls(columns.astype(np.int32), is_zero.swapaxes(1, 2).copy(), filled)

    def tiers(self, pattern: np.ndarray, batch_size: int) -> Tiers:
        """Return how many rows of a minibatch have so many columns, with some to spare.

        Args:
            pattern: the patterns of all rows, (n,).
            batch_size: rows of a minibatch whose Jacobians are compared.
        """
        expected = [(self.filled[pattern] > slot).mean() for slot in range(self.columns.shape[1])]
        spared = [batch_size * p + SPARE * np.sqrt(batch_size * p * (1 - p)) for p in expected]
        rows = [min(batch_size, int(np.ceil(n / 8)) * 8) for n in spared]
        tiers, first = [], 0
        for slot in range(1, len(rows) + 1):
            if slot == len(rows) or rows[slot] < 0.9 * rows[first]:  # a tier more costs a prediction more
                tiers.append((rows[first], first, slot))
                first = slot
        return tuple(tiers)

    def fit(self, tiers: Tiers, pattern: np.ndarray) -> bool:
        """Return whether minibatches, (minibatches, batch_size) of patterns, have no more columns than tiers have.

        ``batch_size`` is as in ``tiers``.
        """
        return all(int((self.filled[pattern] > first).sum(1).max()) <= rows for rows, first, _ in tiers)


def device_rows(problem: LearningProblem, rows: ProblemRows, loss: Loss) -> Rows:
    """Return what a loss needs of rows, as arrays on the device."""
    columns: dict[str, np.ndarray] = {"state": rows.state, "action": rows.action, "target": rows.target}
    if loss.entries == "all":
        columns["jacobian"] = problem.jacobian(rows).swapaxes(1, 2)
    elif loss.entries == "zeros":
        columns["pattern"] = rows.pattern
    return {name: jnp.asarray(values) for name, values in columns.items()}


def columns_of_jacobian(
    model: WorldModel, coordinates: Coordinates
) -> Callable[[Parameters, jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Return a function of parameters, one state, action and target, and columns, (k,).

    It returns the prediction, and these columns of the Jacobian of the normalized next state, (k, n_tangent).
    """

    def of_sample(
        params: Parameters, state: jax.Array, action: jax.Array, target: jax.Array, columns: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        n_state = len(state)
        # linearize and not jvp: what does not depend on the direction is computed once
        predicted, moved_by = jax.linearize(lambda x, u: model.predict(params, x, u), state, action)
        directions = coordinates.directions(state)[columns]
        moved = jax.vmap(moved_by)(directions[:, :n_state], directions[:, n_state:])
        return predicted, coordinates.jacobian_of_next(moved, target, columns)

    return of_sample


class MinibatchLoss:
    """The loss of a minibatch, as a function that JAX can trace.

    Attributes:
        zeros: the columns of true zeros, for a loss on them alone; else None.
    """

    def __init__(self, model: WorldModel, problem: LearningProblem, loss: Loss) -> None:
        self._model, self._loss = model, loss
        self._n_columns = problem.shape[1]
        self._columns_of = columns_of_jacobian(model, problem.coordinates)
        self.zeros = ZeroColumns.of(problem.patterns) if loss.entries == "zeros" else None
        self._columns = self._is_zero = jnp.zeros(())
        if self.zeros is not None:
            self._columns, self._is_zero = jnp.asarray(self.zeros.columns), jnp.asarray(self.zeros.is_zero)

    def whole(self, n_rows: int) -> Tiers:
        """Return the one tier in which the first rows have all slots; none for a loss without Jacobian."""
        slots = {"none": 0, "all": self._n_columns}.get(self._loss.entries, 0)
        if self.zeros is not None:
            slots = self.zeros.columns.shape[1]
        return ((n_rows, 0, slots),) if slots else ()

    def __call__(self, params: Parameters, rows: Rows, tiers: Tiers, key: jax.Array | None = None) -> jax.Array:
        """Return the loss of rows.

        Args:
            params: the model's.
            rows: of the minibatch; those whose Jacobians are compared come first, sorted by how many columns of theirs
                have zeros, the most first, if tiers are not whole.
            tiers: which of them have which columns of the Jacobian computed.
            key: for a model whose own loss is random.
        """
        predicted, total, count = None, jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32)
        for n_rows, first, end in tiers:
            of_tier = {name: values[:n_rows] for name, values in rows.items()}
            found, term, chosen = self._tier(params, of_tier, first, end)
            total = total + jnp.sum(jnp.where(chosen, term, 0))
            if n_rows == len(rows["state"]) and predicted is None:
                predicted = found
        if self._loss.entries == "all":
            count = jnp.asarray(tiers[0][0] * rows["jacobian"][0].size, jnp.float32)
        elif self.zeros is not None and tiers:
            # rows after the first tier's have no zeros, or are not to be compared
            count = jnp.maximum(jnp.sum(self._is_zero[rows["pattern"][: tiers[0][0]]]), 1).astype(jnp.float32)
        return self._of_prediction(params, rows, predicted, key) + self._loss.weight * total / count

    def _of_prediction(
        self, params: Parameters, rows: Rows, predicted: jax.Array | None, key: jax.Array | None
    ) -> jax.Array:
        """Return the mean squared error, or the model's own loss."""
        given = rows["state"], rows["action"]
        if (own := own_loss(self._model)) is not None:
            keys = jax.random.split(jax.random.key(0) if key is None else key, len(given[0]))
            return jnp.mean(jax.vmap(own, (None, 0, 0, 0, 0))(params, *given, rows["target"], keys))
        if predicted is None:
            predicted = jax.vmap(self._model.predict, (None, 0, 0))(params, *given)
        return jnp.mean((predicted - rows["target"]) ** 2)

    def _tier(self, params: Parameters, rows: Rows, first: int, end: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return predictions, and the terms of some slots of the Jacobian and which of them count."""
        n_rows = len(rows["state"])
        if self.zeros is None:
            columns = jnp.tile(jnp.arange(first, end), (n_rows, 1))
            true, chosen = rows["jacobian"][:, first:end], jnp.ones((), bool)
        else:
            columns = self._columns[rows["pattern"], first:end]
            true, chosen = jnp.zeros((), jnp.float32), self._is_zero[rows["pattern"], first:end]
        given = (rows["state"], rows["action"], rows["target"], columns)
        predicted, found = jax.vmap(self._columns_of, (None, 0, 0, 0, 0))(params, *given)
        return predicted, _TERMS[self._loss.jacobian](found, true), chosen
