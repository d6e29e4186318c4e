#!/usr/bin/env bash
# MJX 3.17 beside MuJoCo 4.0: a spinning body that RK4 steps ends elsewhere, and MJX's error is of second order.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   both are the classical Runge-Kutta method: one step of a free body agrees to rounding.
# Happens:    MuJoCo 4.0 corrects the rates of orientations (Munthe-Kaas), MJX does not: after 0.01 s at 14 rad/s they are
#             2e-5 apart, and C is 1,000 times nearer to the true motion. Angular velocities are the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1 mujoco==4.0.0 mujoco-mjx==3.17.0
cat >"$folder/check.py" <<'PYTHON'
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

jax.config.update("jax_enable_x64", True)
xml = """<mujoco><option timestep="0.01" integrator="RK4" gravity="0 0 0"/><worldbody>
<body><freejoint/><geom type="box" size=".1 .2 .3"/></body></worldbody></mujoco>"""
model = mujoco.MjModel.from_xml_string(xml)
qvel = np.array([0, 0, 0, 3.0, -10.0, 9.0])
device_model = mjx.put_model(model, impl="jax")
ours = jax.jit(mjx.step)(device_model, mjx.make_data(device_model).replace(qvel=jnp.array(qvel)))


def after(timestep):
    model.opt.timestep = timestep
    data = mujoco.MjData(model)
    data.qvel[:] = qvel
    for _ in range(round(0.01 / timestep)):
        mujoco.mj_step(model, data)
    return data


c, true = after(0.01), after(1e-5)
apart = np.abs(ours.qpos - c.qpos).max()
errors = [np.abs(of.qpos - true.qpos).max() for of in (ours, c)]
print(f"MJX and C apart: {apart:.1e}; error of MJX {errors[0]:.1e}, of C {errors[1]:.1e}")
assert apart > 1e-7 and errors[0] > 100 * errors[1], "it changed"
assert np.abs(ours.qvel - c.qvel).max() < 1e-12
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   MJX and C apart: 1.7e-05; error of MJX 1.7e-05, of C 1.6e-08
