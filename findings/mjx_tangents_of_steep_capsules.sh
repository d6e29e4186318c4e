#!/usr/bin/env bash
# MJX and MuJoCo's C engine turn the friction pyramid of a steep capsule on a plane differently.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   the same contact frame: both say that they align its tangent with the capsule's axis.
# Happens:    MJX does so where the axis is more than 30 degrees from the plane's normal. Below that its tangent is the
#             world's y axis, C's still the capsule's. Pyramidal friction depends on the frame: so does the step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1 mujoco==4.0.0 mujoco-mjx==3.17.0
cat >"$folder/check.py" <<'PYTHON'
import jax
import mujoco
import numpy as np
from mujoco import mjx

jax.config.update("jax_enable_x64", True)
XML = """
<mujoco>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 .29" euler="0 {} 0"> <freejoint/> <geom type="capsule" size=".1 .2" mass="1"/> </body>
  </worldbody>
</mujoco>
"""
for angle, same in ((35, True), (25, False)):
    model = mujoco.MjModel.from_xml_string(XML.format(angle))
    data = mujoco.MjData(model)
    data.qpos[2] = 0.2 * np.cos(np.deg2rad(angle)) + 0.09
    mujoco.mj_forward(model, data)
    device_model = mjx.put_model(model, impl="jax")
    contact = jax.jit(mjx.forward)(device_model, mjx.make_data(device_model).replace(qpos=data.qpos.copy()))._impl.contact
    nearest = int(np.argmin(contact.dist))
    ours, theirs = np.asarray(contact.frame[nearest, 1]), np.array(data.contact[0].frame[3:6])
    assert data.ncon == 1 and abs(contact.dist[nearest] - data.contact[0].dist) < 1e-12
    print(f"{angle} degrees: first tangent of MJX {np.round(ours, 3) + 0.0}, of C {np.round(theirs, 3) + 0.0}")
    assert (np.abs(ours - theirs).max() < 1e-9) == same, "it changed"
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   35 degrees: first tangent of MJX [1. 0. 0.], of C [1. 0. 0.]
#   25 degrees: first tangent of MJX [0. 1. 0.], of C [1. 0. 0.]
