"""Where a tendon's segment has no length: a spring at rest has its stiffness, and what has no derivative is told."""

import mujoco
import numpy as np
import pytest
from c_differences import error

import jacdb
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.evaluations import Start
from jacdb.ingest.linearization.vanishing_segments import VanishingSegments

HAND = """<mujoco><option timestep=".01" gravity="0 0 0" integrator="{integrator}"/><worldbody>
<site name="target"/><site name="far" pos="1 0 .2"/><geom name="post" type="sphere" size=".05" pos="3 0 0"/>
<body><joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
<joint axis="0 0 1" pos=".1 .2 0"/><geom size=".1" pos=".05 .1 0" mass="1"/><site name="hand"/>
<site name="side" pos=".1 0 .2"/>
<body><joint axis="1 1 0"/><geom size=".05" pos="0 .1 .1" mass=".2"/><site name="wrist"/></body></body></worldbody>
<tendon><spatial name="pull" {pull}>{path}</spatial><spatial name="pushes" stiffness="9" springlength=".1 1">
<site site="far"/><site site="side"/></spatial><fixed name="x"><joint joint="x" coef="1"/></fixed></tendon>
{more}</mujoco>"""
STRAIGHT = '<site site="target"/><site site="hand"/>'
AROUND = '<site site="target"/><geom geom="post"/><site site="hand"/>'
PULLEY = STRAIGHT + '<pulley divisor="2"/><site site="far"/><site site="side"/>'
JOINT = '<site site="hand"/><site site="wrist"/><site site="far"/>'
SPRING = 'stiffness="50" springlength="0"'
MOTOR, SERVO = (f'<actuator><{kind} tendon="pull"/></actuator>' for kind in ("motor", 'position kp="30"'))
EQUAL = '<equality><tendon tendon1="pull" tendon2="x"/></equality>'


def hand(pull: str, path: str = STRAIGHT, more: str = "", integrator: str = "Euler") -> mujoco.MjModel:
    """A hand at its target, on the end of a tendon."""
    return mujoco.MjModel.from_xml_string(HAND.format(pull=pull, path=path, more=more, integrator=integrator))


def at_reset(model: mujoco.MjModel, velocity: float = 0.0, ctrl: float = 0.0) -> Start:
    still = np.zeros((1, model.nv))
    none = np.zeros((1, 0)), np.zeros((1, 0, 3)), np.zeros((1, 0, 4))
    return Start(model.qpos0[None], still + velocity, none[0], np.full((1, model.nu), ctrl), still, *none[1:])


@pytest.mark.parametrize(
    ("model", "substeps", "ctrl", "velocity", "known"),
    [
        (hand(SPRING), 2, 0, 0.3, True),
        (hand('stiffness="50"'), 2, 0, 0.3, True),  # the rest length is that of qpos0
        (hand(SPRING, integrator="RK4"), 1, 0, 0.3, True),
        (hand(SPRING, AROUND), 1, 0, 0, False),
        (hand('stiffness="50" springlength="0 .3"', AROUND), 2, 0, 0.3, True),
        (hand('stiffness="50"', PULLEY), 1, 0, 0, False),
        (hand('stiffness="50" springlength="0 9"', PULLEY), 2, 0, 0.3, True),
        (hand('stiffness="50" damping="2" range="0 2" margin="2"', JOINT), 2, 0, 0.3, True),  # a hinge parts no sites
        (hand('stiffness="50" springlength=".1"'), 1, 0, 0, False),
        (hand('damping="2"'), 1, 0, 0, True),
        (hand('damping="2"'), 2, 0, 0, False),
        (hand('damping="2"'), 1, 0, 0.3, False),
        (hand('damping="2"', integrator="implicit"), 1, 0, 0, False),
        (hand('damping="2"', integrator="RK4"), 1, 0, 0, False),
        (hand('range="0 1"'), 2, 0, 0.3, True),
        (hand('range="0 1" margin=".01"'), 1, 0, 0, False),
        (hand('frictionloss=".1"'), 1, 0, 0, False),
        (hand("", more=EQUAL), 1, 0, 0, False),
        (hand("", more=MOTOR), 1, 0, 0.3, True),
        (hand("", more=MOTOR), 2, 0, 0, False),
        (hand("", more=MOTOR), 1, 1, 0, False),
        (hand("", more=SERVO), 1, 0, 0, False),
        (hand(""), 2, 0, 0.3, True),
    ],
)  # fmt: skip
def test_a_segment_without_length_has_a_derivative_where_its_force_does_not_turn(
    model, substeps, ctrl, velocity, known
):
    start = at_reset(model, velocity, ctrl)
    lost = VanishingSegments(model).without_derivative(start, CEngine(model, substeps).solve(start), np.arange(1))
    assert lost.tolist() == [0] * (not known)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("integrator", "engine", "substeps"),
    [
        ("Euler", "c", 2),
        *(
            pytest.param(*case, marks=pytest.mark.thorough)
            for case in (("RK4", "c", 1), ("implicit", "c", 2), ("implicitfast", "c", 2), ("implicitfast", "mjx", 2))
        ),
    ],
)
def test_a_spring_at_a_point_has_its_stiffness_and_one_that_pushes_no_derivative(integrator, engine, substeps):
    model = hand(SPRING, integrator=integrator)
    at_target, at_far = at_reset(model, velocity=0.3), np.array([[0.9, 0, 0, 0]])
    qpos, qvel = np.concatenate([at_target.qpos, at_far]), np.repeat(at_target.qvel, 2, axis=0)
    steps = jacdb.linearize(model, qpos, qvel, substeps=substeps, engine=engine)
    at = {name: leaf[0] for name, leaf in at_target._asdict().items()}
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)[0]
    assert steps.residual[0] < 1e-12 and error(model, at, substeps, exact) < 1e-7
    assert steps.residual[1] == np.inf, "a spring that is too short pushes whichever way the sites part"
