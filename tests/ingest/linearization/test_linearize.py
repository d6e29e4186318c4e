"""Jacobians of any model's step, against centred differences of the C engine's own step: falling, touching, resting."""

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from c_differences import error, visited

import jacdb

pytestmark = pytest.mark.slow

# A free body, a hinge and a ball, on three kinds of contact.
BODY = """
<mujoco>
<option timestep="0.004" integrator="{integrator}" cone="{cone}" solver="{solver}" impratio="2"/>
<option tolerance="0" iterations="2000"/>
<default><geom friction="0.9 0.02 0.001"/></default>
<worldbody><geom type="plane" size="5 5 .1"/>
<body pos="0 0 .12"><freejoint/><geom type="sphere" size=".1" condim="3"/>
 <body pos="0.05 0 0.1"><joint name="h" axis="0 1 0.3" damping="0.1" stiffness="1" frictionloss=".02"/>
  <geom type="capsule" size=".04" fromto="0 0 0 .25 0 -0.05" condim="4"/>
  <body pos="0.25 0 0"><joint name="b" type="ball" damping="0.05"/>
   <geom type="sphere" size=".05" condim="6" pos="0.1 0 -0.1"/></body></body></body></worldbody>
<actuator>{actuators}</actuator></mujoco>"""
MUSCLE = '<muscle joint="h" ctrlrange="0 1" lengthrange="-1 1" force="10"/>'
STATEFUL = """
<general joint="h" dyntype="filter" dynprm="0.05" gainprm="3" biastype="affine" biasprm="0 -1 -.2"/>
<general joint="h" dyntype="filterexact" dynprm="0.03" gainprm="1" ctrlrange="-1 1"/>
<intvelocity joint="h" kp="3" actrange="-.5 .5"/>"""
SERVO = '<position joint="h" kp="5" kv="0.3" ctrlrange="-.5 .5" forcerange="-1 1"/>'
CASES = {
    "RK4, elliptic, muscle": ("RK4", "elliptic", "Newton", MUSCLE),
    "implicit, pyramidal, filters, PGS": ("implicit", "pyramidal", "PGS", STATEFUL),
    "implicitfast, elliptic, servo, CG": ("implicitfast", "elliptic", "CG", SERVO),
}
NOISE = 1e-7  # of the differences: on a cone they bend


def compiled(integrator: str, cone: str, solver: str, actuators: str) -> mujoco.MjModel:
    text = BODY.format(integrator=integrator, cone=cone, solver=solver, actuators=actuators)
    return mujoco.MjModel.from_xml_string(text)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_a_step_of_any_integrator_cone_solver_and_actuator_is_the_c_engines(case):
    model = compiled(*CASES[case])
    at = visited(model, 40)
    steps = jacdb.linearize(model, **at, substeps=2)
    assert 5 < steps.in_contact.sum() < 40, "the states are of both kinds"
    assert steps.residual.max() < 1e-8
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)
    for row in range(0, 40, 3):
        assert error(model, {name: values[row] for name, values in at.items()}, 2, exact[row]) < NOISE, row


@pytest.mark.thorough
def test_a_hopper_over_four_rk4_steps_is_the_c_engines_to_1e_7():
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "hopper.xml"
    model = mujoco.MjModel.from_xml_path(str(path))
    at = visited(model, 48)
    steps = jacdb.linearize(model, **at, substeps=4)
    assert 5 < steps.in_contact.sum() < 48
    assert steps.zero_state[:, :, 0].sum() == 48 * (2 * model.nv - 1), "nothing depends on where the hopper is, but x"
    for row in range(0, 48, 4):
        exact = np.concatenate([steps.j_state[row], steps.j_action[row]], axis=1)
        assert error(model, {name: values[row] for name, values in at.items()}, 4, exact) < 1e-7, row


# A ball and a free body with springs, and servos of a ball's rotation and of one site's pose against another's.
AT_REFERENCE = """
<mujoco><option timestep="0.01" gravity="0 0 0"/><default><geom contype="0" conaffinity="0"/></default>
<worldbody><site name="fixed"/>
<body><joint name="b" type="ball" stiffness="2" damping=".01"/>
 <geom type="capsule" size=".03" fromto="0 0 0 .2 .05 0"/><site name="moved"/></body>
<body pos="1 0 0"><joint name="f" type="free" stiffness="3"/><geom type="box" size=".1 .2 .3"/></body></worldbody>
<actuator><position joint="b" gear="1 .5 .2" kp="3"/>
 <position site="moved" refsite="fixed" gear="0 0 0 .3 1 .5" kp="4"/></actuator></mujoco>"""


