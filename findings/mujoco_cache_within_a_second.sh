#!/usr/bin/env bash
# MuJoCo compiles a model with the old mesh, where the mesh's file changed within the same second.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   from_xml_path reads a mesh whose content, size and time in nanoseconds have changed.
# Happens:    a process-wide cache knows a file by its path and its time in whole seconds: 166.67 kg, the old mesh's,
#             until the second differs. So a script that writes a mesh and compiles, twice in a second, gets the first
#             mesh twice, and the file's hash is not of what was compiled. mj_clearCache(mj_getCache()) makes MuJoCo read it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import os
import pathlib

import mujoco

MESH = "v 0 0 0\nv {0} 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
SECOND = 10**9
pathlib.Path("model.xml").write_text("""
<mujoco>
  <asset><mesh name="m" file="m.obj"/></asset>
  <worldbody><body><freejoint/><geom type="mesh" mesh="m"/></body></worldbody>
</mujoco>
""")


def mass(width, time):
    path = pathlib.Path("m.obj")
    path.write_text(MESH.format(width))
    os.utime(path, ns=(time, time))
    return round(float(mujoco.MjModel.from_xml_path("model.xml").body_mass[1]), 2)


first = mass("1", 1000 * SECOND)
same_second = mass("3.25", 1000 * SECOND + 900_000_000)
next_second = mass("3.25", 1001 * SECOND)
old_again = mass("1", 1001 * SECOND + 1)
mujoco.mj_clearCache(mujoco.mj_getCache())
cleared = mass("1", 1001 * SECOND + 1)
print(f"1 m wide: {first} kg; 3.25 m, same second: {same_second}; next second: {next_second}")
print(f"1 m, same second: {old_again}; with the cache cleared: {cleared}")
assert (first, same_second, next_second) == (166.67, 166.67, 541.67), "it changed"
assert (old_again, cleared) == (541.67, 166.67), "it changed"
PYTHON
(cd "$folder" && venv/bin/python check.py)
# Output:
#   1 m wide: 166.67 kg; 3.25 m, same second: 166.67; next second: 541.67
#   1 m, same second: 541.67; with the cache cleared: 166.67
