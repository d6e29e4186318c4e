"""Whether the engine's solver explains a residual."""

import mujoco
import numpy as np
import pytest

from jacdb.ingest.linearization import early_stops
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.evaluations import Solved, Start

XML = """<mujoco><option iterations="{}" tolerance="0" integrator="{}"><flag invdiscrete="{}"/></option>
<worldbody>{}<body pos="0 0 .09"><freejoint/>
<geom type="box" size=".1 .1 .1" mass="1"/><body pos=".1 0 .1"><joint axis="0 1 0" damping="5"{}/>
<geom size=".05" pos=".1 0 0"/></body></body></worldbody></mujoco>"""
FLOOR, FRICTION = '<geom type="plane" size="1 1 1"/>', ' frictionloss=".1"'


@pytest.mark.parametrize(
    ("iterations", "inverse", "floor", "friction", "expected"),
    [
        (1, "disable", FLOOR, FRICTION, True),
        (100, "disable", FLOOR, FRICTION, False),
        (100, "enable", FLOOR, FRICTION, False),
        (1, "disable", "", "", False),
    ],
)
def test_the_solver_explains_a_residual_only_where_it_left_one(iterations, inverse, floor, friction, expected):
    """On a plane, with one iteration and with enough, by either inverse; and without any constraint."""
    model, start, solved = stepped(iterations, "implicitfast", inverse, floor, friction)
    assert early_stops.explained(model, start, solved, np.array([0.01])).tolist() == [expected]


def test_the_solver_explains_what_implicit_damping_makes_of_an_early_stop():
    """The velocity follows forces that were found at another acceleration: it misses the balance 400 times as far."""
    model, start, solved = stepped(2, "Euler", "disable", FLOOR, FRICTION)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = start.qpos[0], start.qvel[0]
    mujoco.mj_forward(model, data)
    forces = np.linalg.norm(data.qfrc_smooth) + np.linalg.norm(data.qfrc_constraint)
    mujoco.mj_compareFwdInv(model, data)
    left_by_the_solver = data.solver_fwdinv[1] / forces
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    damped = mass + model.opt.timestep * np.diag(model.dof_damping)
    data.qacc[:] = np.linalg.solve(mass, damped @ solved.qacc[0, 0])
    mujoco.mj_inverse(model, data)
    residual = np.linalg.norm(data.qfrc_inverse) / forces
    assert residual > 100 * left_by_the_solver
    assert early_stops.explained(model, start, solved, np.array([residual])).tolist() == [True]


def stepped(
    iterations: int, integrator: str, inverse: str, floor: str, friction: str
) -> tuple[mujoco.MjModel, Start, Solved]:
    model = mujoco.MjModel.from_xml_string(XML.format(iterations, integrator, inverse, floor, friction))
    qpos = np.array([[0, 0, 0.09, 1, 0, 0, 0, 0.0]])
    empty, none = np.zeros((1, 0)), (np.zeros((1, 0, 3)), np.zeros((1, 0, 4)))
    start = Start(qpos, np.full((1, model.nv), 0.3), empty, empty, np.zeros((1, model.nv)), *none)
    return model, start, CEngine(model, 1).solve(start)
