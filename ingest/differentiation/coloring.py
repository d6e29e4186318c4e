"""Groups columns of a derivative that can be computed together, because no row depends on two of them.

Curtis, Powell & Reid, "On the Estimation of Sparse Jacobian Matrices", 1974: the columns of one color are one tangent.
A coloring of a graph gives no color to two neighbours. Both colorings here are greedy: in the order of their columns
or bodies, each gets the lowest color that no neighbour has. A contact derivative may need color 0 for the world, and
equal programs need equal colors, so the order is fixed.
"""

from dataclasses import dataclass

import mujoco
import networkx as nx
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.compat.mjx import geom_pairs


def color_columns(pattern: Bool[np.ndarray, "rows columns"]) -> Int[np.ndarray, " columns"]:
    """Return a color for every column such that columns of one color share no row."""
    sharing = pattern.T.astype(int) @ pattern.astype(int) > 0  # a row
    graph = nx.Graph()
    graph.add_nodes_from(range(pattern.shape[1]))
    graph.add_edges_from(np.argwhere(sharing).tolist())
    colors = _greedy_colors(graph)
    return np.array([colors[column] for column in range(pattern.shape[1])], dtype=int)


@dataclass(frozen=True)
class ContactColoring:
    """A color for every geom, other than that of any geom it can meet; 0 for the world's.

    Geoms moved together, each by its color times a motion, move each pair relative to one another by the difference:
    one derivative of the collision functions serves all pairs, whichever geom comes first.
    """

    geom_color: Float[np.ndarray, " ngeom"]
    first_moves: bool  # whether any pair's first geom can move
    rigid_pairs: bool  # whether any is of one rigid body, by a <pair>: both geoms have one color

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "ContactColoring":
        """Color the geoms of a model. Geoms of bodies that are welded together have one color."""
        welded = model.body_weldid[model.geom_bodyid].tolist()
        pairs = [(welded[geom1], welded[geom2]) for geom1, geom2, _ in geom_pairs(model)]
        graph = nx.Graph()
        graph.add_nodes_from(sorted({0, *(body for pair in pairs for body in pair)}))  # the world, body 0, first
        graph.add_edges_from(pairs)
        colors = _greedy_colors(graph)
        return cls(
            np.array([float(colors.get(body, 0)) for body in welded]),
            any(body1 != 0 for body1, _ in pairs),
            any(body1 == body2 for body1, body2 in pairs),
        )


def _greedy_colors(graph: nx.Graph) -> dict[int, int]:
    """Color a graph's nodes in the order in which they were added."""
    colors: dict[int, int] = nx.greedy_color(graph, strategy=lambda nodes, colors: list(nodes))
    return colors
