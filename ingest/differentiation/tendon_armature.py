"""Computes what the armature of fixed tendons adds to the mass matrix: J'AJ, the same in every state.

C adds it where the mass matrix has entries: along a chain of bodies, not between two fingers that share a tendon. MJX
adds all of it, unless it stores the matrix sparse. So each engine's step has its own mass matrix. Reference: MuJoCo
documentation, "XML Reference", "tendon/fixed/armature"; engine_core_smooth.c, mj_tendonArmature.
"""

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.ingest.compat.mjx import is_sparse
from jacdb.ingest.models.recognition import mass_entries


def of_mjx(model: mujoco.MjModel) -> Float[np.ndarray, "nv nv"] | None:
    """Return what MJX adds to the mass matrix; None: nothing."""
    return of_c(model) if is_sparse(model) else _whole(model)


def of_c(model: mujoco.MjModel) -> Float[np.ndarray, "nv nv"] | None:
    """Return what the C engine adds to the mass matrix; None: nothing."""
    whole = _whole(model)
    return None if whole is None else whole * mass_entries(model)


def _whole(model: mujoco.MjModel) -> Float[np.ndarray, "nv nv"] | None:
    """Return J'AJ: a fixed tendon's moment arms J are constant."""
    if not model.ntendon or not model.tendon_armature.any():
        return None
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    moment = np.zeros((model.ntendon, model.nv))
    mujoco.mju_sparse2dense(moment, data.ten_J, model.ten_J_rownnz, model.ten_J_rowadr, model.ten_J_colind)
    armature: np.ndarray = moment.T @ np.diag(model.tendon_armature) @ moment
    return armature
