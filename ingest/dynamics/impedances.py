"""How constraints push back: stiffness, damping and impedance of solref and solimp, as MJX or the C engine has them.

They agree on what people write. Elsewhere C has rules that MJX has not: a solref of two signs is replaced by the
default, an impedance without width is the mean of dmin and dmax, it falls where dmin is above dmax, and stiffness and
damping stay finite.
Reference: MuJoCo documentation, "Modeling", "Solver parameters"; engine_core_constraint.c, getimpedance.
"""

from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array
from mujoco import mjx
from mujoco.mjx import DisableBit

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.models.recognition import IMPEDANCES, impedances_apart

type Numbers = Array | np.ndarray
type Impedance = Callable[[mjx.Model, Numbers, Numbers, Numbers], tuple[Array, Array, Array]]

_DEFAULT_SOLREF = 0.02, 1.0
_LEAST = mujoco.mjMINVAL


def of_mjx(model: mjx.Model, solref: Numbers, solimp: Numbers, position: Numbers) -> tuple[Array, Array, Array]:
    """Compute stiffness, damping and impedance of constraints (MJX's ``_kbi``), the power of their curves a constant.

    The power is 2 in nearly all models. Given as a constant it is a square, and otherwise a logarithm and an
    exponential function for every row.
    """
    *curve, power = solimp
    return mjx_private.impedance(model, solref, (*curve, _power(model) or power), position)


def _power(model: mjx.Model) -> float | None:
    """Return the power of all constraints' impedance curves; None where they differ."""
    powers = [np.asarray(getattr(model, kind)).reshape(-1, mujoco.mjNIMP)[:, -1] for _, kind in IMPEDANCES]
    distinct = np.unique(np.concatenate(powers))
    return float(distinct[0]) if len(distinct) == 1 else None


def of_c(mj_model: mujoco.MjModel) -> Impedance:
    """Return what computes the same as the C engine has it: by MJX's operations where they are the same.

    So rows of models whose parameters both take alike keep their last bits.
    """
    return _of_c if impedances_apart(mj_model) else of_mjx


def _of_c(model: mjx.Model, solref: Numbers, solimp: Numbers, position: Numbers) -> tuple[Array, Array, Array]:
    """Compute stiffness, damping and impedance of constraints as the C engine does, whatever the parameters."""
    least, most = mujoco.mjMINIMP, mujoco.mjMAXIMP
    dmin, dmax, middle = (jnp.clip(solimp[k], least, most) for k in (0, 1, 3))
    width, power = solimp[2], jnp.maximum(1, solimp[4])
    stiffness, damping = _reference(model, solref, dmax)

    flat = (dmin == dmax) | (width <= _LEAST)
    across = jnp.abs(position) / jnp.where(flat, 1.0, width)
    saturated = across >= 1
    x = jnp.where(saturated, 1.0, across)
    rising = x**power / middle ** (power - 1)
    ending = 1 - (1 - x) ** power / (1 - middle) ** (power - 1)
    within = dmin + jnp.where(x <= middle, rising, ending) * (dmax - dmin)
    return stiffness, damping, jnp.where(flat, (dmin + dmax) / 2, jnp.where(saturated, dmax, within))


def _reference(model: mjx.Model, solref: Numbers, dmax: Array) -> tuple[Array, Array]:
    """Return the stiffness and the damping of C's reference acceleration."""
    mixed = (solref[0] > 0) != (solref[1] > 0)
    first, second = (jnp.where(mixed, default, solref[k]) for k, default in enumerate(_DEFAULT_SOLREF))
    standard = first > 0  # and so is the second; otherwise both are what they stand for
    timeconst, dampratio = jnp.where(standard, first, 1.0), jnp.where(standard, second, 1.0)
    if not model.opt.disableflags & DisableBit.REFSAFE:
        timeconst = jnp.maximum(timeconst, 2 * model.opt.timestep)
    stiffness = 1 / jnp.maximum(_LEAST, (dmax * timeconst * dampratio) ** 2)
    damping = 2 / jnp.maximum(_LEAST, dmax * timeconst)
    return jnp.where(standard, stiffness, -first / dmax**2), jnp.where(standard, damping, -second / dmax)
