#!/usr/bin/env bash
# MJX and MuJoCo's C engine take different implicitfast steps of a single free body that turns, without any force.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU, float64.
# Expected:   the same velocity to rounding: implicitfast leaves out the derivatives of Coriolis and gyroscopic forces.
# Happens:    C puts them in for bodies with a free joint and no children (since MuJoCo 3.11; its step is that of
#             implicit), MJX does not. With a child, they agree.
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
  <option integrator="{}" timestep=".01" gravity="0 0 0"/>
  <worldbody> <body> <freejoint/> <geom type="box" size=".1 .2 .3" mass="1"/> {} </body> </worldbody>
</mujoco>
"""
CHILD = '<body pos="1 0 0"> <joint axis="0 1 0"/> <geom size=".1" mass="1"/> </body>'
for child, agree in (("", False), (CHILD, True)):
    model = mujoco.MjModel.from_xml_string(XML.format("implicitfast", child))
    implicit = mujoco.MjModel.from_xml_string(XML.format("implicit", child))
    device_model = mjx.put_model(model, impl="jax")
    speed = np.zeros(model.nv)
    speed[3:6] = 1, 2, 3
    of_c, of_implicit = (mujoco.MjData(one) for one in (model, implicit))
    of_c.qvel, of_implicit.qvel = speed, speed
    mujoco.mj_step(model, of_c)
    mujoco.mj_step(implicit, of_implicit)
    of_mjx = np.asarray(jax.jit(mjx.step)(device_model, mjx.make_data(device_model).replace(qvel=speed)).qvel)
    to_mjx, to_implicit = (np.abs(of_c.qvel - other).max() for other in (of_mjx, of_implicit.qvel))
    print(f"{'with a child' if child else 'alone'}: C from MJX {to_mjx:.1e}, from implicit {to_implicit:.1e}")
    assert (to_mjx < 1e-12) == agree and (to_implicit < 1e-12) != agree, "it changed"
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   alone: C from MJX 6.5e-04, from implicit 0.0e+00
#   with a child: C from MJX 1.4e-17, from implicit 6.5e-04
