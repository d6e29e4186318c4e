#!/usr/bin/env bash
# LeRobot: statistics of a matrix are pooled over its rows, but those of an episode of one frame are not.
#
# Seen with:  lerobot 0.6.1, torch 2.11.0, datasets 4.8.5, pandas 2.3.3, numpy 2.2.6, Python 3.12, CPU (installs 5 GB).
# Expected:   statistics of a feature have its shape: if every frame has the same matrix, that is the mean, and the
#             deviation is 0. Episodes of any length follow each other.
# Happens:    of frames that all are [[0, 1], [2, 3], [4, 5]] the mean is [2, 3], and the deviation [1.63, 1.63]: one
#             number a column, by which a policy's normalization scales all rows; `count` is the number of frames.
#             An episode of one frame has statistics of shape (3, 2), and save_episode fails on the next that is longer,
#             and on every one-frame episode after one that is longer: "all input arrays must have the same shape".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'lerobot[dataset]==0.6.1' torch==2.11.0 datasets==4.8.5 pandas==2.3.3 numpy==2.2.6
cat >"$folder/check.py" <<'PYTHON'
import logging

import numpy as np

from lerobot.datasets.lerobot_dataset import LeRobotDataset

logging.disable()
MATRIX = np.arange(6, dtype=np.float32).reshape(3, 2)
FEATURES = {
    "action": {"dtype": "float32", "shape": (2,), "names": None},
    "matrix": {"dtype": "float32", "shape": (3, 2), "names": None},
}


def told(name, *lengths):
    """Write episodes of these lengths; return the statistics of the matrix, or the error."""
    made = LeRobotDataset.create(f"me/{name}", fps=10, features=FEATURES, root=name, use_videos=False)
    try:
        for length in lengths:
            for _ in range(length):
                made.add_frame({"action": np.zeros(2, np.float32), "matrix": MATRIX, "task": "t"})
            made.save_episode()
    except ValueError as error:
        return str(error)
    made.finalize()
    statistics = made.meta.stats["matrix"]
    return {of: np.round(statistics[of], 2).tolist() for of in ("mean", "std", "count")}


seen = {lengths: told("_".join(map(str, lengths)), *lengths) for lengths in ((4, 4), (1,), (1, 4), (4, 1))}
for lengths, statistics in seen.items():
    print("episodes of", *lengths, "frames:", statistics)
pooled = {"mean": [2.0, 3.0], "std": [1.63, 1.63], "count": [8]}
entries = {"mean": MATRIX.tolist(), "std": [[0.0, 0.0]] * 3, "count": [1]}
refused = "all input arrays must have the same shape"
expected = {(4, 4): pooled, (1,): entries, (1, 4): refused, (4, 1): refused}
assert seen == expected, f"it changed: {seen}"
PYTHON
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 venv/bin/python check.py
# Output:
#   episodes of 4 4 frames: {'mean': [2.0, 3.0], 'std': [1.63, 1.63], 'count': [8]}
#   episodes of 1 frames: {'mean': [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
#     'std': [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], 'count': [1]}
#   episodes of 1 4 frames: all input arrays must have the same shape
#   episodes of 4 1 frames: all input arrays must have the same shape
