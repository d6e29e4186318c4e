#!/usr/bin/env bash
# Minari: with record_infos=True, no step of any of Gymnasium's MuJoCo environments is collected.
#
# Seen with:  minari 0.5.4, gymnasium 1.4.0, mujoco 4.0.0, Python 3.12.
# Expected:   DataCollector(env, record_infos=True) keeps what infos hold.
# Happens:    the first step raises ValueError in all eleven v5 environments: the info of their reset has fewer keys
#             than that of a step, and Minari wants one structure of both. A StepDataCallback that puts the same keys
#             into each helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'minari[hdf5,create]==0.5.4' 'gymnasium[mujoco]==1.4.0' mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import warnings

import gymnasium
import minari

warnings.filterwarnings("ignore")
NAMES = ("Ant HalfCheetah Hopper Humanoid HumanoidStandup InvertedDoublePendulum InvertedPendulum Pusher Reacher Swimmer "
         "Walker2d").split()
failed = []
for name in NAMES:
    env = minari.DataCollector(gymnasium.make(f"{name}-v5"), record_infos=True)
    _, at_reset = env.reset(seed=0)
    try:
        env.step(env.action_space.sample())
    except ValueError as error:
        failed.append(name)
        print(f"{name}: reset gives {len(at_reset)} keys; {str(error).splitlines()[0]}")
print(f"{len(failed)} of {len(NAMES)} fail")
assert failed == NAMES, f"it changed: {failed}"
PYTHON
MINARI_DATASETS_PATH="$folder/datasets" "$folder/venv/bin/python" "$folder/check.py" 2>/dev/null
# Output:
#   HalfCheetah: reset gives 1 keys; pytree structure error: different numbers of pytree children at key path
#   …
#   11 of 11 fail
