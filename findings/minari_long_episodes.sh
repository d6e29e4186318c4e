#!/usr/bin/env bash
# Minari: an episode of 32,768 rows or more, kept in Arrow or Parquet, comes back in part, and the next is not the next.
#
# Seen with:  minari 0.5.4, pyarrow 26.0.1, gymnasium 1.4.0, numpy 2.5.5, Python 3.12.
# Expected:   two episodes of 40,000 steps each come back as they were written, as they do from HDF5.
# Happens:    from Arrow and from Parquet the first has 32,768 observations, and the second is the rest of the first: the
#             reader goes through record batches as if each were an episode, and a batch has 32,768 rows at most.
#             Nothing is said; total_steps is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'minari[hdf5,arrow,create]==0.5.4' pyarrow==26.0.1 gymnasium==1.4.0 numpy==2.5.5 \
  pillow
cat >"$folder/check.py" <<'PYTHON'
import warnings

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

warnings.filterwarnings("ignore")
STEPS = 40_000
box = spaces.Box(-np.inf, np.inf, (1,), np.float64)
seen = {}
for data_format in ("hdf5", "arrow", "parquet"):
    episodes = [
        EpisodeBuffer(
            observations=np.full((STEPS + 1, 1), number), actions=np.zeros((STEPS, 1)), rewards=[0.0] * STEPS,
            terminations=[False] * STEPS, truncations=[False] * (STEPS - 1) + [True],
        )
        for number in (0.0, 1.0)
    ]
    made = minari.create_dataset_from_buffers(
        f"long/{data_format}-v0", episodes, observation_space=box, action_space=box, data_format=data_format
    )
    assert made.total_steps == 2 * STEPS
    read = minari.load_dataset(f"long/{data_format}-v0").iterate_episodes()
    seen[data_format] = [(len(one.observations), float(one.observations[0, 0])) for one in read]
    print(f"{data_format}: observations of each episode, and the first: {seen[data_format]}")
assert seen["hdf5"] == [(40_001, 0.0), (40_001, 1.0)]
cut = [(32_768, 0.0), (7_233, 0.0)]
assert seen["arrow"] == seen["parquet"] == cut, f"it changed: {seen}"
PYTHON
MINARI_DATASETS_PATH="$folder/datasets" "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   hdf5: observations of each episode, and the first: [(40001, 0.0), (40001, 1.0)]
#   arrow: observations of each episode, and the first: [(32768, 0.0), (7233, 0.0)]
#   parquet: observations of each episode, and the first: [(32768, 0.0), (7233, 0.0)]
