#!/usr/bin/env bash
# Pinocchio reads an MJCF axisangle whose axis has no unit length as a matrix that is no rotation, and passes over a class's mass.
#
# Seen with:  pin 4.1.0, mujoco 4.0.0, numpy 2.5.5, Python 3.12.
# Expected:   buildModelFromMJCF has MuJoCo's masses and orientations. MuJoCo makes an axis one of unit length, as everywhere
#             in MJCF (and as Pinocchio does with a joint's axis, and with a quat); what a default class says of geoms, a mass
#             or a density, is theirs. What is not supported gets a warning or an error, as shellinertia gets.
# Happens:    axisangle="0 0 2 90" is a matrix of determinant 64, which stretches all below it. A mass in a default class is
#             passed over, and the geom weighs what it would of water; a density there is right. eulerseq="XYZ", about fixed
#             axes, is read as "xyz". No warning, no error. Give quat, and a mass or a density to each geom or body.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pin==4.1.0 mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np
import pinocchio

XML = """<mujoco model="arm"> {settings}
  <worldbody> <body name="arm" {turn}> <joint/> <geom size=".1" pos=".3 0 0" {mass}/> </body> </worldbody>
</mujoco>"""
CASES = {  # turn of the body, mass of the geom, settings; whether Pinocchio has MuJoCo's rotation and mass
    'axisangle="0 0 1 90"': ({"turn": 'axisangle="0 0 1 90"'}, (True, True)),
    'axisangle="0 0 2 90"': ({"turn": 'axisangle="0 0 2 90"'}, (False, True)),
    'quat="1 0 0 1"': ({"turn": 'quat="1 0 0 1"'}, (True, True)),
    'eulerseq="xyz"': ({"turn": 'euler="30 20 10"', "settings": '<compiler eulerseq="xyz"/>'}, (True, True)),
    'eulerseq="XYZ"': ({"turn": 'euler="30 20 10"', "settings": '<compiler eulerseq="XYZ"/>'}, (False, True)),
    "a geom's mass": ({"mass": 'mass="1"'}, (True, True)),
    "a class's mass": ({"settings": '<default> <geom mass="1"/> </default>'}, (True, False)),
    "a class's density": ({"settings": '<default> <geom density="200"/> </default>'}, (True, True)),
}
for name, (parts, expected) in CASES.items():
    xml = XML.format(**{"turn": "", "mass": "", "settings": ""} | parts)
    with open("arm.xml", "w") as file:
        file.write(xml)
    model = mujoco.MjModel.from_xml_path("arm.xml")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    read = pinocchio.buildModelFromMJCF("arm.xml")
    data_read = read.createData()
    pinocchio.forwardKinematics(read, data_read, np.zeros(1))
    rotation, mass = data_read.oMi[1].rotation, read.inertias[1].mass
    same = np.allclose(rotation, data.xmat[1].reshape(3, 3)), np.isclose(mass, model.body_mass[1])
    determinant = np.linalg.det(rotation)
    print(f"{name}: MuJoCo's rotation: {same[0]}, determinant {determinant:.3g}; "
          f"{mass:.3f} kg, MuJoCo {model.body_mass[1]:.3f}")
    assert same == expected, "it changed"
    assert np.isclose(determinant, 64 if '"0 0 2' in name else 1), "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py
# Output:
#   axisangle="0 0 1 90": MuJoCo's rotation: True, determinant 1; 4.189 kg, MuJoCo 4.189
#   axisangle="0 0 2 90": MuJoCo's rotation: False, determinant 64; 4.189 kg, MuJoCo 4.189
#   quat="1 0 0 1": MuJoCo's rotation: True, determinant 1; 4.189 kg, MuJoCo 4.189
#   eulerseq="xyz": MuJoCo's rotation: True, determinant 1; 4.189 kg, MuJoCo 4.189
#   eulerseq="XYZ": MuJoCo's rotation: False, determinant 1; 4.189 kg, MuJoCo 4.189
#   a geom's mass: MuJoCo's rotation: True, determinant 1; 1.000 kg, MuJoCo 1.000
#   a class's mass: MuJoCo's rotation: True, determinant 1; 4.189 kg, MuJoCo 1.000
#   a class's density: MuJoCo's rotation: True, determinant 1; 0.838 kg, MuJoCo 0.838
