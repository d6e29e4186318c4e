"""How contacts move with their bodies, by centred differences of MuJoCo's own collision detection.

For pairs of geoms whose contacts have no closed form here (:mod:`.contact_rates`): boxes, meshes, cylinders, ellipsoids
and height fields. Where few joints are between the bodies, these are moved (:mod:`.joint_differences`). Elsewhere all
bodies of an evaluation move at once, each by its colour times one of six motions
(:class:`~jacdb.ingest.differentiation.coloring.ContactColoring`): twelve collisions, however many joints and contacts
there are. A rate below 1e-7 is the differences' noise, and is 0.
"""

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.dynamics.contacts import ContactRates, FoundContacts
from jacdb.ingest.linearization.contact_rates import frame_rates, rotated, tangents_turn
from jacdb.ingest.linearization.joint_differences import JointDifferences
from jacdb.ingest.linearization.pair_collisions import VALUES, PairCollisions

WIDTH = 1e-6  # half of it: m, rad
NOISE = 1e-7  # m/m, m/rad, 1/m, 1/rad
KINK = 1e-2  # by how much the rates ahead and behind may differ: more is an edge, or another contact
_DEPENDENT = 1e-9  # of the largest: joints whose motions differ by less have one motion

type _Mocap = tuple[np.ndarray, np.ndarray]


class CollisionDifferences:
    """Differentiates the contacts of one model.

    Python's part of it takes as long as the collisions. So arrays are made of all evaluations at once, and there are no
    threads, which would wait for each other.

    Args:
        model: is not changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._pairs = PairCollisions(model)
        self._joints = JointDifferences(model, self._pairs, WIDTH)
        self._color = ContactColoring.of(model).geom_color
        rotates = model.jnt_type != mujoco.mjtJoint.mjJNT_SLIDE
        turning = np.zeros(model.nbody, bool)
        for body in range(1, model.nbody):
            first, count = model.body_jntadr[body], model.body_jntnum[body]
            own = rotates[first : first + count].any() or model.body_mocapid[body] >= 0
            turning[body] = own or turning[model.body_parentid[body]]
        self._turns = turning[model.geom_bodyid]

    def rates(
        self, contacts: FoundContacts, qpos: Float[np.ndarray, "n nq"], mocap: _Mocap
    ) -> tuple[ContactRates, Bool[np.ndarray, " c"]]:
        """Return the rates of contacts, and which of them could be found.

        Args:
            contacts: in the order of their evaluations, with all of each pair of geoms.
            qpos, mocap: where the evaluations are, by their number.
        """
        turn, carried = tangents_turn(contacts.frame), rotated(contacts.frame).swapaxes(1, 2)
        few = self._joints.are_few(contacts)
        of_second, known = np.zeros((len(few), 6, VALUES)), np.zeros(len(few), bool)
        for rows, way in ((np.flatnonzero(few), self._by_joints), (np.flatnonzero(~few), self._by_motions)):
            if len(rows):
                some = contacts.take(rows), turn[rows], carried[rows]
                of_second[rows], known[rows] = way(*some, qpos, mocap)
        found, follows = _against_body_2(contacts, of_second, turn, carried)
        return found, known & follows

    def _by_joints(
        self,
        contacts: FoundContacts,
        turn: Float[np.ndarray, "c 3"],
        carried: Float[np.ndarray, "c 6 3 3"],
        qpos: Float[np.ndarray, "n nq"],
        mocap: _Mocap,
    ) -> tuple[Float[np.ndarray, "c 6 13"], Bool[np.ndarray, " c"]]:
        """Return what six motions of body 2 do, as far as the joints between the bodies make them; and what is known.

        Along other motions the contact is carried along with body 2.
        """
        pair = _pairs_of(contacts)
        of_pair = np.flatnonzero(np.diff(pair, prepend=-1))  # its first contact: one origin, and so one inverse
        origin = contacts.point[of_pair][pair]
        arm = contacts.point - origin
        values, valid, motions = self._joints.measure(contacts, origin, qpos, mocap)
        first, second = motions[:, 0].transpose(1, 0, 2), motions[:, 1].transpose(1, 0, 2)  # (c, joints, 6)
        matters = (first != second).any(axis=2).T
        bends = np.abs(values.sum(axis=1) - 2 * _as_values(contacts)).max(axis=2)
        known = (~matters | (valid.all(axis=1) & (bends < KINK * WIDTH))).all(axis=0)
        rates = ((values[:, 0] - values[:, 1]) / (2 * WIDTH)).transpose(1, 0, 2)
        as_one = _as_one(contacts, arm, turn, carried)
        slips = np.where(matters.T[:, :, None], _clean(rates - second @ as_one), 0.0)
        inverse = np.linalg.pinv((second - first)[of_pair], rcond=_DEPENDENT)
        return _about_contact(as_one + inverse[pair] @ slips, arm), known

    def _by_motions(
        self,
        contacts: FoundContacts,
        turn: Float[np.ndarray, "c 3"],
        carried: Float[np.ndarray, "c 6 3 3"],
        qpos: Float[np.ndarray, "n nq"],
        mocap: _Mocap,
    ) -> tuple[Float[np.ndarray, "c 6 13"], Bool[np.ndarray, " c"]]:
        """Return what six motions of body 2 do, all bodies moved at once; and what is known."""
        numbers, first = np.unique(contacts.evaluation, return_index=True)
        n = len(contacts.distance)
        counts = np.diff([*first, n])
        origin = np.repeat(np.add.reduceat(contacts.point, first) / counts[:, None], counts, axis=0)
        color = self._color[contacts.geoms]
        places, turned = _displaced(contacts, origin, color)
        values, valid = np.zeros((12, n, VALUES)), np.zeros((12, n), bool)
        data, pairs = self._pairs.data, self._pairs
        for number, start, end in zip(numbers, first, first + counts, strict=True):
            data.qpos[:] = qpos[number]
            data.mocap_pos[:], data.mocap_quat[:] = mocap[0][number], mocap[1][number]
            mujoco.mj_kinematics(pairs.model, data)
            geoms = contacts.geoms[start:end]
            moved, both = geoms.ravel(), slice(2 * start, 2 * end)
            pairs.choose(geoms)
            for which in range(12):
                pairs.place(moved, places[which, both], turned[which, both])
                pairs.read(values[which, start:end], valid[which, start:end])
        there = values.reshape(6, 2, n, VALUES)
        bends = np.abs(there.sum(axis=1) - 2 * _as_values(contacts)).max(axis=2)  # by motion
        smooth = valid.reshape(6, 2, n).all(axis=1) & (bends < KINK * WIDTH * max(1.0, self._color.max(initial=0)))
        by_motion = ((there[:, 0] - there[:, 1]) / (2 * WIDTH)).transpose(1, 0, 2)
        still = ~self._turns[contacts.geoms].any(axis=1)  # of bodies that only slide
        smooth[:3, still], by_motion[still, :3] = True, 0.0
        as_one = _as_one(contacts, contacts.point - origin, turn, carried)
        return _of_second(by_motion, as_one, contacts.point - origin, color), smooth.all(axis=0)


def _pairs_of(contacts: FoundContacts) -> Int[np.ndarray, " c"]:
    """Return the number of each contact's pair of geoms, one for each evaluation: contacts of a pair are together."""
    key = np.concatenate([contacts.evaluation[:, None], contacts.geoms], axis=1)
    return np.cumsum((np.diff(key, axis=0, prepend=key[:1]) != 0).any(axis=1))


