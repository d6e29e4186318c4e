"""MuJoCo's forward dynamics as MJX computes it, what is known beforehand said beforehand.

The constraint solver is jacdb's own (:mod:`jacdb.ingest.dynamics.newton`). The other stages are MJX's; but MJX reads
the
parameters of constraints out of arrays as it runs, and where these are constants, the compiler can compute with them;
and it calls a library for each sample's mass matrix. So the values are the same to rounding, and sooner there
(docs/jacobians.md). Reference: MuJoCo documentation, "Computation", "Forward dynamics" and "Constraint model",
"Parameters".
"""

import contextlib

import jax
import mujoco
import numpy as np
from jaxtyping import Array
from mujoco import mjx

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.compat.mjx import impl, replace_impl
from jacdb.ingest.dynamics import newton
from jacdb.ingest.linalg import batched

CONTACT_PARAMETERS = ("includemargin", "friction", "solref", "solreffriction", "solimp")
IMPEDANCES = (  # MJX's names of all curves
    "geom_solimp", "pair_solimp", "jnt_solimp", "dof_solimp", "eq_solimp", "tendon_solimp_lim", "tendon_solimp_fri",
)  # fmt: skip


def forward(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    """``mjx.forward``."""
    d = _before_the_solver(model, data)
    if not impl(d).efc_J.size:
        return d.replace(qacc=d.qacc_smooth)
    return mjx_private.sensor_acc(model, newton.solve(model, d))


def forward_with_trace(model: mjx.Model, data: mjx.Data) -> tuple[mjx.Data, newton.NewtonTrace]:
    """The same, with what the solver did."""
    d, iterations = newton.solve_with_trace(model, _before_the_solver(model, data))
    return mjx_private.sensor_acc(model, d), iterations


def integrate(model: mjx.Model, forwarded: mjx.Data) -> mjx.Data:
    """The rest of ``mjx.step``, from data that :func:`forward` has been run on."""
    with _replacements():
        return mjx_integrate(model, forwarded)


def mjx_integrate(model: mjx.Model, forwarded: mjx.Data) -> mjx.Data:
    """The same, all of it MJX's."""
    if model.opt.integrator == mjx.IntegratorType.EULER:
        return mjx_private.euler(model, forwarded)
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return mjx_private.implicit(model, forwarded)
    raise NotImplementedError(f"integrator {model.opt.integrator}")


def _before_the_solver(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    with _replacements():
        d = mjx_private.sensor_pos(model, mjx_private.fwd_position(model, data))
        d = mjx_private.sensor_vel(model, mjx_private.fwd_velocity(model, d))
        return mjx_private.fwd_acceleration(model, mjx_private.fwd_actuation(model, d))


def _replacements() -> contextlib.AbstractContextManager[None]:
    """Within, MJX's stages find here what jacdb has instead."""
    return mjx_private.patched(collision=_collision, impedance=impedance, factor_mass=_factor, solve_mass=_solve)


# --- the mass matrix ------------------------------------------------------------------------------------------


def _solves_here(model: mjx.Model) -> bool:
    """Not where MJX's own solver runs, which may read the factor, or the matrix is stored sparse."""
    return newton.supports(model) and not mjx_private.is_sparse(model)


def _factor(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    """Nothing where :func:`_solve` does it."""
    return data if _solves_here(model) else mjx_private.factor_mass(model, data)


def _solve(model: mjx.Model, data: mjx.Data, force: Array) -> Array:
    """The acceleration that a force gives to the mass matrix (MJX's ``solve_m``), for long batches."""
    return _solved(impl(data).M, force) if _solves_here(model) else mjx_private.solve_mass(model, data, force)


@batched.over_batches
def _solved(matrices: Array, forces: Array) -> Array:
    factor = batched.cholesky(batched.samples_last(matrices))
    # as a matrix of one column: as a vector, all of CartpoleBalance's step took an eighth longer
    return batched.cho_solve(factor, forces.T[:, None])[:, 0].T


# --- what is known beforehand ---------------------------------------------------------------------------------


def _collision(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    found = mjx_private.collision(model, data)
    if not impl(found).ncon:
        return found
    known = _contact_constants(model, found)
    return replace_impl(found, **{f"contact__{name}": values for name, values in known.items()})


def _contact_constants(model: mjx.Model, data: mjx.Data) -> dict[str, np.ndarray]:
    """Parameters of contacts that are the same for all pairs of geoms which a slot can hold.

    MJX takes them with the pairs that it picks as it runs.
    """
    by_dim: dict[int, list[mjx.Contact]] = {}
    with jax.ensure_compile_time_eval():
        for key, pairs in mjx_private.contact_groups(model, data).items():
            by_dim.setdefault(key.condim, []).append(pairs)
        slots = {dim: np.count_nonzero(impl(data).contact.dim == dim) for dim in sorted(by_dim)}
        known = {}
        for name in CONTACT_PARAMETERS:
            of_dim = {dim: np.concatenate([getattr(pairs, name) for pairs in by_dim[dim]]) for dim in slots}
            if all((values == values[:1]).all() for values in of_dim.values()):
                known[name] = np.concatenate([np.repeat(of_dim[dim][:1], count, 0) for dim, count in slots.items()])
    return known


def impedance(model: mjx.Model, solref: Array, solimp: Array, position: Array) -> tuple[Array, Array, Array]:
    """MJX's stiffness, damping and impedance of constraints (``_kbi``), told the power of their curves.

    It is 2 in nearly all models: a square then, and else a logarithm and an exponential function for every row.
    """
    *curve, power = solimp
    return mjx_private.impedance(model, solref, (*curve, _power(model) or power), position)


def _power(model: mjx.Model) -> float | None:
    """Of the impedance curves of all constraints, if it is the same."""
    powers = [np.asarray(getattr(model, kind)).reshape(-1, mujoco.mjNIMP)[:, -1] for kind in IMPEDANCES]
    distinct = np.unique(np.concatenate(powers))
    return float(distinct[0]) if len(distinct) == 1 else None
