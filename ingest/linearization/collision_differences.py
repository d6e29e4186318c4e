"""How contacts move with their bodies, by centred differences of MuJoCo's own collision detection.

For pairs of geoms whose contacts have no closed form here (:mod:`.contact_rates`): boxes, meshes, cylinders, ellipsoids
and height fields. All bodies of an evaluation move at once, each by its colour times one of six motions
(:class:`~jacdb.ingest.differentiation.coloring.ContactColoring`): twelve collisions, however many joints and contacts
there are. A rate below 1e-7 is the differences' noise, and is 0.
"""

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.dynamics.contacts import ContactRates, FoundContacts
from jacdb.ingest.linearization.contact_rates import frame_rates, rotated, tangents_turn

WIDTH = 1e-6  # half of it: m, rad
NOISE = 1e-7  # m/m, m/rad, 1/m, 1/rad
KINK = 1e-2  # by how much the rates ahead and behind may differ: more is an edge, or another contact


class CollisionDifferences:
    """Differentiates the contacts of one model.

    Python's part of it takes as long as the collisions. So arrays are made of all evaluations at once, and there are no
    threads, which would wait for each other.

    Args:
        model: is not changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model.__copy__(), mujoco.MjData(model)
        self._color = ContactColoring.of(model).geom_color
        rotates = model.jnt_type != mujoco.mjtJoint.mjJNT_SLIDE
        turning = np.zeros(model.nbody, bool)
        for body in range(1, model.nbody):
            first, count = model.body_jntadr[body], model.body_jntnum[body]
            own = rotates[first : first + count].any() or model.body_mocapid[body] >= 0
            turning[body] = own or turning[model.body_parentid[body]]
        self._turns = turning[model.geom_bodyid]
        self._switches = [
            (getattr(self._model, f"{owner}_{mask}"), getattr(model, f"{owner}_{mask}"))
            for owner in ("geom", "body")
            for mask in ("contype", "conaffinity")
        ]

    def rates(
        self, contacts: FoundContacts, qpos: Float[np.ndarray, "c nq"], mocap: tuple[np.ndarray, np.ndarray]
    ) -> tuple[ContactRates, Bool[np.ndarray, " c"]]:
        """Return the rates of contacts, and which of them could be found.

        Args:
            contacts: in the order of their evaluations, with all of each pair of geoms.
            qpos, mocap: where the evaluations are, by their number.
        """
        numbers, first = np.unique(contacts.evaluation, return_index=True)
        ends = [*first[1:], len(contacts.distance)]
        counts = np.diff([*first, len(contacts.distance)])
        origin = np.repeat(np.add.reduceat(contacts.point, first) / counts[:, None], counts, axis=0)
        color = self._color[contacts.geoms]
        poses = _displaced(contacts, origin, color)
        values = np.zeros((13, len(contacts.distance), 13))
        valid = np.zeros((13, len(contacts.distance)), bool)
        data = self._data
        for number, start, end in zip(numbers, first, ends, strict=True):
            data.qpos[:] = qpos[number]
            data.mocap_pos[:], data.mocap_quat[:] = mocap[0][number], mocap[1][number]
            mujoco.mj_kinematics(self._model, data)
            geoms = contacts.geoms[start:end]
            self._let_collide(geoms)
            both = slice(2 * start, 2 * end)
            self._collide(geoms, [leaf[:, both] for leaf in poses], values[:, start:end], valid[:, start:end])
        here, there = values[0], values[1:].reshape(6, 2, *values.shape[1:])
        bends = np.abs(there[:, 0] + there[:, 1] - 2 * here).max(axis=2)  # by motion
        smooth = valid[1:].reshape(6, 2, -1).all(axis=1) & (bends < KINK * WIDTH * max(1.0, self._color.max(initial=0)))
        by_motion = ((there[:, 0] - there[:, 1]) / (2 * WIDTH)).transpose(1, 0, 2)
        still = ~self._turns[contacts.geoms].any(axis=1)  # of bodies that only slide
        smooth[:3, still], by_motion[still, :3] = True, 0.0
        known = valid[0] & smooth.all(axis=0)
        turn, carried = tangents_turn(contacts.frame), rotated(contacts.frame).swapaxes(1, 2)
        as_one = _as_one(contacts, contacts.point - origin, turn, carried)
        of_second = _of_second(by_motion, as_one, contacts.point - origin, color)
        found, follows = _against_body_2(contacts, of_second, turn, carried)
        return found, known & follows

    def _let_collide(self, geoms: Int[np.ndarray, "c 2"]) -> None:
        """Leave all other geoms out of the model's collisions: most of a robot's are far from any contact."""
        bodies = self._model.geom_bodyid[geoms]
        for (mask, own), chosen in zip(self._switches, (geoms, geoms, bodies, bodies), strict=True):
            mask[:] = 0
            mask[chosen] = own[chosen]

    def _collide(
        self,
        geoms: Int[np.ndarray, "c 2"],
        poses: list[Float[np.ndarray, "13 geoms _"]],
        values: Float[np.ndarray, "13 c 13"],
        valid: Bool[np.ndarray, "13 c"],
    ) -> None:
        """Fill in the contacts' values at each displacement, and where there are no others.

        Args:
            values: distance, point, frame; the first of no displacement.
        """
        model, data, moved = self._model, self._data, geoms.ravel()
        xpos, xmat = data.geom_xpos, data.geom_xmat
        expected, wanted = b"", slice(None)
        for pos, mat, seen, same in zip(*poses, values, valid, strict=True):
            xpos[moved], xmat[moved] = pos, mat
            mujoco.mj_collision(model, data)
            contact = data.contact
            there = contact.geom
            if not expected:
                expected = there.tobytes()
                if not np.array_equal(there, geoms):  # a geom that has a wanted contact may have others
                    wanted = (there[:, None] == geoms[None]).all(axis=2).any(axis=1)
                    if not np.array_equal(there[wanted], geoms):
                        return
            elif there.tobytes() != expected:
                continue
            same[:] = True
            seen[:, 0], seen[:, 1:4], seen[:, 4:] = contact.dist[wanted], contact.pos[wanted], contact.frame[wanted]


def _displaced(
    contacts: FoundContacts, origin: Float[np.ndarray, "c 3"], color: Float[np.ndarray, "c 2"]
) -> list[Float[np.ndarray, "13 geoms _"]]:
    """Return positions and rotations of both geoms of all contacts, first as they are, then ahead and behind by motion.

    Each moves by its color, to the second order.
    """
    arm, axes = contacts.position - origin[:, None], contacts.rotation.swapaxes(2, 3)  # columns are vectors
    shift = np.eye(6)[:, 3:]
    angle = color[:, :, None, None]
    places, turned = [contacts.position], [contacts.rotation]
    once_arm, once_axes = rotated(arm), rotated(axes)
    twice_arm, twice_axes = (rotated(once)[..., range(6), range(6), :] for once in (once_arm, once_axes))
    for motion in range(6):
        for side in (WIDTH, -WIDTH):
            by = side * angle[:, :, 0]
            moved = by * (once_arm[:, :, motion] + shift[motion]) + 0.5 * by * by * twice_arm[:, :, motion]
            places.append(contacts.position + moved)
            by = side * angle
            moved = by * once_axes[:, :, :, motion] + 0.5 * by * by * twice_axes[:, :, :, motion]
            turned.append((axes + moved).swapaxes(2, 3))
    return [np.stack(leaves).reshape(13, 2 * len(arm), width) for leaves, width in ((places, 3), (turned, 9))]


def _as_one(
    contacts: FoundContacts,
    arm: Float[np.ndarray, "c 3"],
    turn: Float[np.ndarray, "c 3"],
    carried: Float[np.ndarray, "c 6 3 3"],
) -> Float[np.ndarray, "c 6 13"]:
    """Return what motions about the origin, of both bodies as one, do to contacts: all but the tangents goes along.

    Args:
        arm: of the contact's point, from the origin.
        turn: of the tangents, against bodies that rotate.
        carried: the rates of frames that go along.
    """
    frame = carried.copy()
    frame[:, :3, 1] += turn[:, :, None] * contacts.frame[:, None, 2]
    frame[:, :3, 2] -= turn[:, :, None] * contacts.frame[:, None, 1]
    rates = np.zeros((len(arm), 6, 13))
    rates[:, :, 1:4], rates[:, :, 4:] = rotated(arm) + np.eye(6)[:, 3:], frame.reshape(len(arm), 6, 9)
    return rates


def _of_second(
    by_color: Float[np.ndarray, "c 6 13"],
    as_one: Float[np.ndarray, "c 6 13"],
    arm: Float[np.ndarray, "c 3"],
    color: Float[np.ndarray, "c 2"],
) -> Float[np.ndarray, "c 6 13"]:
    """Return what motions of body 2 alone do, about each contact's point, where both bodies moved by their colors."""
    color1, color2 = color.T[:, :, None, None]
    rates = (by_color - color1 * as_one) / np.where(color2 == color1, 1.0, color2 - color1)
    rates[:, :3] -= rotated(arm)[:, :3] @ rates[:, 3:]
    return np.asarray(rates)


def _against_body_2(
    contacts: FoundContacts,
    by_motion: Float[np.ndarray, "c 6 13"],
    turn: Float[np.ndarray, "c 3"],
    carried: Float[np.ndarray, "c 6 3 3"],
) -> tuple[ContactRates, Bool[np.ndarray, " c"]]:
    """Return the rates beyond being carried along with body 2, and whether tangents follow the normal. Noise is 0."""
    measured = by_motion[:, :, 4:].reshape(-1, 6, 3, 3)
    point = by_motion[:, :, 1:4] - np.eye(6)[:, 3:]
    frame = frame_rates(contacts.frame, _clean(measured[:, :, 0]))  # without the noise of the tangents
    follows = np.abs(frame - measured).max(axis=(1, 2, 3)) < KINK * (1 + np.abs(frame).max(axis=(1, 2, 3)))
    distance, point, frame = (_clean(rates) for rates in (by_motion[:, :, 0], point, frame - carried))
    return ContactRates(distance, point, frame, turn), follows


def _clean(rates: np.ndarray) -> np.ndarray:
    return np.where(np.abs(rates) < NOISE, 0.0, rates)
