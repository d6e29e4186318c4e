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
        bend: along each axis, the quotient ahead less that behind.
    """

    matrix: Float[np.ndarray, "d_state d_inputs"]
    bend: Float[np.ndarray, "d_state d_inputs"]

    @classmethod
    def of(cls, model: mujoco.MjModel, ends: Float[np.ndarray, "sides n_state"], width: float) -> "DifferenceQuotient":
        """Compute the quotient.

        Args:
            ends: next states from inputs moved ahead along each axis, then behind along each axis, then not moved.
            width: by how much they are moved.
        """
        ahead, behind = np.split(ends[:-1], 2)
        here = np.broadcast_to(ends[-1], ahead.shape)
        sides = [finite_differences.centred_quotient(model, *of, width / 2) for of in ((ahead, here), (here, behind))]
        return cls((sides[0] + sides[1]) / 2, sides[0] - sides[1])


def jacobian_error(
    stored: Float[np.ndarray, "d_state d_inputs"], wide: DifferenceQuotient, narrow: DifferenceQuotient, one_sided: bool
) -> tuple[float, int]:
    """Return how far a stored matrix is from difference quotients, and along how many axes these jump.

    Differences are cast to the stored type first. Along each axis the better of the two widths counts: the wide one has
    less rounding, the narrow one less curvature. At a kink an entry may be all between its two sides: at a clip JAX
    takes the mean, at two in a row a quarter, at a limit a side. Axes along which the widths differ, or along which the
    two sides differ by more at the narrow one, have no derivative, and are left out; the others' size says what is
    more.

    Args:
        one_sided: whether the matrix is C's own, which takes the inner side of a clip that an action lies on. Axes
            along which the two sides differ are left out, too.
    """
    bends = [np.linalg.norm(quotient.bend, axis=0) for quotient in (wide, narrow)]
    apart = np.linalg.norm(wide.matrix - narrow.matrix, axis=0) + np.maximum(bends[1] - bends[0], 0)
    if one_sided:
        apart = apart + bends[0]
    steady = np.ones(len(apart), bool)
    while not (still := steady & (apart <= STEADY * np.linalg.norm(wide.matrix[:, steady])))[steady].all():
        steady = still
    size = np.linalg.norm(wide.matrix[:, steady])
    errors = []
    for quotient, bend in zip((wide, narrow), bends, strict=True):
        error = stored.astype(float) - quotient.matrix.astype(stored.dtype)
        free = np.where(bend > STEADY * size, np.abs(quotient.bend) / 2, 0.0)
        errors.append(np.linalg.norm(error - np.clip(error, -free, free), axis=0)[steady])
    return float(np.linalg.norm(np.min(errors, axis=0)) / size) if size else 0.0, int((~steady).sum())
