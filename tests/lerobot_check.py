"""LeRobot's own loader reads what `jacdb export lerobot` writes and appends to it; PyTorch batches have the same rows.

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
import polars as pl
import torch
from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats
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
OWN = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # LeRobot sets these itself


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

    check_statistics(loaded, root)
    some = LeRobotDataset(f"jacdb/{env}", root=root, episodes=[0])
    assert len(some) == int((rows["episode"] == rows["episode"][0]).sum())
    batch = next(iter(torch.utils.data.DataLoader(loaded, batch_size=32, shuffle=True)))
    assert batch["j_state"].shape == (32, *rows["j_state"].shape[1:])
    check_append(loaded, root)
    print(f"{env}: {len(at)} of {len(loaded)} frames, statistics, windows: the same numbers; LeRobot appends")

    shuffled = dataset.batches(env, ("state",), framework="torch", shuffle=True, dtype="float32")
    seen = torch.cat([one["state"] for one in shuffled])
    assert seen.dtype == torch.float32
    assert torch.equal(seen.sort(0).values, rows["state"].to(torch.float32).sort(0).values)
    print(f"{env}: torch batches, shuffled: every row")


def check_statistics(loaded: LeRobotDataset, root: Path) -> None:
    """Check them against LeRobot's own of the same frames; its quantiles are those of 5,000 bins."""
    frames = loaded.hf_dataset.with_format("numpy")
    every = []
    for written in pl.read_parquet(root / "meta/episodes/*/*.parquet").iter_rows(named=True):
        of_episode = frames[written["dataset_from_index"] : written["dataset_to_index"]]
        if written["length"] == 1:  # LeRobot does not pool the rows of one frame's matrix: it sees a frame twice
            of_episode = {name: np.repeat(values, 2, axis=0) for name, values in of_episode.items()}
        expected = compute_episode_stats(of_episode, loaded.features)
        for name, each in expected.items():
            each["count"] = np.array([written["length"]])
            told = {of: np.array(written[f"stats/{name}/{of}"]) for of in each}
            check_same(told, each, name)
        every.append(expected)
    expected = aggregate_stats(every)
    assert loaded.meta.stats.keys() == expected.keys()
    for name, each in expected.items():
        check_same(loaded.meta.stats[name], each, name)


def check_same(told: dict[str, np.ndarray], expected: dict[str, np.ndarray], name: str) -> None:
    assert told.keys() == expected.keys(), name
    span = expected["max"].astype(float) - expected["min"]
    scale = max(np.abs(expected["max"]).max(), np.abs(expected["min"]).max())  # LeRobot's sums are of float32
    for of, values in expected.items():
        bin_width = span / 5000 if of.startswith("q") else 0
        assert told[of].shape == values.shape, (name, of)
        assert np.all(np.abs(told[of] - values) <= bin_width + 1e-4 * scale + 1e-9), (name, of)


def check_append(loaded: LeRobotDataset, root: Path) -> None:
    added = LeRobotDataset.resume(loaded.repo_id, root=root)
    first = {name: np.ones(one["shape"], one["dtype"]) for name, one in added.features.items() if name not in OWN}
    for _ in range(3):
        added.add_frame({**first, "task": "ones"})
    added.save_episode()
    added.finalize()
    again = LeRobotDataset(loaded.repo_id, root=root)
    assert len(again) == len(loaded) + 3 and again[len(loaded)]["task"] == "ones"
    assert torch.equal(again[len(loaded)]["j_state"], torch.ones_like(loaded[0]["j_state"]))
    assert again.meta.stats["j_state"]["count"] == len(again)


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
