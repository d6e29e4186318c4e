"""Finds control steps in which a tendon has no derivative: a segment of it has shrunk to a point, where it is pulled.

A segment between two sites pulls along the gap between them, and where they meet C takes the world's x axis. As the
sites part, the force turns to the way that they part. That is no matter where it is 0 and stays so, as of a slack
spring, and where it is that of a spring at its rest length 0 (:mod:`jacdb.ingest.differentiation.point_springs`).
Dampers of what stands still, and motors without ctrl, have derivatives by one input at a time: by position 0, by
velocity and ctrl along x. That is enough where the control step begins, as no input moves another. Else the step has no
derivative. Reference: engine_util_spatial.c, mju_normalize3; engine_core_smooth.c, mj_tendon.
"""

import itertools

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from jacdb.ingest.differentiation.point_springs import MEET, PointSprings
from jacdb.ingest.linearization.engine_forces import evaluated
from jacdb.ingest.linearization.evaluations import Solved, Start
from jacdb.ingest.models.recognition import without_passive_forces

_PARTS = 1e-10  # m/rad, m/m: sites part faster, or a joint turns about both
_MOVES = 1e-12  # m/s, rad/s: less is rounding
_OF_TENDON = (int(mujoco.mjtConstraint.mjCNSTR_FRICTION_TENDON), int(mujoco.mjtConstraint.mjCNSTR_LIMIT_TENDON))
_EQUALITY = int(mujoco.mjtConstraint.mjCNSTR_EQUALITY)
_BY_TENDON, _OF_TENDONS = int(mujoco.mjtTrn.mjTRN_TENDON), int(mujoco.mjtEq.mjEQ_TENDON)
_IMPLICIT = (int(mujoco.mjtIntegrator.mjINT_IMPLICIT), int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST))
_UNBIASED, _FIXED = int(mujoco.mjtBias.mjBIAS_NONE), int(mujoco.mjtGain.mjGAIN_FIXED)


