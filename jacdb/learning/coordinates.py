"""The coordinates of a learning problem: what a model gets, what it predicts, and the Jacobian that this implies.

Everything takes arrays of NumPy or of JAX, as ``jacdb.tangent`` does. A model gets states and actions with mean 0 and
deviation 1, quaternions as they are. What it predicts is a tangent, with mean 0 and deviation 1 or in the deviations of
the state. Its Jacobian is turned into that of the next state, so that all models are compared in the same terms.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacdb.dataset.normalization import Normalization
from jacdb.errors import UsageError
from jacdb.tangent import TangentSpace

TARGETS = ("next", "delta")
type Array = Any  # of NumPy or of JAX


def check_target(target: str) -> None:
    """Refuse an unknown target.

    Raises:
        UsageError: it is none of TARGETS.
    """
    if target not in TARGETS:
        raise UsageError(f"target={target!r}: give next (the next state) or delta (its change)")


@dataclass(frozen=True)
class Coordinates:
    """The coordinates of states, actions, targets and Jacobians.

    Attributes:
        space: the tangent space of the environment's states.
        normalization: means and deviations, of the training part.
        target: 'next': the tangent from ``reference`` to the next state; 'delta': that from the state to the next.
        reference: the mean state of the training part, (n_state,).
    """

    space: TangentSpace
    normalization: Normalization
    target: str
    reference: np.ndarray

    @property
    def has_quaternions(self) -> bool:
        """Return whether states have more numbers than tangents."""
        return self.space.n_state != self.space.n_tangent

    @functools.cached_property
    def _offset_and_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the deviation of targets, (n_tangent,) each."""
        if self.target == "delta":
            return self.normalization.dx.mean, self.normalization.dx.deviation
        return np.zeros(self.space.n_tangent), self.normalization.tangent

    def normalized_target(self, state: Array, next_state: Array) -> Array:
        """Return what a model is to predict, (…, n_tangent), given states in their units, (…, n_state)."""
        offset, scale, reference = self._like(state, *self._offset_and_scale, self.reference)
        start = state if self.target == "delta" else reference + 0 * state
        return (self.space.difference(start, next_state) - offset) / scale

    def restored(self, state: Array, action: Array) -> tuple[Array, Array]:
        """Return normalized states and actions in their units."""
        made = self.normalization
        mean, deviation = self._like(state, made.state.mean, made.state.deviation)
        mean_u, deviation_u = self._like(action, made.action.mean, made.action.deviation)
        return state * deviation + mean, action * deviation_u + mean_u

    def jacobian_scale(self) -> np.ndarray:
        """Return by what stored Jacobians are multiplied, (n_tangent, n_tangent + n_action); zeros stay zeros."""
        s = self.normalization.tangent
        return np.concatenate([s, self.normalization.action.deviation]) / s[:, None]

    def next_state(self, state: Array, predicted: Array) -> Array:
        """Return the next state that a prediction implies; both are normalized, (…, n_state) and (…, n_tangent)."""
        mean, deviation = self._like(state, self.normalization.state.mean, self.normalization.state.deviation)
        offset, scale, reference = self._like(state, *self._offset_and_scale, self.reference)
        start = state * deviation + mean if self.target == "delta" else reference + 0 * state
        return (self.space.retract(start, predicted * scale + offset) - mean) / deviation

    def error(self, state: Array, true: Array) -> Array:
        """Return how far a normalized state is from another, in deviations of the state, (…, n_tangent)."""
        mean, deviation, s = self._like(
            state, self.normalization.state.mean, self.normalization.state.deviation, self.normalization.tangent
        )
        return self.space.difference(true * deviation + mean, state * deviation + mean) / s

    def directions(self, state: Array) -> Array:
        """Return what moves a model's input along each tangent and action, (n_tangent + n_action, n_state + n_action).

        Args:
            state: one normalized state, (n_state,).
        """
        xp = state.__array_namespace__()
        n_action = len(self.normalization.action.mean)
        if not self.has_quaternions:
            return xp.eye(self.space.n_tangent + n_action, dtype=state.dtype)
        lift = self.space.lift(state).T  # quaternions are not normalized, and other axes move by themselves
        right = xp.zeros((self.space.n_tangent, n_action), dtype=state.dtype)
        below = xp.concatenate([xp.zeros((n_action, self.space.n_state), dtype=state.dtype),
                                xp.eye(n_action, dtype=state.dtype)], axis=1)  # fmt: skip
        return xp.concatenate([xp.concatenate([lift, right], axis=1), below])

    def jacobian_of_next(self, moved: Array, target: Array, columns: Array) -> Array:
        """Return some columns of the Jacobian of the normalized next state, (k, n_tangent): a row is a column of it.

        Args:
            moved: how the prediction moves along those directions, (k, n_tangent).
            target: the true target of the row, (n_tangent,): where the tangent is, it turns with orientations.
            columns: which columns, (k,).
        """
        offset, scale, s = self._like(moved, *self._offset_and_scale, self.normalization.tangent)
        moved = moved * scale
        by_start = None
        if self.has_quaternions:
            by_start, by_tangent = self.space.retract_derivatives(target * scale + offset)
            moved = moved @ by_tangent.T
        if self.target == "delta":  # x' = x + dx: what dx does not explain is the state's own
            xp = moved.__array_namespace__()
            own = xp.eye(self.space.n_tangent, dtype=moved.dtype) if by_start is None else by_start.T
            n_action = len(self.normalization.action.mean)
            own = xp.concatenate([own * s[:, None], xp.zeros((n_action, len(s)), dtype=moved.dtype)])
            moved = moved + own[columns]
        return moved / s

    @staticmethod
    def _like(array: Array, *constants: np.ndarray) -> list[Array]:
        """Return constants as arrays of the same kind and type."""
        xp = array.__array_namespace__()
        return [xp.asarray(values, dtype=array.dtype) for values in constants]


def mean_state(states: np.ndarray, space: TangentSpace) -> np.ndarray:
    """Return the mean of states, (n_state,): a quaternion is the axis that all of them are nearest to.

    Source: Markley, Cheng, Crassidis and Oshman, "Averaging Quaternions" (2007).
    """
    mean = states.mean(0)
    for is_quaternion, at, _ in space.segments:
        if is_quaternion:
            q = states[:, at]
            mean[at] = np.linalg.eigh(q.T @ q)[1][:, -1]
            mean[at] *= 1.0 if mean[at][np.argmax(np.abs(mean[at]))] > 0 else -1.0
    return mean
