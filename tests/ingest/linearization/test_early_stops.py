"""Whether the engine's solver explains a residual."""

import mujoco
import numpy as np
import pytest

from jacdb.ingest.linearization import early_stops
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.evaluations import Start

XML = """<mujoco><option iterations="{}" tolerance="0" integrator="implicitfast"><flag invdiscrete="{}"/></option>
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
    model = mujoco.MjModel.from_xml_string(XML.format(iterations, inverse, floor, friction))
    qpos = np.array([[0, 0, 0.09, 1, 0, 0, 0, 0.0]])
    empty, none = np.zeros((1, 0)), (np.zeros((1, 0, 3)), np.zeros((1, 0, 4)))
    start = Start(qpos, np.full((1, model.nv), 0.3), empty, empty, np.zeros((1, model.nv)), *none)
    solved = CEngine(model, 1).solve(start)
    assert early_stops.explained(model, start, solved, np.array([0.01])).tolist() == [expected]
