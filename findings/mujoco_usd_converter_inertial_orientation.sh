#!/usr/bin/env bash
# mujoco-usd-converter: the principal axes of an inertial stay the body's, unless its orientation is given as a quat.
#
# Seen with:  mujoco-usd-converter 0.8.0, mujoco 3.16.0, usd-exchange 3.0.1, numpy 2.5.5, Python 3.12.
# Expected:   physics:principalAxes is the orientation of MuJoCo's inertial frame, however the file gives it, as the
#             orientations of bodies and geoms are.
# Happens:    with euler, axisangle, xyaxes or zaxis it is the identity: the tensor has the right moments about wrong axes.
#             A simulator that loads the USD turns the body otherwise. Nothing warns. quat, fullinertia and inertia
#             from geoms are right; MjSpec.to_xml writes a quat for each, and the converter then has it, too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco-usd-converter==0.8.0 mujoco==3.16.0 usd-exchange==3.0.1 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import mujoco_usd_converter
import numpy as np
from pxr import Usd, UsdPhysics

XML = """<mujoco model="m"><worldbody><body name="arm" pos="0 0 1"><joint axis="0 1 0"/>
  <inertial pos=".1 0 0" mass="2" {}/><geom type="box" size=".1 .2 .3"/></body></worldbody></mujoco>"""
MOMENTS = 'diaginertia=".1 .2 .25"'
CASES = {
    "quat": (f'{MOMENTS} quat="1 .2 .3 .4"', True),
    "fullinertia": ('fullinertia=".15 .2 .25 .01 .02 .03"', True),
    "euler": (f'{MOMENTS} euler="20 30 40"', False),
    "axisangle": (f'{MOMENTS} axisangle="0 0 1 40"', False),
    "xyaxes": (f'{MOMENTS} xyaxes="0 1 0 -1 0 0"', False),
    "zaxis": (f'{MOMENTS} zaxis="1 2 .5"', False),
}


def tensor(quat, moments):
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, np.array(quat, float))
    rotation = rotation.reshape(3, 3)
    return rotation @ np.diag(moments) @ rotation.T


def converted(xml, name):
    with open(f"{name}.xml", "w") as file:
        file.write(xml)
    asset = mujoco_usd_converter.Converter().convert(f"{name}.xml", name)
    stage = Usd.Stage.Open(asset.path)
    [body] = [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.RigidBodyAPI)]
    api = UsdPhysics.MassAPI(body)
    axes = api.GetPrincipalAxesAttr().Get()
    return tensor([axes.GetReal(), *axes.GetImaginary()], np.array(api.GetDiagonalInertiaAttr().Get()))


for name, (inertial, expected) in CASES.items():
    spec = mujoco.MjSpec.from_string(XML.format(inertial))
    model = spec.compile()
    right = tensor(model.body_iquat[1], model.body_inertia[1])
    seen, again = converted(XML.format(inertial), name), converted(spec.to_xml(), f"{name}_saved")
    print(f"{name}: Ixx, Ixy {seen[0, 0]:.4f} {seen[0, 1]:.4f}, MuJoCo {right[0, 0]:.4f} {right[0, 1]:.4f}; "
          f"saved by MuJoCo first {again[0, 0]:.4f} {again[0, 1]:.4f}")
    assert np.allclose(seen, right, atol=1e-5) == expected, "it changed"
    assert np.allclose(again, right, atol=1e-5), "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py 2>/dev/null | grep "MuJoCo"
# Output:
#   quat: Ixx, Ixy 0.1799 -0.0473, MuJoCo 0.1799 -0.0473; saved by MuJoCo first 0.1799 -0.0473
#   fullinertia: Ixx, Ixy 0.1500 0.0100, MuJoCo 0.1500 0.0100; saved by MuJoCo first 0.1500 0.0100
#   euler: Ixx, Ixy 0.1000 0.0000, MuJoCo 0.1685 -0.0562; saved by MuJoCo first 0.1685 -0.0562
#   axisangle: Ixx, Ixy 0.1000 0.0000, MuJoCo 0.1413 -0.0492; saved by MuJoCo first 0.1413 -0.0492
#   xyaxes: Ixx, Ixy 0.1000 0.0000, MuJoCo 0.2000 -0.0000; saved by MuJoCo first 0.2000 0.0000
#   zaxis: Ixx, Ixy 0.1000 0.0000, MuJoCo 0.1384 0.0454; saved by MuJoCo first 0.1384 0.0454
