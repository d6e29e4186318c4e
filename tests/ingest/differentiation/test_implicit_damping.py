"""What the integrators of C and MJX damp implicitly."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import implicit_damping
from jacdb.ingest.differentiation.solution import stages_model
from jacdb.ingest.dynamics import forward

COASTING = """<mujoco><option timestep="0.01" gravity="0 0 0"><flag damper="{}"/></option><worldbody><body>
<joint name="x" type="slide" axis="1 0 0" damping="{}"/><joint type="slide" axis="0 1 0" damping="{}"/>
<geom size=".1" mass="1"/></body></worldbody><actuator><motor joint="x" damping="{}"/></actuator></mujoco>"""


@pytest.mark.parametrize(
    ("damper", "x", "y", "actuator", "implicitly"),
    [
        ("enable", -0.5, 0, 0, False),
        ("enable", -0.5, -0.3, 0, False),
        ("enable", -0.5, 0.3, 0, True),
        ("enable", -0.5, 0, 1, True),
        ("disable", -0.5, 0.3, 0, False),
        ("enable", 0.5, 0, 0, True),
    ],
)
def test_euler_damps_negatively_damped_joints_implicitly_beside_a_damped_one(damper, x, y, actuator, implicitly):
    model = mujoco.MjModel.from_xml_string(COASTING.format(damper, x, y, actuator))
    model.actuator_damping[:] = 0  # C goes by whether an actuator may damp, not by how much
    data = mujoco.MjData(model)
    data.qvel[:] = 1
    mujoco.mj_step(model, data)
    damping = np.zeros(2) if damper == "disable" else np.array([x, y])
    explicit, implicit = -damping, -damping / (1 + 0.01 * damping)
    np.testing.assert_allclose((data.qvel - 1) / 0.01, implicit if implicitly else explicit, atol=1e-12)
    assert implicit_damping.by_euler(model, "c") == implicitly
    assert implicit_damping.by_euler(model, "mjx"), "whatever the sign, and the flag"


FINGERS = """<mujoco><option timestep="0.01" integrator="implicitfast" gravity="0 0 0"/><worldbody>
<body pos="0 .1 0"><joint name="left" type="slide" axis="0 1 0"/><geom size=".05" mass="1" contype="0"/>
 <body><joint name="tip" axis="1 0 .2" damping=".1"/><geom size=".02" pos="0 0 .1" mass=".1" contype="0"/></body></body>
<body pos="0 -.1 0"><joint name="right" type="slide" axis="0 -1 0"/><geom size=".05" mass="2" contype="0"/></body>
</worldbody><tendon><fixed name="both" damping="20"><joint joint="left" coef="1"/><joint joint="right" coef="1"/>
<joint joint="tip" coef=".1"/></fixed></tendon><actuator><position tendon="both" kp="50" kv="7"/></actuator></mujoco>"""


CLAMPED = """<mujoco><option timestep="0.01" integrator="implicitfast" gravity="0 0 0"/><worldbody>
<body><joint name="a" axis="0 1 0" damping=".3" actuatorfrcrange="-.5 .5"/><geom size=".1" pos=".2 0 0" contype="0"/>
 <body pos=".4 0 0"><joint name="b" axis="0 1 0"/><geom size=".1" pos=".2 0 0" contype="0"/>
  <body pos=".4 0 0"><joint name="c" axis="0 1 0"/><geom size=".1" pos=".2 0 0" contype="0"/></body></body></body>
