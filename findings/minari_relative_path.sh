#!/usr/bin/env bash
# Minari: with a relative MINARI_DATASETS_PATH a dataset is created and loaded, and no episode can be added to it.
#
# Seen with:  minari 0.5.4, gymnasium 1.4.0, Python 3.12.
# Expected:   DataCollector.add_to_dataset(dataset) adds the collected episodes, as it does below an absolute path.
# Happens:    FileNotFoundError: to tell its size a storage joins each of its files' paths to its own path, and a relative
#             one is then there twice. MinariStorage.new(path).update_episodes fails likewise. An absolute path helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'minari[hdf5,create]==0.5.4' gymnasium==1.4.0 numpy==2.5.5 pillow==13.0.0
cat >"$folder/check.py" <<'PYTHON'
import os
import warnings
from pathlib import Path

import gymnasium
import minari

warnings.filterwarnings("ignore")


def collected():
    env = minari.DataCollector(gymnasium.make("CartPole-v1"), data_format="hdf5")
    env.reset(seed=0)
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated or truncated
    return env


said = {}
for name in ("relative", str(Path("absolute").absolute())):
    os.environ["MINARI_DATASETS_PATH"] = name
    collected().create_dataset("pole-v0", algorithm_name="random")
    dataset = minari.load_dataset("pole-v0")
    try:
        collected().add_to_dataset(dataset)
        said[Path(name).name] = f"{dataset.storage.total_episodes} episodes"
    except FileNotFoundError as error:
        said[Path(name).name] = f"FileNotFoundError: {error.filename}"
for name, words in said.items():
    print(f"{name}: {words}")
twice = "relative/pole-v0/data/relative/pole-v0/data/main_data.hdf5"
assert said == {"relative": f"FileNotFoundError: {twice}", "absolute": "2 episodes"}, "it changed"
PYTHON
cd "$folder"
"$folder/venv/bin/python" check.py 2>/dev/null
# Output:
#   relative: FileNotFoundError: relative/pole-v0/data/relative/pole-v0/data/main_data.hdf5
#   absolute: 2 episodes
