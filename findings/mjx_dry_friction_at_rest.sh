#!/usr/bin/env bash
# MJX: the derivative of a joint at rest that dry friction holds has the wrong sign.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   jacfwd through mjx.step is the derivative of mjx.step, 0.8109 here, whatever the number of iterations.
# Happens:    -0.8500, with 1, 4 and 100 Newton iterations alike. Central differences of the same function give 0.8109,
#             and so does MuJoCo's mjd_transitionFD. The solver starts at the solution: its line search has nowhere to
#             go, and the derivative of the step length that it returns is not that of the solution.
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
  <option gravity="0 0 0" solver="Newton" iterations="{}"/>
  <worldbody>
    <body>
      <joint type="hinge" axis="0 1 0" frictionloss=".5" damping=".1"/>
      <geom size=".1" pos=".2 0 0" mass="1"/>
    </body>
  </worldbody>
</mujoco>
"""
for iterations in (1, 4, 100):
    model = mujoco.MjModel.from_xml_string(XML.format(iterations))
    device_model = mjx.put_model(model, impl="jax")
    start = mjx.make_data(device_model)
    next_speed = jax.jit(lambda v: mjx.step(device_model, start.replace(qvel=v[None])).qvel[0])  # noqa: B023
    derivative = float(jax.jacfwd(next_speed)(0.0))
    difference = float((next_speed(1e-6) - next_speed(-1e-6)) / 2e-6)
    a = np.zeros((2, 2))
    mujoco.mjd_transitionFD(model, mujoco.MjData(model), 1e-6, True, a, None, None, None)
    print(f"{iterations} iterations: jacfwd {derivative:.4f}, central difference {difference:.4f}, C engine {a[1, 1]:.4f}")
    assert abs(difference - 0.8109) < 1e-4 and abs(a[1, 1] - 0.8109) < 1e-4
    assert abs(derivative + 0.8500) < 1e-4, f"it changed: {derivative}"
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   1 iterations: jacfwd -0.8500, central difference 0.8109, C engine 0.8109
#   4 iterations: jacfwd -0.8500, central difference 0.8109, C engine 0.8109
#   100 iterations: jacfwd -0.8500, central difference 0.8109, C engine 0.8109
