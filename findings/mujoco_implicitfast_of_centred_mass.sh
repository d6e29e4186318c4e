#!/usr/bin/env bash
# A micrometre between a body's mass and its joints changes by 3 % how implicitfast damps it.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   the step depends continuously on where the mass is; joints of one body are damped together, as in a chain.
# Happens:    MuJoCo marks a body whose mass matrix is diagonal as "simple" (slides, or slides and a hinge through its centre:
#             a mobile base), and implicitfast keeps of the damping's derivative what the mass matrix has entries for: the
#             diagonal. Damping of a tendon or an actuator that couples two slides of this body is half explicit. Moved by
#             1e-6 m the body is no longer simple, and all of it is implicit, as `implicit` has it in both places.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np

STEP, DAMPING = 0.01, 20.0
XML = f"""
<mujoco>
  <option timestep="{STEP}" integrator="%s" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="x" type="slide" axis="1 0 0"/> <joint name="y" type="slide" axis="0 1 0"/>
      <joint name="yaw" axis="0 0 1"/>
      <geom type="box" size=".2 .15 .1" mass="1" contype="0" pos="%s 0 0"/>
    </body>
  </worldbody>
  <tendon> <fixed damping="{DAMPING}"> <joint joint="x" coef="1"/> <joint joint="y" coef="1"/> </fixed> </tendon>
</mujoco>
"""
force = -DAMPING * np.array([1, 1])  # of a velocity of 1 along x
both = np.array([1, 0]) + STEP * np.linalg.solve(np.eye(2) + STEP * DAMPING * np.ones((2, 2)), force)
each = np.array([1, 0]) + STEP * force / (1 + STEP * DAMPING)
for integrator in ("implicitfast", "implicit"):
    for place in ("0", "1e-6"):
        model = mujoco.MjModel.from_xml_string(XML % (integrator, place))
        data = mujoco.MjData(model)
        data.qvel[0] = 1
        mujoco.mj_step(model, data)
        print(integrator, place, "simple", model.dof_simplenum.tolist(), "velocity", data.qvel[:2].round(5).tolist())
        expected = each if (integrator, place) == ("implicitfast", "0") else both
        assert np.allclose(data.qvel[:2], expected, atol=1e-6), "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   implicitfast 0 simple [3, 2, 1] velocity [0.83333, -0.16667]
#   implicitfast 1e-6 simple [0, 0, 0] velocity [0.85714, -0.14286]
#   implicit 0 simple [3, 2, 1] velocity [0.85714, -0.14286]
#   implicit 1e-6 simple [0, 0, 0] velocity [0.85714, -0.14286]
