"""How contacts move with the joints between their bodies, by centred differences of MuJoCo's collision detection.

A robot that touches itself, or an arm its table, has few joints between the bodies that touch: those on the path from
one to the other, which move one and not the other. All that can change about the contact is along their motions, so
two collisions for each do, where six motions of a body in space take twelve.
"""

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.dynamics.contacts import FoundContacts
from jacdb.ingest.linearization.pair_collisions import VALUES, PairCollisions

MOST = 5  # joints: of more, six motions are as quick


class JointDifferences:
    """Differentiates contacts of one model by the joints between their bodies: hinges and slides.

    Args:
        model: is not changed.
        pairs: collides its geoms.
        width: of the differences; half of it, m or rad.
    """

    def __init__(self, model: mujoco.MjModel, pairs: PairCollisions, width: float) -> None:
        self._pairs, self._width = pairs, width
        scalar = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        self._single = np.isin(model.jnt_type, scalar)
        self._hinge = model.jnt_type == scalar[0]
        self._qposadr = np.asarray(model.jnt_qposadr)
        moved = np.zeros((model.nbody, model.njnt), bool)  # which joints move a body
        for body in range(1, model.nbody):
            first, count = model.body_jntadr[body], model.body_jntnum[body]
            moved[body] = moved[model.body_parentid[body]]
            moved[body, first : first + count] = True
        self._moved = moved[model.geom_bodyid]

    def are_few(self, contacts: FoundContacts) -> Bool[np.ndarray, " c"]:
        """Return the contacts of evaluations in which few joints are between bodies that touch, hinges and slides."""
        _, first, place = np.unique(contacts.evaluation, return_index=True, return_inverse=True)
        if not len(first):
            return np.zeros(0, bool)
        of_evaluation = np.logical_or.reduceat(self._between(contacts), first)
        few = (of_evaluation.sum(axis=1) <= MOST) & ~(of_evaluation & ~self._single).any(axis=1)
        return np.asarray(few[place.ravel()])

    def measure(
        self,
        contacts: FoundContacts,
        origin: Float[np.ndarray, "c 3"],
        qpos: Float[np.ndarray, "n nq"],
        mocap: tuple[np.ndarray, np.ndarray],
    ) -> tuple[Float[np.ndarray, "joints 2 c 13"], Bool[np.ndarray, "joints 2 c"], Float[np.ndarray, "joints 2 c 6"]]:
        """Return contacts ahead and behind along each joint of their evaluation, which were found, and both motions.

        A motion is that of a body, about the origin; it is 0 of a joint that moves both bodies alike, or
        none. Joints are those of each evaluation, in their order, padded to the most.
        """
        numbers, first = np.unique(contacts.evaluation, return_index=True)
        ends = np.array([*first[1:], len(contacts.distance)])
        joints = [np.flatnonzero(of) for of in np.logical_or.reduceat(self._between(contacts), first)]
        most, n = max(map(len, joints)), len(contacts.distance)
        values, valid = np.zeros((most, 2, n, VALUES)), np.zeros((most, 2, n), bool)
        axes, anchors = np.zeros((most, n, 3)), np.zeros((most, n, 3))
        of_contact = np.full((most, n), -1)
        model, data = self._pairs.model, self._pairs.data
        at = data.qpos
        for number, start, end, own in zip(numbers, first, ends, joints, strict=True):
            at[:] = qpos[number]
            data.mocap_pos[:], data.mocap_quat[:] = mocap[0][number], mocap[1][number]
            self._pairs.choose(contacts.geoms[start:end])
            for index, joint in enumerate(own):
                address = self._qposadr[joint]
                here = at[address]
                for side, by in enumerate((self._width, -self._width)):
                    at[address] = here + by
                    mujoco.mj_kinematics(model, data)
                    self._pairs.read(values[index, side, start:end], valid[index, side, start:end])
                at[address] = here
            many = len(own)  # the joint moved last moves none of the others' axes
            of_contact[:many, start:end] = own[:, None]
            axes[:many, start:end], anchors[:many, start:end] = data.xaxis[own, None], data.xanchor[own, None]
        return values, valid, self._motions(contacts, of_contact, axes, origin - anchors)

    def _between(self, contacts: FoundContacts) -> Bool[np.ndarray, "c njnt"]:
        """Return which joints move one body of a contact and not the other."""
        first, second = self._moved[contacts.geoms.T]
        return np.asarray(first != second)

    def _motions(
        self,
        contacts: FoundContacts,
        joints: Int[np.ndarray, "joints c"],
        axes: Float[np.ndarray, "joints c 3"],
        arms: Float[np.ndarray, "joints c 3"],
    ) -> Float[np.ndarray, "joints 2 c 6"]:
        """Return how both bodies of contacts move with joints: rotations and translations at an arm's end."""
        hinge = self._hinge[joints][:, :, None]
        rotation = np.where(hinge, axes, 0.0)
        translation = np.where(hinge, np.cross(axes, arms), axes)
        motion = np.concatenate([rotation, translation], axis=2)
        moves = self._moved[contacts.geoms.T[:, :, None], joints.T[None]].transpose(2, 0, 1) & (joints >= 0)[:, None]
        return np.asarray(np.where((moves[:, :1] != moves[:, 1:])[..., None] & moves[..., None], motion[:, None], 0.0))
