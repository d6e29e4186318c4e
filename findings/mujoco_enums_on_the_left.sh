#!/usr/bin/env bash
# MuJoCo: a joint's type equals mjtJoint's member, and the member does not equal the joint's type.
#
# Seen with:  mujoco 3.12.0 and 4.0.0, numpy 2.5.5, Python 3.12; not with 3.11.0. gymnasium-robotics 1.4.2.
# Expected:   model.jnt_type holds NumPy integers, and mjtJoint.mjJNT_HINGE == model.jnt_type[0] is what it is the other way
#             round. So it was in 3.11.0, and members were found by such integers in tuples, sets and dicts.
# Happens:    with the member on the left it is False, and != is True, for every type. `in`, index and a dict of members put
#             the member on the left: none finds a type, though int(type) is found, and == between arrays is right.
#             Fetch, hand and kitchen environments of Gymnasium-Robotics end in an AssertionError for one such `in`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/check.py" <<'PYTHON'
import sys

import mujoco

XML = "<mujoco><worldbody><body><joint/><geom size='.1'/></body></worldbody></mujoco>"
model, HINGE = mujoco.MjModel.from_xml_string(XML), mujoco.mjtJoint.mjJNT_HINGE
kind = model.jnt_type[0]  # a numpy.int32
seen = {
    "type == member": bool(kind == HINGE),
    "member == type": HINGE == kind,
    "member != type": HINGE != kind,
    "type in members": kind in (HINGE,),
    "type in a dict": kind in {HINGE: "hinge"},
    "int(type) in a dict": int(kind) in {HINGE: "hinge"},
}
print(f"mujoco {mujoco.__version__}:", *(f"{of}: {value};" for of, value in seen.items()))
equal = sys.argv[1] == "equal"
assert list(seen.values()) == [True, equal, not equal, equal, equal, True], "it changed"
PYTHON
for version in 3.11.0:equal 3.12.0:unequal 4.0.0:unequal; do
    "${PYTHON:-python3.12}" -m venv --clear "$folder/venv"
    "$folder/venv/bin/pip" install -q "mujoco==${version%:*}" numpy==2.5.5
    "$folder/venv/bin/python" "$folder/check.py" "${version#*:}"
done
"$folder/venv/bin/pip" install -q gymnasium-robotics==1.4.2 gymnasium==1.4.0 mujoco==4.0.0 numpy==2.5.5
cat >"$folder/robots.py" <<'PYTHON'
import gymnasium
import gymnasium_robotics

gymnasium.register_envs(gymnasium_robotics)
for name in ("FetchReach-v4", "HandReach-v3", "FrankaKitchen-v1"):
    try:
        gymnasium.make(name)
        raise SystemExit(f"it changed: {name} is made")
    except AssertionError:
        print(f"{name}: AssertionError")
gymnasium.make("AntMaze_UMaze-v5")
print("AntMaze_UMaze-v5: made")
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/robots.py" 2>/dev/null
# Output:
#   mujoco 3.11.0: type == member: True; member == type: True; member != type: False; type in members: True; …
#   mujoco 3.12.0: type == member: True; member == type: False; member != type: True; type in members: False;
#     type in a dict: False; int(type) in a dict: True;
#   mujoco 4.0.0: (as 3.12.0)
#   FetchReach-v4: AssertionError
#   HandReach-v3: AssertionError
#   FrankaKitchen-v1: AssertionError
#   AntMaze_UMaze-v5: made
