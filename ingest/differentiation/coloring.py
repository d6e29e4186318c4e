"""Columns of a derivative that may be computed together, because no row sees two of them.

Curtis, Powell & Reid, "On the Estimation of Sparse Jacobian Matrices", 1974: columns of one colour are one tangent.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.compat.mjx import geom_pairs


def color_columns(pattern: Bool[np.ndarray, "rows columns"]) -> Int[np.ndarray, " columns"]:
    """A number for every column such that columns of one number share no row; the first that fits."""
    colours = np.zeros(pattern.shape[1], dtype=int)
    taken: list[np.ndarray] = []
    for column, rows in enumerate(pattern.T):
        free = [number for number, used in enumerate(taken) if not (used & rows).any()]
        if not free:
            taken.append(np.zeros(pattern.shape[0], dtype=bool))
        colours[column] = free[0] if free else len(taken) - 1
        taken[colours[column]] |= rows
    return colours


@dataclass(frozen=True)
class ContactColoring:
    """A number for every geom, other than that of any geom it can meet; 0 for the world's.

    Geoms moved together, each by its number times a motion, move each pair relative to one another by the
    difference: one derivative of the collision functions serves all pairs, whichever geom comes first.
    """

    of_geom: Float[np.ndarray, " ngeom"]
    first_moves: bool  # whether any pair's first geom can move

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "ContactColoring":
        meets: dict[int, set[int]] = {}
        first_moves = False
        for geom1, geom2, _ in geom_pairs(model):
            body1, body2 = (int(model.body_weldid[model.geom_bodyid[g]]) for g in (geom1, geom2))
            first_moves |= body1 != 0
            meets.setdefault(body1, set()).add(body2)
            meets.setdefault(body2, set()).add(body1)
        colour = {0: 0}
        for body in sorted(meets):
            taken = {colour[other] for other in meets[body] if other in colour}
            colour.setdefault(body, next(c for c in range(len(meets) + 1) if c not in taken))
        welded = model.body_weldid[model.geom_bodyid]
        return cls(np.array([float(colour.get(int(body), 0)) for body in welded]), first_moves)
