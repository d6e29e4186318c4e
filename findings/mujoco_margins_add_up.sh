#!/usr/bin/env bash
# MuJoCo: the margin of a contact is the sum of its two geoms' margins since 3.5.0, and was the larger one before.
#
# Seen with:  mujoco 3.4.0, 3.5.0 and 4.0.0, Python 3.12.
# Expected:   a ball and a floor, each with margin 0.02, touch from a distance of 0.02 on, in every version.
# Happens:    so in 3.4.0; from 3.5.0 on they touch from 0.04 on, and forces at the same distance are larger. Gymnasium's
#             Ant, Hopper, Humanoid and HumanoidStandup give margins to all geoms: in contact, their steps differ by 1e-2
#             from those that older versions made of the same XML. Since 3.9.0 gap is no longer subtracted either.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/check.py" <<'PYTHON'
import mujoco

XML = """
<mujoco>
  <default><geom margin=".02"/></default>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 {}"><freejoint/><geom size=".1"/></body>
  </worldbody>
</mujoco>
"""
pushed = []
for distance in (0.01, 0.03):
    model = mujoco.MjModel.from_xml_string(XML.format(0.1 + distance))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pushed.append(round(float(data.qacc[2]), 2))
print(f"mujoco {mujoco.__version__}: upward acceleration at a distance of 0.01: {pushed[0]}, of 0.03: {pushed[1]}")
added = {"3.4.0": False, "3.5.0": True, "4.0.0": True}[mujoco.__version__]
assert (pushed[1] > 0) == added, "it changed"
PYTHON
for version in 3.4.0 3.5.0 4.0.0; do
    "${PYTHON:-python3.12}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "mujoco==$version" numpy==2.5.5
    "$folder/$version/bin/python" "$folder/check.py"
done
# Output:
#   mujoco 3.4.0: upward acceleration at a distance of 0.01: 24.51, of 0.03: -9.81
#   mujoco 3.5.0: upward acceleration at a distance of 0.01: 74.51, of 0.03: 24.51
#   mujoco 4.0.0: upward acceleration at a distance of 0.01: 74.51, of 0.03: 24.51
