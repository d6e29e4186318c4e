"""States that hold quaternions: MuJoCo's C functions, finite differences and stored steps say what tangents are."""

import copy
import subprocess
import sys

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import jacdb
from jacdb import tangent
from jacdb.errors import UsageError

# A free joint and a ball joint between joints of one degree of freedom: qpos has 13 numbers, qvel 11
MODEL = """<mujoco><worldbody>
  <body name="arm"><joint name="slide" type="slide"/><joint name="hinge"/><geom size=".1"/>
    <body name="wrist"><joint name="ball" type="ball"/><geom size=".1"/></body></body>
  <body name="box"><freejoint/><geom size=".1"/></body>
</worldbody></mujoco>"""


@pytest.fixture(scope="module")
def sample():
    with jacdb.open("datasets/sample") as dataset:
        yield dataset


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(MODEL)


@pytest.fixture(scope="module")
def space(model):
    """The space of the model's qpos and qvel, made as ingest makes it from rows of `axes`."""
    import polars as pl

    from jacdb.ingest.recording import axes

    rows = [
        {"env": "model", "space": name, "index": index, **axis}
        for name, quaternions in (("state", True), ("tangent", False))
        for index, axis in enumerate([*axes._positions(model, quaternions), *axes._velocities(model)])
    ]
    return tangent.TangentSpace.from_axes(pl.DataFrame(rows))


def states(model, rng, n, angle=None):
    """Return n states, and n others that lie a step away; ``angle`` is that of every rotation between them."""
    x, y = np.empty((2, n, model.nq + model.nv))
    for i in range(n):
        x[i, : model.nq] = rng.normal(size=model.nq)
        mujoco.mj_normalizeQuat(model, x[i, : model.nq])
        step = rng.normal(size=model.nv)
        if angle is not None:
            for at in (2, 8):
                step[at : at + 3] *= angle / np.linalg.norm(step[at : at + 3])
        y[i, : model.nq] = x[i, : model.nq]
        mujoco.mj_integratePos(model, y[i, : model.nq], step, 1.0)
    x[:, model.nq :], y[:, model.nq :] = rng.normal(size=(2, n, model.nv))
    return x, y


@pytest.mark.parametrize("angle", [None, 0.0, 1e-9, 1e-4, 0.09, 0.11, 3.1])
def test_users_15_differences_and_steps_are_those_of_mujoco(model, space, angle):
    x, y = states(model, np.random.default_rng(0), 50, angle)
    dx = space.difference(x, y)
    after = space.retract(x, dx)
    for i in range(len(x)):
        by_c = np.empty(model.nv)
        mujoco.mj_differentiatePos(model, by_c, 1.0, x[i, : model.nq], y[i, : model.nq])
        np.testing.assert_allclose(dx[i, : model.nv], by_c, rtol=1e-12, atol=1e-13)
        qpos = x[i, : model.nq].copy()
        mujoco.mj_integratePos(model, qpos, dx[i, : model.nv].copy(), 1.0)
        np.testing.assert_allclose(after[i, : model.nq], qpos, atol=1e-13)
    np.testing.assert_array_equal(dx[:, model.nv :], (y - x)[:, model.nq :])


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.09, 0.11, 1.0, 3.1])
def test_users_15_derivatives_are_those_of_central_differences(model, space, angle):
    x, y = (state[0] for state in states(model, np.random.default_rng(1), 1, angle))
    dx, eps, d = space.difference(x, y), 1e-6, space.n_tangent
    steps = eps * np.eye(d)

    def central(function):
        return np.stack([(function(step) - function(-step)) / (2 * eps) for step in steps], axis=-1)

    by_x, by_y = space.difference_derivatives(x, y)
    np.testing.assert_allclose(by_x, central(lambda e: space.difference(space.retract(x, e), y)), atol=3e-8)
    np.testing.assert_allclose(by_y, central(lambda e: space.difference(x, space.retract(y, e))), atol=3e-8)
    by_x, by_dx = space.retract_derivatives(dx)
    np.testing.assert_allclose(
        by_x, central(lambda e: space.difference(y, space.retract(space.retract(x, e), dx))), atol=1e-9
    )
    np.testing.assert_allclose(by_dx, central(lambda e: space.difference(y, space.retract(x, dx + e))), atol=1e-9)
    np.testing.assert_allclose(space.lift(x), central(lambda e: space.retract(x, e)), atol=1e-9)
    np.testing.assert_allclose(space.project(x) @ space.lift(x), np.eye(d), atol=1e-15)


@pytest.mark.parametrize("angle", [1e-6, 0.09, 0.11, 1.0, 3.1])
def test_users_15_derivatives_of_rotations_are_those_of_mujoco(model, space, angle):
    x, y = (state[0] for state in states(model, np.random.default_rng(5), 1, angle))
    dx = space.difference(x, y)
    derivatives = (*space.difference_derivatives(x, y), *space.retract_derivatives(dx))
    for quat, turn in ((2, 2), (9, 8)):  # the ball, and the box
        by_y, by_x, by_start, by_turn = np.zeros((4, 9))
        mujoco.mjd_subQuat(y[quat : quat + 4], x[quat : quat + 4], by_y, by_x)
        mujoco.mjd_quatIntegrate(dx[turn : turn + 3], 1.0, by_start, by_turn, np.zeros(3))
        block = slice(turn, turn + 3)
        for found, expected in zip(derivatives, (by_x, by_y, by_start, by_turn), strict=True):
            np.testing.assert_allclose(found[block, block].ravel(), expected, atol=1e-8)


