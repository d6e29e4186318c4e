"""The files that the page reads, as the explorer's contract has them, over the sample."""

import base64
import json
import math
import shutil

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from explored import SAMPLE, load, no_robot
from polars.testing import assert_frame_equal
from synthetic import dataset, episode

import jacdb
from jacdb import queries, schemas
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.location import as_it_is
from jacdb.errors import UsageError
from jacdb.explorer import json_file
from jacdb.explorer.data_files import INDEX, TABLES, DataFiles
from jacdb.explorer.index import NOT_IN_A_BROWSER
from jacdb.explorer.subject import Subject


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All files of the sample."""
    made = tmp_path_factory.mktemp("files")
    with Dataset(SAMPLE) as data:
        files = DataFiles(Subject(data), made, no_robot)
        for address in files.addresses:
            assert files.path(address) == made / address
    return made


@pytest.fixture(scope="module")
def index(folder):
    return load(folder / INDEX)


def files_of(root, made, **of):
    """The files over a dataset, and its index."""
    data = Dataset(root)
    files = DataFiles(Subject(data), made, of.get("maker"))
    return files, load(files.path(INDEX))


def small(root, values=(1.0, 0.0), run_id="run-a", env="E"):
    """A dataset of two episodes, of two and three steps; the matrices are a value, the first episode's the first."""
    episodes = [
        episode(number, np.full((2 + number, 2, 2), value), np.full((2 + number, 2, 1), value))
        for number, value in enumerate(values)
    ]
    dataset(root, env, episodes, run_id)
    return root


@pytest.mark.slow
def test_users_32_the_index_lists_what_the_dataset_has(index):
    with jacdb.open(SAMPLE) as data:
        runs, axes = data.runs(), data.axes()
    assert (index["format"], index["name"], index["parts"]) == (1, "sample", "data/")
    assert index["thresholds"] == list(schemas.SWEEP)
    listed = {(run["env"], run["run_id"]): run for run in index["runs"]}
    assert sorted(listed) == sorted(zip(runs["env"], runs["run_id"], strict=True))
    for row in runs.to_dicts():
        run = listed[row["env"], row["run_id"]]
        assert run.items() >= {name: row[name] for name in ("policy", "method", "seed", "dtype", "ctrl_dt")}.items()
        assert (run["n_episodes"], run["n_steps"], run["finished"]) == (row["episodes"], row["n_rows"], True)
    for env in index["environments"]:
        own = axes.filter(env=env["name"])
        for space, shown in env["axes"].items():
            rows = own.filter(space=space).sort("index").select("name", "joint", "body", "quantity", "unit")
            assert shown == rows.to_dicts() and shown
        assert (env["d_state"], env["d_action"]) == (len(env["axes"]["tangent"]), len(env["axes"]["action"]))


@pytest.mark.slow
def test_users_32_each_episode_begins_where_its_run_file_says(folder, index):
    for run in index["runs"]:
        file = load(folder / run["file"])
        tables = [pq.read_table(SAMPLE / part["path"], columns=["episode", "step"]) for part in file["parts"]]
        assert [part["rows"] for part in file["parts"]] == [len(table) for table in tables]
        assert [part["bytes"] for part in file["parts"]] == [
            (SAMPLE / part["path"]).stat().st_size for part in file["parts"]
        ]
        for one in file["episodes"]:
            rows = tables[one["part"]].slice(one["first_row"], one["n_steps"])
            assert set(rows["episode"].to_pylist()) == {one["episode"]}
            assert rows["step"].to_pylist() == list(range(one["n_steps"]))
        assert len(file["episodes"]) == run["n_episodes"] > 1


def test_users_32_patterns_are_the_stored_bytes(folder, index):
    with jacdb.open(SAMPLE) as data:
        stored = data.sql("select env, pattern_id, zero_state, zero_action from stored_patterns").fetchall()
    shown = [
        (run["env"], int(one["pattern_id"]), base64.b64decode(one["zero_state"]), base64.b64decode(one["zero_action"]))
        for run in index["runs"]
        for one in load(folder / run["file"])["patterns"]
    ]
    assert sorted(shown) == sorted(stored)


