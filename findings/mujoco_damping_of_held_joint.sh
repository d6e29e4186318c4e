#!/usr/bin/env bash
# Where a joint's actuatorfrcrange holds its force, implicitfast forgets the damping of some of its actuators.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   either every actuator keeps its velocity derivative in qDeriv, as only its own forcerange is said to clamp it;
#             or the joint's whole row goes to zero, as its force is constant.
# Happens:    an actuator on the joint is left out, one on a tendon that moves the joint stays with all its entries, though
#             the force of both is cut. A tendon's own actuatorfrcrange leaves out the tendon's actuators.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np

XML = """
<mujoco>
  <option integrator="implicitfast" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="a" axis="0 1 0" {joint}/> <geom size=".1" pos=".2 0 0" contype="0"/>
      <body pos=".4 0 0"> <joint name="b" axis="0 1 0"/> <geom size=".1" pos=".2 0 0" contype="0"/> </body>
    </body>
  </worldbody>
  <tendon>
    <fixed name="t" {tendon}> <joint joint="a" coef="1"/> <joint joint="b" coef="-2"/> </fixed>
  </tendon>
  <actuator> <position tendon="t" kp="50" kv="7"/> <position joint="a" kp="20" kv="3"/> </actuator>
</mujoco>
"""
HELD = 'actuatorfrcrange="-.5 .5"'
expected = {
    ("free", ""): [[-10, 14], [14, -28]],
    ("joint", HELD): [[-7, 14], [14, -28]],  # the tendon's 7 is still there
    ("tendon", HELD): [[-3, 0], [0, 0]],
}
for (kind, words), matrix in expected.items():
    of = {"joint": "", "tendon": "", kind: words}
    model = mujoco.MjModel.from_xml_string(XML.format(joint=of["joint"], tendon=of["tendon"]))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = [0.3, -0.4], [1, 0.5], [1, 2]
    mujoco.mj_step(model, data)
    derivative = np.zeros((2, 2))
    mujoco.mju_sparse2dense(derivative, data.qDeriv, model.D_rownnz, model.D_rowadr, model.D_colind)
    print(kind, "force of a", round(float(data.qfrc_actuator[0]), 6), "qDeriv", derivative.round(6).tolist())
    assert np.allclose(derivative, matrix), "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   free force of a 26.0 qDeriv [[-10.0, 14.0], [14.0, -28.0]]
#   joint force of a 0.5 qDeriv [[-7.0, 14.0], [14.0, -28.0]]
#   tendon force of a 30.5 qDeriv [[-3.0, 0.0], [0.0, 0.0]]
