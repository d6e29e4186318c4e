"""Lays contacts out for a compiled program: each evaluation has as many slots of each dimension, filled or not.

A control step is differentiated by the smallest program that holds its contacts, so that one in the air does not pay
for one on many points, and that its rows do not depend on what other steps are differentiated beside it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import mujoco
import numpy as np
from jaxtyping import Int

from jacdb.ingest.dynamics.contacts import EMPTY_SLOT, ContactRates, ContactSlots, FoundContacts, SlotsByDim
from jacdb.ingest.models.geom_pairs import geom_pairs

SIZES = tuple(4 * 3**k for k in range(9))  # slots of one dimension: a program is compiled for each that occurs


def dimensions_of(model: mujoco.MjModel) -> list[int]:
    """Return the dimensions that contacts of a model may have."""
    pairs = geom_pairs(model)
    if not len(pairs):
        return []
    own = np.asarray(model.geom_condim)[pairs]
    priority = np.asarray(model.geom_priority)[pairs]
    of_higher = own[np.arange(len(own)), priority.argmax(axis=1)]
    dims = np.where(priority[:, 0] == priority[:, 1], own.max(axis=1), of_higher)
    dims[: model.npair] = model.pair_dim
    return [int(dim) for dim in np.unique(dims)]


class Slots(NamedTuple):
    """The slots of some control steps that one program holds.

    Attributes:
        rows: of the control steps.
        size: how many slots there are of each dimension.
        by_dim: (rows, evaluations, slots, …); None where MJX finds contacts.
        lanes: the place of each row in a block, 0 to the block's size: by it, XLA's rounding differs.
    """

    rows: Int[np.ndarray, " rows"]
    size: int | None
    by_dim: SlotsByDim | None
    lanes: Int[np.ndarray, " rows"]

    def blocks(self) -> Iterator["Slots"]:
        """Yield control steps by blocks, in each of which a lane has one step at most."""
        counts = np.bincount(self.lanes)
        block = np.empty(len(self.rows), int)  # of each row: how many before it have its lane
        block[np.argsort(self.lanes, kind="stable")] = np.arange(len(self.rows)) - np.repeat(
            np.cumsum(counts) - counts, counts
        )
        for number in range(counts.max()):
            own = np.flatnonzero(block == number)
            by_dim = jax.tree.map(lambda leaf, own=own: leaf[own], self.by_dim)
            yield Slots(self.rows[own], self.size, by_dim, self.lanes[own])


def lay_out(
    dims: list[int],
    contacts: FoundContacts,
    rates: ContactRates,
    shape: tuple[int, int],
    lanes: Int[np.ndarray, " steps"],
) -> Iterator[Slots]:
    """Yield all control steps, grouped by the slots that they need.

    Args:
        dims: that the model's contacts may have.
        shape: control steps and evaluations of each.
        lanes: of the control steps.
    """
    steps, evaluations = shape
    order = np.argsort(contacts.dim, kind="stable")  # within it by evaluation
    places = np.zeros(len(order), int)  # of each contact among those of its evaluation and dimension
    needed = np.zeros(steps, int)  # of the dimension that needs most: fewer programs are compiled
    for dim in dims:
        own = order[contacts.dim[order] == dim]
        counts = np.bincount(contacts.evaluation[own], minlength=steps * evaluations)
        places[own] = np.arange(len(own)) - np.repeat(np.cumsum(counts) - counts, counts)
        largest = counts.reshape(steps, evaluations).max(axis=1)
        needed = np.maximum(needed, np.array(SIZES)[np.searchsorted(SIZES, largest)])
    for size in np.unique(needed).tolist():
        rows = np.flatnonzero(needed == size)
        row_of = np.full(steps, -1)
        row_of[rows] = np.arange(len(rows))
        by_dim = {}
        for dim in dims:
            own = np.flatnonzero((contacts.dim == dim) & (row_of[contacts.evaluation // evaluations] >= 0))
            at = (row_of[contacts.evaluation[own] // evaluations], contacts.evaluation[own] % evaluations, places[own])
            by_dim[dim] = _filled((len(rows), evaluations, size), at, contacts.take(own), _rates_of(rates, own))
        yield Slots(rows, size, by_dim, lanes[rows])


def _rates_of(rates: ContactRates, which: Int[np.ndarray, " some"]) -> ContactRates:
    return ContactRates(*(np.asarray(leaf)[which] for leaf in rates))


def _filled(
    shape: tuple[int, int, int], at: tuple[np.ndarray, ...], contacts: FoundContacts, rates: ContactRates
) -> tuple[ContactSlots, ContactRates]:
    """Return slots of one dimension, those at ``at`` filled."""
    leaves = {}
    for name, empty in EMPTY_SLOT.items():
        values = getattr(contacts, name)
        leaf = np.broadcast_to(empty, (*shape, *values.shape[1:])).astype(int if name == "geoms" else float)
        leaf[at] = values
        leaves[name] = leaf
    moved = []
    for values in rates:
        leaf = np.zeros((*shape, *np.shape(values)[1:]))
        leaf[at] = values
        moved.append(leaf)
    return ContactSlots(**leaves), ContactRates(*moved)