def test_users_32_the_steps_of_a_pattern_are_those_of_the_run(folder, index):
    with jacdb.open(SAMPLE) as data:
        shown = data.sql("select env, pattern_id, count(*) from steps where finite group by all").fetchall()
        [(unused,)] = data.sql("select count(*) from stored_patterns").fetchall()
    counted = [
        (run["env"], int(one["pattern_id"]), one["steps"])
        for run in index["runs"]
        for one in load(folder / run["file"])["patterns"]
    ]
    assert sorted(one for one in counted if one[2]) == sorted(shown)
    assert len(counted) == unused


@pytest.fixture(scope="module")
def browser(folder, index):
    """A DuckDB with the views that the page makes, over the files that it reads."""
    with duckdb.connect() as connection:
        run = connection.execute
        run(f"attach '{folder / TABLES}' as tables (read_only)")
        for (name,) in run("select table_name from duckdb_tables() where database_name = 'tables'").fetchall():
            run(f"create view {name} as from tables.{name}")
        for number, one in enumerate(index["runs"]):
            run(f"attach '{folder / load(folder / one['file'])['steps']}' as steps_{number} (read_only)")
        every = " union all by name ".join(f"from steps_{number}.stored_steps" for number in range(len(index["runs"])))
        run(f"create view stored_steps as {every}")
        for signature, body in index["views"]["macros"].items():
            run(f"create macro {signature} as {body}")
        for name in index["views"]["order"]:
            if name not in index["views"]["partials"]:
                run(f"create view {name} as {index['views']['texts'][name]}")
        yield connection


def test_users_32_tables_are_files_of_an_older_duckdb(folder, index):
    for path in (folder / TABLES, folder / index["runs"][0]["file"].replace(".json", ".duckdb")):
        with duckdb.connect() as connection:
            connection.execute(f"attach '{path}' as made (read_only)")
            [(tags,)] = connection.execute(
                "select tags from duckdb_databases() where database_name = 'made'"
            ).fetchall()
            assert tags["storage_version"].startswith("v1.2.0")
    assert sum(path.stat().st_size for path in (folder / "data" / "runs").rglob("*.duckdb")) < 100 * 5760


@pytest.mark.parametrize("view", [name for name in queries.VIEWS if name not in NOT_IN_A_BROWSER])
def test_users_32_a_view_over_the_pages_tables_answers_as_over_the_dataset(view, browser):
    with jacdb.open(SAMPLE) as data:
        expected = data.fetch(data.view(view))
    columns = [
        name for name in expected.columns if name not in ("j_state", "j_action", "state", "action", "next_state")
    ]
    text = {name: f"{name}::varchar as {name}" for name in ("zero_state", "zero_action") if view == "patterns"}
    got = browser.sql(
        f"select {', '.join(text.get(name, chr(34) + name + chr(34)) for name in columns)} from {view}"
    ).pl()
    assert len(got) == len(expected)
    keys = [
        name for name, kind in expected.select(columns).schema.items() if not kind.is_nested() and not kind.is_float()
    ]
    assert_frame_equal(got.sort(keys), expected.select(columns).sort(keys), rel_tol=1e-12, check_dtypes=False)


def test_users_32_the_views_that_are_left_out_need_what_the_page_has_not(browser, index):
    assert index["views"]["unavailable"].keys() == NOT_IN_A_BROWSER.keys()
    assert {*queries.REGISTERED} - {*index["views"]["order"]} == NOT_IN_A_BROWSER.keys()
    for name in NOT_IN_A_BROWSER.keys() - {"leaderboard"}:  # this DuckDB has JSON's functions
        with pytest.raises(duckdb.Error):
            browser.execute(queries.sql(name)).fetchall()


@pytest.mark.slow
def test_users_32_a_run_without_partials_is_counted(tmp_path):
    root = small(tmp_path / "data")
    for path in (root / "partials").rglob("*.parquet"):
        path.unlink()
    files, _ = files_of(root, tmp_path)
    with duckdb.connect(files.path(TABLES), read_only=True) as connection:
        assert connection.execute("select samples, excluded from sample_counts").fetchall() == [(5, 0)]


