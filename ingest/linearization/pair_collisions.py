"""Collides a few geoms of a model again and again, as they are moved a little, and reads their contacts."""

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

VALUES = 13  # of a contact: distance, point, frame


class PairCollisions:
    """Collides some geoms of one model.

    Attributes:
        model: a copy, whose other geoms collide with nothing.
        data: what moves the geoms goes in here.

    Args:
        model: is not changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model.__copy__(), mujoco.MjData(model)
        self._poses = self.data.geom_xpos, self.data.geom_xmat
        self._has_sdf = bool((model.geom_type == mujoco.mjtGeom.mjGEOM_SDF).any())
        self._switches = [
            (getattr(self.model, f"{owner}_{mask}"), getattr(model, f"{owner}_{mask}"))
            for owner in ("geom", "body")
            for mask in ("contype", "conaffinity")
        ]
        self._geoms, self._key = np.zeros((0, 2), int), b""
        self._there = b""  # the geoms of all contacts, when first collided
        self._wanted: slice | np.ndarray | None = None  # which of them are

    def choose(self, geoms: Int[np.ndarray, "c 2"]) -> None:
        """Leave all other geoms out of the model's collisions: most of a robot's are far from any contact.

        Args:
            geoms: those of all wanted contacts, in the order of MuJoCo's contacts.
        """
        self._there = b""
        key = geoms.tobytes()
        if key == self._key:
            return
        self._geoms, self._key = geoms, key
        bodies = self.model.geom_bodyid[geoms]
        for (mask, own), chosen in zip(self._switches, (geoms, geoms, bodies, bodies), strict=True):
            mask[:] = 0
            mask[chosen] = own[chosen]

    def place(
        self,
        geoms: Int[np.ndarray, " moved"],
        positions: Float[np.ndarray, "moved 3"],
        rotations: Float[np.ndarray, "moved 9"],
    ) -> None:
        """Put geoms where they are to be collided: a pair with an SDF reads quaternions, other pairs matrices."""
        xpos, xmat = self._poses
        xpos[geoms], xmat[geoms] = positions, rotations
        if self._has_sdf:
            for geom in np.unique(geoms):
                mujoco.mju_mat2Quat(self.data.geom_xquat[geom], xmat[geom])

    def read(self, values: Float[np.ndarray, "c 13"], valid: Bool[np.ndarray, " c"]) -> None:
        """Collide the geoms where they are; fill in the wanted contacts, where there are these and the same others."""
        mujoco.mj_collision(self.model, self.data)
        contact = self.data.contact
        there = contact.geom
        key = there.tobytes()
        if not self._there:
            self._there, self._wanted = key, self._find(there)
        wanted = self._wanted
        if wanted is None or key != self._there:
            return
        valid[:] = True
        values[:, 0], values[:, 1:4], values[:, 4:] = contact.dist[wanted], contact.pos[wanted], contact.frame[wanted]

    def _find(self, there: Int[np.ndarray, "all 2"]) -> slice | np.ndarray | None:
        """Return which contacts are wanted: a geom that has one may have others. None: not all are there."""
        if np.array_equal(there, self._geoms):
            return slice(None)
        wanted: np.ndarray = (there[:, None] == self._geoms[None]).all(axis=2).any(axis=1)
        return wanted if np.array_equal(there[wanted], self._geoms) else None
