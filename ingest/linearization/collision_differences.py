"""How contacts move with their bodies, by centred differences of MuJoCo's own collision detection.

For pairs of geoms whose contacts have no closed form here (:mod:`.contact_rates`): boxes, meshes, cylinders, ellipsoids
and height fields. All bodies of an evaluation move at once, each by its colour times one of six motions
(:class:`~jacdb.ingest.differentiation.coloring.ContactColoring`): twelve collisions, however many joints and contacts
there are. A rate below 1e-7 is the differences' noise, and is 0.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.dynamics.contacts import ContactRates, FoundContacts
from jacdb.ingest.linearization.contact_rates import frame_rates, tangents_turn

WIDTH = 1e-6  # half of it: m, rad
NOISE = 1e-7  # m/m, m/rad, 1/m, 1/rad
KINK = 1e-2  # by how much the rates ahead and behind may differ: more is an edge, or another contact


class _Seen(NamedTuple):
    """The contacts of one evaluation, and their values: distance, point, frame (c, 13)."""

    geoms: Int[np.ndarray, "c 2"]
    values: Float[np.ndarray, "c 13"]


class CollisionDifferences:
    """Differentiates the contacts of one model.

    Args:
        model: is not changed.
        threads: how many evaluations are at work at once.
    """

    def __init__(self, model: mujoco.MjModel, threads: int) -> None:
        self._model, self._threads = model, threads
        self._color = ContactColoring.of(model).geom_color
        self._moving = np.flatnonzero(self._color)

    def rates(
        self, contacts: FoundContacts, qpos: Float[np.ndarray, "c nq"], mocap: tuple[np.ndarray, np.ndarray]
    ) -> tuple[ContactRates, Bool[np.ndarray, " c"]]:
        """Return the rates of contacts, and which of them could be found.

        Args:
            contacts: in the order of their evaluations; with those of each that have a closed form.
            qpos, mocap: where the evaluations are, by their number.
        """
        numbers, first = np.unique(contacts.evaluation, return_index=True)
        slices = [slice(*ends) for ends in zip(first, [*first[1:], len(contacts.distance)], strict=True)]
        by_motion = np.zeros((len(contacts.distance), 6, 13))
        known = np.zeros(len(contacts.distance), bool)

        def share(which: np.ndarray) -> None:
            data = mujoco.MjData(self._model)
            for index in which:
                own, at = slices[index], numbers[index]
                data.qpos[:] = qpos[at]
                data.mocap_pos[:], data.mocap_quat[:] = mocap[0][at], mocap[1][at]
                by_motion[own], known[own] = self._of_evaluation(data, contacts.take(own))

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(share, np.array_split(np.arange(len(numbers)), self._threads)))
        found, follows = _against_body_2(contacts, by_motion)
        return found, known & follows

    def _of_evaluation(
        self, data: mujoco.MjData, contacts: FoundContacts
    ) -> tuple[Float[np.ndarray, "c 6 13"], Bool[np.ndarray, " c"]]:
        """Return the rates of values by each motion of body 2, about each contact's point."""
        model, moving = self._model, self._moving
        n = len(contacts.distance)
        rates, known = np.zeros((n, 6, 13)), np.zeros(n, bool)
        mujoco.mj_kinematics(model, data)
        origin = contacts.point.mean(axis=0)
        pos, mat = data.geom_xpos[moving].copy(), data.geom_xmat[moving].reshape(-1, 3, 3).copy()
        color = self._color[moving]
        known[:] = True
        mujoco.mj_collision(model, data)
        here = _seen(data)
        if not np.array_equal(here.geoms, contacts.geoms):
            return rates, known & False
        for motion in range(6):
            spin, shift = (np.eye(3)[motion % 3] * (motion // 3 == part) for part in (0, 1))
            ends = []
            for side in (WIDTH, -WIDTH):
                data.geom_xpos[moving] = _moved(pos - origin, spin, shift, side * color[:, None]) + origin
                turned = _moved(mat.transpose(0, 2, 1), spin, np.zeros(3), side * color[:, None, None])
                data.geom_xmat[moving] = turned.transpose(0, 2, 1).reshape(-1, 9)
                mujoco.mj_collision(model, data)
                ends.append(_seen(data))
            if any(not np.array_equal(end.geoms, here.geoms) for end in ends):
                return rates, known & False
            ahead, behind = (end.values - here.values for end in ends)
            rates[:, motion] = (ahead - behind) / (2 * WIDTH)
            known &= np.abs(ahead + behind).max(axis=1) < KINK * WIDTH * max(1.0, color.max())
        return self._by_second(contacts, rates, origin), known

    def _by_second(
        self, contacts: FoundContacts, by_color: Float[np.ndarray, "c 6 13"], origin: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, "c 6 13"]:
        """Take what both bodies' motion as one does, and turn what is about the origin into what is about the point."""
        arm = contacts.point - origin
        rotations, translations = np.eye(6)[:, :3], np.eye(6)[:, 3:]
        as_one = np.zeros_like(by_color)
        as_one[:, :, 1:4] = np.cross(rotations, arm[:, None]) + translations
        turn = tangents_turn(contacts.frame)
        frame = np.cross(rotations[:, None], contacts.frame[:, None])
        frame[:, :3, 1] += turn[:, :, None] * contacts.frame[:, None, 2]
        frame[:, :3, 2] -= turn[:, :, None] * contacts.frame[:, None, 1]
        as_one[:, :, 4:] = frame.reshape(len(arm), 6, 9)
        color1, color2 = self._color[contacts.geoms].T[:, :, None, None]
        rates = (by_color - color1 * as_one) / np.where(color2 == color1, 1.0, color2 - color1)
        rates[:, :3] -= np.einsum("ckj,cjv->ckv", np.cross(np.eye(3), arm[:, None]), rates[:, 3:])
        return rates


def _seen(data: mujoco.MjData) -> _Seen:
    contact = data.contact
    values = [contact.dist[:, None], contact.pos, contact.frame] if data.ncon else [np.zeros((0, 13))]
    return _Seen(np.array(contact.geom).reshape(-1, 2), np.concatenate(values, axis=1))


def _moved(arm: np.ndarray, spin: np.ndarray, shift: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return arms turned about an axis, to the second order, and shifted."""
    once = np.cross(spin, arm)
    return np.asarray(arm + angle * (once + shift) + 0.5 * angle * angle * np.cross(spin, once))


def _against_body_2(
    contacts: FoundContacts, by_motion: Float[np.ndarray, "c 6 13"]
) -> tuple[ContactRates, Bool[np.ndarray, " c"]]:
    """Return the rates beyond being carried along with body 2, and whether tangents follow the normal. Noise is 0."""
    measured = by_motion[:, :, 4:].reshape(-1, 6, 3, 3)
    rotations, translations = np.eye(6)[:, :3], np.eye(6)[:, 3:]
    point = by_motion[:, :, 1:4] - translations
    frame = frame_rates(contacts.frame, _clean(measured[:, :, 0]))  # without the noise of the tangents
    follows = np.abs(frame - measured).max(axis=(1, 2, 3)) < KINK * (1 + np.abs(frame).max(axis=(1, 2, 3)))
    carried = np.cross(rotations[:, None], contacts.frame[:, None])
    distance, point, frame = (_clean(rates) for rates in (by_motion[:, :, 0], point, frame - carried))
    return ContactRates(distance, point, frame, tangents_turn(contacts.frame)), follows


def _clean(rates: np.ndarray) -> np.ndarray:
    return np.where(np.abs(rates) < NOISE, 0.0, rates)