@pytest.mark.slow
def test_users_32_some_environments_alone(tmp_path):
    with Dataset(SAMPLE) as data:
        files = DataFiles(Subject(data, ["CheetahRun"]), tmp_path, None)
        index = load(files.path(INDEX))
        assert [run["env"] for run in index["runs"]] == ["CheetahRun"] == [env["name"] for env in index["environments"]]
        with duckdb.connect(files.path(TABLES), read_only=True) as connection:
            for table in ("stored_episodes", "pattern_counts", "axis_names"):
                assert connection.execute(f"select distinct env from {table}").fetchall() == [("CheetahRun",)]
        with pytest.raises(UsageError, match="did you mean CheetahRun"):
            Subject(data, ["CheetaRun"])


def test_users_32_numbers_that_json_has_not_are_null():
    assert json.loads(json_file.encode({"a": [math.nan, 1.0, (-math.inf,)]})) == {"a": [None, 1.0, [None]]}


@pytest.mark.slow
def test_users_32_a_run_that_is_not_finished_is_shown_without_its_robot(tmp_path):
    root = small(tmp_path / "data")
    for path in (root / "runs").rglob("*.parquet"):
        path.unlink()
    _, index = files_of(root, tmp_path, maker=no_robot)
    [run] = index["runs"]
    assert (run["n_episodes"], run["n_steps"], run["finished"], run["method"]) == (2, 5, False, None)
    assert run["scene"] is None and "not finished" in run["scene_missing"]


@pytest.mark.slow
def test_what_comes_into_a_dataset_is_in_no_file_of_the_page(tmp_path):
    """Steps of patterns that a file does not have would be left out, and shares be of other steps."""
    root, later = small(tmp_path / "data"), small(tmp_path / "later", (0.0,) * 3)
    for path in (root / "runs").rglob("*.parquet"):
        path.unlink()
    files, index = files_of(as_it_is(root), tmp_path, maker=no_robot)
    for path in later.rglob("part-00000.parquet"):
        if path.relative_to(later).parts[0] in ("steps", "episodes", "patterns", "runs"):
            shutil.copy(path, root / path.relative_to(later).with_name("part-00001.parquet"))
    small(root, run_id="run-b")
    [run] = index["runs"]
    file = load(files.path(run["file"]))
    assert [row["n_steps"] for row in file["episodes"]] == [2, 3] and sum(p["steps"] for p in file["patterns"]) == 5
    for address, table, n in ((file["steps"], "stored_steps", 5), (TABLES, "stored_episodes", 2)):
        with duckdb.connect(files.path(address), read_only=True) as made:
            assert made.sql(f"select count(*) from {table}").fetchall() == [(n,)], table


@pytest.mark.slow
def test_users_32_a_sentence_says_why_there_is_no_robot(tmp_path):
    root = small(tmp_path / "data")
    _, index = files_of(root, tmp_path)
    assert index["runs"][0]["scene_missing"] == "the robot is shown where jacdb[ingest] is installed"

    def fails(*_):
        raise ValueError("no\nsuch mesh")

    files, index = files_of(root, tmp_path / "second", maker=fails)
    with pytest.raises(UsageError, match=r"the robot of E can't be shown \(ValueError: no"):
        files.path(index["runs"][0]["scene"])


@pytest.mark.slow
def test_users_32_steps_of_nan_are_null_in_the_run_file(tmp_path):
    root = small(tmp_path / "data", values=(np.nan, 1.0))
    files, index = files_of(root, tmp_path)
    file = load(files.path(index["runs"][0]["file"]))
    assert [one["n_excluded"] for one in file["episodes"]] == [2, 0]
    assert pl.DataFrame(file["episodes"])["first_row"].to_list() == [0, 2]


@pytest.mark.slow
def test_without_actuators_patterns_have_no_bits_of_actions(tmp_path):
    dataset(tmp_path / "data", "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 0)))])
    files, index = files_of(tmp_path / "data", tmp_path / "files", maker=no_robot)
    for address in files.addresses:
        files.path(address)
    [pattern] = load(files.path(index["runs"][0]["file"]))["patterns"]
    assert (pattern["zero_action"], pattern["steps"]) == ("", 3)
