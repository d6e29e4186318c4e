#!/usr/bin/env bash
# MJX and MuJoCo's C engine disagree on the reference acceleration of connect and weld constraints that move.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   one pendulum pinned to the world by a connect: the same constraint rows to rounding.
# Happens:    J and D are equal, aref is not. C's has the term -dJ/dt v (since MuJoCo 3.7: connect and weld, no other
#             constraint), MJX's does not. Nothing warns; at rest they agree.
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
    <body name="arm"> <joint type="ball"/> <geom size=".1" pos=".3 0 0" mass="1"/> </body>
  </worldbody>
  <equality> <connect body1="arm" anchor=".3 0 0"/> </equality>
</mujoco>
"""
model = mujoco.MjModel.from_xml_string(XML)
device_model = mjx.put_model(model, impl="jax")
forward = jax.jit(lambda data: mjx.forward(device_model, data)._impl)
for speed, expected in ((0.0, 0.0), (2.0, 1.2)):
    data = mujoco.MjData(model)
    data.qvel = 0, 0, speed
    mujoco.mj_forward(model, data)
    ours = forward(mjx.make_data(device_model).replace(qvel=data.qvel.copy()))
    assert np.abs(ours.efc_J - data.efc_J.reshape(3, 3)).max() < 1e-12 and np.abs(ours.efc_D - data.efc_D).max() < 1e-9
    difference = np.asarray(data.efc_aref - ours.efc_aref)
    print(f"{speed:g} rad/s: aref of C less aref of MJX {np.round(difference, 6) + 0.0} m/s^2")
    assert np.abs(difference - [expected, 0, 0]).max() < 1e-9, "it changed"  # speed^2 times .3 m, inwards
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   0 rad/s: aref of C less aref of MJX [0. 0. 0.] m/s^2
#   2 rad/s: aref of C less aref of MJX [1.2 0.  0. ] m/s^2
