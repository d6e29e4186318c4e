"""How features of models are recognised: each function counts the elements of a model that have one."""

from collections.abc import Callable
from typing import SupportsInt

import mujoco
import numpy as np
from jaxtyping import Bool, Int

from jacdb.ingest.models.geom_pairs import geom_pairs, named

type Count = Callable[[mujoco.MjModel], int]

CALLBACKS = ("control", "passive", "contactfilter", "act_dyn", "act_gain", "act_bias")
NO_FUNCTION = frozenset(  # the pairs that MJX has no collision function for
    {
        ("hfield", "hfield"), ("hfield", "ellipsoid"), ("hfield", "cylinder"), ("ellipsoid", "box"),
        ("ellipsoid", "mesh"), ("cylinder", "box"), ("cylinder", "mesh"),
    }
)  # fmt: skip
UNKNOWN_SENSORS = (  # that MJX does not have
    "JOINTLIMITPOS", "JOINTLIMITVEL", "JOINTLIMITFRC", "TENDONLIMITPOS", "TENDONLIMITVEL", "TENDONLIMITFRC",
    "INSIDESITE", "GEOMDIST", "GEOMNORMAL", "GEOMFROMTO", "E_POTENTIAL", "E_KINETIC", "PLUGIN", "USER",
)  # fmt: skip
IMPEDANCES = (  # all solref of a model, each with its solimp
    ("geom_solref", "geom_solimp"), ("pair_solref", "pair_solimp"), ("jnt_solref", "jnt_solimp"),
    ("dof_solref", "dof_solimp"), ("eq_solref", "eq_solimp"), ("tendon_solref_lim", "tendon_solimp_lim"),
    ("tendon_solref_fri", "tendon_solimp_fri"),
)  # fmt: skip
_DISABLE, _INTEGRATOR = mujoco.mjtDisableBit, mujoco.mjtIntegrator
_JOINT, _TENDON = mujoco.mjtJoint, mujoco.mjtTendon


def rows_of(values: object) -> int:
    """Return how many elements (rows) have anything but zeros."""
    array = np.asarray(values)
    return int(np.count_nonzero(array.reshape(len(array), -1).any(axis=1))) if array.size else 0


def nonzero(*fields: str) -> Count:
    """Count elements whose fields are not all zero."""
    return lambda model: sum(rows_of(getattr(model, field)) for field in fields)


def of_kind(field: str, *kinds: SupportsInt) -> Count:
    """Count elements of some types."""
    return lambda model: int(np.isin(getattr(model, field), [int(kind) for kind in kinds]).sum())


def size(field: str) -> Count:
    """Count by a size of the model."""
    return lambda model: int(getattr(model, field))


def disabled(*bits: SupportsInt) -> Count:
    """Count disable flags that are set."""
    return lambda model: sum(bool(model.opt.disableflags & int(bit)) for bit in bits)


def enabled(*bits: SupportsInt) -> Count:
    """Count enable flags that are set."""
    return lambda model: sum(bool(model.opt.enableflags & int(bit)) for bit in bits)


def option(name: str, *values: SupportsInt) -> Count:
    """Return 1 if an option has one of some values."""
    return lambda model: int(getattr(model.opt, name) in [int(value) for value in values])


def both(one: Count, other: Count) -> Count:
    """Count the elements of one feature, if the model has the other too."""
    return lambda model: one(model) if other(model) else 0


def any_of(*counts: Count) -> Count:
    """Count the elements of several features."""
    return lambda model: sum(count(model) for count in counts)


def fluid(model: mujoco.MjModel) -> int:
    """Return 1 if bodies move in a medium."""
    return int(model.opt.density > 0 or model.opt.viscosity > 0)


def without_passive_forces(disableflags: int) -> bool:
    """Return whether flags disable passive forces: MJX takes either of springs and dampers for all of them."""
    return bool(disableflags & (int(_DISABLE.mjDSBL_SPRING) | int(_DISABLE.mjDSBL_DAMPER)))


def forces_of_one_flag(model: mujoco.MjModel) -> int:
    """Count what acts in C and not in MJX, or the other way, where one of springs and dampers is disabled.

    Either flag alone stops all passive forces in MJX.
    """
    flags = model.opt.disableflags
    springs, dampers = (not flags & bit for bit in (_DISABLE.mjDSBL_SPRING, _DISABLE.mjDSBL_DAMPER))
    if springs == dampers:
        return 0
    acting = nonzero("jnt_stiffness", "tendon_stiffness") if springs else nonzero("dof_damping", "tendon_damping")
    weightless = not model.opt.gravity.any() or flags & _DISABLE.mjDSBL_GRAVITY
    return acting(model) + (0 if weightless else rows_of(model.body_gravcomp)) + fluid(model)


