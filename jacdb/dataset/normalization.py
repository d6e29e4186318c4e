"""Mean and deviation of states, actions and their changes; states, actions and Jacobians in their units."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jacdb.dataset.step_rows import Arrays
    from jacdb.tangent import TangentSpace

SOURCES = ("state", "action", "next_state")  # the columns that a normalization is made from
CONSTANT = 1e-8  # below it, in the axis's unit or as a share of its largest value, a deviation is a roundoff


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each axis of a vector.

    Attributes:
        mean: (axes,).
        deviation: the standard deviation over all rows, (axes,); 1 where the axis is constant.
    """

    mean: np.ndarray
    deviation: np.ndarray

    def normalized(self, values: np.ndarray) -> np.ndarray:
        """Return (values - mean) / deviation, for values (…, axes)."""
        return (values - self.mean) / self.deviation

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Return the values that were normalized, (…, axes)."""
        return values * self.deviation + self.mean


@dataclass(frozen=True)
class Normalization:
    """How an environment's rows are normalized.

    With means m and deviations s of the axes, x~ = (x - m_x) / s_x, x'~ = (x' - m_x) / s_x, u~ = (u - m_u) / s_u and
    dx~ = (dx - m_dx) / s_dx. The Jacobians of x'~ by x~ and by u~ are

        j_state~[i, k] = j_state[i, k] s[k] / s[i]        j_action~[i, k] = j_action[i, k] s_u[k] / s[i]

    where s has the deviations of the axes of the tangent space: those of the state's axes of the same name.
    Orientations are left as they are (m = 0, s = 1), for a quaternion that is shifted is no orientation.

    Attributes:
        state: of states and next states, (n_state,) each.
        action: of actions, (d_action,) each.
        dx: of tangents from a state to the next, (n_tangent,) each; rotations included.
        tangent: s, the deviations by which rows and columns of Jacobians are scaled, (n_tangent,).
    """

    state: Scale
    action: Scale
    dx: Scale
    tangent: np.ndarray

    @classmethod
    def of(cls, pieces: "Iterable[Arrays]", space: "TangentSpace") -> "Normalization":
        """Return the normalization of rows.

        Args:
            pieces: the rows, some at a time: state, action and next_state in float64.
            space: the tangent space of their states.
        """
        state, action, dx = _Moments(), _Moments(), _Moments()
        for piece in pieces:
            state.add(piece["state"])
            action.add(piece["action"])
            dx.add(space.difference(piece["state"], piece["next_state"]))
        scale, tangent = state.scale(), np.ones(space.n_tangent)
        for is_quaternion, numbers, axes in space.segments:
            if is_quaternion:
                scale.mean[numbers], scale.deviation[numbers] = 0, 1
            else:
                tangent[axes] = scale.deviation[numbers]
        return cls(scale, action.scale(), dx.scale(), tangent)

    def normalized(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return a column, normalized; columns that have no normalization as they are."""
        match name:
            case "state" | "next_state" | "x":
                return self.state.normalized(values)
            case "action":
                return self.action.normalized(values)
            case "dx":
                return self.dx.normalized(values)
            case "j_state":
                return values * (self.tangent / self.tangent[:, None])
            case "j_action":
                return values * (self.action.deviation / self.tangent[:, None])
        return values


class _Moments:
    """Count, mean, sum of squared deviations and largest value of each axis, of rows that come in pieces."""

    def __init__(self) -> None:
        self._n = 0
        self._mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())
        self._largest: np.ndarray = np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Add rows, (rows, axes). Pieces are joined as Chan, Golub and LeVeque do, which loses no digits."""
        n, mean = self._n + len(values), values.mean(0)
        apart = mean - self._mean
        self._squares = self._squares + ((values - mean) ** 2).sum(0) + apart**2 * (self._n * len(values) / n)
        self._mean = self._mean + apart * (len(values) / n)
        self._largest = np.maximum(self._largest, np.abs(values).max(0))
        self._n = n

    def scale(self) -> Scale:
        deviation = np.sqrt(self._squares / self._n)
        return Scale(self._mean, np.where(deviation > CONSTANT * np.maximum(self._largest, 1), deviation, 1.0))