class VanishingSegments:
    """The segments of one model's tendons that may shrink to a point.

    Args:
        model: is not changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._tendons, self._sites = _segments(model)
        springs = PointSprings.of(model)
        self._springs = frozenset(springs.tendons.tolist() if springs else ())

    def without_derivative(
        self, start: Start, solved: Solved, rows: Int[np.ndarray, " some"]
    ) -> Int[np.ndarray, " fewer"]:
        """Return those of some control steps in which a tendon has no derivative.

        Args:
            start, solved: of control steps, samples first.
            rows: the control steps.
        """
        if not len(self._tendons):
            return rows[:0]
        meeting = [row for row in rows.tolist() if self._meets(start, solved, row)]
        return np.array([row for row in meeting if not self._differentiable(start, solved, row)], int)

    def _meets(self, start: Start, solved: Solved, row: int) -> bool:
        """Return whether the sites of a segment meet in an evaluation of a control step."""
        data = self._data
        data.mocap_pos[:], data.mocap_quat[:] = start.mocap_pos[row], start.mocap_quat[row]
        for qpos in solved.qpos[row]:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(self._model, data)
            if (np.abs(self._gaps()) <= MEET).all(axis=1).any():
                return True
        return False

    def _gaps(self) -> Float[np.ndarray, "segments 3"]:
        first, second = self._data.site_xpos[self._sites.T]
        return np.asarray(second - first)

    def _differentiable(self, start: Start, solved: Solved, row: int) -> bool:
        """Return whether a control step has a derivative at each segment that vanishes in it."""
        data = self._data
        for place, _ in enumerate(evaluated(self._model, data, start, solved, row)):
            gaps = self._gaps()
            for segment in np.flatnonzero((np.abs(gaps) <= MEET).all(axis=1)).tolist():
                moving = self._moving(segment)
                if moving is None:
                    continue
                tendon, still = int(self._tendons[segment]), bool((np.abs(data.qvel[moving]) < _MOVES).all())
                first_along_x = place == 0 and bool(np.linalg.norm(gaps[segment]) < mujoco.mjMINVAL)
                if self._is_constrained(tendon) or not self._is_at_rest(tendon):
                    return False
                if self._is_driven(tendon) and not (first_along_x and self._is_forceless(tendon, still)):
                    return False
        return True

    def _moving(self, segment: int) -> Bool[np.ndarray, " nv"] | None:
        """Return which dofs move either site of a segment; None if none parts them."""
        jacobian = np.zeros((2, 2, 3, self._model.nv))
        for (by_translation, by_rotation), site in zip(jacobian, self._sites[segment].tolist(), strict=True):
            mujoco.mj_jacSite(self._model, self._data, by_translation, by_rotation, site)
        if np.abs(jacobian[1, 0] - jacobian[0, 0]).max(initial=0.0) < _PARTS:
            return None
        return np.asarray(jacobian.any(axis=(0, 1, 2)))

    def _is_constrained(self, tendon: int) -> bool:
        """Return whether the data hold a constraint of a tendon: a limit, dry friction, or an equality."""
        model, kinds, ids = self._model, self._data.efc_type, self._data.efc_id
        equal = ids[kinds == _EQUALITY]
        equal = equal[model.eq_type[equal] == _OF_TENDONS]
        joined = tendon in (*model.eq_obj1id[equal], *model.eq_obj2id[equal])
        return bool(joined or (np.isin(kinds, _OF_TENDON) & (ids == tendon)).any())

    def _is_at_rest(self, tendon: int) -> bool:
        """Return whether a tendon's spring has no force, and none beside this state but towards it."""
        if not self._model.tendon_stiffness[tendon] or without_passive_forces(self._model.opt.disableflags):
            return True
        length, (lower, upper) = self._data.ten_length[tendon], self._model.tendon_lengthspring[tendon]
        at_end = length > upper - MEET or (lower > MEET and length < lower + MEET)
        return bool(lower - MEET <= length <= upper + MEET) and (not at_end or tendon in self._springs)

    def _is_driven(self, tendon: int) -> bool:
        """Return whether a damper or actuators act on a tendon."""
        return bool(self._damping(tendon) or len(self._actuators(tendon)))

    def _is_forceless(self, tendon: int, still: bool) -> bool:
        """Return whether a tendon's damper and actuators have no force, and none by another position."""
        model, own = self._model, self._actuators(tendon)
        biased = (model.actuator_biastype[own] != _UNBIASED) & model.actuator_biasprm[own, 1:3].any(axis=1)
        of_state = biased | (model.actuator_gaintype[own] != _FIXED)
        forceless = not (of_state.any() or self._data.actuator_force[own].any())
        explicit = model.opt.integrator not in _IMPLICIT  # others divide by the damping, whichever way it acts
        return forceless and (not self._damping(tendon) or (still and explicit))

    def _damping(self, tendon: int) -> float:
        model = self._model
        return 0.0 if without_passive_forces(model.opt.disableflags) else float(model.tendon_damping[tendon])

    def _actuators(self, tendon: int) -> Int[np.ndarray, " own"]:
        model = self._model
        return np.flatnonzero((model.actuator_trntype == _BY_TENDON) & (model.actuator_trnid[:, 0] == tendon))


def _acted_on(model: mujoco.MjModel) -> Bool[np.ndarray, " ntendon"]:
    """Return which tendons may have a force: others have a length and no more."""
    acted: np.ndarray = model.tendon_limited.astype(bool)
    for parameter in (model.tendon_stiffness, model.tendon_damping, model.tendon_frictionloss):
        acted |= parameter != 0
    acted[model.actuator_trnid[model.actuator_trntype == _BY_TENDON, 0]] = True
    equal = model.eq_type == _OF_TENDONS
    for ends in (model.eq_obj1id[equal], model.eq_obj2id[equal]):
        acted[ends[ends >= 0]] = True
    return acted


def _segments(model: mujoco.MjModel) -> tuple[Int[np.ndarray, " segments"], Int[np.ndarray, "segments 2"]]:
    """Return the tendon and the sites of each segment that moves and may pull: straight, or around a geom."""
    kinds = mujoco.mjtWrap
    site, around = int(kinds.mjWRAP_SITE), (int(kinds.mjWRAP_SPHERE), int(kinds.mjWRAP_CYLINDER))
    tendons, sites = [], []
    for tendon, (first, count) in enumerate(zip(model.tendon_adr, model.tendon_num, strict=True)):
        path = [at for at in range(first, first + count) if model.wrap_type[at] not in around]
        for at, after in itertools.pairwise(path):
            if model.wrap_type[at] == site and model.wrap_type[after] == site:
                tendons.append(tendon)
                sites.append((model.wrap_objid[at], model.wrap_objid[after]))
    ends = np.array(sites, int).reshape(-1, 2)
    of_tendon, welded = np.array(tendons, int), model.body_weldid[model.site_bodyid[ends]]
    chosen = (welded[:, 0] != welded[:, 1]) & _acted_on(model)[of_tendon]
    return of_tendon[chosen], ends[chosen]
