"""Which geoms of a model MuJoCo may collide, found without a simulation.

Reference: MuJoCo documentation, "Computation", "Collision", "Selection"; engine_collision_driver.c.
"""

import mujoco
import numpy as np
from jaxtyping import Bool, Int

_PLANE, _HFIELD = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD)


def geom_pairs(model: mujoco.MjModel) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs of geoms that may touch, those of ``<pair>`` first; of two geoms the lower type is first."""
    if model.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT):
        return np.zeros((0, 2), int)
    explicit = np.stack([model.pair_geom1, model.pair_geom2], axis=1).reshape(-1, 2)
    pairs = np.concatenate([explicit, np.argwhere(np.triu(_selected(model), 1))])
    swapped = model.geom_type[pairs[:, 0]] > model.geom_type[pairs[:, 1]]
    return np.where(swapped[:, None], pairs[:, ::-1], pairs)


def _selected(model: mujoco.MjModel) -> Bool[np.ndarray, "ngeom ngeom"]:
    """Return which geoms pass MuJoCo's filters."""
    kind, affinity = np.asarray(model.geom_contype), np.asarray(model.geom_conaffinity)
    meets = (kind[:, None] & affinity) | (kind & affinity[:, None]) != 0
    flat = np.isin(model.geom_type, (_PLANE, _HFIELD))
    meets &= ~(flat[:, None] & flat)
    weld = model.body_weldid[model.geom_bodyid]
    meets &= weld[:, None] != weld
    if not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT:
        parent = model.body_weldid[model.body_parentid[weld]]
        moves = (weld[:, None] != 0) & (weld != 0)
        meets &= ~(moves & ((weld[:, None] == parent) | (weld == parent[:, None])))
    body = np.asarray(model.geom_bodyid, int)
    signature = (np.minimum(body[:, None], body) << 16) + np.maximum(body[:, None], body)
    return np.asarray(meets & ~np.isin(signature, model.exclude_signature), bool)


def movers(model: mujoco.MjModel) -> Int[np.ndarray, " ngeom"]:
    """Return the body whose dofs move each geom: its own, or the nearest above it that has dofs; 0, the world: none.

    No dof moves two geoms of one mover against each other. MuJoCo leaves their contact out of its constraints
    (``exclude`` is 3), such as a mocap body's on the floor.
    """
    of_body = np.arange(model.nbody)
    for body in range(1, model.nbody):
        if not model.body_dofnum[body]:
            of_body[body] = of_body[model.body_parentid[body]]
    return np.asarray(of_body[model.geom_bodyid])


def named(model: mujoco.MjModel, pairs: Int[np.ndarray, "pairs 2"]) -> dict[tuple[str, str], int]:
    """Return how many pairs there are of each two types, such as ``("box", "mesh")``."""
    kinds = np.sort(np.asarray(model.geom_type)[pairs], axis=1)
    distinct, counts = np.unique(kinds, axis=0, return_counts=True)

    def name(kind: int) -> str:
        return str(mujoco.mjtGeom(kind).name).removeprefix("mjGEOM_").lower()

    return {(name(one), name(two)): int(count) for (one, two), count in zip(distinct.tolist(), counts, strict=True)}
