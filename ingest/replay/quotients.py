"""Difference quotients of a step, and how far a stored Jacobian is from them."""

from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.ingest.differentiation import finite_differences

STEADY = 1e-4  # relative: where two widths differ by more, along an axis, there is no derivative along it


class DifferenceQuotient(NamedTuple):
    """A centred difference quotient of a step.

    Attributes:
        matrix: estimates the Jacobian by state and action.
        bend: along each axis, how far apart the quotients of its two sides are.
    """

    matrix: Float[np.ndarray, "d_state d_inputs"]
    bend: Float[np.ndarray, " d_inputs"]

    @classmethod
    def of(cls, model: mujoco.MjModel, ends: Float[np.ndarray, "sides n_state"], width: float) -> "DifferenceQuotient":
        """Compute the quotient.

        Args:
            ends: next states from inputs moved ahead along each axis, then behind along each axis, then not moved.
            width: by how much they are moved.
        """
        ahead, behind = np.split(ends[:-1], 2)
        matrix = finite_differences.centred_quotient(model, ahead, behind, width)
        return cls(matrix, np.linalg.norm(ahead + behind - 2 * ends[-1], axis=1) / width)


def jacobian_error(
    stored: Float[np.ndarray, "d_state d_inputs"], wide: DifferenceQuotient, narrow: DifferenceQuotient, one_sided: bool
) -> tuple[float, int]:
    """Return how far a stored matrix is from difference quotients, and along how many axes these jump.

    Differences are cast to the stored type first. Along each axis the better of the two widths counts: the wide one has
    less rounding, the narrow one less curvature. Axes along which the widths differ, or along which the two sides
    differ by more at the narrow one, have no derivative, and are left out; the others' size says what is more.

    Args:
        one_sided: whether the matrix is C's own, which takes the inner side of a clip that an action lies on. Axes
            along which the two sides differ are left out, too.
    """
    apart = np.linalg.norm(wide.matrix - narrow.matrix, axis=0) + np.maximum(narrow.bend - wide.bend, 0)
    if one_sided:
        apart = apart + wide.bend
    steady = np.ones(len(apart), bool)
    while not (still := steady & (apart <= STEADY * np.linalg.norm(wide.matrix[:, steady])))[steady].all():
        steady = still
    truths = [quotient.matrix.astype(stored.dtype).astype(float)[:, steady] for quotient in (wide, narrow)]
    errors = np.min([np.linalg.norm(stored[:, steady] - truth, axis=0) for truth in truths], axis=0)
    size = np.linalg.norm(truths[0])
    return float(np.linalg.norm(errors) / size) if size else 0.0, int((~steady).sum())
