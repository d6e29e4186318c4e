"""Parameters that MJX is given as constants are those that it would read."""

import jax
import mujoco
import numpy as np
import pytest
from machine import machine
from mujoco import mjx
from thoroughness import thorough

from jacdb.ingest.compat import mjx as compat
from jacdb.ingest.dynamics import forward, impedances

pytestmark = pytest.mark.slow

SLIDERS = """
<mujoco>
  <default><joint type="slide" axis="1 0 0" limited="true" range="-1 1"/></default>
  <worldbody>
    <body><joint solimplimit="{}"/><geom size=".1"/></body>
    <body pos="0 0 1"><joint/><geom size=".1" contype="0"/></body>
  </worldbody>
</mujoco>
"""


@pytest.mark.parametrize("curve", [".9 .95 .1 .3 2", ".9 .95 .1 .3 3"])
def test_an_impedance_is_told_no_other_power_than_its_own(curve):
    model = machine(SLIDERS.format(curve)).mjx_model
    position = np.linspace(-0.2, 0.2, 9)
    for solref, solimp in zip(model.jnt_solref, model.jnt_solimp, strict=True):
        ours, theirs = (find(model, solref, solimp, position) for find in (impedances.of_mjx, compat.impedance))
        assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-14, atol=0), ours, theirs))


@pytest.mark.parametrize("refsafe", ["enable", thorough("disable")])
def test_of_any_parameters_c_has_the_impedance_that_its_own_rows_have(refsafe):
    c_model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><option><flag refsafe="{refsafe}"/></option><worldbody><body><geom size=".1"/>
        <joint type="slide" limited="true" range="0 1" solreflimit="0 1"/></body></worldbody></mujoco>"""
    )
    of_c, model, data = impedances.of_c(c_model), mjx.put_model(c_model, impl="jax"), mujoco.MjData(c_model)
    rng, n = np.random.default_rng(0), 2000
    solref = rng.choice([[0.02, 0, -5, 1e-9, 0.5, -100], [1, 0, -1, 0.5, 1e-6, -30]], axis=1, size=(n)).T
    solref[:, 1] = rng.permutation(solref[:, 1])
    choices = (
        (0.5, 0.9, 0, 2, -1),
        (0.9, 0.5, 0, 0.95, 3),
        (0, -1, 0.01, 0.1, 1e-16),
        (0, 0.5, 1, 0.3),
        (1, 2, 5, 0.5, 3.3),
    )
    solimp = np.stack([rng.choice(values, size=n) for values in choices], axis=1)
    position = -rng.choice([0.003, 0.0065, 0.02], size=n)
    expected = np.zeros((n, 4))
    mujoco.set_mju_user_warning(lambda text: None)
    for row in range(n):
        c_model.jnt_solref[0], c_model.jnt_solimp[0], data.qpos[0] = solref[row], solimp[row], position[row]
        mujoco.mj_forward(c_model, data)
        expected[row] = data.efc_KBIP[:4]
    mujoco.set_mju_user_warning(None)
    found, rate = jax.jvp(lambda at: of_c(model, solref.T, solimp.T, at), (position,), (np.ones(n),))
    np.testing.assert_allclose(np.stack([*found, rate[2]], axis=1), expected, rtol=1e-12, atol=1e-12)


def test_parameters_that_mjx_takes_alike_are_computed_as_mjx_does():
    usual = mujoco.MjModel.from_xml_string(SLIDERS.format(".5 .5 0 .3 2"))
    assert impedances.of_c(usual) is impedances.of_mjx


def test_parameters_of_contacts_are_constants_where_all_pairs_share_them(system):
    model = system("CheetahRun").mjx_model

    @jax.jit
    def collide(data: mjx.Data) -> mjx.Data:
        return compat.collision(model, compat.kinematics(model, data))

    data = collide(mjx.make_data(system("CheetahRun").mj_model, impl="jax"))
    constants = forward._contact_constants(model, data)
    assert set(constants) == {"includemargin", "solref", "solreffriction", "solimp"}  # the floor's friction is its own
    for name, values in constants.items():
        assert (np.asarray(getattr(compat.impl(data).contact, name)) == values).all()


@pytest.mark.parametrize("algorithm", ["Newton", thorough("CG")])  # the latter is MJX's, which reads MJX's factor
@pytest.mark.parametrize("jacobian", ["dense", thorough("sparse")])  # the mass matrix, too
def test_a_step_ends_where_mjx_ends_it(algorithm, jacobian):
    damped = f"""
    <mujoco>
      <option solver="{algorithm}" jacobian="{jacobian}" timestep=".02"/>
      <default><joint axis="0 1 0" damping="2" limited="true" range="-20 20"/></default>
      <worldbody>
        <body><joint/><geom size=".1" pos=".2 0 0"/>
          <body pos=".4 0 0"><joint/><geom size=".1" pos=".2 0 0"/></body>
        </body>
      </worldbody>
    </mujoco>
    """
    system = machine(damped)
    model, template = system.mjx_model, mjx.make_data(system.mj_model, impl="jax")

    @jax.jit
    @jax.vmap
    def both(qpos, qvel):
        data = template.replace(qpos=qpos, qvel=qvel)
        ours = forward.integrate(model, forward.forward(model, data))
        return [(d.qpos, d.qvel) for d in (ours, mjx.step(model, data))]

    qpos, qvel = np.random.default_rng(0).normal(size=(2, 16, 2)) * 0.5
    ours, theirs = both(qpos, qvel)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    assert (np.abs(theirs[1]) > 0.1).any()
