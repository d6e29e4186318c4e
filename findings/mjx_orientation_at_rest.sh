#!/usr/bin/env bash
# MJX: at rest, a free body's next orientation does not depend on its angular velocity, says JAX.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   d quat_x' / d omega_x = h / 2 = 0.001, as finite differences of the same function give.
# Happens:    jacfwd and grad through mjx.step give exactly 0.0 while |omega| is below 1e-8, and 0.001 above.
#             Every episode that begins at rest begins with a Jacobian that has zeros which are none.
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
xml = "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(xml)
device_model = mjx.put_model(model, impl="jax")
start = mjx.make_data(device_model)


@jax.jit
def next_quat_x(omega):
    return mjx.step(device_model, start.replace(qvel=jnp.zeros(6).at[3].set(omega))).qpos[4]


for omega, expected in ((0.0, 0.0), (1e-9, 0.0), (1e-7, 0.001)):
    derivative = float(jax.jacfwd(next_quat_x)(omega))
    difference = float((next_quat_x(omega + 1e-4) - next_quat_x(omega - 1e-4)) / 2e-4)
    print(f"omega {omega:g} rad/s: jacfwd {derivative:.6f}, central difference {difference:.6f}")
    assert abs(difference - 0.001) < 1e-9, difference
    assert abs(derivative - expected) < 1e-9, f"it changed: {derivative}"
    assert float(jax.grad(next_quat_x)(omega)) == derivative
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   omega 0 rad/s: jacfwd 0.000000, central difference 0.001000
#   omega 1e-09 rad/s: jacfwd 0.000000, central difference 0.001000
#   omega 1e-07 rad/s: jacfwd 0.001000, central difference 0.001000
