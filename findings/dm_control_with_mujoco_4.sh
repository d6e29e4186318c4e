#!/usr/bin/env bash
# dm_control 1.0.50 declares that it runs with MuJoCo 4.0, pip installs them together, and no environment of its loads.
#
# Seen with:  dm_control 1.0.50, mujoco 4.0.0 (what pip resolves to), Python 3.12.
# Expected:   "mujoco>=3.17.0" holds, or pip chooses a MuJoCo that dm_control loads with.
# Happens:    suite.load: AttributeError: 'MjModel' object has no attribute 'flex_vertedge'. dm_control has a list of MuJoCo's
#             array fields, generated from one release, and reads all of them; nine are gone. Taken out of the list, walker-run
#             goes through the states that it goes through with mujoco 3.17, to 1e-9.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.0.0 3.17.0; do
  "${PYTHON:-python3.12}" -m venv "$folder/$version"
  "$folder/$version/bin/pip" install -q dm_control==1.0.50 "mujoco==$version" numpy==2.5.5
done
cat >"$folder/check.py" <<'PYTHON'
import sys

import mujoco
import numpy as np
from dm_control import suite
from dm_control.mujoco.wrapper.mjbindings import sizes

structs = {"mjmodel": mujoco.MjModel, "mjdata": mujoco.MjData}
gone = [(name, field) for name, struct in structs.items() for field in sizes.array_sizes[name] if not hasattr(struct, field)]
try:
    suite.load("walker", "run")
    said = "loads"
except AttributeError as error:
    said = f"AttributeError: {error}"
print(f"mujoco {mujoco.__version__}: {said}; listed, and gone: {len(gone)}")
expected = {"3.17.0": ("loads", 0), "4.0.0": ("AttributeError: 'MjModel' object has no attribute 'flex_vertedge'", 9)}
assert (said, len(gone)) == expected[mujoco.__version__], "it changed"
for name, field in gone:
    del sizes.array_sizes[name][field]
env = suite.load("walker", "run", task_kwargs={"random": 0})
env.reset()
for action in np.random.default_rng(0).uniform(-1, 1, (12, 6)):
    env.step(action)
np.savetxt(sys.argv[1], np.concatenate([env.physics.data.qpos, env.physics.data.qvel]), fmt="%.17g")
PYTHON
for version in 4.0.0 3.17.0; do
  MUJOCO_GL=disabled "$folder/$version/bin/python" "$folder/check.py" "$folder/$version.txt"
done
"$folder/4.0.0/bin/python" -c "
import sys, numpy as np
one, other = map(np.loadtxt, sys.argv[1:])
assert np.abs(one - other).max() < 1e-9, 'it changed'
print('after 12 steps, repaired on 4.0.0 and as it is on 3.17.0: equal to 1e-9')
" "$folder/4.0.0.txt" "$folder/3.17.0.txt"
# Output:
#   mujoco 4.0.0: AttributeError: 'MjModel' object has no attribute 'flex_vertedge'; listed, and gone: 9
#   mujoco 3.17.0: loads; listed, and gone: 0
#   after 12 steps, repaired on 4.0.0 and as it is on 3.17.0: equal to 1e-9
