"""What is exported is what polars reads from the same Parquet; Minari is read by Minari (LeRobot: lerobot_check.py)."""

import json
import math
import sys
from pathlib import Path

import minari
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import call_jacdb
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, exports
from jacdb.dataset import step_rows
from jacdb.exports import lerobot
from jacdb.ingest.storage import run_writer

RNG = np.random.default_rng(0)
LENGTH, D = 12, 3
ARRAYS = ("state", "action", "next_state", "reward", "done", "truncated", "j_state", "j_action", "pattern_id")


def make(
    root: Path, run_id: str, episodes: int, d_action: int = 2, ctrl_dt: float = 0.02, suite: str = "playground"
) -> None:
    """Row groups that end within episodes; the environment ends the first; the second has a step that is not finite."""
    made = []
    for number in range(episodes):
        j_state, j_action = RNG.normal(size=(LENGTH, D, D)), RNG.normal(size=(LENGTH, D, d_action))
        if number == 1:
            j_state[4] = np.nan
        states = RNG.normal(size=(LENGTH + 1, D + 1))
        last = np.arange(LENGTH) == LENGTH - 1
        columns = {
            "action": RNG.normal(size=(LENGTH, d_action)),
            "next_state": states[1:],
            "reward": RNG.normal(size=LENGTH),
            "done": last & (number == 0),
            "truncated": last & (number != 0),
        }
        made.append(episode(number, j_state, j_action, state=states[:-1], columns=columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_writer, "ROW_GROUP_ROWS", 10)
        dataset(root, "E", made, run_id, ctrl_dt=ctrl_dt, seed=ord(run_id[-1]), suite=suite)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("exports")
    make(root, "run-a", 3)
    make(root, "run-b", 2)
    return root


@pytest.fixture
def opened(root):
    with jacdb.open(root) as one:
        yield one


@pytest.fixture(scope="module")
def stored(root):
    """All finite rows, by run, episode and step, with ``piece``: the stretch that they are of."""
    frames = [pl.read_parquet(path, hive_partitioning=False) for path in root.glob("steps/*/*/*.parquet")]
    rows = pl.concat(frames).filter("finite").sort("run_id", "episode", "step")
    after_a_gap = (pl.col("episode") == 1) & (pl.col("step") > 4)
    return rows.with_columns(piece=pl.struct("run_id", "episode", gap=after_a_gap).rle_id())


def values(frame: pl.DataFrame, name: str) -> np.ndarray:
    return np.array(frame[name].to_list())


def pieces(stored: pl.DataFrame) -> list[pl.DataFrame]:
    return stored.partition_by("piece", maintain_order=True)


@pytest.mark.slow
def test_the_dataset_has_what_the_tests_are_about(stored, root):
    assert [len(piece) for piece in pieces(stored)] == [12, 4, 7, 12, 12, 4, 7]
    [path] = root.glob("steps/environment=E/run=run-b/*.parquet")
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [10, 2, 10, 2]


@pytest.mark.slow
def test_npz_has_every_value_and_says_where_episodes_start(opened, stored, tmp_path):
    out = tmp_path / "new" / "E.npz"
    told = exports.export(opened, "npz", "E", out)
    assert told == f"58 steps of E in 7 episodes: {out}" and [*out.parent.iterdir()] == [out]
    with np.load(out, allow_pickle=False) as loaded:
        for name in ("episode", "step", *ARRAYS):
            found = loaded[name]
            assert np.array_equal(found, values(stored, name)), name
            assert found.dtype == {"episode": np.int32, "step": np.int32, "done": bool, "truncated": bool,
                                   "pattern_id": np.int64}.get(name, np.float64)  # fmt: skip
        assert loaded["runs"][loaded["run"]].tolist() == stored["run_id"].to_list()
        assert loaded["episode_starts"].tolist() == [0, 12, 16, 23, 35, 47, 51]
        assert loaded["tangent_axes"].tolist() == ["tangent0", "tangent1", "tangent2"]
        assert loaded["action_axes"].tolist() == ["action0", "action1"] and loaded["env"] == "E"
        assert loaded["action_units"].tolist() == ["1", "1"]


@pytest.mark.slow
def test_minari_reads_the_same_numbers(opened, stored, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    told = exports.export(opened, "minari", "E", tmp_path / "jacdb" / "E-v0")
    assert told.endswith("(jacdb/E-v0)") and list(minari.list_local_datasets()) == ["jacdb/E-v0"]
    loaded = minari.load_dataset("jacdb/E-v0")
    assert (loaded.total_episodes, loaded.total_steps) == (7, 58)
    metadata = list(loaded.storage.get_episode_metadata(loaded.episode_indices))
    for one, about, piece in zip(loaded.iterate_episodes(), metadata, pieces(stored), strict=True):
        assert np.array_equal(one.observations[:-1], values(piece, "state"))
        assert np.array_equal(one.observations[1:], values(piece, "next_state"))
        assert np.array_equal(one.actions, values(piece, "action"))
        assert np.array_equal(one.rewards, values(piece, "reward"))
        assert np.array_equal(one.terminations, values(piece, "done"))
        for name in ("j_state", "j_action", "pattern_id"):
            assert np.array_equal(one.infos[name], values(piece, name)), name
        assert one.terminations[-1] != one.truncations[-1] and not one.truncations[:-1].any()
        first = piece.row(0, named=True)
        whence = {"run_id": first["run_id"], "episode": first["episode"], "first_step": first["step"]}
        assert about["options"] == whence
    assert loaded.storage.metadata["jacdb_axes"]["action"] == ["action0", "action1"]
    assert loaded.observation_space.shape == (D + 1,) and loaded.action_space.shape == (2,)
    assert loaded.storage.metadata["description"].startswith("E of MuJoCo Playground; ")


@pytest.mark.slow
def test_minari_says_what_an_environment_is_of(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    make(tmp_path / "data", "run-a", 1, suite="model")
    with jacdb.open(tmp_path / "data") as own:
        exports.export(own, "minari", "E", tmp_path / "E-v0")
    assert minari.load_dataset("E-v0").storage.metadata["description"].startswith("E (model); infos hold")


def test_users_33_minari_writes_to_a_relative_path(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert exports.export(opened, "minari", "E", Path("E-v0")) == "58 steps of E in 7 episodes: E-v0 (E-v0)"
    assert minari.load_dataset("E-v0").total_steps == 58


@pytest.mark.parametrize("name", ["E", "E v0", "E-v0.h5"])
def test_a_name_that_minari_does_not_take_is_refused_with_one_that_it_does(opened, tmp_path, name):
    with pytest.raises(UsageError, match=r"version, such as .*E-v0$"):
        exports.export(opened, "minari", "E", tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_lerobot_files_are_as_its_format_has_them(opened, stored, tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot, "FILE_MB", 0.004)
    monkeypatch.setattr(lerobot, "CHUNK_FILES", 2)
    exports.export(opened, "lerobot", "E", tmp_path / "E")
    meta = tmp_path / "E" / "meta"
    info = json.loads((meta / "info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 50 and info["splits"] == {"train": "0:7"}
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (7, 58, 1)
    assert info["features"]["j_action"] == {
        "dtype": "float32",
        "shape": [3, 2],
        "names": {"rows": ["tangent0", "tangent1", "tangent2"], "columns": ["action0", "action1"]},
    }
    assert info["features"]["next.done"] == {"dtype": "bool", "shape": [1], "names": None}
    files = sorted((tmp_path / "E").glob("data/*/*.parquet"))
    assert len(files) > 2 and files[2] == tmp_path / "E" / "data/chunk-001/file-000.parquet"
    rows = pl.concat([pl.read_parquet(path) for path in files])
    assert set(rows.columns) == set(info["features"])
    for name, column in {"observation.state": "state", "next.reward": "reward"}.items() | {
        (name, name) for name in ("action", "next_state", "j_state", "j_action")
    }:
        assert np.array_equal(values(rows, name), values(stored, column).astype(np.float32)), name
    assert rows["index"].to_list() == list(range(58))
    frame = np.concatenate([np.arange(len(piece)) for piece in pieces(stored)])
    assert np.array_equal(rows["frame_index"], frame)
    assert np.allclose(rows["timestamp"], frame * 0.02, atol=1e-6)
    assert rows["next.done"].sum() == 7 and rows["next.truncated"].sum() == 5

    episodes = pl.concat([pl.read_parquet(path) for path in sorted(meta.glob("episodes/*/*.parquet"))])
    assert episodes["length"].to_list() == [len(piece) for piece in pieces(stored)]
    for one in episodes.iter_rows(named=True):
        file = info["data_path"].format(chunk_index=one["data/chunk_index"], file_index=one["data/file_index"])
        of = pl.read_parquet(tmp_path / "E" / file).filter(pl.col("episode_index") == one["episode_index"])
        assert (of["index"].min(), of["index"].max() + 1) == (one["dataset_from_index"], one["dataset_to_index"])
        assert np.allclose(one["stats/j_state/mean"], values(of, "j_state").mean((0, 1)), atol=1e-6)
        assert one["ctrl_dt"] == 0.02 and one["tasks"] == ["E"]
    stats = json.loads((meta / "stats.json").read_text())
    for name in ("j_state", "action", "next.reward", "frame_index"):
        columns = info["features"][name]["shape"][-1]  # a matrix's statistics are pooled over its rows
        found, told = values(rows, name).astype(float).reshape(-1, columns), stats[name]
        for of, expected in (
            ("mean", found.mean(0)),
            ("std", found.std(0)),
            ("max", found.max(0)),
            ("min", found.min(0)),
        ):
            assert np.allclose(told[of], expected, atol=1e-6), (name, of)
        assert told["count"] == [58] and np.shape(told["q50"]) == found.shape[1:]
    assert pq.read_table(meta / "tasks.parquet").to_pylist() == [{"task_index": 0, "task": "E"}]
    assert json.loads(pq.read_schema(meta / "tasks.parquet").metadata[b"pandas"])["index_columns"] == ["task"]


@pytest.mark.slow
def test_lerobot_statistics_of_a_matrix_are_pooled_over_frames_and_rows(opened, tmp_path):
    """So are those of an episode of one frame: LeRobot adds up statistics of one shape only."""
    exports.export(opened.where("step in (1, 3, 4)"), "lerobot", "E", tmp_path / "E")
    rows = pl.read_parquet(tmp_path / "E/data/*/*.parquet")
    every = json.loads((tmp_path / "E/meta/stats.json").read_text())
    episodes = pl.read_parquet(tmp_path / "E/meta/episodes/*/*.parquet")
    assert sorted(episodes["length"]) == [1] * 7 + [2] * 3
    for name, columns in (("j_state", 3), ("j_action", 2)):
        matrices = values(rows, name).astype(float).reshape(13, 3, columns)
        for one in episodes.iter_rows(named=True):
            pooled = matrices[one["dataset_from_index"] : one["dataset_to_index"]].reshape(-1, columns)
            for of in ("min", "max", "mean", "std"):
                assert np.allclose(one[f"stats/{name}/{of}"], getattr(pooled, of)(0))
            assert one[f"stats/{name}/count"] == [one["length"]]
            for of, quantile in lerobot.QUANTILES.items():  # of n numbers the one of rank ceil(quantile n), as LeRobot
                rank = math.ceil(quantile * len(pooled))
                assert np.allclose(one[f"stats/{name}/{of}"], np.sort(pooled, axis=0)[rank - 1])
        assert np.allclose(every[name]["std"], matrices.reshape(-1, columns).std(0))
        q50 = np.average(np.array(episodes[f"stats/{name}/q50"].to_list()), axis=0, weights=episodes["length"])
        assert np.allclose(every[name]["q50"], q50) and every[name]["count"] == [13]


@pytest.mark.slow
def test_lerobot_counts_whole_frames_and_stores_one_number_as_such(tmp_path):
    make(tmp_path, "run-a", 2, d_action=1, ctrl_dt=0.03)
    with jacdb.open(tmp_path) as opened:
        assert "at 33 frames per second" in exports.export(opened, "lerobot", "E", tmp_path / "out")
    assert pq.read_schema(tmp_path / "out/data/chunk-000/file-000.parquet").field("action").type == "float"
    make(tmp_path, "run-b", 2, d_action=1, ctrl_dt=0.02)
    with jacdb.open(tmp_path) as opened:
        with pytest.raises(UsageError, match=r"0.03 s in run-a, 0.02 s in run-b.*--where"):
            exports.export(opened, "lerobot", "E", tmp_path / "both")
        exports.export(opened.where("run_id = 'run-b'"), "lerobot", "E", tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize("form", exports.FORMATS)
def test_a_condition_cuts_episodes_where_it_leaves_steps_out(opened, tmp_path, form):
    out = tmp_path / ("E.npz" if form == "npz" else "E-v0")
    told = exports.export(opened.where("step not in (0, 6) and run_id = 'run-b'"), form, "E", out)
    assert told.startswith("19 steps of E in 5 episodes")


@pytest.mark.parametrize("form", exports.FORMATS)
def test_what_fails_leaves_nothing_behind(opened, tmp_path, form, monkeypatch):
    read, calls = step_rows.StepRows.read, []

    def failing(*arguments):
        calls.append(0)
        if len(calls) > 3:
            raise FailureError("disk")
        return read(*arguments)

    monkeypatch.setattr(step_rows.StepRows, "read", failing)
    with pytest.raises(FailureError):
        exports.export(opened, form, "E", tmp_path / ("E.npz" if form == "npz" else "E-v0"))
    assert not list(tmp_path.iterdir())


def test_without_minari_the_remedy_is_told(opened, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"h5py is missing: pip install 'jacdb\[minari\]'"):
        exports.export(opened, "minari", "E", tmp_path / "E-v0")


@pytest.mark.slow
def test_the_command_line_exports_and_refuses(root, tmp_path):
    words = ("--env", "E", "--data", str(root), "--out")
    out = tmp_path / "E.npz"
    ran = call_jacdb("export", "npz", *words, str(out), "--where", "step < 2")
    assert (ran.returncode, ran.stdout) == (0, f"10 steps of E in 5 episodes: {out}\n")
    for form, path, told in (
        ("npz", out, "exists: give another name"),
        ("npz", tmp_path / "E.zip", "ends in .npz"),
        ("hdf5", tmp_path / "E.npz2", "unknown format 'hdf5': give minari, lerobot, npz"),
    ):
        ran = call_jacdb("export", form, *words, str(path))
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1) and told in ran.stderr
    assert [*tmp_path.iterdir()] == [out]


@pytest.mark.slow
def test_without_actuators_lerobot_is_refused_and_the_others_are_written(tmp_path):
    make(tmp_path / "data", "run-a", 2, d_action=0)
    with jacdb.open(tmp_path / "data") as opened:
        with pytest.raises(UsageError, match=r"E has no actuators.*export npz or minari"):
            exports.export(opened, "lerobot", "E", tmp_path / "lerobot")
        assert not (tmp_path / "lerobot").exists()
        exports.export(opened, "npz", "E", tmp_path / "all.npz")
        exports.export(opened, "minari", "E", tmp_path / "e-v0")
    assert np.load(tmp_path / "all.npz")["j_action"].shape == (23, D, 0)
