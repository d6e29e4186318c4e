"""Finds the contacts of many states by MuJoCo's own collision detection: those that its step had."""

import time
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.dynamics.contacts import FoundContacts
from jacdb.ingest.models.geom_pairs import geom_pairs, movers

_PARAMETERS = ("dim", "friction", "solref", "solimp", "includemargin")
_TRIED = 16  # states, before the rest is shared out
_LONG = 50e-6  # s: shorter calls gain nothing from threads, which wait for Python's lock


class Collisions:
    """Finds the contacts of one model.

    Args:
        model: is not changed.
        threads: how many states are at work at once, where that pays.
    """

    def __init__(self, model: mujoco.MjModel, threads: int) -> None:
        self._model, self._threads = model, threads
        self._movers = movers(model)
        constrained = self._constrained(geom_pairs(model))
        self._none, self._all = not constrained.any(), bool(constrained.all())

    def find(
        self,
        qpos: Float[np.ndarray, "n nq"],
        mocap_pos: Float[np.ndarray, "n nmocap 3"],
        mocap_quat: Float[np.ndarray, "n nmocap 4"],
    ) -> FoundContacts:
        """Return the contacts of states, in the order of the states."""
        if self._none:
            return nothing()
        parts = [(qpos[some], mocap_pos[some], mocap_quat[some]) for some in (slice(_TRIED), slice(_TRIED, None))]
        began = time.perf_counter()
        readers = [self._read(0, *parts[0])]
        taken = time.perf_counter() - began
        n = len(parts[1][0])
        threads = self._threads if taken > _LONG * _TRIED else 1
        shares = [rows for rows in np.array_split(np.arange(n), threads) if len(rows)]
        with ThreadPoolExecutor(threads) as pool:
            readers += pool.map(
                lambda rows: self._read(_TRIED + int(rows[0]), *(leaf[rows] for leaf in parts[1])), shares
            )
        found = [reader.contacts() for reader in readers]
        contacts = FoundContacts(*(np.concatenate(leaves) for leaves in zip(*found, strict=True)))
        return contacts if self._all else contacts.take(self._constrained(contacts.geoms))

    def _constrained(self, geoms: Int[np.ndarray, "c 2"]) -> Bool[np.ndarray, " c"]:
        """Return of which contacts the engine makes constraints: those of geoms that move against each other."""
        first, second = self._movers[geoms].T
        return np.asarray(first != second)

    def _read(self, first: int, qpos: np.ndarray, mocap_pos: np.ndarray, mocap_quat: np.ndarray) -> "_Reader":
        """Read the contacts of consecutive states, of which the first has the number ``first``."""
        model, data = self._model, mujoco.MjData(self._model)
        reader, moves = _Reader(data, model.ngeom), bool(model.nmocap)
        at = data.qpos
        for row in range(len(qpos)):
            at[:] = qpos[row]
            if moves:
                data.mocap_pos[:], data.mocap_quat[:] = mocap_pos[row], mocap_quat[row]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_collision(model, data)
            if data.ncon:
                reader.read(first + row)
        return reader


class _Reader:
    """Keeps contacts, read from one MjData.

    Reading takes as long as a physics step of a small robot. So what the same geoms have always (friction and the like)
    is read once for each set of geoms in contact, and what changes goes into arrays that are there.
    """

    def __init__(self, data: mujoco.MjData, n_geoms: int) -> None:
        self._data = data
        self._poses = data.geom_xpos, data.geom_xmat
        self._known: dict[bytes, int] = {}
        self._parameters: list[tuple[np.ndarray, ...]] = []  # of a set of geoms: these, and _PARAMETERS
        self._states: list[tuple[int, int, int]] = []  # its number, how many contacts, where their parameters are
        self._n = 0
        self._values = [np.empty((64, *shape)) for shape in ((), (3,), (9,))]  # of contacts
        self._of_states = [np.empty((64, n_geoms, width)) for width in (3, 9)]  # geom_xpos, geom_xmat

    def read(self, state: int) -> None:
        """Keep the contacts that the data holds now as those of a state."""
        contact = self._data.contact
        geoms = contact.geom
        key = geoms.tobytes()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = len(self._parameters)
            self._parameters.append((geoms.copy(), *(np.array(getattr(contact, name)) for name in _PARAMETERS)))
        first, end, index = self._n, self._n + len(geoms), len(self._states)
        while end > len(self._values[0]):
            self._values = [np.concatenate([leaf, np.empty_like(leaf)]) for leaf in self._values]
        if index == len(self._of_states[0]):
            self._of_states = [np.concatenate([leaf, np.empty_like(leaf)]) for leaf in self._of_states]
        distance, point, frame = self._values
        distance[first:end], point[first:end], frame[first:end] = contact.dist, contact.pos, contact.frame
        self._of_states[0][index], self._of_states[1][index] = self._poses
        self._states.append((state, len(geoms), known))
        self._n = end

    def contacts(self) -> FoundContacts:
        """Return all that were kept."""
        if not self._states:
            return nothing()
        states, counts, known = np.array(self._states).T
        sizes = [len(geoms) for geoms, *_ in self._parameters]
        starts = (np.cumsum(sizes) - sizes)[known]
        within = np.arange(self._n) - np.repeat(np.cumsum(counts) - counts, counts)
        at = np.repeat(starts, counts) + within
        by_set = (np.concatenate(leaf)[at] for leaf in zip(*self._parameters, strict=True))
        geoms, dim, friction, solref, solimp, margin = by_set
        distance, point, frame = (leaf[: self._n] for leaf in self._values)
        row = np.repeat(np.arange(len(states)), counts)[:, None]
        position, rotation = (leaf[row, geoms] for leaf in self._of_states)
        return FoundContacts(
            np.repeat(states, counts), geoms, distance, point, frame.reshape(-1, 3, 3), dim, friction, solref,
            solimp, margin, position,
            rotation.reshape(-1, 2, 3, 3),
        )  # fmt: skip


def nothing() -> FoundContacts:
    """Return no contacts."""
    shapes = [(0,), (0, 2), (0,), (0, 3), (0, 3, 3), (0,), (0, 5), (0, 2), (0, 5), (0,), (0, 2, 3), (0, 2, 3, 3)]
    integers = ("evaluation", "geoms", "dim")
    named = zip(FoundContacts._fields, shapes, strict=True)
    return FoundContacts(*(np.zeros(shape, int if name in integers else float) for name, shape in named))
