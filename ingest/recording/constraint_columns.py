"""Turn observed constraints into columns of `steps`: in_contact, n_contacts, contacts and active.

Contacts, limits, dry friction and clipped actuators switch the dynamics, and so the zero pattern of the Jacobian (a
taut string, an end stop, a foot on the ground). The device observes them by number
(:mod:`jacdb.ingest.dynamics.observations`); here, on the host, they get the names that people read. Reference: MuJoCo
documentation, "Computation", "Constraint model".
"""

import mujoco
import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from mujoco.mjx import DisableBit

from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.environments.tangent_space import BALL, HINGE, SLIDE
from jacdb.ingest.models.body_names import body_names
from jacdb.ingest.models.geom_pairs import movers
from jacdb.nested_lists import from_lengths
from jacdb.schemas import CONTACT


def switch_names(model: mujoco.MjModel) -> list[str]:
    """Return the names of ``Observation.switches``, ``kind:name``, in their order: MJX's order of constraint rows.

    An object without a name is called by its kind and number, as in ``joint_limit:joint3``. A ball or free joint has a
    switch for each of its dofs, all of one name.
    """

    def name(kind: str, category: str, index: int) -> str:
        return f"{kind}:{getattr(model, category)(index).name or f'{category}{index}'}"

    def enabled(bit: DisableBit) -> bool:
        return not model.opt.disableflags & (bit | DisableBit.CONSTRAINT)

    names: list[str] = []
    if enabled(DisableBit.FRICTIONLOSS):
        dofs = np.flatnonzero(model.dof_frictionloss > 0)
        names += [name("friction_holds", "joint", int(model.dof_jntid[dof])) for dof in dofs]
        names += [name("friction_holds", "tendon", int(i)) for i in np.flatnonzero(model.tendon_frictionloss > 0)]
    if enabled(DisableBit.LIMIT):
        limited = model.jnt_limited.astype(bool)
        hinges = np.isin(model.jnt_type, (SLIDE, HINGE))
        balls = model.jnt_type == BALL
        names += [name("joint_limit", "joint", int(i)) for i in np.flatnonzero(limited & balls)]
        names += [name("joint_limit", "joint", int(i)) for i in np.flatnonzero(limited & hinges)]
        names += [name("tendon_limit", "tendon", int(i)) for i in np.flatnonzero(model.tendon_limited)]
    names += [name("ctrl_clip", "actuator", int(i)) for i in np.flatnonzero(model.actuator_ctrllimited)]
    names += [name("force_clip", "actuator", int(i)) for i in np.flatnonzero(model.actuator_forcelimited)]
    clipped = model.jnt_actfrclimited[model.dof_jntid] if model.nv else []
    names += [name("joint_force_clip", "joint", int(model.dof_jntid[dof])) for dof in np.flatnonzero(clipped)]
    return names


def geom_names(model: mujoco.MjModel) -> list[str]:
    """Return a name for every geom. One without a name is called after its body (``left_finger/geom3``)."""
    bodies = body_names(model)
    return [model.geom(i).name or f"{bodies[model.geom_bodyid[i]]}/geom{i}" for i in range(model.ngeom)]


def _clips_nothing(model: mujoco.MjModel) -> set[str]:
    """Return the kinds of switches that clip nothing, for the model's flags say so."""
    if model.opt.disableflags & DisableBit.ACTUATION:
        return {"ctrl_clip", "force_clip", "joint_force_clip"}
    return {"ctrl_clip"} if model.opt.disableflags & DisableBit.CLAMPCTRL else set()


class ConstraintColumns:
    """Makes the constraint columns of one model's steps, on the host."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._geoms = pa.array(geom_names(model), pa.string())
        of_switches = switch_names(model)
        names = list(dict.fromkeys(of_switches))
        self._names = pa.array(names, pa.string())
        self._name_of_switch = np.array([names.index(name) for name in of_switches], np.int64)
        off = _clips_nothing(model)
        self._in_force = np.array([name.split(":")[0] not in off for name in of_switches], bool)
        self._n_geom, self._movers = model.ngeom, movers(model)

    def columns(self, observed: Observation) -> dict[str, np.ndarray | pa.Array]:
        """Return in_contact, n_contacts, contacts and active, by name.

        Args:
            observed: NumPy arrays with leading axes (rows, substeps).
        """
        contacts, n_contacts = self._contacts(observed)
        return {
            "in_contact": n_contacts > 0,
            "n_contacts": n_contacts,
            "contacts": contacts,
            "active": self._active(np.asarray(observed.switches).any(axis=1) & self._in_force),
        }

    def _contacts(self, observed: Observation) -> tuple[pa.Array, np.ndarray]:
        """Return the contacts of every row, and how many each row has.

        A contact is a pair of geoms that touched in any substep: the points of a pair are not told apart, for MJX may
        keep a point in another place at every substep. Its force is the sum over points, averaged over substeps (N);
        its distance is the smallest (m). MuJoCo leaves out contacts of geoms that no dof moves against each other, and
        MJX does not: their force does nothing, and is no force.
        """
        n_rows, n_substeps = observed.touching.shape[:2]
        point = np.flatnonzero(observed.touching)
        first, second = self._movers[observed.geoms.reshape(-1, 2)[point]].T
        point = point[first != second]
        row = point // max(1, observed.touching[0].size)
        geom1, geom2 = observed.geoms.reshape(-1, 2)[point].T
        pair = (row * self._n_geom + np.minimum(geom1, geom2)) * self._n_geom + np.maximum(geom1, geom2)
        order = np.argsort(pair, kind="stable")  # in order already, or nearly
        pair, point = pair[order], point[order]
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        force = _reduce_groups(np.add, np.ravel(observed.normal_force)[point], starts) / n_substeps
        distance = _reduce_groups(np.minimum, np.ravel(observed.distance)[point], starts)

        rest, second = np.divmod(pair[starts], self._n_geom)
        rows, first = np.divmod(rest, self._n_geom)
        counts = np.bincount(rows, minlength=n_rows).astype(np.int32)
        values = [self._geoms.take(pa.array(first)), self._geoms.take(pa.array(second)), distance, force]
        entries = pa.StructArray.from_arrays([pa.array(value) for value in values], fields=list(CONTACT))
        return from_lengths(counts, entries), counts

    def _active(self, active: Bool[np.ndarray, "rows switches"]) -> pa.Array:
        """Return the names of every row's active switches, each once: a joint holds where any of its dofs does."""
        row, switch = np.nonzero(active)
        n_names = max(1, len(self._names))
        held, name = np.divmod(np.unique(row * n_names + self._name_of_switch[switch]), n_names)
        return from_lengths(np.bincount(held, minlength=len(active)), self._names.take(pa.array(name)))


def _reduce_groups(
    reduction: np.ufunc, values: Float[np.ndarray, " values"], starts: Int[np.ndarray, " groups"]
) -> Float[np.ndarray, " groups"]:
    """Reduce each group of consecutive values to one; ``starts`` are the first of each."""
    reduced: np.ndarray = reduction.reduceat(values, starts) if len(starts) else np.zeros(0)
    return reduced
