"""Where a tendon touches what it wraps around, and wraps by no angle."""

import mujoco
import numpy as np
import pytest
from c_differences import error

import jacdb

# The sites `before`, `side` and `after` lie on a line that touches their pulley. The tendon `grazes` does where h is 0.
PULLEYS = mujoco.MjModel.from_xml_string("""<mujoco><option timestep=".01" gravity="0 0 0"/><worldbody>
<site name="far" pos=".1 0 .2"/><site name="near" pos="-.2 1 .05"/>
<geom name="drum" type="cylinder" size=".05 .1" pos="0 1 0" euler="90 0 0"/>
<body><joint axis="0 1 0" damping=".1"/><joint type="slide" axis="1 0 .5"/>
<geom name="pulley" type="cylinder" size=".05 .1" euler="90 0 0"/>
<site name="before" pos="-.2 0 .05"/><site name="side" pos="0 0 .05"/><site name="after" pos=".1 0 .05"/></body>
<body pos=".1 1 .05"><joint name="h" axis="0 1 0"/><geom size=".02" pos=".1 0 0"/><site name="end" pos=".1 0 0"/></body>
</worldbody><tendon>
<spatial stiffness="50" springlength=".1"><site site="far"/><site site="before"/><geom geom="pulley" sidesite="side"/>
<site site="after"/></spatial>
<spatial name="grazes"><site site="near"/><geom geom="drum"/><site site="end"/></spatial>
</tendon></mujoco>""")


@pytest.mark.slow
def test_a_tendon_that_wraps_by_no_angle_has_its_derivative_or_none_is_claimed():
    """Of an arc of no length MJX's derivative is NaN; the tendon's Jacobian is the same derivative."""
    qpos = np.array([[0.3, 0.02, 0.2], [-0.1, 0.02, 0.2], [0.3, 0.02, 0.0]])
    qvel = np.full((3, PULLEYS.nv), 0.3)
    steps = jacdb.linearize(PULLEYS, qpos, qvel, substeps=1)
    for row in range(2):
        at = {"qpos": qpos[row], "qvel": qvel[row], "ctrl": [], "act": [], "qacc_warmstart": np.zeros(PULLEYS.nv)}
        exact = np.concatenate([steps.j_state, steps.j_action], axis=2)[row]
        assert steps.residual[row] < 1e-12 and error(PULLEYS, at, 1, exact) < 1e-7
    assert steps.residual[2] == np.inf, "its Jacobian, too, has no derivative by MJX"
