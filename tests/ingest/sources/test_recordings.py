"""Recordings of one's own model in npz and Parquet: what they say, and one line for whatever they lack."""

import itertools
import json
import math
import subprocess
import sys

import mujoco
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_arm

from jacdb.errors import UsageError
from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import mapping, replay
from jacdb.nested_lists import from_array

MODEL = recorded_arm.load()


def opened(path, **options):
    return recordings.open(path, model=MODEL, n_substeps=recorded_arm.SUBSTEPS, **options)


def worst(source):
    return max(run.error.max() for _, run in replay.replays(source.model, source.n_substeps, source.trajectories()))


def test_one_episode_of_an_npz_is_replayed_bit_for_bit(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    np.savez(tmp_path / "one.npz", **recorded, author="A. Person", license="MIT")
    source = opened(tmp_path / "one.npz")
    [one] = source.trajectories()
    assert one.n_steps == 40 and (source.name, source.suite) == ("arm-and-box", "file")
    np.testing.assert_array_equal(one.ctrl, recorded["ctrl"])
    assert worst(source) == 0
    facts = source.provenance()
    assert (facts["author"], facts["licence"], facts["source"]) == ("A. Person", "MIT", "one.npz")
    assert len(facts["sha256"]) == 64 and facts["precision"] == "float64"


def test_the_warm_start_follows_from_step_to_step_or_is_the_recorded(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    chained = replay.replay(MODEL, recorded_arm.SUBSTEPS, next(_trajectories(tmp_path, recorded, without="warmstart")))
    np.testing.assert_array_equal(chained.warmstart, recorded["warmstart"])
    given = recorded | {"warmstart": recorded["warmstart"] + 1}
    run = replay.replay(MODEL, recorded_arm.SUBSTEPS, next(_trajectories(tmp_path, given)))
    np.testing.assert_array_equal(run.warmstart, given["warmstart"])


def _trajectories(folder, recorded, without=""):
    np.savez(folder / "some.npz", **{name: values for name, values in recorded.items() if name != without})
    return opened(folder / "some.npz").trajectories()


def test_rows_with_an_episode_number_and_stacked_episodes_say_the_same(tmp_path):
    rows = recorded_arm.rows(MODEL)
    np.savez(tmp_path / "rows.npz", **rows)
    stacked = {name: values.reshape(3, 41, *values.shape[1:]) for name, values in rows.items() if name != "episode"}
    np.savez(tmp_path / "stacked.npz", **stacked)
    pairs = zip(
        opened(tmp_path / "rows.npz").trajectories(), opened(tmp_path / "stacked.npz").trajectories(), strict=True
    )
    for a, b in pairs:
        assert a.n_steps == 40
        np.testing.assert_array_equal(a.qpos, b.qpos)
        np.testing.assert_array_equal(a.ctrl, b.ctrl)
        assert a.done.tolist() == b.done.tolist() == [False] * 39 + [True]
        np.testing.assert_array_equal(a.reward, np.arange(40) / 10)
    assert worst(opened(tmp_path / "rows.npz")) == 0


def test_without_an_episode_number_a_row_that_is_done_ends_its_episode(tmp_path):
    """As replay buffers have it: no step leads over a reset. Last states that stand in rows of their own are kept."""
    rows = recorded_arm.rows(MODEL)
    del rows["episode"]
    np.savez(tmp_path / "last_states.npz", **rows)
    runs = list(opened(tmp_path / "last_states.npz").trajectories())
    assert [(one.n_steps, one.done.sum(), one.done[-1]) for one in runs] == [(40, 1, True)] * 3
    kept = ~np.isnan(rows["ctrl"]).any(axis=1)
    buffer = {name: values[kept] for name, values in rows.items()}
    buffer["done"] = buffer["done"][:, None]
    runs = list(opened_npz(tmp_path, buffer))
    assert [(one.n_steps, one.done.any()) for one in runs] == [(39, False)] * 3
    np.testing.assert_array_equal(runs[1].qpos, rows["qpos"][41:81])
    assert worst(opened(tmp_path / "buffer.npz")) == 0
    # a row more, the state after the last step
    after = {name: np.concatenate([buffer[name], rows[name][-1:]]) for name in ("qpos", "qvel", "act")}
    runs = list(opened_npz(tmp_path, buffer | after))
    assert [(one.n_steps, one.done.any()) for one in runs] == [(39, False), (39, False), (40, True)]


@pytest.mark.parametrize("numbered", [False, True])
def test_a_step_of_which_done_is_unknown_is_not_done(tmp_path, numbered):
    rows = recorded_arm.rows(MODEL)
    known = [one.done.tolist() for one in opened_npz(tmp_path, rows)]
    if not numbered:
        del rows["episode"]
    rows["done"] = np.where(rows["done"], 1.0, np.nan)  # null in Parquet, where not
    assert [one.done.tolist() for one in opened_npz(tmp_path, rows)] == known


@pytest.mark.parametrize(("last", "told"), [(True, "every row"), (False, "every row but the last")])
def test_rows_that_are_all_done_have_no_step_and_are_told_with_the_remedy(tmp_path, last, told):
    rows = recorded_arm.rows(MODEL, n_episodes=1)
    columns = {name: rows[name] for name in ("qpos", "qvel", "act")} | {"ctrl": np.nan_to_num(rows["ctrl"])}
    done = np.array([True] * 40 + [last])
    line = rf"^buffer\.npz: done is True in {told}: no step has a state after it; leave done out, or give episode$"
    with pytest.raises(UsageError, match=line):
        next(opened_npz(tmp_path, columns | {"done": done}))
    done[1:40] = False  # an episode of one row is left out, the others keep their numbers
    [one] = opened_npz(tmp_path, columns | {"done": done})
    assert one.n_steps == 39


def opened_npz(folder, columns):
    np.savez(folder / "buffer.npz", **columns)
    return opened(folder / "buffer.npz").trajectories()


def test_the_last_step_of_one_episode_may_be_done_whatever_its_last_row_holds(tmp_path):
    rows = recorded_arm.rows(MODEL, n_episodes=1)
    del rows["episode"]
    [one] = opened_npz(tmp_path, rows | {"ctrl": np.nan_to_num(rows["ctrl"])})
    assert one.done.tolist() == [False] * 39 + [True]


@pytest.mark.parametrize("stacked", [False, True])
def test_steps_after_done_in_a_numbered_episode_are_refused(tmp_path, stacked):
    rows = recorded_arm.rows(MODEL)
    rows["done"][41 + 20] = True
    if stacked:
        del rows["episode"]
        rows = {name: values.reshape(3, 41, *values.shape[1:]) for name, values in rows.items()}
    runs = opened_npz(tmp_path, rows)
    assert next(runs).n_steps == 40
    with pytest.raises(UsageError, match="episode 1: done is True in row 20, and the episode has 40 steps: "):
        next(runs)


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


def parquet(path, columns, **more):
    """Write columns as one file; what is given beside them is added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {name: from_array(np.asarray(values)) for name, values in (columns | more).items() if values is not None}
    pq.write_table(pa.table(table), path)


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


@pytest.mark.parametrize("mapped", [False, True])
def test_a_recording_without_rows_is_refused(tmp_path, mapped):
    rows = {name: values[:0] for name, values in recorded_arm.rows(MODEL, n_episodes=1).items()}
    np.savez(tmp_path / "empty.npz", **rows)
    parquet(tmp_path / "empty.parquet", rows)
    (tmp_path / "map.toml").write_text("reward = {column = 'reward', scale = 2}")
    for name in ("empty.npz", "empty.parquet"):
        with pytest.raises(UsageError, match=f"^{name} has no rows: "):
            opened(tmp_path / name, **{"mapping": tmp_path / "map.toml"} if mapped else {})


def test_a_mapping_names_columns_entries_and_units(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    degrees = np.degrees(recorded["qpos"][:, 7:])
    state = np.concatenate([recorded["qpos"][:, :7], recorded["qvel"]], axis=1)
    np.savez(
        tmp_path / "x.npz", state=state, joints=degrees[:, ::-1], activation=recorded["act"][:, 0], u=recorded["ctrl"]
    )
    (tmp_path / "map.toml").write_text("""
        n_substeps = 5
        act = "activation"
        ctrl = "u"
        qvel = {column = "state", entries = [7, 8, 9, 10, 11, 12, 13, 14]}
        [[qpos]]
        column = "state"
        entries = [0, 1, 2, 3, 4, 5, 6]
        [[qpos]]
        column = "joints"
        entries = [1, 0]
        unit = "deg"
    """)
    source = recordings.open(tmp_path / "x.npz", model=MODEL, mapping=tmp_path / "map.toml")
    assert source.n_substeps == 5
    assert worst(source) < 1e-12


MEANINGS = {
    "r1": "reward = 'r1'",
    "table": "[reward]\ncolumn = 'r1'\nunit = 'rad'\nscale = 1\noffset = 0",
    "r2": "[reward]\ncolumn = 'r2'",
    "degrees": "[reward]\ncolumn = 'r1'\nunit = 'deg'",
    "scaled": f"[reward]\ncolumn = 'r1'\nscale = {math.pi / 180!r}",
    "entry": "[reward]\ncolumn = 'r1'\nentries = [0]",
    "none": "qpos = 'qpos'",
}


def test_what_a_mapping_means_is_part_of_the_provenance(tmp_path):
    """Of it runs and trajectories have their names: another meaning is another run."""
    recorded = recorded_arm.rolled(MODEL, n_steps=3)
    np.savez(tmp_path / "one.npz", **recorded, r1=recorded["reward"], r2=-recorded["reward"])
    said = {"no file": opened(tmp_path / "one.npz").provenance()}
    for name, text in MEANINGS.items():
        (tmp_path / f"{name}.toml").write_text(text)
        said[name] = opened(tmp_path / "one.npz", mapping=tmp_path / f"{name}.toml").provenance()
    assert said["none"] == said["no file"] and "mapping" not in said["no file"]
    assert said["table"] == said["entry"] == said["r1"] and said["scaled"] == said["degrees"]
    assert json.loads(said["r1"]["mapping"]) == {"reward": [{"column": "r1"}]}
    assert len({str(each) for each in said.values()}) == 4


EQUAL = {
    "all entries": ("ctrl = 'u'", "ctrl = {column = 'u', entries = [0, 1]}"),
    "all entries of one number": ("reward = 'r'", "reward = {column = 'r', entries = [0]}"),
    "its own column": ("", "ctrl = {column = 'ctrl', entries = [0, 1], unit = 'rad', scale = 1, offset = -0.0}"),
    "entries one by one": ("ctrl = 'u'", "ctrl = [{column = 'u', entries = [0]}, {column = 'u', entries = [1]}]"),
    "some one by one": (
        "ctrl = {column = 'w', entries = [2, 0]}",
        "ctrl = [{column = 'w', entries = [2]}, {column = 'w', entries = [0]}]",
    ),
    "a list of one": ("ctrl = 'u'", "ctrl = ['u']"),
    "a unit's scale": (
        "ctrl = {column = 'u', unit = 'deg', entries = [0, 1]}",
        f"ctrl = {{column = 'u', scale = {math.pi / 180}}}",
    ),
    "a unit undone": ("ctrl = 'u'", "ctrl = {column = 'u', unit = 'mm', scale = 1000}"),
    "a whole number": ("ctrl = {column = 'u', offset = 2.0}", "ctrl = {column = 'u', offset = 2, scale = 1.0}"),
}


@pytest.mark.parametrize("case", EQUAL)
def test_a_mapping_is_in_one_form_for_one_meaning(tmp_path, case):
    recorded = recorded_arm.rolled(MODEL, n_steps=3)
    wide = np.c_[recorded["ctrl"], recorded["ctrl"]]
    np.savez(tmp_path / "one.npz", **recorded, r=recorded["reward"], u=recorded["ctrl"] / 2, w=wide)
    said, runs = [], []
    for text in (*EQUAL[case], "ctrl = {column = 'u', entries = [1, 0]}"):
        (tmp_path / "map.toml").write_text(text)
        source = opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml")
        said.append(source.provenance())
        runs += source.trajectories()
    assert said[0] == said[1] != said[2]
    np.testing.assert_array_equal(runs[0].ctrl, runs[1].ctrl)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32])
def test_mapped_numbers_are_scaled_in_float64(tmp_path, dtype):
    ctrl = np.arange(80).reshape(40, 2).astype(dtype)
    np.savez(tmp_path / "one.npz", **recorded_arm.rolled(MODEL) | {"ctrl": ctrl})
    (tmp_path / "map.toml").write_text("ctrl = {column = 'ctrl', offset = -128, scale = 0.01}")
    [one] = opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml").trajectories()
    np.testing.assert_array_equal(one.ctrl, 0.01 * (ctrl.astype(float) - 128))


def test_a_state_is_as_precise_as_the_coarsest_of_its_columns(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    box, joints = recorded.pop("qpos")[:, :7], recorded_arm.rolled(MODEL)["qpos"][:, 7:]
    (tmp_path / "map.toml").write_text("qpos = ['box', {column = 'joints', scale = 1.0}]")
    for dtype in (np.float32, np.float64):
        np.savez(tmp_path / "one.npz", **recorded, box=box, joints=joints.astype(dtype))
        assert opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml").dtype == dtype


def test_mocap_bodies_stand_where_they_were_recorded(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    poses = np.tile([0.1, 0.2, 0.3], (40, 1))
    quats = np.tile([1.0, 0, 0, 0], (40, 1))
    np.savez(tmp_path / "x.npz", **recorded, mocap_pos=poses, mocap_quat=quats)
    [one] = opened(tmp_path / "x.npz").trajectories()
    assert one.mocap_pos.shape == (40, 1, 3) and one.mocap_quat.shape == (40, 1, 4)
    data = mujoco.MjData(MODEL)
    replay.set_step(data, one, 3)
    assert data.mocap_pos[0].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qpos": None}, "no column qpos"),
        ({"ctrl": None}, "no column ctrl"),
        ({"act": None}, "no column act"),
        ({"qvel": lambda v: v[:, :-1]}, "qvel has 7 numbers a row, the model 8"),
        ({"ctrl": lambda v: v[:, :1]}, "ctrl has 1 numbers a row, the model 2"),
        ({"ctrl": lambda v: v[:10]}, "10 rows of ctrl to 41 states"),
        ({"qvel": lambda v: v[:10]}, "10 rows of qvel to 41 of qpos"),
        ({"qpos": lambda v: np.where(np.arange(41)[:, None] == 7, np.nan, v)}, "qpos is nan in row 7"),
        ({"ctrl": lambda v: np.where(np.arange(40)[:, None] == 7, np.inf, v)}, "ctrl is inf in row 7"),
        ({"qpos": lambda v: v * 1.1}, "the quaternion of joint box has length 1.1 in row 0"),
        ({"qpos": lambda v: v.astype(str)}, "qpos is of type <U"),
        ({"episode": lambda: np.r_[np.zeros(20), np.ones(10), np.zeros(11)]}, "40 rows of ctrl to 41 of episode"),
    ],
)
def test_what_is_no_trajectory_of_the_model_is_told_in_one_line(tmp_path, change, said):
    recorded = recorded_arm.rolled(MODEL)
    del recorded["warmstart"], recorded["reward"]
    for name, how in change.items():
        if how is None:
            del recorded[name]
        else:
            recorded[name] = how(recorded[name]) if name in recorded else how()
    np.savez(tmp_path / "wrong.npz", **recorded)
    with pytest.raises(UsageError) as raised:
        list(opened(tmp_path / "wrong.npz").trajectories())
    assert said in str(raised.value) and "wrong.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["act", "ctrl", "qpos"])
def test_a_column_that_is_in_use_is_not_what_was_meant(tmp_path, missing):
    recorded = recorded_arm.rolled(MODEL)
    others = {name: values for name, values in recorded.items() if name != missing}
    with pytest.raises(UsageError, match=f"no column {missing}: there are [^?]*$"):
        opened_npz(tmp_path, others)
    with pytest.raises(UsageError, match=rf"no column {missing}: .*; did you mean {missing}s\?"):
        opened_npz(tmp_path, others | {f"{missing}s": recorded[missing]})


def test_a_numbered_episode_of_one_row_has_no_step_and_is_left_out(tmp_path):
    rows = recorded_arm.rows(MODEL, n_episodes=1, n_steps=6)
    del rows["done"]
    runs = list(opened_npz(tmp_path, rows | {"episode": np.array([0, 0, 0, 1, 2, 2, 2])}))
    assert [one.n_steps for one in runs] == [2, 2]
    np.testing.assert_array_equal(runs[1].qpos, rows["qpos"][4:])
    with pytest.raises(UsageError, match=r"^buffer.npz: every row has another episode, and no state after it: give "):
        next(opened_npz(tmp_path, rows | {"episode": np.arange(7)}))


def test_a_row_without_an_episode_is_named(tmp_path, two_episodes):
    numbers = pa.array([0] * 41 + [1] * 41, mask=np.arange(82) == 50)
    for column in (numbers, numbers.cast(pa.string()), numbers.cast(pa.float32())):
        table = pa.table({name: from_array(values) for name, values in two_episodes.items()} | {"episode": column})
        pq.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"^a\.parquet: row 50 has no episode, others have: give every row"):
            opened(tmp_path / "a.parquet")


def test_rows_of_an_episode_are_together(tmp_path):
    rows = recorded_arm.rows(MODEL, n_episodes=2, n_steps=3)
    np.savez(tmp_path / "rows.npz", **rows | {"episode": np.array([0, 0, 1, 1, 1, 0, 0, 0])})
    with pytest.raises(UsageError, match="rows of episode 0 are not together"):
        list(opened(tmp_path / "rows.npz").trajectories())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.npz", None, "there is no such file"),
        ("gone", None, "ends in its version"),
        ("text.npz", b"qpos,qvel", "begins with b'qpos'"),
        ("zip.npz", b"PK\x03\x04 and no more", "no npz of plain arrays"),
        ("text.parquet", b"qpos,qvel", "is no Parquet file"),
        ("short.parquet", b"PAR1", "no readable Parquet"),
        ("text.hdf5", b"qpos,qvel", "is no D4RL file (HDF5)"),
        ("short.hdf5", b"\x89HDF\r\n\x1a\n and no more", "no readable HDF5"),
        ("text.csv", b"qpos,qvel", "recordings are .npz, .parquet or .hdf5"),
        ("folder", "", "holds no recording"),
    ],
)
def test_what_is_no_recording_is_told_in_one_line(tmp_path, name, content, said):
    path = tmp_path / name
    if content == "":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        opened(path)
    assert said in str(raised.value) and name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_whose_files_are_left_out_by_their_names_says_so(tmp_path):
    (tmp_path / "_runs").mkdir()
    (tmp_path / "_runs" / "one.parquet").touch()
    with pytest.raises(UsageError, match=r"names that begin with _ or \. are left out, as in _runs/one\.parquet"):
        opened(tmp_path)


def test_a_recording_of_unknown_model_is_refused(tmp_path):
    np.savez(tmp_path / "one.npz", **recorded_arm.rolled(MODEL))
    for options, said in [
        ({}, "does not say which model"),
        ({"env": "dm_control:walker-run"}, "gymnasium:NAME"),
        ({"env": "gymnasium:Ant-v5", "model": MODEL}, "leave one out"),
        ({"model": MODEL, "n_substeps": 0}, "substeps=0"),
        ({"model": MODEL, "n_substeps": 10**12}, "substeps=1000000000000: give a whole number from 1 to 100,000"),
    ]:
        with pytest.raises(UsageError, match=said):
            recordings.open(tmp_path / "one.npz", **options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qpos = ", "is no TOML"),
        ("qpoz = 'x'", "did you mean qpos?"),
        ("qpos = 'x'", "no column x for qpos"),
        ("qpos = 3", "names no column"),
        ("[qpos]\ncolumn = 'qpos'\nunit = 'grad'", "unknown unit 'grad'"),
        ("[qpos]\ncolumn = 'qpos'\nentries = [99]", "no entry 99: it has 0 to 8"),
        ("[qpos]\ncolumn = 'qpos'\nentries = ['hip']", "it has no names"),
        ("[qpos]\ncolumn = 'qpos'\nentry = 1", "did you mean entries?"),
        ("[ctrl]\ncolumn = 'ctrl'\nscale = 'two'", "scale = 'two'"),
        ("n_substeps = 0.5", "n_substeps = 0.5"),
        ("fps = inf", "fps = inf"),
        ("qpos = ['qpos', 'reward']", "3 rows of reward to 4 of qpos"),
        ("episode = 'ctrl'\nctrl = 'ctrl'", "episode has 2 numbers a row"),
    ],
)
def test_a_wrong_mapping_is_told_in_one_line(tmp_path, text, said):
    np.savez(tmp_path / "one.npz", **recorded_arm.rolled(MODEL, n_steps=3))
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


WRONG_TYPES = {  # TOML's types that a key does not take
    "column": ["[]", "['a']", "{}", "true", "1", "1.5", "''", "1979-05-27"],
    "unit": ["[]", "['deg']", "{}", "true", "1", "1.5", "''", "1979-05-27"],
    "scale": ["[]", "[1]", "{}", "true", "'1'", "nan", "inf", "1979-05-27", "1" + 400 * "0"],
    "entries": ["[]", "[[0]]", "[{}]", "[true]", "[1.5]", "{}", "true", "1", "'a'", "1979-05-27"],
    "field": ["[]", "[[]]", "{}", "[{}]", "true", "1", "1.5", "''", "['']", "1979-05-27"],
    "n_substeps": ["[]", "[1]", "{}", "true", "'1'", "''", "1.5", "0", "1_000_000_000_000", "1979-05-27"],
    "fps": ["[]", "[1]", "{}", "true", "'1'", "''", "nan", "0", "1979-05-27"],
}
FIELD = {"field": "{name} = {value}", "column": "{name} = {{column = {value}}}"}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, every in WRONG_TYPES.items() for value in every])
def test_a_value_of_a_wrong_type_in_a_mapping_is_told_in_one_line(tmp_path, key, value):
    path = tmp_path / "map.toml"
    keys = ("scale", "offset") if key == "scale" else (key,)
    for name, own in itertools.product(mapping.FIELDS, keys):
        form = FIELD.get(own, "{name} = {{column = 'x', " + own + " = {value}}}")
        path.write_text(f"{key} = {value}" if key in mapping.SETTINGS else form.format(name=name, value=value))
        with pytest.raises(UsageError) as raised:
            mapping.read(path)
        assert str(raised.value).startswith(f"--mapping {path}: ") and "\n" not in str(raised.value)


def test_threads_change_nothing_and_keep_the_order(tmp_path):
    np.savez(tmp_path / "rows.npz", **recorded_arm.rows(MODEL, n_episodes=9, n_steps=4))
    source = opened(tmp_path / "rows.npz")
    one, four = (list(replay.replays(MODEL, 5, source.trajectories(), threads=n)) for n in (1, 4))
    for (a, x), (b, y), plain in zip(one, four, source.trajectories(), strict=True):
        np.testing.assert_array_equal(a.qpos, plain.qpos)
        np.testing.assert_array_equal(b.qpos, plain.qpos)
        np.testing.assert_array_equal(x.warmstart, y.warmstart)


def test_an_error_is_relative_to_the_state_and_infinite_where_the_engine_fails(tmp_path):
    recorded = recorded_arm.rolled(MODEL, n_steps=3)
    recorded["qvel"][2, 0] += 1e-3
    [one] = _trajectories(tmp_path, recorded)
    size = np.sqrt(sum((recorded[name][2] ** 2).sum() for name in ("qpos", "qvel", "act")))
    assert replay.replay(MODEL, 5, one).error[1] == pytest.approx(1e-3 / max(1, size), rel=1e-9)
    one.qvel[2:] = np.nan
    assert np.isinf(replay.replay(MODEL, 5, one).error[1])


def test_a_source_that_is_not_there_is_refused_without_the_simulator():
    said = """if True:
        import sys
        from jacdb.errors import UsageError
        from jacdb.ingest.sources import recordings
        try:
            recordings.open("gone.npz")
        except UsageError:
            print(sorted({"mujoco", "jax", "numpy", "pyarrow"} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_model_without_actuators_needs_no_ctrl(tmp_path):
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><joint/><geom size=".1" pos=".3 0 0"/></body></worldbody></mujoco>'
    )
    states = {"qpos": np.zeros((5, 1)), "qvel": np.ones((5, 1))}
    for given in (states, states | {"ctrl": np.zeros((4, 0))}):
        np.savez(tmp_path / "passive.npz", **given)
        [one] = recordings.open(tmp_path / "passive.npz", model=model).trajectories()
        assert one.ctrl.shape == (4, 0) and one.n_steps == 4
    np.savez(tmp_path / "passive.npz", **states, ctrl=np.zeros((4, 1)))
    with pytest.raises(UsageError, match="ctrl has 1 numbers a row, the model 0"):
        next(recordings.open(tmp_path / "passive.npz", model=model).trajectories())


@pytest.mark.parametrize(("said", "name"), [("", "first_arm"), (' model="an arm"', "an-arm")])
def test_a_model_without_a_name_has_its_file_s(said, name, tmp_path):
    body = "<worldbody><body><joint name='j'/><geom size='.1'/></body></worldbody>"
    path = tmp_path / "first arm.xml"
    path.write_text(f"<mujoco{said}>{body}</mujoco>")
    np.savez(tmp_path / "arm.npz", qpos=np.zeros((3, 1)), qvel=np.zeros((3, 1)), ctrl=np.zeros((3, 0)))
    assert recordings.open(tmp_path / "arm.npz", model=path).name == name
