#!/usr/bin/env bash
# The damping of one robot decides how another robot is integrated, which it does not touch.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   Euler takes a joint's damping implicitly, v' = v + h a / (1 + h c / I), joint by joint: a damping of 1e-9
#             elsewhere changes nothing here.
# Happens:    with negative damping, a self-excited oscillator, the step is explicit, v' = v (1 - h c / I), as long as no
#             joint of the model has a positive one. A damping of 1e-9 on a body of its own makes it implicit: the velocity
#             grows by 12.4 % in a step, and by 11 % without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import mujoco

XML = """
<mujoco>
  <option timestep=".01" gravity="0 0 0"> <flag contact="disable"/> </option>
  <worldbody>
    <body> <joint type="slide" damping="-11"/> <geom size=".1" mass="1"/> </body>
    <body pos="9 0 0"> <joint type="slide" damping="{}"/> <geom size=".1" mass="1"/> </body>
  </worldbody>
</mujoco>
"""
for beside in (0, -1, 1e-9):
    model = mujoco.MjModel.from_xml_string(XML.format(beside))
    data = mujoco.MjData(model)
    data.qvel[0] = 1
    mujoco.mj_step(model, data)
    print(f"damping beside it {beside}: velocity {data.qvel[0]:.6f}")
    expected = 1 / (1 - 0.11) if beside > 0 else 1 + 0.11
    assert abs(data.qvel[0] - expected) < 1e-9, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   damping beside it 0: velocity 1.110000
#   damping beside it -1: velocity 1.110000
#   damping beside it 1e-09: velocity 1.123596