def wind(model: mujoco.MjModel) -> int:
    """Return 1 if the medium in which bodies move is not at rest."""
    return int(fluid(model) and model.opt.wind.any())


def ellipsoid_fluid(model: mujoco.MjModel) -> int:
    """Count the geoms that a medium acts on as on ellipsoids."""
    return int(np.count_nonzero(model.geom_fluid[:, 0])) if model.ngeom and fluid(model) else 0


def wide_margins(model: mujoco.MjModel) -> int:
    """Count the limits of which both ends can be within their margin at once."""
    scalar = np.isin(model.jnt_type, (int(_JOINT.mjJNT_SLIDE), int(_JOINT.mjJNT_HINGE)))
    joints = np.asarray(model.jnt_limited, bool) & scalar & _narrow(model.jnt_range, model.jnt_margin)
    return int(joints.sum() + (model.tendon_limited & _narrow(model.tendon_range, model.tendon_margin)).sum())


def _narrow(spans: np.ndarray, margins: np.ndarray) -> np.ndarray:
    return np.asarray(spans[:, 1] - spans[:, 0] < 2 * margins)


def impedances_apart(model: mujoco.MjModel) -> int:
    """Count the solref and solimp of which MJX makes another stiffness, damping or impedance than C.

    Contacts have mixtures of geoms'. Where this is 0, it is 0 for them, too: each of its tests holds for a mixture if
    it holds for both.
    """
    return sum(_apart(model, getattr(model, solref), getattr(model, solimp)) for solref, solimp in IMPEDANCES)


def _apart(model: mujoco.MjModel, solref: np.ndarray, solimp: np.ndarray) -> int:
    positive = solref > 0
    mixed = positive[:, 0] != positive[:, 1]
    refsafe = not model.opt.disableflags & _DISABLE.mjDSBL_REFSAFE
    timeconst = np.maximum(solref[:, 0], 2 * model.opt.timestep if refsafe else 0)
    dmin, dmax, width = solimp[:, :3].T
    clipped = np.clip(dmax, mujoco.mjMINIMP, mujoco.mjMAXIMP) * timeconst
    stiffest = positive.all(axis=1) & (np.minimum(clipped, (clipped * solref[:, 1]) ** 2) < mujoco.mjMINVAL)
    falling, without_width = dmin > dmax, (dmin != dmax) & (width <= mujoco.mjMINVAL)
    return int(np.count_nonzero(mixed | stiffest | falling | without_width))


def disabled_actuators(model: mujoco.MjModel) -> int:
    """Count the actuators of groups that are disabled."""
    groups = np.asarray(model.actuator_group)
    return int(sum(0 <= group < 31 and model.opt.disableactuator >> int(group) & 1 for group in groups))


def early_activations(model: mujoco.MjModel) -> int:
    """Count the actuators whose activation is stepped before their force."""
    return int(np.count_nonzero(np.asarray(model.actuator_actearly, bool) & (model.actuator_actadr >= 0)))


def wraps(model: mujoco.MjModel) -> int:
    """Count the spheres and cylinders that tendons wrap around on the outside."""
    return len(_wraps_inside(model)) - wraps_inside(model)


def wraps_inside(model: mujoco.MjModel) -> int:
    """Count the spheres and cylinders that tendons pass through, held by a site within."""
    return int(np.count_nonzero(_wraps_inside(model)))


def _wraps_inside(model: mujoco.MjModel) -> np.ndarray:
    """Return of each geom on a tendon's path whether the path's side site lies within it, at qpos0."""
    cylinder = int(mujoco.mjtWrap.mjWRAP_CYLINDER)
    around = np.flatnonzero(np.isin(model.wrap_type, (int(mujoco.mjtWrap.mjWRAP_SPHERE), cylinder)))
    geoms, sites = model.wrap_objid[around], np.round(model.wrap_prm[around]).astype(int)
    if not (sites >= 0).any():
        return np.zeros(len(around), bool)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    arm = np.einsum(
        "nij,ni->nj", data.geom_xmat[geoms].reshape(-1, 3, 3), data.site_xpos[sites] - data.geom_xpos[geoms]
    )
    arm[model.wrap_type[around] == cylinder, 2] = 0  # they have no ends
    return np.asarray((sites >= 0) & (np.linalg.norm(arm, axis=1) < model.geom_size[geoms, 0]))


