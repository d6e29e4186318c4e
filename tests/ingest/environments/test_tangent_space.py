"""Tangent space, against MuJoCo's C functions."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from jacdb.ingest.environments import tangent_space

pytestmark = pytest.mark.slow

XML = """
<mujoco><option timestep="0.01"/><worldbody>
  <body><freejoint/><geom size=".1"/>
    <body pos="0 0 .3"><joint type="ball"/><geom size=".1"/>
      <body pos="0 0 .3"><joint axis="0 1 0"/><joint type="slide" axis="1 0 0"/><geom size=".1"/></body>
    </body>
  </body>
</worldbody></mujoco>
"""


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture
def qpos(model):
    moved = np.zeros(model.nq)
    mujoco.mj_integratePos(model, moved_from := model.qpos0.copy(), np.linspace(-1, 2, model.nv), 1.0)
    moved[:] = moved_from
    return moved


def difference(model, after, before):
    tangent = np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, tangent, 1.0, before, after)
    return tangent


def test_lift_is_the_derivative_of_integration(model, qpos):
    lift = np.asarray(tangent_space.tangent_lift(model, jnp.asarray(qpos)))
    for i, axis in enumerate(np.eye(model.nv)):
        moved = qpos.copy()
        mujoco.mj_integratePos(model, moved, axis, 1e-7)
        np.testing.assert_allclose(lift[:, i], (moved - qpos) / 1e-7, atol=1e-6)


def test_project_undoes_lift(model, qpos):
    lift = tangent_space.tangent_lift(model, jnp.asarray(qpos))
    project = tangent_space.tangent_project(model, jnp.asarray(qpos))
    np.testing.assert_allclose(project @ lift, np.eye(model.nv), atol=1e-14)


@pytest.mark.parametrize("speed", [0.0, 1e-9, 1e-3, 30.0])
def test_transport_is_the_derivative_of_the_next_position(model, qpos, speed):
    h, eps = model.opt.timestep, 1e-6
    qvel = speed * np.linspace(-1, 1.5, model.nv)

    def after(dq, dv):
        moved = qpos.copy()
        mujoco.mj_integratePos(model, moved, dq, 1.0)
        mujoco.mj_integratePos(model, moved, qvel + dv, h)
        return moved

    still = np.zeros(model.nv)
    by_q, by_v = (np.asarray(matrix) for matrix in tangent_space.transport(model, jnp.asarray(qvel)))
    for i, axis in enumerate(np.eye(model.nv)):
        along_q = difference(model, after(eps * axis, still), after(-eps * axis, still)) / (2 * eps)
        along_v = difference(model, after(still, eps * axis), after(still, -eps * axis)) / (2 * eps)
        np.testing.assert_allclose(by_q[:, i], along_q, atol=1e-8)
        np.testing.assert_allclose(by_v[:, i], along_v, atol=1e-8)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.9e-3, 2.1e-3, 1.0, 3.0, 3.3, 6.2])
@pytest.mark.parametrize("length", [1.0, -1.3])
def test_rotation_vectors_and_their_derivatives_are_those_of_mujoco(angle, length):
    def of(quat):
        vector = np.zeros(3)
        mujoco.mju_quat2Vel(vector, quat / np.linalg.norm(quat), 1.0)
        return vector

    half, axis, eps = angle / 2, np.array([0.6, -0.48, 0.64]), 1e-6
    quat = length * np.concatenate([[np.cos(half)], np.sin(half) * axis])
    np.testing.assert_allclose(
        tangent_space.rotation_vector(jnp.asarray(quat)), of(quat), atol=1e-8
    )  # MJX's own, 0 under 1e-8
    sides = [(of(quat + step) - of(quat - step)) / (2 * eps) for step in eps * np.eye(4)]
    exact = jax.jacfwd(tangent_space.rotation_vector)(jnp.asarray(quat))
    np.testing.assert_allclose(exact, np.stack(sides, axis=1), atol=1e-8)