@pytest.mark.thorough
def test_springs_and_servos_of_rotations_have_their_stiffness_at_the_reference():
    """There the rotation is zero, and MJX's own derivative of it."""
    model = mujoco.MjModel.from_xml_string(AT_REFERENCE)
    opposite = model.qpos0 * np.array([-1, -1, -1, -1, 1, 1, 1, -1, -1, -1, -1])
    qpos, zeros = np.stack([model.qpos0, opposite]), np.zeros((2, model.nv))
    steps = jacdb.linearize(model, qpos, zeros, np.zeros((2, model.nu)), substeps=2)
    for row in range(2):
        at = {"qpos": qpos[row], "qvel": zeros[0], "qacc_warmstart": zeros[0], "ctrl": np.zeros(2), "act": np.zeros(0)}
        exact = np.concatenate([steps.j_state[row], steps.j_action[row]], axis=1)
        assert error(model, at, 2, exact) < NOISE, row


# What has no contact in closed form: boxes, a mesh, a cylinder and an ellipsoid against each other.
SOLIDS = """
<mujoco><option timestep="0.004" tolerance="0" iterations="2000" cone="elliptic"/>
<asset><mesh name="wedge" vertex="-.1 -.1 -.05 .1 -.1 -.05 0 .12 -.05 0 0 .1"/></asset>
<worldbody><geom type="box" size="1 1 .1" pos="0 0 -.1" euler="3 2 0"/>
<body pos="0 0 .12"><freejoint/><geom type="box" size=".12 .1 .05" condim="4" friction="0.9 0.02 0.001"/>
 <body pos="0.2 0 0.05"><joint name="h" axis="0 1 0.3" damping="0.1" stiffness="1"/>
  <geom type="cylinder" size=".05 .08" euler="20 80 0"/></body></body>
<body pos=".03 0 .35"><freejoint/><geom type="mesh" mesh="wedge"/>
 <geom type="ellipsoid" size=".05 .07 .09" pos="0 0.15 0"/></body></worldbody>
<actuator><motor joint="h"/></actuator></mujoco>"""


@pytest.mark.thorough
def test_contacts_of_solids_are_the_c_engines_and_move_as_its_own_do():
    model = mujoco.MjModel.from_xml_string(SOLIDS)
    at = visited(model, 45, length=135)
    steps = jacdb.linearize(model, **at, substeps=2)
    assert steps.n_contacts.max() > 1
    followed = np.flatnonzero(np.isfinite(steps.residual))
    assert len(followed) > 30 and steps.residual[followed].max() < 1e-6
    assert (steps.zero_state & ~steps.in_contact[:, None, None]).sum() > 0, "in the air the two bodies do not meet"
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)
    errors = [error(model, {name: rows[row] for name, rows in at.items()}, 2, exact[row]) for row in followed[::3]]
    assert np.median(errors) < 1e-7 and np.max(errors) < 1e-5, errors


LOOPS = """
<mujoco><option timestep="0.004" tolerance="0" iterations="2000"/><default><geom contype="0"/></default><worldbody>
<body name="a" pos="0 0 .3"><joint type="ball"/><geom type="box" size=".1 .08 .05" pos=".1 0 0"/>
 <site name="s" pos=".1 .02 .03" euler="20 10 0"/>
 <body name="b" pos="0.2 0 0"><joint name="h" axis="0 1 .3"/><geom type="capsule" size=".03" fromto="0 0 0 .2 0 0"/>
 </body></body>
<body name="d" pos="0.3 .2 .4"><joint type="ball"/><geom size=".06" pos="0 .1 0"/><site name="t" pos="-.02 .1 .03"/>
</body></worldbody>
<equality><connect body1="b" anchor=".15 .02 .01" solref="0.03 1"/><connect site1="s" site2="t" active="false"/>
<weld body1="a" body2="d" torquescale="0.7" solref="0.05 0.9" solimp="0.8 0.9 0.01"/><weld site1="s" site2="t"/>
</equality>
<actuator><motor joint="h"/></actuator></mujoco>"""


@pytest.mark.thorough
def test_connects_and_welds_are_the_c_engines_with_the_rate_of_their_jacobian():
    model = mujoco.MjModel.from_xml_string(LOOPS)
    at = visited(model, 12)
    at["qvel"] += np.random.default_rng(1).normal(size=at["qvel"].shape)
    steps = jacdb.linearize(model, **at, substeps=2)
    assert steps.residual.max() < 1e-10
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)
    for row in range(12):
        assert error(model, {name: values[row] for name, values in at.items()}, 2, exact[row]) < NOISE, row


