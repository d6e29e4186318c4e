#!/usr/bin/env bash
# MJX and MuJoCo's C engine take different steps where an actuator's force is at its limit under implicitfast.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   one step of one hinge, no contact, nothing to iterate: the same velocity to rounding.
# Happens:    MJX 0.0238 rad/s, C 0.0455 rad/s. C leaves an actuator whose force is at forcerange out of the implicit
#             damping (its force no longer depends on the velocity); MJX keeps its kv in it. Below the limit they agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1 mujoco==4.0.0 mujoco-mjx==3.17.0
cat >"$folder/check.py" <<'PYTHON'
import jax
import jax.numpy as jnp
import mujoco
from mujoco import mjx

jax.config.update("jax_enable_x64", True)
XML = """
<mujoco>
  <option integrator="implicitfast" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="hinge" type="hinge" axis="0 1 0"/>
      <geom size=".1" pos=".2 0 0" mass="1"/>
    </body>
  </worldbody>
  <actuator> <position joint="hinge" kp="100" kv="20" forcerange="-1 1"/> </actuator>
</mujoco>
"""
model = mujoco.MjModel.from_xml_string(XML)
device_model = mjx.put_model(model, impl="jax")
step = jax.jit(lambda data: mjx.step(device_model, data).qvel)
for ctrl, c_expected, mjx_expected in ((0.001, 0.002381, 0.002381), (1.0, 0.045455, 0.023810)):
    data = mujoco.MjData(model)
    data.ctrl[:] = ctrl
    mujoco.mj_step(model, data)
    speed = float(step(mjx.make_data(device_model).replace(ctrl=jnp.array([ctrl])))[0])
    print(f"ctrl {ctrl:g} rad, force {data.actuator_force[0]:g} Nm: C {data.qvel[0]:.6f}, MJX {speed:.6f} rad/s")
    assert abs(data.qvel[0] - c_expected) < 1e-6 and abs(speed - mjx_expected) < 1e-6, "it changed"
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   ctrl 0.001 rad, force 0.1 Nm: C 0.002381, MJX 0.002381 rad/s
#   ctrl 1 rad, force 1 Nm: C 0.045455, MJX 0.023810 rad/s
