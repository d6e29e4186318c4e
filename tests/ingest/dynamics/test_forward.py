"""Parameters that MJX is given as constants are those that it would read."""

import jax
import numpy as np
import pytest
from machine import machine
from mujoco import mjx
from thoroughness import thorough

from jacdb.ingest.compat import mjx as compat
from jacdb.ingest.dynamics import forward

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
        ours, theirs = (find(model, solref, solimp, position) for find in (forward.impedance, compat.impedance))
        assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-14, atol=0), ours, theirs))


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
