"""Recordings in Parquet: one file, or folders of files, whose columns are matched and whose episodes go on or not."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_arm
from recorded_arm import MODEL, opened, parquet, worst

from jacdb.errors import UsageError
from jacdb.ingest.sources.recordings import replay
from jacdb.nested_lists import from_array


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_parquet_is_read_in_its_precision_and_order(tmp_path, dtype):
    rows = recorded_arm.rows(MODEL)
    (tmp_path / "set").mkdir()
    for part, start in enumerate((0, 41)):  # the second file has two episodes
        stop = 41 if part == 0 else 123
        columns = {
            k: from_array(v[start:stop].astype(dtype) if v.dtype == float else v[start:stop]) for k, v in rows.items()
        }
        ctrl = columns["ctrl"].to_pylist()
        columns["ctrl"] = pa.array([None if np.isnan(each).any() else each for each in ctrl], columns["ctrl"].type)
        table = pa.table(columns).replace_schema_metadata({"licence": "CC0-1.0"})
        pq.write_table(table, tmp_path / "set" / f"part-{part}.parquet")
    source = opened(tmp_path / "set")
    assert source.dtype == dtype and source.facts["licence"] == "CC0-1.0"
    runs = list(source.trajectories())
    assert [one.n_steps for one in runs] == [40, 40, 40]
    np.testing.assert_array_equal(runs[1].qvel, rows["qvel"][41:82].astype(dtype))
    assert worst(source) == 0 if dtype is np.float64 else worst(source) < replay.tolerance(source.dtype)


def test_a_folder_and_its_files_may_be_named_as_an_environment_is(tmp_path, monkeypatch):
    rows = recorded_arm.rows(MODEL)
    for part, half in enumerate(halves(rows | {"step": np.arange(len(rows["qpos"]))}, 60)):
        parquet(tmp_path / "gym:arm" / f"part:{part}.parquet", half)
    monkeypatch.chdir(tmp_path)
    assert [one.n_steps for one in opened("gym:arm").trajectories()] == [40, 40, 40]


def halves(columns, at):
    """Cut columns in two at a row."""
    return ({name: values[part] for name, values in columns.items()} for part in (slice(at), slice(at, None)))


@pytest.fixture
def two_episodes():
    """Two episodes of 41 rows, without their number and without done."""
    rows = recorded_arm.rows(MODEL, n_episodes=2)
    return {name: rows[name] for name in ("qpos", "qvel", "act")} | {"ctrl": np.nan_to_num(rows["ctrl"])}


def test_columns_of_files_are_matched_by_their_names(tmp_path, two_episodes):
    one, other = halves(two_episodes, 41)
    parquet(tmp_path / "set" / "a.parquet", one, episode=np.zeros(41, int))
    parquet(tmp_path / "set" / "b.parquet", {"episode": np.ones(41, int)} | dict(reversed(other.items())))
    runs = list(opened(tmp_path / "set").trajectories())
    assert [run.n_steps for run in runs] == [40, 40]
    np.testing.assert_array_equal(runs[1].qpos, other["qpos"])
    for wrong, said in [
        ({"episode": None}, r"^.*b\.parquet has no column episode, which .*a\.parquet has: give all files the same"),
        ({"reward": np.zeros(41)}, r"^.*a\.parquet has no column reward, which .*b\.parquet has: give all files the"),
        ({"episode": np.ones(41)}, r"^.*b\.parquet: episode is double, and int64 in .*a\.parquet: give all files"),
    ]:
        parquet(tmp_path / "set" / "b.parquet", other, **({"episode": np.ones(41, int)} | wrong))
        with pytest.raises(UsageError, match=said):
            opened(tmp_path / "set")


def test_numbers_of_other_widths_and_lists_of_other_kinds_are_of_one_type_in_a_folder(tmp_path, two_episodes):
    files = [tmp_path / "set" / name for name in ("a.parquet", "b.parquet", "c.parquet")]
    for number, (file, rows) in enumerate(zip(files, [*halves(two_episodes, 41), two_episodes], strict=True)):
        parquet(file, rows, episode=np.full(len(rows["qpos"]), number))
    table = pq.read_table(files[1])
    table = table.set_column(0, "qpos", table["qpos"].cast(pa.large_list(pa.float64())))
    at = table.column_names.index("episode")
    pq.write_table(table.set_column(at, "episode", table["episode"].cast(pa.int32())), files[1])
    table = pq.read_table(files[2])
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(two_episodes["qpos"])
    pq.write_table(table.set_column(table.column_names.index("qpos"), "qpos", tensor), files[2])
    runs = list(opened(tmp_path / "set").trajectories())
    assert [run.n_steps for run in runs] == [40, 40, 81]
    np.testing.assert_array_equal(runs[1].qpos, two_episodes["qpos"][41:])
    np.testing.assert_array_equal(runs[2].qpos, two_episodes["qpos"])


def test_hidden_files_and_folders_are_no_part_of_a_recording(tmp_path, two_episodes):
    for name in (".ipynb_checkpoints/a", "_temporary/a", ".a", "_a"):
        parquet(tmp_path / "set" / f"{name}.parquet", two_episodes, episode=np.zeros(82, int))
    with pytest.raises(UsageError, match="holds no recording"):
        opened(tmp_path / "set")
    parquet(tmp_path / "set" / "_walk=1" / "a.parquet", two_episodes)
    (tmp_path / "map.toml").write_text("episode = '_walk'")
    source = opened(tmp_path / "set", mapping=tmp_path / "map.toml")
    assert [path.parent.name for path in source.files] == ["_walk=1"]
    assert [one.n_steps for one in source.trajectories()] == [81]


def test_folders_named_for_a_column_are_that_column(tmp_path, two_episodes):
    files = [tmp_path / "set" / f"episode={number}" / "rows.parquet" for number in (3, 4)]
    for file, rows in zip(files, halves(two_episodes, 41), strict=True):
        parquet(file, rows)
    assert [run.n_steps for run in opened(tmp_path / "set").trajectories()] == [40, 40]
    (tmp_path / "map.toml").write_text("episode = 'walk'")
    (tmp_path / "set").rename(tmp_path / "walks")
    for number in (3, 4):
        (tmp_path / "walks" / f"episode={number}").rename(tmp_path / "walks" / f"walk=no%20{number}")
    runs = opened(tmp_path / "walks", mapping=tmp_path / "map.toml").trajectories()
    assert [run.n_steps for run in runs] == [40, 40]
    parquet(tmp_path / "walks" / "walk=no%204" / "rows.parquet", rows, walk=np.zeros(41))
    with pytest.raises(UsageError, match=r"rows.parquet: walk is another than its folder says, walk=no 4: leave one"):
        opened(tmp_path / "walks", mapping=tmp_path / "map.toml")


NUMBERS = {"none": None, "one": np.zeros(82, int), "back": np.r_[np.zeros(20), np.ones(21), np.zeros(41)]}
TOLD = r"^.*a\.parquet and .*b\.parquet: nothing says that rows.* in the second follow those in the first: give each"


@pytest.mark.parametrize("numbers", NUMBERS)
def test_no_episode_joins_files_of_which_nothing_says_that_they_follow(tmp_path, two_episodes, numbers):
    restarted = np.tile(np.arange(41), 2)
    for counters in ({}, {"step": restarted}, {"time": restarted / 50}, {"step": np.arange(82), "time": restarted}):
        columns = two_episodes | counters | ({} if numbers == "none" else {"episode": NUMBERS[numbers]})
        for name, rows in zip("ab", halves(columns, 41), strict=True):
            parquet(tmp_path / "set" / f"{name}.parquet", rows)
        with pytest.raises(UsageError, match=TOLD):
            opened(tmp_path / "set")


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("counter", [{"step": np.arange(100, 141)}, {"time": 0.02 * np.arange(41) + 5}])
@pytest.mark.parametrize("at", [1, 20, 40])
def test_an_episode_goes_on_in_the_next_file_where_step_or_time_says_so(tmp_path, numbered, counter, at):
    rows = recorded_arm.rows(MODEL, n_episodes=1)
    if not numbered:
        del rows["episode"], rows["done"]
    for name, part in zip("ab", halves(rows | counter, at), strict=True):
        parquet(tmp_path / "set" / f"{name}.parquet", part)
    [one] = opened(tmp_path / "set").trajectories()
    np.testing.assert_array_equal(one.qpos, rows["qpos"])


def split(folder, columns, cuts):
    """Write columns, arrays of Arrow among them, as a folder of files that begin at row 0 and at these rows."""
    folder.mkdir()
    table = {name: each if isinstance(each, pa.Array) else from_array(each) for name, each in columns.items()}
    for start, stop in itertools.pairwise([0, *cuts, len(columns["qpos"])]):
        pq.write_table(pa.table(table).slice(start, stop - start), folder / f"{start:02}.parquet")


ROWS = np.arange(41)
ONWARD = {
    "files of a row after a long one": ({"step": ROWS}, (39, 40)),
    "files of a row alone": ({"step": 10 * ROWS}, range(1, 41)),
    "files of a row, in time": ({"time": 0.02 * ROWS}, range(1, 41)),
    "step of the file": ({"step": ROWS % 20, "time": 0.02 * ROWS}, (20,)),
    "step in one file alone": ({"step": pa.array([*range(20), *[None] * 21]), "time": 0.02 * ROWS}, (20,)),
    "number of the file": ({"step": ROWS // 20, "time": 0.02 * ROWS}, (20,)),
    "time unknown": ({"step": ROWS, "time": pa.nulls(41)}, (20,)),
    "time at rest": ({"step": ROWS, "time": 0.0 * ROWS}, (20,)),
    "timestamps": ({"time": pa.array(1_790_000_000_000 + 20 * ROWS, pa.timestamp("ms", "UTC"))}, (20,)),
    "durations": ({"time": pa.array(20_000 * ROWS, pa.duration("us"))}, (20,)),
    "times of day": ({"time": pa.array([20 * row for row in range(41)], pa.time32("ms"))}, (20,)),
    "decimals": ({"time": pa.array(ROWS).cast(pa.decimal128(24, 2))}, (20,)),
}
MISSING = {
    "a row, of files of a row": ({"step": ROWS + (ROWS > 20)}, range(1, 41)),
    "a row, by time": ({"step": ROWS, "time": 0.02 * (ROWS + (ROWS > 19))}, (20,)),
    "a row, by step": ({"step": ROWS + (ROWS > 19), "time": 0.02 * ROWS}, (20,)),
    "a reset": ({"step": ROWS, "time": 0.02 * (ROWS % 20)}, (20,)),
    "a meaning": ({"step": pa.array(list("abcdefghijklmnopqrstuvwxyzabcdefghijklmno")), "time": pa.nulls(41)}, (20,)),
}


@pytest.mark.parametrize("case", ONWARD | MISSING)
def test_one_counter_that_goes_on_is_enough_where_the_other_says_nothing_else(tmp_path, case):
    rows = recorded_arm.rows(MODEL, n_episodes=1)
    counters, cuts = (ONWARD | MISSING)[case]
    split(tmp_path / "set", {name: rows[name] for name in ("qpos", "qvel", "act", "ctrl")} | counters, cuts)
    if case in MISSING:
        with pytest.raises(UsageError, match=r"nothing says that rows in the second follow those in the first: give"):
            opened(tmp_path / "set")
    else:
        [one] = opened(tmp_path / "set").trajectories()
        np.testing.assert_array_equal(one.qpos, rows["qpos"])


@pytest.mark.parametrize("second", [2, 3])
def test_an_episode_of_two_rows_may_be_in_two_files(tmp_path, second):
    """No distance is known there but its own; where others are, in another episode, they say what is near."""
    rows = {name: each[:2] for name, each in recorded_arm.rows(MODEL, n_episodes=1).items() if name != "done"}
    split(tmp_path / "set", rows | {"step": np.array([1, second])}, (1,))
    if second == 2:
        assert [one.n_steps for one in opened(tmp_path / "set").trajectories()] == [1]
    else:
        with pytest.raises(UsageError, match="nothing says that rows of episode"):
            opened(tmp_path / "set")
    rows = recorded_arm.rows(MODEL, n_episodes=2)
    episode = np.r_[np.zeros(80), 1, 1]
    rows = {name: np.nan_to_num(rows[name]) for name in ("qpos", "qvel", "act", "ctrl")} | {"episode": episode}
    split(tmp_path / "more", rows | {"step": 2 * np.r_[np.arange(80), 0, second - 1]}, (81,))
    if second == 2:
        assert [one.n_steps for one in opened(tmp_path / "more").trajectories()] == [79, 1]
    else:
        with pytest.raises(UsageError, match="nothing says that rows of episode"):
            opened(tmp_path / "more")


def test_counters_may_be_anything_where_no_episode_goes_on_in_another_file(tmp_path, two_episodes):
    """Where one does, they may be of two types, too."""
    one, other = halves(two_episodes | {"episode": np.repeat([0, 1], 41)}, 41)
    ragged = pa.array([[0.0] * (row % 3) for row in range(41)])
    times = ({"time": ROWS / 50}, {"time": np.float32(ROWS / 50)}, {"time": ragged}, {"time": pa.array(["?"] * 41)}, {})
    for number, (a, b) in enumerate(itertools.permutations(times, 2)):
        split(tmp_path / f"set{number}", one | a, ())
        (tmp_path / f"set{number}" / "00.parquet").rename(tmp_path / f"set{number}" / "a.parquet")
        split(tmp_path / f"second{number}", other | b, ())
        (tmp_path / f"second{number}" / "00.parquet").rename(tmp_path / f"set{number}" / "b.parquet")
        assert [run.n_steps for run in opened(tmp_path / f"set{number}").trajectories()] == [40, 40]
    one, other = halves(recorded_arm.rows(MODEL, n_episodes=1) | {"time": ROWS / 50}, 20)
    parquet(tmp_path / "on" / "a.parquet", one)
    parquet(tmp_path / "on" / "b.parquet", other, time=np.float32(other["time"]))
    assert [run.n_steps for run in opened(tmp_path / "on").trajectories()] == [40]


@pytest.mark.parametrize("null", ["reward", "episode", "done"])
def test_what_is_null_in_every_row_is_missing(tmp_path, two_episodes, null):
    """Writers give such a column no type; without numbers, rows that are done cut as ever."""
    columns = two_episodes | {"done": np.arange(82) % 41 == 40, "reward": np.ones(82)}
    columns |= {"episode": np.repeat([0, 1], 41)} if null == "done" else {}
    split(tmp_path / "set", columns | {null: pa.nulls(82)}, ())
    runs = list(opened(tmp_path / "set" / "00.parquet").trajectories())
    assert [run.n_steps for run in runs] == [40, 40]
    assert [np.isnan(run.reward).all() for run in runs] == [null == "reward"] * 2


def test_files_that_end_where_a_row_is_done_are_cut_there(tmp_path, two_episodes):
    done = np.arange(82) % 41 == 40
    for name, part in zip("ab", halves(two_episodes | {"done": done}, 41), strict=True):
        parquet(tmp_path / "set" / f"{name}.parquet", part)
    assert [one.n_steps for one in opened(tmp_path / "set").trajectories()] == [40, 40]


def test_a_row_without_an_episode_is_named(tmp_path, two_episodes):
    numbers = pa.array([0] * 41 + [1] * 41, mask=np.arange(82) == 50)
    for column in (numbers, numbers.cast(pa.string()), numbers.cast(pa.float32())):
        table = pa.table({name: from_array(values) for name, values in two_episodes.items()} | {"episode": column})
        pq.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"^a\.parquet: row 50 has no episode, others have: give every row"):
            opened(tmp_path / "a.parquet")
