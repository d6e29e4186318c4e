#!/usr/bin/env bash
# LeRobot: after merge_datasets, episodes are said to stand in files of metadata that are not there.
#
# Seen with:  lerobot 0.6.1, torch 2.11.0, datasets 4.8.5, pandas 2.3.3, numpy 2.2.6, Python 3.12, CPU (installs 5 GB).
# Expected:   meta/episodes/file_index of a merged dataset is the file in which the row stands, as in what was merged:
#             delete_episodes works on either.
# Happens:    the merged rows are in one file, and keep the number of the file of their source: of a dataset that was
#             resumed once, and so has two, the last episode's is 1. delete_episodes reads that file: FileNotFoundError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'lerobot[dataset]==0.6.1' torch==2.11.0 datasets==4.8.5 pandas==2.3.3 numpy==2.2.6
cat >"$folder/check.py" <<'PYTHON'
import logging
from pathlib import Path

import numpy as np

from lerobot.datasets import dataset_tools
from lerobot.datasets.lerobot_dataset import LeRobotDataset

logging.disable()
FEATURES = {"action": {"dtype": "float32", "shape": (2,), "names": None}}


def add(dataset, episodes):
    for _ in range(episodes):
        for _ in range(4):
            dataset.add_frame({"action": np.zeros(2, np.float32), "task": "t"})
        dataset.save_episode()
    dataset.finalize()


def tried(name):
    """Return which files of metadata there are, which the rows name, and what deleting an episode says."""
    dataset = LeRobotDataset(f"me/{name}", root=name)
    files = sorted(int(path.stem[-3:]) for path in Path(name).glob("meta/episodes/*/*.parquet"))
    named = [episode["meta/episodes/file_index"] for episode in dataset.meta.episodes]
    try:
        dataset_tools.delete_episodes(dataset, [0], output_dir=f"{name}_less", repo_id=f"me/{name}_less")
        return files, named, "deleted"
    except FileNotFoundError as error:
        return files, named, type(error).__name__


add(LeRobotDataset.create("me/resumed", fps=10, features=FEATURES, root="resumed", use_videos=False), 2)
add(LeRobotDataset.resume("me/resumed", root="resumed"), 1)
add(LeRobotDataset.create("me/other", fps=10, features=FEATURES, root="other", use_videos=False), 1)
sources = [LeRobotDataset(f"me/{name}", root=name) for name in ("resumed", "other")]
dataset_tools.merge_datasets(sources, output_repo_id="me/merged", output_dir="merged")
seen = {name: tried(name) for name in ("resumed", "merged")}
for name, (files, named, said) in seen.items():
    print(f"{name}: files {files}, named {named}; delete_episodes: {said}")
assert seen["resumed"] == ([0, 1], [0, 0, 1], "deleted"), f"it changed: {seen}"
assert seen["merged"] == ([0], [0, 0, 1, 0], "FileNotFoundError"), f"it changed: {seen}"
PYTHON
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 venv/bin/python check.py
# Output:
#   resumed: files [0, 1], named [0, 0, 1]; delete_episodes: deleted
#   merged: files [0], named [0, 0, 1, 0]; delete_episodes: FileNotFoundError
