#!/usr/bin/env bash
# MJX and MuJoCo's C engine damp a tendon that two fingers share differently with implicitfast.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   the same velocity to rounding, with all of the tendon's damping taken implicitly: its derivative by the
#             velocities is symmetric, and the documentation leaves out Coriolis forces alone.
# Happens:    C keeps the derivative where the mass matrix has entries, which is along a chain of bodies. Each finger's own
#             damping is implicit; that by the other finger's velocity is explicit. MJX takes all of it. Actuators on such
#             tendons do the same: Menagerie's Panda misses the balance of forces by 4e-4 otherwise.
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
STEP, DAMPING = 0.01, 20.0
XML = f"""
<mujoco>
  <option timestep="{STEP}" integrator="implicitfast" gravity="0 0 0"/>
  <worldbody>
    <body> <joint name="left" type="slide" axis="0 1 0"/> <geom size=".05" mass="1" contype="0"/> </body>
    <body> <joint name="right" type="slide" axis="0 -1 0"/> <geom size=".05" mass="1" contype="0"/> </body>
  </worldbody>
  <tendon> <fixed damping="{DAMPING}"> <joint joint="left" coef="1"/> <joint joint="right" coef="1"/> </fixed> </tendon>
</mujoco>
"""
model = mujoco.MjModel.from_xml_string(XML)
data = mujoco.MjData(model)
start = data.qvel[:] = np.array([1.0, 0.0])
device_model = mjx.put_model(model, impl="jax")
of_mjx = np.asarray(jax.jit(mjx.step)(device_model, mjx.make_data(device_model).replace(qvel=start)).qvel)
mujoco.mj_step(model, data)
force = -DAMPING * start.sum() * np.ones(2)
together = start + STEP * np.linalg.solve(np.eye(2) + STEP * DAMPING * np.ones((2, 2)), force)
apart = start + STEP * force / (1 + STEP * DAMPING)
print("C", data.qvel.round(6), "MJX", of_mjx.round(6), "together", together.round(6), "apart", apart.round(6))
assert np.allclose(data.qvel, apart, atol=1e-12) and np.allclose(of_mjx, together, atol=1e-12), "it changed"
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   C [ 0.833333 -0.166667] MJX [ 0.857143 -0.142857] together [ 0.857143 -0.142857] apart [ 0.833333 -0.166667]
