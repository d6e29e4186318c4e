"""Recordings of one's own model in npz and Parquet: what they say, and one line for whatever they lack."""

import subprocess
import sys

import mujoco
import numpy as np
import pytest
import recorded_arm
from recorded_arm import MODEL, opened, parquet, worst

from jacdb.errors import UsageError
from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import replay


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


def test_an_npz_of_any_byte_order_and_memory_layout_is_the_same_episode(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    for other in (
        {name: values.astype(">f8") for name, values in recorded.items()},
        {name: np.asfortranarray(values) for name, values in recorded.items()},
    ):
        np.savez(tmp_path / "other.npz", **other)
        source = opened(tmp_path / "other.npz")
        [read] = source.trajectories()
        np.testing.assert_array_equal(read.qpos, recorded["qpos"])
        assert worst(source) == 0 and source.provenance()["precision"] == "float64"


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


@pytest.mark.parametrize("mapped", [False, True])
def test_a_recording_without_rows_is_refused(tmp_path, mapped):
    rows = {name: values[:0] for name, values in recorded_arm.rows(MODEL, n_episodes=1).items()}
    np.savez(tmp_path / "empty.npz", **rows)
    parquet(tmp_path / "empty.parquet", rows)
    (tmp_path / "map.toml").write_text("reward = {column = 'reward', scale = 2}")
    for name in ("empty.npz", "empty.parquet"):
        with pytest.raises(UsageError, match=f"^{name} has no rows: "):
            opened(tmp_path / name, **{"mapping": tmp_path / "map.toml"} if mapped else {})


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
