#!/usr/bin/env bash
# MuJoCo: the collision of an SDF takes orientations from geom_xquat, that of all other geoms from geom_xmat.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   who moves geoms by geom_xpos and geom_xmat and calls mj_collision finds the contacts of where they are, as
#             mj_kinematics would from qpos.
# Happens:    so it is with every pair but those with an SDF, whose geoms move and do not turn: the contact is elsewhere, and
#             a difference quotient by a rotation is wrong without a word. With geom_xquat set too it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import itertools

import mujoco
import numpy as np

XML = """
<mujoco>
  <asset>
    <mesh name="m" vertex="-.2 -.2 -.1  .2 -.2 -.1  .2 .2 -.1  -.2 .2 -.1  -.1 -.1 .15  .12 -.1 .15  .1 .1 .17"/>
    <hfield name="h" nrow="3" ncol="3" size="1 1 .1 .1" elevation="0 0 .1 .2 .1 .3 .2 .1 0"/>
  </asset>
  <worldbody> <geom {}/> <body> <freejoint/> <geom {}/> </body> </worldbody>
</mujoco>
"""
GEOMS = {
    "plane": 'type="plane" size="1 1 .1"',
    "hfield": 'type="hfield" hfield="h"',
    "sphere": 'type="sphere" size=".15"',
    "capsule": 'type="capsule" size=".1 .2"',
    "ellipsoid": 'type="ellipsoid" size=".1 .2 .15"',
    "cylinder": 'type="cylinder" size=".1 .2"',
    "box": 'type="box" size=".1 .2 .15"',
    "mesh": 'type="mesh" mesh="m"',
    "sdf": 'type="sdf" mesh="m"',
}
ANGLE = 1e-6


def posed(model, qpos):
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    return data


def contacts(model, data):
    mujoco.mj_collision(model, data)
    return np.concatenate([np.ravel(getattr(data.contact, name)) for name in ("dist", "pos", "frame")])


def missed(model, rng):
    """By how much contacts miss those of mj_kinematics, per radian: without geom_xquat, and with it; largest of 40.

    Where contacts jump within the angle, or are others, it is no matter.
    """
    largest = np.zeros(2)
    for _ in range(40):
        rotation = rng.normal(size=4)
        qpos = np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.1, 0.45), *rotation / np.linalg.norm(rotation)])
        turned = qpos.copy()
        mujoco.mj_integratePos(model, turned, np.array([0, 0, 0, *rng.normal(size=3) * ANGLE]), 1.0)
        before, there = contacts(model, posed(model, qpos)), posed(model, turned)
        truth = contacts(model, posed(model, turned))
        if not truth.size or truth.shape != before.shape or np.abs(truth - before).max() > 100 * ANGLE:
            continue
        found = []
        for fields in (("geom_xpos", "geom_xmat"), ("geom_xpos", "geom_xmat", "geom_xquat")):
            data = posed(model, qpos)
            for name in fields:
                getattr(data, name)[:] = getattr(there, name)
            found.append(contacts(model, data))
        if found[0].shape == truth.shape:
            largest = np.maximum(largest, [np.abs(values - truth).max() / ANGLE for values in found])
    return largest


mujoco.set_mju_user_warning(lambda text: None)  # there is no collision of height fields with SDFs
rng, wrong = np.random.default_rng(0), []
for fixed, moved in itertools.product(GEOMS, list(GEOMS)[2:]):
    model = mujoco.MjModel.from_xml_string(XML.format(GEOMS[fixed], GEOMS[moved]))
    without, with_quaternions = missed(model, rng)
    assert with_quaternions < 1e-6, "it changed: other fields are read"
    if without > 1e-6:
        wrong.append((moved, fixed))
        print(f"{moved} on {fixed}: off by up to {without:.0f} per radian, with geom_xquat by {with_quaternions:.0f}")
expected = {pair for pair in itertools.product(list(GEOMS)[2:], GEOMS) if "sdf" in pair} - {("sdf", "hfield"), ("sdf", "plane")}
assert {*wrong} == expected, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   sdf on sphere: off by up to 92 per radian, with geom_xquat by 0
#   sdf on capsule: off by up to 73 per radian, with geom_xquat by 0
#   sdf on ellipsoid: off by up to 96 per radian, with geom_xquat by 0
#   sdf on cylinder: off by up to 96 per radian, with geom_xquat by 0
#   sdf on box: off by up to 88 per radian, with geom_xquat by 0
#   sdf on mesh: off by up to 11 per radian, with geom_xquat by 0
#   sphere on sdf: off by up to 27 per radian, with geom_xquat by 0
#   capsule on sdf: off by up to 84 per radian, with geom_xquat by 0
#   ellipsoid on sdf: off by up to 80 per radian, with geom_xquat by 0
#   cylinder on sdf: off by up to 79 per radian, with geom_xquat by 0
#   box on sdf: off by up to 38 per radian, with geom_xquat by 0
#   mesh on sdf: off by up to 19 per radian, with geom_xquat by 0
#   sdf on sdf: off by up to 95 per radian, with geom_xquat by 0
