"""LeRobot datasets of format v3, written as LeRobot lays them out, read with a mapping file."""

import json

import mujoco
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_arm
from conftest import ROOT

import jacdb
from jacdb import exports
from jacdb.errors import UsageError
from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import replay
from jacdb.nested_lists import from_array

MODEL = recorded_arm.load()
MAPPING = """
act = "observation.activation"
[[qpos]]
column = "observation.box"
entries = [0, 1, 2, 3, 4, 5, 6]
[[qpos]]
column = "observation.state"
entries = ["shoulder.pos", "elbow.pos"]
unit = "deg"
[[qvel]]
column = "observation.box"
entries = [7, 8, 9, 10, 11, 12]
[[qvel]]
column = "observation.state"
entries = ["shoulder.vel", "elbow.vel"]
unit = "deg"
[ctrl]
column = "action"
"""


@pytest.fixture
def folder(tmp_path):
    """A dataset of three episodes in two files; joints in degrees, floats in float32, as LeRobot stores them."""
    rows = recorded_arm.rows(MODEL, n_episodes=3)
    joints = np.degrees(np.concatenate([rows["qpos"][:, 7:], rows["qvel"][:, 6:]], axis=1))
    features = {
        "observation.state": joints[:, [2, 0, 3, 1]],
        "observation.box": np.concatenate([rows["qpos"][:, :7], rows["qvel"][:, :6]], axis=1),
        "observation.activation": rows["act"],
        "action": np.nan_to_num(rows["ctrl"]),
        "next.reward": np.nan_to_num(rows["reward"]),
    }
    columns = {name: values.astype(np.float32) for name, values in features.items()}
    columns |= {"next.done": rows["done"], "episode_index": rows["episode"]}
    columns["observation.activation"] = columns["observation.activation"][:, 0]  # a vector of one is a number
    (tmp_path / "data" / "chunk-000").mkdir(parents=True)
    for number, part in enumerate((slice(0, 82), slice(82, 123))):
        table = pa.table({name: from_array(values[part]) for name, values in columns.items()})
        pq.write_table(table, tmp_path / "data" / "chunk-000" / f"file-{number:03d}.parquet")
    names = {"observation.state": {"motors": ["shoulder.vel", "shoulder.pos", "elbow.vel", "elbow.pos"]}}
    info = {
        "codebase_version": "v3.0", "robot_type": "arm", "fps": 50, "total_episodes": 3, "total_frames": 123,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "features": {name: {"dtype": "float32", "names": names.get(name)} for name in columns},
    }  # fmt: skip
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntask_categories:\n- robotics\n---\n")
    (tmp_path / "map.toml").write_text(MAPPING)
    return tmp_path


def opened(folder, **options):
    return recordings.open(folder, **{"model": MODEL, "mapping": folder / "map.toml"} | options)


def test_a_mapped_dataset_is_replayed(folder):
    source = opened(folder)
    # 50 frames a second, 0.004 s a physics step
    assert (source.suite, source.n_substeps) == ("lerobot", recorded_arm.SUBSTEPS)
    runs = list(replay.replays(MODEL, source.n_substeps, source.trajectories()))
    assert [one.n_steps for one, _ in runs] == [40, 40, 40]
    assert source.dtype == np.float32
    assert max(run.error.max() for _, run in runs) < replay.tolerance(source.dtype)
    assert all(one.done.tolist() == [False] * 39 + [True] for one, _ in runs)
    facts = source.provenance()
    assert (facts["licence"], facts["robot_type"], facts["fps"]) == ("apache-2.0", "arm", "50")


@pytest.mark.parametrize("named", [list, lambda names: {name: place for place, name in enumerate(names)}])
def test_entries_are_named_by_a_list_too_and_by_places_as_teleoperators_do(folder, named):
    path = folder / "meta" / "info.json"
    info = json.loads(path.read_text())
    feature = info["features"]["observation.state"]
    expected = [one.qpos for one in opened(folder).trajectories()]
    feature["names"] = named(feature["names"]["motors"])
    path.write_text(json.dumps(info, sort_keys=True))
    np.testing.assert_array_equal([one.qpos for one in opened(folder).trajectories()], expected)


def test_the_mapping_or_the_caller_may_say_the_physics_steps(folder):
    assert opened(folder, n_substeps=7).n_substeps == 7
    (folder / "map.toml").write_text("fps = 25\n" + MAPPING)
    assert opened(folder).n_substeps == 10
    (folder / "map.toml").write_text("n_substeps = 3\n" + MAPPING)
    assert opened(folder).n_substeps == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codebase_version": "v2.1"}, "LeRobot's format v2.1"),
        ({"total_frames": 200}, "123 of 200 frames"),
        ({"fps": None}, "no fps"),
        ({"fps": 60}, "4.167 physics steps"),
        ({"fps": 1e-9}, "e+11 physics steps"),
        ({"features": {}}, "has no entry 'shoulder.pos'"),
    ],
)
def test_a_dataset_that_can_not_be_read_is_told_in_one_line(folder, change, said):
    path = folder / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError) as raised:
        opened(folder)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "observation.state, observation.box"),
        (MAPPING.replace("shoulder.vel", "hip.vel"), "has no entry 'hip.vel'"),
        (MAPPING.replace("observation.box", "observation.cube"), "no column observation.cube for qpos"),
        (MAPPING.replace('[ctrl]\ncolumn = "action"', ""), "no column ctrl"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told_in_one_line(folder, text, said):
    if text is not None:
        (folder / "map.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        opened(folder, **({"mapping": None} if text is None else {}))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_what_jacdb_exports_as_lerobot_comes_back(tmp_path):
    """The export is what LeRobot's own loader reads (tests/lerobot_check.py): so is what is read here."""
    model = mujoco.MjModel.from_xml_string("""
        <mujoco><worldbody><body>
          <joint name="slider" type="slide" axis="1 0 0"/><geom size=".1"/>
          <body pos="0 0 .5"><joint name="hinge" axis="0 1 0"/><geom size=".1"/></body>
        </body></worldbody><actuator><motor joint="slider"/></actuator></mujoco>
    """)
    (tmp_path / "map.toml").write_text("""
        qpos = {column = "observation.state", entries = ["slider", "hinge_1"]}
        qvel = {column = "observation.state", entries = ["slider.vel", "hinge_1.vel"]}
        ctrl = "action"
    """)
    with jacdb.open(ROOT / "datasets" / "sample") as dataset:
        exports.export(dataset, "lerobot", "CartpoleBalance", tmp_path / "cart")
        rows = dataset.sql("select state from CartpoleBalance order by run_id, episode, step").fetchall()
    source = recordings.open(tmp_path / "cart", model=model, mapping=tmp_path / "map.toml", n_substeps=1)
    read = [np.concatenate([one.qpos, one.qvel], axis=1) for one in source.trajectories()]
    np.testing.assert_array_equal(np.concatenate(read), np.array([[*row[0].values()] for row in rows], np.float32))
