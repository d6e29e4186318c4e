#!/usr/bin/env bash
# MuJoCo saves a model's XML with six digits of each number: what is saved and loaded again is another model.
#
# Seen with:  mujoco 4.0.0, numpy 2.5.5, Python 3.12.
# Expected:   MjSpec.to_xml, to_file and mj_saveLastXML write numbers as they are: the XML compiles to the same model, or to one
#             that a rounding of float64 tells from it.
# Happens:    every number is rounded to six significant digits: a timestep of 1/300 becomes 0.00333333, and so do lengths
#             and keyframes. Nothing warns, and no option of the compiler changes it. The double pendulum below is 2e-6 rad away
#             after 100 steps and 2e-4 after 6,000. mj_saveModel keeps all digits, in a file (.mjb) that wants the same MuJoCo.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np

THIRD = 1 / 3
XML = f"""
<mujoco>
  <option timestep="{1 / 300!r}"/>
  <worldbody>
    <body>
      <joint axis="0 1 0"/><geom type="capsule" size=".02" fromto="0 0 0 0 0 {-THIRD!r}"/>
      <body pos="0 0 {-THIRD!r}"><joint axis="0 1 0"/><geom type="capsule" size=".02" fromto="0 0 0 0 0 {-THIRD!r}"/></body>
    </body>
  </worldbody>
  <keyframe><key qpos="{2 * THIRD!r} {THIRD!r}"/></keyframe>
</mujoco>
"""
spec = mujoco.MjSpec.from_string(XML)
model = spec.compile()
spec.to_file("to_file.xml")
mujoco.mj_saveLastXML("last.xml", mujoco.MjModel.from_xml_string(XML))
mujoco.mj_saveModel(model, "model.mjb")
saved = {
    "to_xml": mujoco.MjModel.from_xml_string(spec.to_xml()),
    "to_file": mujoco.MjModel.from_xml_path("to_file.xml"),
    "mj_saveLastXML": mujoco.MjModel.from_xml_path("last.xml"),
    "mj_saveModel": mujoco.MjModel.from_binary_path("model.mjb"),
}


def swing(model):
    data = mujoco.MjData(model)
    data.qpos[:] = 2 * THIRD, THIRD
    return np.array([(mujoco.mj_step(model, data), data.qpos.copy())[1] for _ in range(6000)])


exact = swing(model)
for name, other in saved.items():
    apart = np.maximum.accumulate(abs(swing(other) - exact).max(1))
    print(f"{name}: timestep {other.opt.timestep:.16g}, mass {other.body_mass[1]:.10f} kg ({model.body_mass[1]:.10f}), "
          f"keyframe {other.key_qpos[0, 1]:.16g}; apart after 100 steps {apart[99]:.0e}, after 6,000 {apart[-1]:.0e}")
    if name == "mj_saveModel":
        assert other.opt.timestep == model.opt.timestep and not apart.any(), "it changed"
    else:
        assert other.opt.timestep == 0.00333333 and other.key_qpos[0, 1] == 0.333333, "it changed"
        assert 1e-7 < apart[99] < 1e-4 and apart[-1] > 1e-4, "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py
# Output:
#   to_xml: timestep 0.00333333, mass 0.4523901799 kg (0.4523893421), keyframe 0.333333; apart after 100 steps 2e-06, after 6,000 2e-04
#   (the same of to_file and mj_saveLastXML)
#   mj_saveModel: timestep 0.003333333333333334, mass 0.4523893421 kg (0.4523893421), keyframe 0.3333333333333333; apart after 100 steps 0e+00, after 6,000 0e+00