def _as_values(contacts: FoundContacts) -> Float[np.ndarray, "c 13"]:
    n = len(contacts.distance)
    return np.concatenate([contacts.distance[:, None], contacts.point, contacts.frame.reshape(n, 9)], axis=1)


def _displaced(
    contacts: FoundContacts, origin: Float[np.ndarray, "c 3"], color: Float[np.ndarray, "c 2"]
) -> list[Float[np.ndarray, "12 geoms _"]]:
    """Return positions and rotations of both geoms of all contacts, ahead and behind by motion.

    Each moves by its color, to the second order.
    """
    arm, axes = contacts.position - origin[:, None], contacts.rotation.swapaxes(2, 3)  # columns are vectors
    shift = np.eye(6)[:, 3:]
    angle = color[:, :, None, None]
    places, turned = [], []
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
    return [np.stack(leaves).reshape(12, 2 * len(arm), width) for leaves, width in ((places, 3), (turned, 9))]


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
    rates = np.zeros((len(arm), 6, VALUES))
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
    return _about_contact(rates, arm)


def _about_contact(rates: Float[np.ndarray, "c 6 13"], arm: Float[np.ndarray, "c 3"]) -> Float[np.ndarray, "c 6 13"]:
    """Return rates by motions about each contact's point, of those about an origin that its arm begins at."""
    moved: np.ndarray = rates.copy()
    moved[:, :3] -= rotated(arm)[:, :3] @ rates[:, 3:]
    return moved


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
