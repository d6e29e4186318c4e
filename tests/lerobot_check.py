"""LeRobot's own loader reads what `jacdb export lerobot` writes, and the loader's PyTorch path gives the same rows.

Not a part of the suite: lerobot brings PyTorch, several GB, and an older huggingface-hub than jacdb asks for, which
reading and exporting do without. In an environment of its own:

    python3.12 -m venv lerobot-venv && lerobot-venv/bin/pip install 'lerobot[dataset]>=0.6' duckdb polars typer
    lerobot-venv/bin/pip install --no-deps .
    HF_HUB_OFFLINE=1 lerobot-venv/bin/python tests/lerobot_check.py --data DIR [--env E …]
"""

import argparse
import importlib.metadata
import tempfile
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

import jacdb
from jacdb import exports

STORED_AS = {
    "observation.state": "state",
    "action": "action",
    "next_state": "next_state",
    "j_state": "j_state",
    "j_action": "j_action",
    "next.reward": "reward",
}


def check(dataset: jacdb.Dataset, env: str, folder: Path) -> None:
    root = folder / env
    print(exports.export(dataset, "lerobot", env, root))
    loaded = LeRobotDataset(f"jacdb/{env}", root=root)
    columns = ("episode", "step", "done", "truncated", *STORED_AS.values())
    [rows] = dataset.batches(env, columns, batch_size=len(loaded), framework="torch", device="cpu")
    assert loaded.meta.total_frames == len(rows["step"]) and loaded.meta.total_episodes == loaded.num_episodes

    at = torch.linspace(0, len(loaded) - 1, min(200, len(loaded))).long().tolist()  # an item takes a millisecond
    for i in at:
        item = loaded[i]
        for name, column in STORED_AS.items():
            found, stored = item[name], rows[column][i].to(torch.float32)
            assert torch.equal(found.reshape(stored.shape), stored), (env, i, name)
            assert found.shape == stored.shape or stored.shape == (1,), (env, i, name)
        ends = bool(rows["done"][i] or rows["truncated"][i])
        assert bool(item["next.done"]) == ends and bool(item["next.truncated"]) == bool(rows["truncated"][i])
        assert item["frame_index"] == rows["step"][i] and item["index"] == i and item["task"] == env
        assert abs(float(item["timestamp"]) - float(item["frame_index"]) / loaded.fps) < 1e-5

    # the windows that policies are trained on, which may not leave an episode
    windows = LeRobotDataset(f"jacdb/{env}", root=root, delta_timestamps={"observation.state": [0, 1 / loaded.fps]})
    last = int(np.flatnonzero((rows["done"] | rows["truncated"]).numpy())[0])
    for i, pads in ((0, [False, False]), (last, [False, True])):
        window = windows[i]
        then = i if pads[1] else i + 1
        assert torch.equal(window["observation.state"], rows["state"][[i, then]].to(torch.float32))
        assert window["observation.state_is_pad"].tolist() == pads

    for name, column in STORED_AS.items():
        values = rows[column].to(torch.float64).numpy()
        told = loaded.meta.stats[name]
        for of in ("mean", "std", "min", "max"):
            expected, scale = getattr(values, of)(0), np.abs(values).max()
            assert np.allclose(np.reshape(told[of], expected.shape), expected, rtol=1e-4, atol=1e-6 * scale), (name, of)
        assert told["count"] == len(values)

    some = LeRobotDataset(f"jacdb/{env}", root=root, episodes=[0])
    assert len(some) == int((rows["episode"] == rows["episode"][0]).sum())
    batch = next(iter(torch.utils.data.DataLoader(loaded, batch_size=32, shuffle=True)))
    assert batch["j_state"].shape == (32, *rows["j_state"].shape[1:])
    print(f"{env}: {len(at)} of {len(loaded)} frames, statistics, windows: the same numbers")

    shuffled = dataset.batches(env, ("state",), framework="torch", shuffle=True, dtype="float32")
    seen = torch.cat([one["state"] for one in shuffled])
    assert seen.dtype == torch.float32
    assert torch.equal(seen.sort(0).values, rows["state"].to(torch.float32).sort(0).values)
    print(f"{env}: torch batches, shuffled: every row")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--env", nargs="*", help="default: all that there are")
    arguments = parser.parse_args()
    print(
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("lerobot", "torch", "datasets", "pyarrow"))
    )
    with jacdb.open(arguments.data) as dataset, tempfile.TemporaryDirectory() as folder:
        try:
            dataset.batches(dataset.environments[0], framework="torch", device="cuda:9")
        except jacdb.UsageError as error:
            print(f"refused, as it should be: {error}")
        for env in arguments.env or dataset.environments:
            check(dataset, env, Path(folder))


if __name__ == "__main__":
    main()
