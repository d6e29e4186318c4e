#!/usr/bin/env bash
# Finite differences of an ellipsoid's contact normal agree to five digits from 1e-8 to 1e-6, on a wrong number.
#
# Seen with:  mujoco 4.0.0, Python 3.12.
# Expected:   two ellipsoids that touch are smooth. One moves by eps along the tangent, and the normal turns with the
#             curvature, by 2.4 to 4.1 per metre here. The collision is iterated to ccd_tolerance, 1e-6, so small eps should
#             give noise, that differs from eps to eps and warns.
# Happens:    contacts are those of a polytope's facet, which moves with the bodies: differences are smooth, and equal from
#             eps 1e-8 to 1e-6 (mjd_transitionFD's usual 1e-6 among them), but -108, -4.47 or 11.5 per metre. From 1e-5
#             on facets change. With ccd_tolerance 1e-10 an eps of 1e-4 gives the curvature.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mujoco==4.0.0
cat >"$folder/check.py" <<'PYTHON'
import mujoco
import numpy as np

XML = """
<mujoco>
  <option ccd_tolerance="{}" ccd_iterations="{}"/>
  <worldbody>
    <geom type="ellipsoid" size=".1 .15 .2"/>
    <body> <freejoint/> <geom type="ellipsoid" size=".12 .1 .08"/> </body>
  </worldbody>
</mujoco>
"""
EPS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


def frame(model, position, rotation):
    """Normal and first tangent of the contact."""
    data = mujoco.MjData(model)
    data.qpos[:] = *position, *rotation
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    return data.contact.frame[0].reshape(3, 3)[:2] if data.ncon == 1 and -0.02 < data.contact.dist[0] < -0.002 else None


coarse, fine = (mujoco.MjModel.from_xml_string(XML.format(*given)) for given in ((1e-6, 50), (1e-10, 500)))
rng, states = np.random.default_rng(1), []
while len(states) < 8:
    direction, rotation = rng.normal(size=3), rng.normal(size=4)
    state = 0.22 * direction / np.linalg.norm(direction), rotation / np.linalg.norm(rotation)
    if frame(coarse, *state) is not None:
        states.append(state)
wrong = 0
for number, (position, rotation) in enumerate(states):
    tangent = frame(coarse, position, rotation)[1]

    def turns(model, eps):
        """The turn of the normal towards the tangent, per metre along it: central difference."""
        there, back = (frame(model, position + side * eps * tangent, rotation)[0] for side in (1, -1))
        return (there - back) @ tangent / (2 * eps)

    found, truth = [turns(coarse, eps) for eps in EPS], turns(fine, 1e-4)
    print(f"{number}: " + ", ".join(f"{turn:.3f}" for turn in found) + f"; with ccd_tolerance 1e-10, eps 1e-4: {truth:.3f}")
    assert np.ptp(found[:3]) < 1e-3 * max(1, abs(found[0])), "it changed: noise"
    wrong += abs(found[0] - truth) > 0.5 * truth
print(f"{wrong} of 8 are off by more than half")
assert wrong >= 5, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   0: 3.547, 3.547, 3.547, 3.547, 7.915; with ccd_tolerance 1e-10, eps 1e-4: 3.390
#   1: -0.761, -0.761, -0.761, -15.870, 2.592; with ccd_tolerance 1e-10, eps 1e-4: 2.529
#   2: 3.566, 3.566, 3.566, 3.566, 3.566; with ccd_tolerance 1e-10, eps 1e-4: 2.647
#   3: -4.470, -4.470, -4.470, 0.232, -3.303; with ccd_tolerance 1e-10, eps 1e-4: 3.344
#   4: -3.540, -3.540, -3.540, -126.599, 7.671; with ccd_tolerance 1e-10, eps 1e-4: 2.453
#   5: -108.036, -108.036, -108.036, -26.099, 2.568; with ccd_tolerance 1e-10, eps 1e-4: 2.392
#   6: -0.040, -0.040, -0.040, -43.360, 10.862; with ccd_tolerance 1e-10, eps 1e-4: 4.065
#   7: 11.517, 11.517, 11.517, 11.457, -1.835; with ccd_tolerance 1e-10, eps 1e-4: 2.549
#   6 of 8 are off by more than half
