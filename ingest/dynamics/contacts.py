"""Contacts that an engine found, and how each moves when one of its bodies does: what differentiation needs of them."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

type Leaf = Any  # NumPy's array on the host, JAX's in a program


class FoundContacts(NamedTuple):
    """The contacts of many evaluations of forward dynamics, one after the other: c of them, in NumPy.

    Attributes:
        evaluation: the evaluation that has the contact.
        geoms: the normal points from the first to the second, whose type is not the lower one.
        distance: m, negative inside.
        point: m, halfway between the surfaces.
        frame: normal and two tangents, as rows.
        dim: 1, 3, 4 or 6.
        friction, solref, solimp, margin: as MuJoCo mixed them; contacts touch nearer than ``margin`` (m).
        position, rotation: of both geoms.
    """

    evaluation: Int[np.ndarray, " c"]
    geoms: Int[np.ndarray, "c 2"]
    distance: Float[np.ndarray, " c"]
    point: Float[np.ndarray, "c 3"]
    frame: Float[np.ndarray, "c 3 3"]
    dim: Int[np.ndarray, " c"]
    friction: Float[np.ndarray, "c 5"]
    solref: Float[np.ndarray, "c 2"]
    solimp: Float[np.ndarray, "c 5"]
    margin: Float[np.ndarray, " c"]
    position: Float[np.ndarray, "c 2 3"]
    rotation: Float[np.ndarray, "c 2 3 3"]

    def take(self, which: Int[np.ndarray, " some"] | Bool[np.ndarray, " c"] | slice) -> "FoundContacts":
        """Return some of them."""
        return FoundContacts(*(leaf[which] for leaf in self))


class ContactRates(NamedTuple):
    """How contacts move with body 2, body 1 held: six motions, rotations and translations at the contact's point.

    Attributes:
        distance: its rates.
        point, frame: theirs, beyond being carried along with body 2.
        turn: how fast the tangents turn about the normal when both bodies rotate as one, against the bodies.
    """

    distance: Leaf  # (…, 6)
    point: Leaf  # (…, 6, 3)
    frame: Leaf  # (…, 6, 3, 3)
    turn: Leaf  # (…, 3)


class ContactSlots(NamedTuple):
    """The contacts of one evaluation that have one dimension, in slots. A slot without a contact never touches."""

    geoms: Leaf  # (…, slots, 2)
    distance: Leaf  # (…, slots)
    point: Leaf  # (…, slots, 3)
    frame: Leaf  # (…, slots, 3, 3)
    friction: Leaf  # (…, slots, 5)
    solref: Leaf  # (…, slots, 2)
    solimp: Leaf  # (…, slots, 5)
    margin: Leaf  # (…, slots)


type SlotsByDim = dict[int, tuple[ContactSlots, ContactRates]]

EMPTY_SLOT: dict[str, Any] = {
    "geoms": 0, "distance": 0.0, "point": 0.0, "frame": np.eye(3), "friction": 1.0, "solref": np.array([0.02, 1.0]),
    "solimp": np.array([0.9, 0.95, 0.001, 0.5, 2.0]), "margin": -1.0,
}  # fmt: skip