</worldbody><tendon>
<fixed name="free"><joint joint="a" coef="1"/><joint joint="b" coef="-2"/></fixed>
<fixed name="held" actuatorfrcrange="-.3 .3"><joint joint="b" coef="1"/><joint joint="c" coef="-1"/></fixed>
</tendon><actuator><position joint="a" kp="20" kv="3"/><position tendon="free" kp="50" kv="7"/>
<position tendon="held" kp="50" kv="2"/><motor tendon="held"/><velocity joint="c" kv="4"/></actuator></mujoco>"""


@pytest.mark.thorough
def test_actuators_whose_joint_or_tendon_has_all_its_force_do_not_damp():
    runtime.configure()
    model = mujoco.MjModel.from_xml_string(CLAMPED)
    on_mjx, template, data = mjx.put_model(model, impl="jax"), mjx.make_data(model, impl="jax"), mujoco.MjData(model)
    for ctrl in ([2, 1, 1, 0.3, 0], [0.31, 0.3, -0.1, 0.01, 0.5]):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = [0.3, -0.4, 0.2], [0.1, 0.05, -0.02], ctrl
        at = {name: jnp.array(getattr(data, name)) for name in ("qpos", "qvel", "ctrl")}
        mujoco.mj_step(model, data)
        of_c = np.zeros((3, 3))
        mujoco.mju_sparse2dense(of_c, data.qDeriv, model.D_rownnz, model.D_rowadr, model.D_colind)
        damping = np.asarray(implicit_damping.of_c(model)(on_mjx, forward.unsolved(on_mjx, template.replace(**at))))
        np.testing.assert_allclose(damping, of_c, atol=1e-13)
        assert abs(data.qfrc_actuator[0]) == 0.5, "the joint's limit holds"


@pytest.mark.thorough
def test_a_tendon_damps_each_of_two_fingers_by_its_own_velocity():
    runtime.configure()
    model = mujoco.MjModel.from_xml_string(FINGERS)
    data = mujoco.MjData(model)
    velocity = data.qvel[:] = np.array([1.0, 3.0, 0.2])
    at = mjx.make_data(model, impl="jax").replace(qvel=jnp.array(velocity))
    on_mjx = mjx.put_model(model, impl="jax")
    damping = np.asarray(implicit_damping.of_c(model)(on_mjx, forward.unsolved(on_mjx, at)))
    assert damping[0, 2] == damping[2, 1] == 0 and damping[0, 1] != 0
    mujoco.mj_forward(model, data)
    mass, acceleration, step = np.zeros((3, 3)), data.qacc.copy(), model.opt.timestep
    mujoco.mj_fullM(model, data, mass)
    mujoco.mj_step(model, data)
    damped = (mass - step * damping) @ (data.qvel - velocity) / step
    np.testing.assert_allclose(damped, mass @ acceleration, rtol=1e-12)


SLIDES = """<body><joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
<joint name="yaw" axis="0 0 1"/><geom type="box" size=".2 .15 .1" mass="5"/><site name="s" pos=".2 0 0"/></body>"""
FREE = '<body><freejoint/><geom type="box" size=".2 .15 .1" mass="5"/><site name="s" pos=".2 0 0"/></body>'
DRIVEN = """<mujoco><option timestep="0.01" integrator="{}" gravity="0 0 0"><flag clampctrl="{}"/></option><worldbody>{}
</worldbody><actuator><velocity site="s" gear="1 .5 0 .1 .2 .7" kv="20"/>
<general site="s" gear="0 1 0 .3 0 .4" gaintype="affine" gainprm="1 0 -30" ctrlrange="-1 .5"/></actuator></mujoco>"""


@pytest.mark.thorough
@pytest.mark.parametrize("integrator", ["implicitfast", "implicit"])
@pytest.mark.parametrize("bodies", [SLIDES, FREE], ids=["slides", "free"])
def test_bodies_of_diagonal_mass_are_damped_by_clamped_ctrl_where_c_keeps_the_damping(integrator, bodies):
    runtime.configure()
    for clamps in ("enable", "disable"):
        model = mujoco.MjModel.from_xml_string(DRIVEN.format(integrator, clamps, bodies))
        data, ctrl = mujoco.MjData(model), np.array([0.4, 2.0])
        assert model.dof_simplenum.all()
        mass, step = np.zeros((model.nv, model.nv)), model.opt.timestep
        data.ctrl[:] = ctrl
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, mass)
        acceleration = data.qacc.copy()
        mujoco.mj_step(model, data)  # from rest: there are no Coriolis forces
        stages = stages_model(model, "c")
        on_mjx, at = mjx.put_model(stages, impl="jax"), mjx.make_data(stages, impl="jax").replace(ctrl=jnp.array(ctrl))
        damping = np.asarray(implicit_damping.of_c(model)(on_mjx, forward.unsolved(on_mjx, at)))
        np.testing.assert_allclose((mass - step * damping) @ data.qvel / step, mass @ acceleration, atol=1e-12)
