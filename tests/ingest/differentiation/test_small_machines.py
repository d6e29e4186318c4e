"""Derivatives of the physics of small machines, by finite differences of MJX's own step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from machine import EVERY_CONSTRAINT, PAIR, PICKED, SUNK, machine, states
from mujoco import mjx
from mujoco.mjx import GeomType
from mujoco.mjx._src import collision_driver

from jacdb.ingest import runtime
from jacdb.ingest.compat.mjx import impl
from jacdb.ingest.differentiation import contact_geometry, control_step, finite_differences
from jacdb.ingest.differentiation.coloring import ContactColoring
from jacdb.ingest.differentiation.contact_derivatives import Clusters
from jacdb.ingest.differentiation.contact_geometry import ContactFinder, GeometryRates
from jacdb.ingest.differentiation.rnea_derivatives import Tree
from jacdb.ingest.differentiation.types import OnDevice, PhysicsInput, PhysicsJacobian
from jacdb.ingest.dynamics import forward, observations
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments.loading import System

pytestmark = pytest.mark.slow

SPHERE, CAPSULE = GeomType.SPHERE, GeomType.CAPSULE


def compared(system: System, inputs: PhysicsInput, method: OnDevice) -> tuple[PhysicsJacobian, np.ndarray]:
    """Differentiate by a method; return the Jacobians and their relative errors."""
    found = runtime.compiled_quickly(jax.vmap(control_step.physics_jacobian(system, method)), inputs)(inputs)
    [truth] = finite_differences.step_differences(system, inputs)
    return found, finite_differences.relative(found.matrix, truth.matrix)


@pytest.mark.thorough
def test_unrolled_is_the_derivative_of_the_solver_as_it_stopped():
    """Implicit damping is in it too: it goes on from the forces, which are not M a where the solver stopped."""
    system = machine(EVERY_CONSTRAINT.format(iterations=2, searches=5, integrator="implicitfast"))
    found, error = compared(system, states(system, 24, 0.2), "unrolled")
    stopped, valid = np.asarray(found.residual) > RESIDUAL_TOLERANCE, np.asarray(found.valid)
    assert stopped.sum() > 6 and valid[stopped].mean() > 0.7
    # the rest has a kink (a row about to act or to let go) within the finite difference
    assert np.quantile(error[valid & stopped], 0.7) < 1e-6


@pytest.mark.thorough
def test_with_constraints_switched_off_bodies_pass_through_each_other():
    """As Acrobot's arm does through its floor; MJX finds the contact all the same."""
    system = machine(SUNK)
    inputs = states(system, 4, 0.02)
    _, error = compared(system, inputs, "implicit")
    assert error.max() < 1e-7
    blank = mjx.make_data(system.mj_model, impl="jax")

    def observed(start: PhysicsInput) -> tuple[jax.Array, observations.Observation]:
        forwarded = forward.forward(system.mjx_model, blank.replace(**start._asdict()))
        return impl(forwarded).contact.dist, observations.observe(system.mjx_model, forwarded)

    distance, seen = jax.jit(jax.vmap(observed))(inputs)
    assert (distance < 0).all() and not seen.touching.any()


@pytest.mark.thorough
def test_contacts_between_bodies_that_both_move():
    """MJX takes a contact's tangents from the world's axes: they do not turn with the two bodies."""
    system = machine(PAIR.format(condim=6))
    spread = np.array([0.02] * 3 + [0.3] * 8 + [0.02])
    found, error = compared(system, states(system, 8, spread), "implicit")
    assert np.max(found.residual) < RESIDUAL_TOLERANCE
    assert error.max() < 1e-7


@pytest.mark.thorough
def test_users_28_contacts_of_one_pair_of_bodies_are_summed_before_joints_come_in():
    """Also where MJX picks the nearest contacts as it runs, and no slot has a pair of its own."""
    system = machine(PICKED)
    pairs = contact_geometry.body_pairs(system.mj_model, 3)
    assert pairs.tolist() == [[0, 1], [0, 2], [2, 1]]
    bodies = jnp.asarray([[2, 0, 0, 0, 0, 2], [1, 1, 1, 1, 2, 1]]).T[..., None]  # of one sample
    clusters = Clusters.of(Tree.of(system.mj_model), bodies[:, 0], bodies[:, 1], pairs)
    assert clusters.total(jnp.arange(6.0)[:, None])[:, 0].tolist() == [1 + 2 + 3, 4, 0 + 5]
    found, error = compared(
        system, states(system, 8, np.array([0.001] * 3 + [0.02] * 4 + [0.001] + [0.3] * 4)), "implicit"
    )
    assert np.max(found.residual) < RESIDUAL_TOLERANCE
    assert error.max() < 1e-6


def test_users_28_only_geoms_that_can_meet_are_moved():
    """Those that are only seen are not: 78 of PandaPickCube's 83."""
    seen = '<geom type="sphere" size=".02" contype="0" conaffinity="0"/>'
    system = machine(PICKED.replace("</worldbody>", 8 * seen + "</worldbody>"))
    blank = mjx.make_data(system.mj_model, impl="jax")
    finder = ContactFinder(system.mj_model, Tree.of(system.mj_model), ContactColoring.of(system.mj_model))
    placed = jax.eval_shape(lambda: mjx.com_pos(system.mjx_model, mjx.kinematics(system.mjx_model, blank)))

    def rates(d: mjx.Data) -> GeometryRates:
        finder(system.mjx_model, d)
        assert finder.rates
        return finder.rates

    program = str(jax.make_jaxpr(rates)(placed))
    assert "f64[6,3,3,3]" in program and "f64[6,11,3,3]" not in program  # (motions, geoms, 3, 3)


@pytest.mark.parametrize("method", ["implicit", "unrolled"])
def test_contacts_are_found_once_for_the_step_and_its_derivative(method, monkeypatch):
    """Where points are equal to rounding, of two computations each may choose others (boxes on height fields did)."""
    collide, found, asked = collision_driver._COLLISION_FUNC[SPHERE, CAPSULE], [], []

    def counted(*arguments):
        found.append(arguments)
        return collide(*arguments)

    def asking(finder, *arguments, find=ContactFinder.__call__):
        asked.append(arguments)
        return find(finder, *arguments)

    counted.ncon = collide.ncon
    monkeypatch.setitem(collision_driver._COLLISION_FUNC, (SPHERE, CAPSULE), counted)
    monkeypatch.setattr(ContactFinder, "__call__", asking)
    system = machine(PAIR.format(condim=3))
    jax.eval_shape(jax.vmap(control_step.physics_jacobian(system, method)), states(system, 2, 0.02))
    assert len(found) == len(asked) > 0
