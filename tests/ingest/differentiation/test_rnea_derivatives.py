"""Closed-form derivatives against automatic differentiation of MJX, on a machine with every kind of joint."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx
from mujoco.mjx._src import passive, smooth, support

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import rnea_derivatives
from jacdb.ingest.environments import tangent_space
from jacdb.ingest.linalg import batched

pytestmark = pytest.mark.slow

MACHINE = """
<mujoco>
  <option density="900" viscosity="0.3"/>
  <worldbody>
    <body pos="0 0 1">
      <freejoint/> <geom type="box" size=".1 .2 .3"/>
      <body pos=".3 .1 0">
        <joint axis="0 1 .3" pos=".05 0 .02" armature=".1"/> <joint type="slide" axis="1 .2 0"/>
        <joint axis=".3 0 1" pos="0 .1 0"/> <geom type="box" size=".1 .3 .2" pos=".1 0 0"/>
        <body pos=".1 .2 .3">
          <joint type="ball" pos=".1 .1 0"/> <geom type="box" size=".1 .1 .2" pos="0 .1 0"/>
          <body pos="0 0 .3"> <joint axis="1 0 0"/> <geom type="capsule" size=".1 .2"/> </body>
        </body>
      </body>
      <body pos="-.3 0 0"> <joint axis="1 0 1"/> <geom type="box" size=".1 .3 .2"/> </body>
    </body>
    <body pos="1 0 1">
      <joint type="slide" axis="1 0 0"/> <joint axis="0 1 0"/> <geom type="box" size=".1 .2 .3" pos="0 .1 .1"/>
    </body>
  </worldbody>
</mujoco>
"""
PLANAR = """
<mujoco>
  <option density="900" viscosity="0.3" gravity="1 2 -9.81"/>
  <worldbody>
    <body pos="0 0 1" euler="90 0 0">
      <joint type="slide" axis="1 0 0"/> <joint type="slide" axis="0 1 0"/> <joint axis="0 0 1" pos=".05 0 .02"/>
      <geom type="box" size=".1 .2 .3" euler="10 20 30"/>
      <body pos=".3 .1 .1"> <joint axis="0 0 -1" pos=".1 .1 0"/> <geom type="box" size=".1 .3 .2" pos=".1 0 0"/> </body>
    </body>
    <body pos="1 0 1">
      <joint type="slide" axis="1 0 1"/> <joint axis="0 1 0"/> <geom type="box" size=".1 .2 .3" pos="0 .1 .1"/>
    </body>
  </worldbody>
</mujoco>
"""
ON_MOCAP = """
<mujoco>
  <worldbody>
    <body mocap="true"> <geom size=".1"/> <body> <joint axis="0 1 0"/> <geom size=".1"/> </body> </body>
  </worldbody>