SPINNING = """
<mujoco><option timestep="0.005" integrator="implicitfast"><flag contact="disable" energy="enable" fwdinv="enable"/>
</option><worldbody>
<body name="alone"><freejoint/><geom type="box" size=".3 .1 .05" pos=".1 .02 .03" euler="10 20 30"/></body>
<body><joint name="h" axis="0 1 .3" damping=".1"/><geom size=".1" pos=".1 0 0"/></body>
</worldbody><actuator><motor joint="h"/></actuator>
<sensor><contact body1="alone"/><user dim="2"/></sensor></mujoco>"""


@pytest.mark.thorough
def test_implicitfast_takes_gyroscopic_forces_of_lone_free_bodies_implicitly():
    model = mujoco.MjModel.from_xml_string(SPINNING)
    at = visited(model, 6)
    at["qvel"] += 10 * np.random.default_rng(2).normal(size=at["qvel"].shape)
    steps = jacdb.linearize(model, **at, substeps=2)
    assert steps.residual.max() < 1e-13
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)
    for row in range(6):
        assert error(model, {name: values[row] for name, values in at.items()}, 2, exact[row]) < 1e-8, row
    hinge, alone = [6, 13], [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert not exact[:, hinge][:, :, alone].any() and not exact[:, alone][:, :, [*hinge, 14]].any(), (
        "nothing joins them"
    )


GRIPPER = """<mujoco><option timestep="0.01" tolerance="0" integrator="implicitfast"/>
<default><geom contype="0"/></default><worldbody>
<body><joint name="left" axis="0 1 0"/><geom size=".05" pos=".2 .1 0" mass="1"/>
<body pos=".4 0 0"><joint name="tip" axis="0 1 0"/><geom size=".05" pos=".1 0 0" mass=".3"/></body></body>
<body><joint name="right" axis="0 1 0"/><geom size=".05" pos=".3 0 .1" mass=".5"/></body></worldbody>
<tendon><fixed armature=".7"><joint joint="left" coef="1"/><joint joint="tip" coef=".4"/>
<joint joint="right" coef="-1.5"/></fixed></tendon><actuator>
<damper joint="right" kv="2" ctrlrange="0 1"/><damper joint="left" kv="1" ctrlrange="0 5"/>
</actuator></mujoco>"""


@pytest.mark.thorough
def test_armature_of_tendons_between_branches_and_dampers_beyond_ctrlrange_are_the_c_engines():
    model = mujoco.MjModel.from_xml_string(GRIPPER)
    at = {"qpos": [0.3, -0.2, 0.4], "qvel": [1.0, -0.5, -1.0], "ctrl": [1.5, 3.0]}
    steps = jacdb.linearize(model, **at, substeps=2)
    assert steps.residual.max() < 1e-13
    exact = np.concatenate([steps.j_state[0], steps.j_action[0]], axis=1)
    whole = {name: np.array(values) for name, values in {**at, "act": [], "qacc_warmstart": [0.0] * 3}.items()}
    assert error(model, whole, 2, exact) < 1e-8
    assert not steps.j_action[0, :, 0].any() and steps.j_action[0, :, 1].any(), "ctrl is beyond its range, and within"


CONSTRAINED = """<mujoco><option timestep="0.004" gravity="0 0 0" tolerance="0" cone="{cone}">
<flag refsafe="{refsafe}"/></option><default><geom contype="0" size=".1" solref="{solref}" solimp="{solimp}"/>
<joint type="slide" axis="1 0 0"/><equality solref="{solref}" solimp="{solimp}"/></default>
<worldbody><geom type="plane" size="1 1 .1" conaffinity="1" contype="1"/>
<body pos="0 0 .1"><joint/><joint axis="0 0 1"/><geom contype="1"/></body>
<body><joint limited="true" range="0 1" solreflimit="{solref}" solimplimit="{solimp}"/><geom conaffinity="0"/></body>
<body><joint frictionloss="5" solreffriction="{solref}" solimpfriction="{solimp}"/><geom conaffinity="0"/></body>
<body><joint name="e"/><geom conaffinity="0"/></body>
<body name="p"><joint/><joint axis="0 1 0"/><geom conaffinity="0"/></body>
<body name="w"><joint/><joint type="hinge" axis="0 1 0"/><geom pos=".1 0 0" conaffinity="0"/></body>
<body><joint name="l"/><geom conaffinity="0"/></body><body><joint name="f"/><geom conaffinity="0"/></body></worldbody>
<equality><joint joint1="e"/><connect body1="p" anchor="0 0 0"/><weld body1="w"/></equality><tendon>
<fixed limited="true" range="0 1" solreflimit="{solref}" solimplimit="{solimp}"><joint joint="l" coef="1"/></fixed>
<fixed frictionloss="5" solreffriction="{solref}" solimpfriction="{solimp}"><joint joint="f" coef="1"/></fixed>
</tendon></mujoco>"""
PARAMETERS = {  # MJX has other rules for each of them
    "without width": (".02 1", ".5 .9 0"),
    "falling": (".02 1", ".9 .5 .01"),
    "no damping ratio": (".02 0", ".9 .95 .01 0 5"),
    "no time constant": ("0 1", ".8 .95 .01 1 1"),
    "stiffness without damping": ("-100 1", ".8 .95 .01 .5 5"),
    "falling, direct": ("-1000 -20", ".95 .8 .01 .3 3"),
    "damping without stiffness": (".02 -5", ".95 .8 .01 1 2"),
    "without width, direct": ("-1000 -20", ".4 .8 0"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", PARAMETERS)
def test_impedances_of_every_constraint_are_the_c_engines(name):
    solref, solimp = PARAMETERS[name]
    cone, refsafe = ("elliptic", "disable") if "out" in name else ("pyramidal", "enable")
    model = mujoco.MjModel.from_xml_string(CONSTRAINED.format(solref=solref, solimp=solimp, cone=cone, refsafe=refsafe))
    rng = np.random.default_rng(0)
    qpos = -np.array([0.0, *rng.uniform(0.001, 0.009, model.nq - 1)])
    qvel = np.array([0.01, *rng.uniform(-1e-3, 0, model.nv - 1)])
    mujoco.set_mju_user_warning(lambda text: None)
    steps = jacdb.linearize(model, qpos, qvel)
    at = {"qpos": qpos, "qvel": qvel, "ctrl": np.zeros(0), "act": np.zeros(0), "qacc_warmstart": np.zeros(model.nv)}
    missed = error(model, at, 1, steps.j_state[0])
    mujoco.set_mju_user_warning(None)
    assert steps.in_contact[0] and steps.residual[0] < 1e-12
    assert missed < NOISE


RESTING = """<mujoco><option timestep="0.01" tolerance="0">{}</option><worldbody><body>
<joint name="h" axis="0 1 0" damping="3"/><geom size=".1" pos=".2 0 0"/></body></worldbody><tendon>
<fixed stiffness="{}"><joint joint="h" coef="1"/></fixed></tendon></mujoco>"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("flag", "stiffness"),
    [("", 50), ('<flag spring="disable" damper="disable"/>', 50), ('<flag damper="disable"/>', 0)],
    ids=["acting", "disabled", "damper disabled"],
)
def test_tendons_spring_at_their_rest_length_and_disabled_dampers_do_not_damp(flag, stiffness):
    model = mujoco.MjModel.from_xml_string(RESTING.format(flag, stiffness))
    at = {"qpos": [0.0], "qvel": [1.0], "ctrl": [], "act": [], "qacc_warmstart": [0.0]}
    whole = {name: np.array(values) for name, values in at.items()}
    steps = jacdb.linearize(model, **at)
    assert steps.residual.max() < 1e-13
    assert error(model, whole, 1, steps.j_state[0]) < 1e-8


@pytest.mark.thorough
@pytest.mark.parametrize(("engine", "grows"), [("c", 1 + 0.01 * 0.5), ("mjx", 1 / (1 - 0.01 * 0.5))])
def test_negative_damping_alone_is_explicit_by_euler_of_c_and_implicit_by_mjx(engine, grows):
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><option timestep=".01" gravity="0 0 0"/><worldbody><body><joint damping="-.5"/>'
        '<inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/></body></worldbody></mujoco>'
    )
    steps = jacdb.linearize(model, [0.1], [2.0], engine=engine)
    assert steps.residual[0] < 1e-12 and steps.next_state[0, 1] == pytest.approx(2 * grows, rel=1e-14)
    np.testing.assert_allclose(steps.j_state[0], [[1, 0.01 * grows], [0, grows]], rtol=1e-13)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "option",
    ['density="99" viscosity="1"><flag spring="disable" damper="disable"/>', 'integrator="implicitfast" wind="1 0 0">'],
    ids=["disabled", "wind without a medium"],
)
def test_a_medium_that_does_not_act_has_no_derivative(option):
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><option timestep=".01" {option}</option><worldbody><body><joint axis="0 1 0"/>'
        '<geom size=".1" pos=".2 0 0"/></body></worldbody></mujoco>'
    )
    at = {"qpos": [0.3], "qvel": [2.0], "ctrl": [], "act": [], "qacc_warmstart": [0.0]}
    steps = jacdb.linearize(model, **at)
    assert error(model, {name: np.array(values) for name, values in at.items()}, 1, steps.j_state[0]) < 1e-8