def spatial_armature(model: mujoco.MjModel) -> int:
    """Count the spatial tendons with armature."""
    spatial = np.asarray(model.tendon_type) == int(_TENDON.mjTENDON_SPATIAL)
    return int(np.count_nonzero(spatial & (np.asarray(model.tendon_armature) != 0)))


def fixed_armature(model: mujoco.MjModel) -> int:
    """Count the fixed tendons with armature."""
    return rows_of(model.tendon_armature) - spatial_armature(model)


def mass_entries(model: mujoco.MjModel) -> Bool[np.ndarray, "nv nv"]:
    """Return where C's mass matrix may have entries: along chains of dofs, but for bodies whose matrix is diagonal."""
    return _entries(model.M_rownnz, model.M_rowadr, model.M_colind)


def chained_dofs(model: mujoco.MjModel) -> Bool[np.ndarray, "nv nv"]:
    """Return which dof moves which, or is moved by it: where C has velocity derivatives."""
    return _entries(model.D_rownnz, model.D_rowadr, model.D_colind)


def _entries(lengths: np.ndarray, starts: np.ndarray, columns: np.ndarray) -> Bool[np.ndarray, "nv nv"]:
    """Return where a symmetric matrix has entries, of which C stores compressed rows, all or to the diagonal."""
    stored = np.zeros((len(lengths), len(lengths)), bool)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        stored[row, columns[start : start + length]] = True
    return stored | stored.T


def armature_between_branches(model: mujoco.MjModel) -> int:
    """Count the fixed tendons with armature that join dofs between which C's mass matrix has no entry."""
    fixed = np.asarray(model.tendon_type) == int(_TENDON.mjTENDON_FIXED)
    entries, count = mass_entries(model), 0
    for tendon in np.flatnonzero(fixed & (np.asarray(model.tendon_armature) != 0)):
        start, number = model.tendon_adr[tendon], model.tendon_num[tendon]
        dofs = model.jnt_dofadr[model.wrap_objid[start : start + number]]
        count += not entries[np.ix_(dofs, dofs)].all()
    return count


def lone_free_bodies(model: mujoco.MjModel) -> Int[np.ndarray, " bodies"]:
    """Return the bodies with a free joint that carry no other body with mass or joints (C's mj_isFreeBody)."""
    free = model.jnt_bodyid[model.jnt_type == int(_JOINT.mjJNT_FREE)]
    dofs = model.tree_dofnum[model.dof_treeid[model.body_dofadr[free]]]
    lone: np.ndarray = free[(dofs == 6) & (model.body_subtreemass[free] == model.body_mass[free])]
    return lone


def unknown_sensors(model: mujoco.MjModel) -> int:
    """Count the sensors of types that MJX does not have."""
    return of_kind("sensor_type", *(getattr(mujoco.mjtSensor, f"mjSENS_{name}") for name in UNKNOWN_SENSORS))(model)


def callbacks(model: mujoco.MjModel) -> int:
    """Count the callbacks that are installed in this process, whatever the model."""
    return sum(getattr(mujoco, f"get_mjcb_{kind}")() is not None for kind in CALLBACKS)


def picked_contacts(model: mujoco.MjModel) -> int:
    """Count the custom numbers by which MJX, and MJX alone, leaves contacts out."""
    names = (mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_NUMERIC, i) for i in range(model.nnumeric))
    return sum(name in ("max_geom_pairs", "max_contact_points") for name in names)


def pairs_without_function(model: mujoco.MjModel) -> int:
    """Count the pairs of geoms that MJX has no collision function for."""
    found = named(model, geom_pairs(model))
    return sum(count for pair, count in found.items() if pair in NO_FUNCTION or "sdf" in pair)


def margins_of_meshes(model: mujoco.MjModel) -> int:
    """Count the pairs with a mesh or a height field that have a margin."""
    pairs = geom_pairs(model)
    kinds = (int(mujoco.mjtGeom.mjGEOM_MESH), int(mujoco.mjtGeom.mjGEOM_HFIELD))
    margin = model.geom_margin[pairs].sum(axis=1)
    if len(pairs):  # those of <pair> are first
        margin[: model.npair] = model.pair_margin
    return int(np.count_nonzero(np.isin(model.geom_type[pairs], kinds).any(axis=1) & (margin > 0)))


def pairs_of(*types: tuple[str, str]) -> Count:
    """Count the pairs of geoms of some types that may touch."""
    return lambda model: sum(named(model, geom_pairs(model)).get(pair, 0) for pair in types)
