#!/usr/bin/env bash
# MuJoCo lists a height field's file where it is not: mju_getXMLDependencies leaves meshdir out of its path.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   all files that a model depends on, by paths at which they are.
# Happens:    a mesh is listed as assets/m.obj, the height field beside it as h.png, though the compiler reads assets/h.png.
#             Who packs, hashes or watches the listed files misses the terrain.
#             MjSpec.to_zip is no way round: its archive has the XML alone, and none of the files that were read from disk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0 numpy==2.5.5 pillow==13.0.0
cat >"$folder/check.py" <<'PYTHON'
import pathlib
import zipfile

import mujoco
from PIL import Image

pathlib.Path("assets").mkdir()
pathlib.Path("assets/m.obj").write_text(
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
)
Image.linear_gradient("L").resize((8, 8)).save("assets/h.png")
pathlib.Path("robot.xml").write_text("""
<mujoco model="robot">
  <compiler meshdir="assets"/>
  <asset><mesh name="m" file="m.obj"/><hfield name="h" file="h.png" size="1 1 1 1"/></asset>
  <worldbody><geom type="hfield" hfield="h"/><body><freejoint/><geom type="mesh" mesh="m"/></body></worldbody>
</mujoco>
""")
model = mujoco.MjModel.from_xml_path("robot.xml")
listed = {name: pathlib.Path(name).is_file() for name in sorted(mujoco.mju_getXMLDependencies("robot.xml"))}
print(f"compiled: {model.nmesh} mesh, {model.nhfield} height field; listed, and whether it is there: {listed}")
mujoco.MjSpec.from_file("robot.xml").to_zip("robot.zip")
packed = zipfile.ZipFile("robot.zip").namelist()
print("in to_zip's archive:", packed)
assert listed == {"assets/m.obj": True, "h.png": False, "robot.xml": True}, "it changed"
assert packed == ["robot.xml"], "it changed"
PYTHON
(cd "$folder" && venv/bin/python check.py)
# Output:
#   compiled: 1 mesh, 1 height field; listed, and whether it is there: {'assets/m.obj': True, 'h.png': False, 'robot.xml': True}
#   in to_zip's archive: ['robot.xml']
