"""MuJoCo's forward dynamics on MJX, made faster for large batches of small robots. Its values are MJX's, to rounding.

Four things are replaced. The constraint solver is jacdb's own (:mod:`jacdb.ingest.dynamics.newton`). The mass matrix
is factorised for the whole batch at once, where MJX calls a library for each sample. Parameters of constraints that are
the same in every state are given to the compiler as constants, where MJX reads them out of arrays as it runs. And
the rotation of a quaternion has the derivative that MJX's lacks at zero. All other stages are MJX's
(docs/performance.md has the times). Reference: MuJoCo documentation, "Computation", "Forward dynamics"
and "Constraint model", "Parameters".
"""

import contextlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.compat.mjx import impl, replace_impl
from jacdb.ingest.dynamics import impedances, newton
from jacdb.ingest.dynamics.impedances import Impedance
from jacdb.ingest.environments import tangent_space
from jacdb.ingest.linalg import batched

type Collision = Callable[[mjx.Model, mjx.Data], mjx.Data]  # finds contacts, as MJX's own does

CONTACT_PARAMETERS = ("includemargin", "friction", "solref", "solreffriction", "solimp")


def forward(model: mjx.Model, data: mjx.Data, collision: Collision = mjx_private.collision) -> mjx.Data:
    """Compute ``mjx.forward`` of one sample.

    Args:
        collision: called once, to find the contacts.
    """
    d = _before_the_solver(model, data, collision)
    if not impl(d).efc_J.size:
        return d.replace(qacc=d.qacc_smooth)
    return mjx_private.sensor_acc(model, newton.solve(model, d))


def forward_with_trace(
    model: mjx.Model, data: mjx.Data, collision: Collision = mjx_private.collision
) -> tuple[mjx.Data, newton.NewtonTrace]:
    """Compute ``mjx.forward`` of one sample as :func:`forward` does, and return the solver's trace with it."""
    d, trace = newton.solve_with_trace(model, _before_the_solver(model, data, collision))
    return mjx_private.sensor_acc(model, d), trace


def integrate(model: mjx.Model, forwarded: mjx.Data) -> mjx.Data:
    """Compute the rest of ``mjx.step``, from data that :func:`forward` has been run on."""
    with _replacements(mjx_private.collision):
        return mjx_integrate(model, forwarded)


def mjx_integrate(model: mjx.Model, forwarded: mjx.Data) -> mjx.Data:
    """Compute the rest of ``mjx.step`` by MJX's own code alone.

    Raises:
        NotImplementedError: the model's integrator is neither Euler nor implicitfast.
    """
    if model.opt.integrator == mjx.IntegratorType.EULER:
        return mjx_private.euler(model, forwarded)
    if model.opt.integrator == mjx.IntegratorType.IMPLICITFAST:
        return mjx_private.implicit(model, forwarded)
    raise NotImplementedError(f"integrator {model.opt.integrator}")


def unsolved(
    model: mjx.Model,
    data: mjx.Data,
    collision: Collision = mjx_private.collision,
    impedance: Impedance = impedances.of_mjx,
) -> mjx.Data:
    """Compute what ``mjx.forward`` of one sample computes without a solver: no acceleration, and no sensors."""
    with _replacements(collision, impedance):
        d = mjx_private.fwd_actuation(model, mjx_private.fwd_velocity(model, mjx_private.fwd_position(model, data)))
    applied = d.qfrc_applied + mjx_private.xfrc_accumulate(model, d)
    return d.replace(qfrc_smooth=d.qfrc_passive - d.qfrc_bias + d.qfrc_actuator + applied)


def _before_the_solver(model: mjx.Model, data: mjx.Data, collision: Collision) -> mjx.Data:
    """Compute the stages of ``mjx.forward`` up to the constraint solver."""
    with _replacements(collision):
        d = mjx_private.sensor_pos(model, mjx_private.fwd_position(model, data))
        d = mjx_private.sensor_vel(model, mjx_private.fwd_velocity(model, d))
        return mjx_private.fwd_acceleration(model, mjx_private.fwd_actuation(model, d))


def _replacements(
    collision: Collision, impedance: Impedance = impedances.of_mjx
) -> contextlib.AbstractContextManager[None]:
    """Within, MJX's stages call this module's replacements."""

    def found(model: mjx.Model, data: mjx.Data) -> mjx.Data:
        return _with_constants(model, collision(model, data))

    return mjx_private.patched(
        collision=found,
        impedance=impedance,
        factor_mass=_factor_mass,
        solve_mass=_solve_mass,
        rotation_vector=tangent_space.rotation_vector,
    )


# --- the mass matrix ------------------------------------------------------------------------------------------


def _replaces_mass_solver(model: mjx.Model) -> bool:
    """Return whether :func:`_solve_mass` is used.

    It is not where MJX's own constraint solver runs, which may read the factor, or the matrix is stored sparse.
    """
    return newton.supports(model) and not mjx_private.is_sparse(model)


def _factor_mass(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    """Factorise the mass matrix (MJX's ``factor_m``), unless :func:`_solve_mass` does it."""
    return data if _replaces_mass_solver(model) else mjx_private.factor_mass(model, data)


def _solve_mass(model: mjx.Model, data: mjx.Data, force: Float[Array, " nv"]) -> Float[Array, " nv"]:
    """Return the acceleration that a force gives to the mass matrix (MJX's ``solve_m``)."""
    if _replaces_mass_solver(model):
        return _solve_batch(impl(data).M, force)
    return mjx_private.solve_mass(model, data, force)


@batched.over_batches
def _solve_batch(matrices: Float[Array, "n nv nv"], forces: Float[Array, "n nv"]) -> Float[Array, "n nv"]:
    factor = batched.cholesky(batched.samples_last(matrices))
    # as a matrix of one column: as a vector, all of CartpoleBalance's step took an eighth longer
    return batched.cho_solve(factor, forces.T[:, None])[:, 0].T


# --- parameters that are constants ----------------------------------------------------------------------------


def _with_constants(model: mjx.Model, collided: mjx.Data) -> mjx.Data:
    """Return found contacts, with those of their parameters that are constants as constants."""
    if not impl(collided).ncon:
        return collided
    constants = _contact_constants(model, collided)
    return replace_impl(collided, **{f"contact__{name}": values for name, values in constants.items()})


def _contact_constants(model: mjx.Model, data: mjx.Data) -> dict[str, np.ndarray]:
    """Return the parameters of contacts that are the same for all pairs of geoms which a slot can hold.

    MJX takes them with the pairs that it picks as it runs.
    """
    by_dim: dict[int, list[dict[str, np.ndarray]]] = {}

    def parameters() -> list[dict[str, Array]]:
        groups = mjx_private.contact_groups(model, data).values()
        return [{name: getattr(pairs, name) for name in CONTACT_PARAMETERS} for pairs in groups]

    # One program: called as they stand, CheetahRun's operations were 85, which took 1.6 s to compile.
    for key, pairs in zip(mjx_private.geom_groups(model), runtime.compiled_quickly(parameters)(), strict=True):
        by_dim.setdefault(key.condim, []).append(pairs)
    slots = {dim: np.count_nonzero(impl(data).contact.dim == dim) for dim in sorted(by_dim)}
    constants = {}
    for name in CONTACT_PARAMETERS:
        values = {dim: np.concatenate([pairs[name] for pairs in by_dim[dim]]) for dim in slots}
        if all((of_dim == of_dim[:1]).all() for of_dim in values.values()):
            constants[name] = np.concatenate([np.repeat(values[dim][:1], count, 0) for dim, count in slots.items()])
    return constants
