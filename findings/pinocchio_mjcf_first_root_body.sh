#!/usr/bin/env bash
# Pinocchio reads the first of a MuJoCo model's bodies that hang on the world, and leaves out the others.
#
# Seen with:  pin 4.1.0, mujoco 4.0.0, Python 3.12.
# Expected:   buildModelFromMJCF of two pendulums side by side has two joints, as MuJoCo's model has.
# Happens:    one joint, that of the first; no warning, no error. With both on one body without joint there are two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pin==4.1.0 mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import pathlib
import tempfile

import mujoco
import pinocchio

PENDULUM = """<body name="{0}" pos="0 {1} 0">
  <inertial pos="0 0 -.2" mass="1" diaginertia=".02 .02 .01"/> <joint name="{0}" axis="0 1 0" range="-90 90"/>
</body>"""
PAIR = PENDULUM.format("a", 0) + PENDULUM.format("b", 1)
BASE = '<body name="base"> <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/> {} </body>'
with tempfile.TemporaryDirectory() as folder:
    for name, bodies, joints in (("on the world", PAIR, 1), ("on one body", BASE.format(PAIR), 2)):
        path = pathlib.Path(folder) / "pair.xml"
        path.write_text(f"<mujoco model='pair'><worldbody>{bodies}</worldbody></mujoco>")
        of_mujoco, read = mujoco.MjModel.from_xml_path(str(path)).nv, pinocchio.buildModelFromMJCF(str(path)).nv
        print(f"{name}: {of_mujoco} degrees of freedom in MuJoCo, {read} in Pinocchio")
        assert of_mujoco == 2 and read == joints, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   on the world: 2 degrees of freedom in MuJoCo, 1 in Pinocchio
#   on one body: 2 degrees of freedom in MuJoCo, 2 in Pinocchio
