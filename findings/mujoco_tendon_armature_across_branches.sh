#!/usr/bin/env bash
# A tendon's armature does not couple the two bodies that the tendon runs between, unless one hangs on the other.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   an armature A adds A J'J to the mass matrix, J the tendon's moments: a push on one finger of a gripper moves
#             the other, and the energy has A (J v)^2 / 2 more.
# Happens:    what falls outside the mass matrix' pattern is dropped, which has entries along a chain of bodies alone. Each
#             finger is heavier by itself; the other does not move, and 2.5 of 6.5 J are gone. The same two slides, one on
#             the other's body, are coupled.
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
  <option gravity="0 0 0"/>
  <worldbody>
    <body> <joint name="left" type="slide" axis="0 1 0"/> <geom size=".05" mass="1" contype="0"/> {chain} </body> {branch}
  </worldbody>
  <tendon> <fixed armature="3"> <joint joint="left" coef="1"/> <joint joint="right" coef="1"/> </fixed> </tendon>
</mujoco>
"""
RIGHT = '<body> <joint name="right" type="slide" axis="0 -1 0"/> <geom size=".05" mass="1" contype="0"/> </body>'
BODIES = {"chain": [[2, -1], [-1, 1]], "branch": [[1, 0], [0, 1]]}  # mass matrix without the tendon
for place, without in BODIES.items():
    model = mujoco.MjModel.from_xml_string(XML.format(**{"chain": "", "branch": "", place: RIGHT}))
    data = mujoco.MjData(model)
    data.qvel[:], data.qfrc_applied[0] = 1, 1
    mujoco.mj_forward(model, data)
    mujoco.mj_energyVel(model, data)
    mass = np.zeros((2, 2))
    mujoco.mj_fullM(model, data, mass)
    whole = np.array(without) + 3 * np.ones((2, 2))
    kept = whole if place == "chain" else np.diag(np.diag(whole))
    print(place, "mass", mass.tolist(), "acceleration", data.qacc.round(6).tolist(), "energy", data.energy[1].round(6))
    assert np.allclose(mass, kept) and np.allclose(data.energy[1], kept.sum() / 2), "it changed"
    assert np.allclose(data.qacc, np.linalg.solve(kept, [1, 0])), "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   chain mass [[5.0, 2.0], [2.0, 4.0]] acceleration [0.25, -0.125] energy 6.5
#   branch mass [[4.0, 0.0], [0.0, 4.0]] acceleration [0.25, 0.0] energy 4.0
