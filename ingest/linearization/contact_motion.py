"""The contacts of states that the C engine stepped, and how they move: in closed form, or by differences."""

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from jacdb.ingest import runtime
from jacdb.ingest.dynamics.contacts import ContactRates, FoundContacts
from jacdb.ingest.linearization.collision_differences import CollisionDifferences
from jacdb.ingest.linearization.collisions import Collisions
from jacdb.ingest.linearization.contact_rates import contact_rates, in_closed_form
from jacdb.ingest.linearization.contact_slots import dimensions_of


class ContactMotion:
    """Finds the contacts of one model, and differentiates them.

    Attributes:
        dims: the dimensions that contacts may have.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self.dims = model, dimensions_of(model)
        threads = runtime.cores()
        self._collisions, self._differences = Collisions(model, threads), CollisionDifferences(model)

    def find(
        self, qpos: Float[np.ndarray, "n nq"], mocap: tuple[np.ndarray, np.ndarray]
    ) -> tuple[FoundContacts, ContactRates, Bool[np.ndarray, " c"]]:
        """Return the contacts of states, their rates, and of which contacts they could be found.

        Args:
            mocap: positions and orientations of mocap bodies, by state.
        """
        contacts = self._collisions.find(qpos, *mocap)
        known = in_closed_form(self._model, contacts)
        if known.all():
            return contacts, contact_rates(self._model, contacts), known
        closed, those = np.flatnonzero(known), np.flatnonzero(~known)
        in_form = contact_rates(self._model, contacts.take(closed))
        measured, known[those] = self._differences.rates(contacts.take(those), qpos, mocap)
        rates = ContactRates(*(np.empty((len(known), *leaf.shape[1:])) for leaf in measured))
        for whole, of_closed, of_those in zip(rates, in_form, measured, strict=True):
            whole[closed], whole[those] = of_closed, of_those
        return contacts, rates, known
