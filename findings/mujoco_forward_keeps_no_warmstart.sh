#!/usr/bin/env bash
# MuJoCo: mj_forward does not change qacc_warmstart; mj_step does, though it calls mj_forward.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   the solver of mj_forward leaves its solution for the next one to start from.
# Happens:    after mj_forward qacc_warmstart is what it was, 0; after mj_step it is the step's qacc. So a simulation
#             that begins with mj_forward, as Gymnasium's reset does, begins with a warm start of 0: who replays it
#             bit for bit must not call mj_forward "to fill" the warm start first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np

XML = """
<mujoco>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 .09"><freejoint/><geom size=".1"/></body>
  </worldbody>
</mujoco>
"""
model = mujoco.MjModel.from_xml_string(XML)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
print(f"mj_forward: qacc {data.qacc[2]:.4f}, qacc_warmstart {data.qacc_warmstart[2]:.4f}")
assert data.qacc[2] > 1 and not data.qacc_warmstart.any(), "it changed"
mujoco.mj_step(model, data)
print(f"mj_step:    qacc {data.qacc[2]:.4f}, qacc_warmstart {data.qacc_warmstart[2]:.4f}")
assert np.array_equal(data.qacc, data.qacc_warmstart)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   mj_forward: qacc 24.5095, qacc_warmstart 0.0000
#   mj_step:    qacc 24.5095, qacc_warmstart 24.5095