def test_users_15_a_jacobian_predicts_a_step_to_second_order(model, space):
    """A hundredth of the distance leaves a ten-thousandth of the error: x, dx and C's matrix are of one space."""
    model = copy.copy(model)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    x, dx = states(model, np.random.default_rng(6), 1)[0][0], np.random.default_rng(7).normal(size=2 * model.nv)

    def step(state):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = np.split(state, [model.nq])
        mujoco.mj_step(model, data)
        return np.concatenate([data.qpos, data.qvel])

    data, jacobian = mujoco.MjData(model), np.zeros((2 * model.nv, 2 * model.nv))
    data.qpos[:], data.qvel[:] = np.split(x, [model.nq])
    mujoco.mjd_transitionFD(model, data, 1e-6, True, jacobian, None, None, None)
    errors = []
    for size in (1e-1, 1e-3):
        predicted = space.retract(step(x), jacobian @ (size * dx))
        errors.append(np.linalg.norm(space.difference(predicted, step(space.retract(x, size * dx)))))
    assert errors[0] < 0.1 and 0.5e-4 < errors[1] / errors[0] < 2e-4


def test_users_15_orientations_may_be_of_any_sign_and_length(model, space):
    x, y = states(model, np.random.default_rng(2), 20)
    wanted = space.difference(x, y)
    scaled = x.copy()
    for at in (2, 9):  # the ball's quaternion, and the box's
        scaled[:, at : at + 4] *= -3.0
    np.testing.assert_allclose(space.difference(scaled, y), wanted, atol=1e-12)
    np.testing.assert_allclose(space.difference(space.retract(scaled, wanted), y), 0, atol=1e-12)


@pytest.mark.slow
def test_users_15_jax_gives_the_same_and_differentiates_it(model, space):
    """At no rotation, too, where a quotient by the angle gives NaN."""
    x, y = states(model, np.random.default_rng(3), 4)
    y[0] = x[0]
    by_jax = jax.jit(space.difference)(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(by_jax, space.difference(x, y), atol=1e-13)
    np.testing.assert_allclose(jax.vmap(space.retract)(x, by_jax), space.retract(x, by_jax), atol=1e-13)
    for start, end in zip(x, y, strict=True):
        raw = jax.jacfwd(space.difference, argnums=1)(jnp.asarray(start), jnp.asarray(end))
        np.testing.assert_allclose(raw @ space.lift(end), space.difference_derivatives(start, end)[1], atol=1e-12)


def test_users_15_float32_stays_float32_and_keeps_its_digits(model, space):
    x, y = states(model, np.random.default_rng(4), 50, 1e-3)
    dx = space.difference(x.astype(np.float32), y.astype(np.float32))
    assert dx.dtype == np.float32 and space.retract(x.astype(np.float32), dx).dtype == np.float32
    assert space.difference_derivatives(x.astype(np.float32), y.astype(np.float32))[0].dtype == np.float32
    np.testing.assert_allclose(dx[:, : model.nv], space.difference(x, y)[:, : model.nv], atol=1e-6)


@pytest.mark.parametrize("env", ["CartpoleBalance", "PandaPickCube"])
def test_users_15_axes_alone_map_states_to_the_rows_of_their_jacobians(sample, env):
    """Stored matrices predict the step from a neighbouring stored state, far better than no derivative does."""
    space = sample.tangent_space(env)
    rows = sample.fetch(
        sample.sql(f"select state, action, next_state, j_state, j_action from steps where env = '{env}' and finite"
                   " and episode = 0 order by run_id, episode, step limit 40")
    )  # fmt: skip
    x, u, after, by_x, by_u = (np.array(rows[name].to_list()) for name in rows.columns)
    assert by_x.shape[1:] == (space.n_tangent, space.n_tangent) and x.shape[1] == space.n_state
    dx, du = space.difference(x[:-1], x[1:]), u[1:] - u[:-1]
    linear = np.einsum("nij,nj->ni", by_x[:-1], dx) + np.einsum("nij,nj->ni", by_u[:-1], du)
    off = np.linalg.norm(space.difference(space.retract(after[:-1], linear), after[1:]), axis=1)
    without = np.linalg.norm(space.difference(after[:-1], after[1:]), axis=1)
    assert np.median(off / without) < 0.3


def test_users_15_a_condition_on_steps_leaves_the_space_as_it_is(sample):
    assert sample.where("step < 5").tangent_space("PandaPickCube") == sample.tangent_space("PandaPickCube")
    with pytest.raises(UsageError, match=r"no steps of 'PandaPickCub' here: .*did you mean PandaPickCube"):
        sample.tangent_space("PandaPickCub")


@pytest.mark.parametrize("env", [None, ["PandaPickCube"]])
def test_a_tangent_space_is_of_one_environment(env, sample):
    with pytest.raises(UsageError, match=r"no steps of .* here: there are BallInCup"):
        sample.tangent_space(env)


def test_users_15_what_is_no_state_is_refused_in_a_line(sample):
    space = sample.tangent_space("PandaPickCube")
    with pytest.raises(UsageError, match=r"x is of shape \(38,\): its last axis must have 39 numbers"):
        space.difference(np.zeros(38), np.zeros(39))
    with pytest.raises(UsageError, match="dx is a list: give an array"):
        space.retract(np.zeros(39), [0.0] * 38)
    with pytest.raises(UsageError, match="axes of 9 environments"):
        tangent.TangentSpace.from_axes(sample.axes())
    axes = sample.axes("PandaPickCube")
    with pytest.raises(UsageError, match="do not belong together from axis 12 on"):
        tangent.TangentSpace.from_axes(axes.filter(axes["name"] != "box.rot_x"))


def test_users_15_numpy_alone_will_do():
    code = "import sys, jacdb.tangent; print(*({'jax', 'duckdb', 'polars', 'mujoco'} & {*sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
