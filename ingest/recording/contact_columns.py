"""What holds and what gives way in a step: contacts, limits, dry friction, clipped actuators.

These switch the dynamics, and so the zero pattern of the Jacobian (a taut string, an end stop, a foot on the
ground). On the device :func:`observe` reads them off a physics step; on the host :class:`ConstraintColumns` turns a control
step's observations into names. Reference: MuJoCo documentation, "Computation", "Constraint model".
"""

import mujoco
import numpy as np
import pyarrow as pa
from mujoco.mjx import DisableBit

from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.environments.tangent_space import BALL, HINGE, SLIDE
from jacdb.ingest.storage.arrow import lists
from jacdb.schemas import CONTACT


def switch_names(model: mujoco.MjModel) -> list[str]:
    """The names of ``Observation.switches``: ``kind:name``, in MJX's order of constraint rows."""

    def name(kind: str, category: str, index: int) -> str:
        return f"{kind}:{getattr(model, category)(index).name or f'{category}{index}'}"

    def flag(bit: DisableBit) -> bool:
        return not model.opt.disableflags & (bit | DisableBit.CONSTRAINT)

    names: list[str] = []
    if flag(DisableBit.FRICTIONLOSS):
        dofs = np.flatnonzero(model.dof_frictionloss > 0)
        names += [name("friction_holds", "joint", int(model.dof_jntid[dof])) for dof in dofs]
        names += [name("friction_holds", "tendon", int(i)) for i in np.flatnonzero(model.tendon_frictionloss > 0)]
    if flag(DisableBit.LIMIT):
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
    """A name for every geom; one without a name is called after its body (``left_finger/geom3``)."""
    return [
        model.geom(i).name or f"{model.body(int(model.geom_bodyid[i])).name or 'world'}/geom{i}"
        for i in range(model.ngeom)
    ]


class ConstraintColumns:
    """Turns observations of control steps, on the host, into the columns in_contact, contacts and active."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._geoms = pa.array(geom_names(model), pa.string())
        self._switches = pa.array(switch_names(model), pa.string())
        self._n_geom = model.ngeom

    def columns(self, observed: Observation) -> dict[str, np.ndarray | pa.Array]:
        """Columns of the `steps` table.

        Args:
            observed: NumPy arrays with leading axes (rows, substeps).
        """
        contacts, n_contacts = self._contacts(observed)
        return {
            "in_contact": n_contacts > 0,
            "n_contacts": n_contacts,
            "contacts": contacts,
            "active": self._active(np.asarray(observed.switches).any(axis=1)),
        }

    def _contacts(self, observed: Observation) -> tuple[pa.Array, np.ndarray]:
        """Contact points of all substeps, gathered by pair of geoms: which slot MJX puts a point in may change."""
        n_rows, n_substeps = observed.touching.shape[:2]
        point = np.flatnonzero(observed.touching)
        row = point // max(1, observed.touching[0].size)
        geom1, geom2 = observed.geoms.reshape(-1, 2)[point].T
        pair = (row * self._n_geom + np.minimum(geom1, geom2)) * self._n_geom + np.maximum(geom1, geom2)
        order = np.argsort(pair, kind="stable")  # in order already, or nearly
        pair, point = pair[order], point[order]
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        force = _by_group(np.add, np.ravel(observed.normal_force)[point], starts) / n_substeps
        distance = _by_group(np.minimum, np.ravel(observed.distance)[point], starts)

        rest, second = np.divmod(pair[starts], self._n_geom)
        rows, first = np.divmod(rest, self._n_geom)
        counts = np.bincount(rows, minlength=n_rows).astype(np.int32)
        values = [self._geoms.take(pa.array(first)), self._geoms.take(pa.array(second)), distance, force]
        entries = pa.StructArray.from_arrays([pa.array(value) for value in values], fields=list(CONTACT))
        return lists(counts, entries), counts

    def _active(self, active: np.ndarray) -> pa.Array:
        """(rows, switches) bool to lists of names."""
        which = np.flatnonzero(active) % max(1, active.shape[1])
        return lists(np.count_nonzero(active, axis=1), self._switches.take(pa.array(which)))


def _by_group(of: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """One value of each group; groups follow one another."""
    return of.reduceat(values, starts) if len(starts) else np.zeros(0)
