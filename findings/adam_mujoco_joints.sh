#!/usr/bin/env bash
# adam takes a MuJoCo model's joints for URDF's: of two joints on a body the first has no inertia, and a joint's pos moves no link.
#
# Seen with:  adam-robotics 0.5.0, mujoco 4.0.0, numpy 2.5.5, Python 3.12.
# Expected:   from_mujoco_model's mass matrix and centre of mass are MuJoCo's, or a model that adam can't express is refused,
#             as a ball joint is.
# Happens:    two joints of one body become two joints between the same two links: one of them moves nothing, the mass matrix
#             has a zero on its diagonal, and whole legs are elsewhere. A joint with a pos turns the link about its frame's origin,
#             which is put where the joint is. ref and armature are passed over. Nothing warns. Gymnasium's Humanoid has
#             bodies of both kinds. Give each joint a body of its own, at its place, and add dof_armature to the diagonal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q adam-robotics==0.5.0 mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np
from adam.numpy import KinDynComputations

XML = """<mujoco><worldbody><body pos="0 0 1"><freejoint/><geom type="box" size=".2 .1 .1" mass="2"/>
  <body pos="{at}">{joints}<geom type="box" size=".05 .05 .2" pos="{box}" mass="1"/></body></body></worldbody></mujoco>"""
HIP, BOX = ".2 0 0", "0 0 -.2"
CASES = {  # where the leg's frame is, its joints, where its box is; whether adam has MuJoCo's inertia and centre of mass
    "one joint": ((HIP, '<joint axis="0 1 0"/>', BOX), (True, True)),
    "two joints": ((HIP, '<joint name="x" axis="1 0 0"/><joint name="y" axis="0 1 0"/>', BOX), (False, False)),
    "joint with pos": ((".2 0 -.3", '<joint axis="0 1 0" pos="0 0 .3"/>', "0 0 .1"), (False, False)),
    "joint with ref": ((HIP, '<joint axis="0 1 0" ref="30"/>', BOX), (True, False)),
    "joint with armature": ((HIP, '<joint axis="0 1 0" armature=".1"/>', BOX), (False, True)),
}
for name, ((at, joints, box), expected) in CASES.items():
    model = mujoco.MjModel.from_xml_string(XML.format(at=at, joints=joints, box=box))
    adam = KinDynComputations.from_mujoco_model(model)
    q = np.array([0.3, -0.4])[: adam.NDoF]
    data = mujoco.MjData(model)
    data.qpos[7:] = q
    mujoco.mj_forward(model, data)
    matrix = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, matrix)
    inertia, base = np.diag(matrix)[6:], np.eye(4)
    base[:3, 3] = data.qpos[:3]
    seen = np.diag(np.array(adam.mass_matrix(base, q)))[6:]
    centre, seen_centre = data.subtree_com[1], np.array(adam.CoM_position(base, q)).ravel()
    print(f"{name}: inertia {seen.round(4)}, MuJoCo {inertia.round(4)}; "
          f"centre of mass {seen_centre.round(3)}, MuJoCo {centre.round(3)}")
    assert (np.allclose(seen, inertia), np.allclose(seen_centre, centre)) == expected, "it changed"
    if name == "two joints":
        assert seen.min() < 1e-12, "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py 2>/dev/null | grep "MuJoCo"
# Output:
#   one joint: inertia [0.0542], MuJoCo [0.0542]; centre of mass [0.047 0.    0.936], MuJoCo [0.047 0.    0.936]
#   two joints: inertia [0.     0.0542], MuJoCo [0.0462 0.0542]; centre of mass [0.133 0.039 1.206], MuJoCo [0.093 0.018 0.941]
#   joint with pos: inertia [0.0242], MuJoCo [0.0542]; centre of mass [0.077 0.    1.032], MuJoCo [0.047 0.    0.936]
#   joint with ref: inertia [0.0542], MuJoCo [0.0542]; centre of mass [0.047 0.    0.936], MuJoCo [0.081 0.    0.935]
#   joint with armature: inertia [0.0542], MuJoCo [0.1542]; centre of mass [0.047 0.    0.936], MuJoCo [0.047 0.    0.936]
