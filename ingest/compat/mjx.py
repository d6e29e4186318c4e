"""MJX behind its public names: every private name that jacdb uses, and the one way to replace some of them.

Nothing here computes. Where a later MJX moves or renames one, this module is what fails, and what has to be mended;
``tests/ingest/compat/test_compat.py`` says so in a sentence.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from mujoco import mjx
from mujoco.mjx._src import (
    collision_driver,
    constraint,
    derivative,
    forward,
    io,
    math,
    passive,
    sensor,
    smooth,
    solver,
    support,
)

WRITTEN_AGAINST = {"mujoco-mjx": "3.17.0", "mujoco": "4.0.0"}

# MJX calls `logging.debug`, which gives a root logger without a handler one: the caller's own `logging.basicConfig`
# would do nothing from then on. A logger of MJX's has the same functions, and gives none.
io.logging = logging.getLogger("mujoco.mjx")

# --- forward dynamics: the stages of mjx.step -------------------------------------------------------------------

fwd_position, fwd_velocity = forward.fwd_position, forward.fwd_velocity
fwd_actuation, fwd_acceleration = forward.fwd_actuation, forward.fwd_acceleration
next_activation = forward._next_activation
euler, implicit = forward.euler, forward.implicit
sensor_pos, sensor_vel, sensor_acc = sensor.sensor_pos, sensor.sensor_vel, sensor.sensor_acc
kinematics, com_pos, transmission = smooth.kinematics, smooth.com_pos, smooth.transmission
factor_mass, solve_mass = smooth.factor_m, smooth.solve_m
full_mass_matrix, mul_mass_matrix, is_sparse = support.full_m, support.mul_m, support.is_sparse
xfrc_accumulate, jac = support.xfrc_accumulate, support.jac
muscle_gain = support.muscle_gain
mjx_solve = solver.solve
deriv_smooth_vel = derivative.deriv_smooth_vel
spring_damper, gravcomp = passive._spring_damper, passive._gravcomp


def tendon(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    """Run MJX's tendon stage as it is now: :mod:`jacdb.ingest.compat.playground` replaces its derivative."""
    return smooth.tendon(model, data)


# --- constraints and contacts -----------------------------------------------------------------------------------

ConstraintRows = constraint._Efc
ROWS_BEFORE_CONTACTS = (  # in the order of the rows of efc_J
    constraint._efc_equality_connect,
    constraint._efc_equality_weld,
    constraint._efc_equality_joint,
    constraint._efc_equality_tendon,
    constraint._efc_friction,
    constraint._efc_limit_ball,
    constraint._efc_limit_slide_hinge,
    constraint._efc_limit_tendon,
)
impedance = constraint._kbi
collision = collision_driver.collision
geom_pairs, geom_groups = collision_driver.geom_pairs, collision_driver._geom_groups
contact_groups = collision_driver._contact_groups


@contextlib.contextmanager
def no_collisions() -> Iterator[None]:
    """Let MJX see no pair of geoms, within the context: it refuses models with pairs that it has no function for."""
    before = collision_driver.geom_pairs
    collision_driver.geom_pairs = lambda model: iter(())
    try:
        yield
    finally:
        collision_driver.geom_pairs = before


def contact_points(group: Any) -> int:
    """Return how many contacts a pair of geoms of a group (a key of ``geom_groups``) may have."""
    return int(collision_driver._COLLISION_FUNC[group.types].ncon)


# --- algebra ------------------------------------------------------------------------------------------------------

quat_mul_axis, make_frame, quat_to_axis_angle = math.quat_mul_axis, math.make_frame, math.quat_to_axis_angle

# --- data of the JAX implementation ---------------------------------------------------------------------------------


def impl(data: mjx.Data | mjx.Option) -> Any:
    """Return the fields that only the JAX implementation has; of data ``contact``, ``efc_J``, ``M``, and others."""
    return data._impl


def replace_impl(data: mjx.Data, **fields: Any) -> mjx.Data:
    """Return ``data`` with other values of the implementation's fields; ``contact__dist`` is ``contact.dist``."""
    return data.tree_replace({f"_impl.{name.replace('__', '.')}": value for name, value in fields.items()})


# --- replacing ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def patched(
    *,
    collision: Callable[..., mjx.Data],
    impedance: Callable[..., Any],
    factor_mass: Callable[..., mjx.Data],
    solve_mass: Callable[..., Any],
    rotation_vector: Callable[..., Any],
) -> Iterator[None]:
    """Let MJX's stages call these instead of its own, within the context. For use while tracing, by one thread."""
    before = collision_driver.collision, constraint._kbi, smooth.factor_m, smooth.solve_m
    collision_driver.collision, constraint._kbi = collision, impedance
    smooth.factor_m, smooth.solve_m = factor_mass, solve_mass
    try:
        with rotations_by(rotation_vector):
            yield
    finally:
        collision_driver.collision, constraint._kbi, smooth.factor_m, smooth.solve_m = before


@contextlib.contextmanager
def rotations_by(rotation_vector: Callable[..., Any]) -> Iterator[None]:
    """Let MJX turn quaternions into rotations by this, within the context. For use while tracing, by one thread.

    MJX multiplies axis and angle wherever it asks for them, so that a vector and 1 are as good.
    """
    before = math.quat_to_axis_angle
    math.quat_to_axis_angle = lambda quat: (rotation_vector(quat), 1.0)
    try:
        yield
    finally:
        math.quat_to_axis_angle = before