</mujoco>
"""
SAMPLES = 3
both_machines = pytest.mark.parametrize("machine", [MACHINE, PLANAR], indirect=True, ids=["any", "planar"])


@pytest.fixture(scope="module")
def machine(request):
    """(model, states' qpos, qvel, acceleration, MJX's results, d tau by (q, v), d (M a) / dq)."""
    mj = mujoco.MjModel.from_xml_string(request.param)
    model, template = mjx.put_model(mj, impl="jax"), mjx.make_data(mj, impl="jax")

    def results(qpos, qvel):
        d = template.replace(qpos=qpos, qvel=qvel)
        d = smooth.factor_m(model, smooth.crb(model, smooth.com_pos(model, smooth.kinematics(model, d))))
        return smooth.rne(model, smooth.com_vel(model, d))

    def tau(qpos, qvel, a):
        d = results(qpos, qvel)
        return support.mul_m(model, d, a) + d.qfrc_bias - passive._fluid(model, d)

    @jax.vmap
    def expected(qpos, qvel, a):
        lift, still = tangent_space.tangent_lift(mj, qpos), jnp.zeros(mj.nv)
        by_q = jax.jacfwd(lambda dq: tau(qpos + lift @ dq, qvel, a))(still)
        inertial = jax.jacfwd(lambda dq: support.mul_m(model, results(qpos + lift @ dq, qvel), a))(still)
        return results(qpos, qvel), by_q, jax.jacfwd(lambda v: tau(qpos, v, a))(qvel), inertial

    rng = np.random.default_rng(0)
    qpos, qvel, a = (rng.normal(size=(SAMPLES, n)) for n in (mj.nq, mj.nv, mj.nv))
    for sample in qpos:
        mujoco.mj_normalizeQuat(mj, sample)
    d, *derivatives = runtime.compiled_quickly(expected, qpos, qvel, a)(qpos, qvel, a)
    return mj, batched.samples_last(d), jnp.asarray(a.T), derivatives


@pytest.mark.thorough
@both_machines
def test_derivatives_are_those_of_mjx(machine):
    mj, d, a, (by_q, by_v, _) = machine
    tree = rnea_derivatives.Tree.of(mj)
    kin = rnea_derivatives.kinematics(mj, tree, d)
    drag = rnea_derivatives.medium_drag(mj, kin, d)
    found = batched.samples_first(rnea_derivatives.rigid_derivatives(tree, kin, a, mj.opt.gravity, drag))
    np.testing.assert_allclose(found.by_q, by_q, atol=1e-9 * np.abs(by_q).max())
    np.testing.assert_allclose(found.by_v, by_v, atol=1e-9 * np.abs(by_v).max())
    mass = np.stack([np.asarray(found.by_a[i]) for i in range(SAMPLES)]) + np.diag(mj.dof_armature)
    for i in range(SAMPLES):
        data = mujoco.MjData(mj)
        data.qpos[:] = d.qpos[:, i]
        mujoco.mj_forward(mj, data)
        dense = np.zeros((mj.nv, mj.nv))
        mujoco.mj_fullM(mj, data, dense)
        np.testing.assert_allclose(mass[i], dense, atol=1e-10)


@pytest.mark.thorough
@pytest.mark.parametrize("machine", [MACHINE], indirect=True, ids=["any"])
def test_what_does_not_touch_has_exact_zeros(machine):
    """Two machines, and two limbs of one: no rounding stands where nothing is connected."""
    mj, d, a, _ = machine
    tree = rnea_derivatives.Tree.of(mj)
    kin = rnea_derivatives.kinematics(mj, tree, d)
    found = rnea_derivatives.rigid_derivatives(tree, kin, a, mj.opt.gravity)
    for matrix in found:
        assert (matrix[:14, 14:] == 0).all() and (matrix[14:, :14] == 0).all()
        assert (matrix[6:13, 13] == 0).all() and (matrix[13, 6:13] == 0).all()


@pytest.mark.thorough
@both_machines
def test_derivative_of_the_mass_matrix_times_a_vector(machine):
    mj, d, a, (_, _, inertial) = machine
    tree = rnea_derivatives.Tree.of(mj)
    found = rnea_derivatives.mass_matrix_derivative(tree, rnea_derivatives.kinematics(mj, tree, d), a)
    np.testing.assert_allclose(batched.samples_first(found), inertial, atol=1e-9 * np.abs(inertial).max())


def _bodies(*joints):
    bodies = "".join(f"<body pos='.1 .2 .3'>{joint}<geom size='.1'/></body>" for joint in joints)
    return f"<mujoco><worldbody>{bodies}</worldbody></mujoco>"


@pytest.mark.parametrize(
    ("xml", "motions"),
    [
        (MACHINE, (0, 1, 2, 3, 4, 5)),
        (PLANAR, (1, 3, 5)),
        (_bodies("<joint type='slide' axis='1 0 1'/>", "<joint type='slide' axis='1 0 0'/>"), (3, 5)),
        (_bodies("<joint axis='0 1 0'/>", "<joint type='slide' axis='0 1 0'/>"), (1, 3, 4, 5)),
        (_bodies("<joint axis='0 0 1'/>", "<joint axis='0 1 0'/>"), (0, 1, 2, 3, 4, 5)),
        (_bodies("<joint axis='0 1 .001'/>"), (0, 1, 2, 3, 4, 5)),
        (_bodies("<joint type='ball'/>"), (0, 1, 2, 3, 4, 5)),
        (ON_MOCAP, (0, 1, 2, 3, 4, 5)),
    ],
    ids=["any", "planar", "slides", "across", "two axes", "tilted", "ball", "on mocap"],
)
def test_motions_left_out_are_zero_whatever_the_state(xml, motions):
    mj = mujoco.MjModel.from_xml_string(xml)
    assert rnea_derivatives.Tree.of(mj).motions == motions
    data, rng = mujoco.MjData(mj), np.random.default_rng(0)
    for _ in range(10):
        data.qpos[:], data.mocap_quat[:] = rng.normal(size=mj.nq), rng.normal(size=(mj.nmocap, 4))
        mujoco.mj_forward(mj, data)
        left_out = np.delete(data.cdof, motions, axis=1)
        np.testing.assert_allclose(left_out, np.zeros_like(left_out), atol=1e-14)
