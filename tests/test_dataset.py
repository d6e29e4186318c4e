"""Opening a dataset, and what a query may not do."""

import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import dataset, episode
from thoroughness import one_in_five

import jacdb
from jacdb import FailureError, UsageError, queries, schemas, verification
from jacdb.dataset.sandbox import fetch


def made(root):
    dataset(root, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    return root


@pytest.fixture
def small(tmp_path):
    """A dataset to be changed."""
    return made(tmp_path / "data")


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """One that nobody changes."""
    return made(tmp_path_factory.mktemp("standing") / "data")


@pytest.fixture(scope="module")
def opened(standing):
    with jacdb.open(standing) as one:
        yield one


@pytest.mark.slow
def test_steps_count_once_their_episodes_are_there(small):
    """A writer that is killed between the two, or a removal, leaves a part of steps alone: it is not there yet."""
    dataset(small, "E", [episode(0, np.ones((5, 2, 2)), np.ones((5, 2, 1)))], "run-b", seed=1)
    (row,) = small.glob("runs/*/run=run-b/part-*")
    (part,) = small.glob("episodes/*/run=run-b/part-*")
    row.unlink()
    kept = part.rename(small / "kept")

    def counted(opened: jacdb.Dataset) -> list[int]:
        [counts] = opened.sql("select samples, (select count(*) from steps) from global_sparsity").fetchall()
        rows = sum(len(batch["state"]) for batch in opened.batches("E", ("state",)))
        return [*counts, rows, len(opened.sql("from steps where in_contact is not null").fetchall())]

    with jacdb.open(small) as opened:
        assert counted(opened) == [3] * 4
        kept.rename(part)
        assert opened.sql("select count(*) from steps").fetchall() == [(8,)]
    with jacdb.open(small) as opened:
        assert counted(opened) == [8] * 4
        part.unlink()
    with jacdb.open(small) as opened:
        assert counted(opened) == counted(opened.where("finite")) == [3] * 4


@pytest.mark.slow
def test_opening_draws_none_of_the_callers_random_numbers(small):
    program = (
        "import random, sys, jacdb; random.seed(0)\n"
        "jacdb.open(sys.argv[1])\n"
        "print(random.random() == random.Random(0).random())"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(small)], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "True"


@pytest.mark.slow
def test_a_dataset_names_its_environments(opened):
    assert opened.environments == ["E"]
    assert "E" in repr(opened)


def test_results_go_to_polars_arrow_and_numpy(opened):
    relation = opened.sql("select step from steps order by step")
    assert relation.pl()["step"].to_list() == [0, 1, 2]
    assert relation.fetchnumpy()["step"].tolist() == [0, 1, 2]
    assert opened.sql("select step from steps").to_arrow_table().num_rows == 3


def test_bits_come_as_text(opened):
    assert fetch(opened.view("patterns"))["zero_state"].to_list() == ["0000"]


@pytest.mark.parametrize(
    "query",
    [
        "create table t as select 1",
        "insert into steps values (1)",
        "copy steps to 'out.parquet'",
        "export database 'out'",
        "attach 'other.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma database_list",
        "call pragma_version()",
        "drop view steps",
        "explain analyze copy steps to 'out.parquet'",
        "with t as (copy (select 1 as x) to '{data}/out.parquet') select * from t",
        "with t as (copy (select 1 as x) to '{data}/steps' (format parquet, overwrite true)) from t",
        "select 1) ; drop view steps; from (select 1",
        "select 1; drop view steps",
        "",
    ],
)
def test_only_one_select_is_answered(opened, standing, query):
    before = {path: path.read_bytes() for path in standing.rglob("*") if path.is_file()}
    with pytest.raises(UsageError):
        opened.sql(query.format(data=standing))
    assert opened.sql("select count(*) from steps;").fetchall() == [(3,)]
    assert {path: path.read_bytes() for path in standing.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('{other}')",
        "read_text('{other}')",
        "read_blob('{data}/../other.csv')",
        "'{other}'",
        "glob('{parent}/*')",
        "read_parquet('https://example.org/x.parquet')",
        "local_frame",
    ],
)
def test_no_file_outside_the_dataset_is_read(opened, standing, source):
    other = standing.parent / "other.csv"
    other.write_text("secret\n1\n")
    local_frame = fetch(opened.view("steps"))  # a variable here is no table there
    assert len(local_frame) == 3
    text = source.format(other=other, data=standing, parent=standing.parent)
    with pytest.raises(UsageError):
        fetch(opened.sql(f"select * from {text}"))


@pytest.mark.parametrize(
    "condition",
    [
        "nothing > 1",
        "",
        " -- nothing",
        5,
        "1 = 1) ; drop view steps; select (1",
        "true) limit (1",
        "true) union all select * from stored_steps where (true",
        "env in (select content from read_text('/etc/hosts'))",
    ],
)
def test_a_condition_that_is_none_is_refused(opened, condition):
    with pytest.raises(UsageError):
        opened.where(condition)


@pytest.mark.parametrize("condition", ["", " ", "-- nothing"])
def test_an_empty_condition_is_told_to_be_so(opened, condition):
    for narrowed in (opened, opened.where("step < 2")):
        with pytest.raises(UsageError, match=f"condition '{condition}' is empty: give one"):
            narrowed.where(condition)


@pytest.mark.parametrize("where", [5, None, b"data"])
def test_what_is_no_path_is_refused(where):
    with pytest.raises(UsageError, match=r"^(5|None|b'data'): give the folder of a dataset, or hf://"):
        jacdb.open(where)


@pytest.mark.parametrize("value", ["{}", "[{}]", "{{'a': {}}}", "map([1], [{}])"])
def test_unions_are_fetched_as_text(opened, value):
    [(found,)] = opened.fetch(opened.sql(f"select {value.format('union_value(k := 1)')} as x")).rows()
    assert found in ("1", ["1"], {"a": "1"}, [{"key": 1, "value": "1"}], {1: "1"})


@pytest.mark.slow
def test_conditions_add_up_and_may_ask_other_views(opened):
    narrowed = opened.where("step < 2").where("step >= 1")
    assert narrowed.sql("select step from steps").fetchall() == [(1,)]
    asked = narrowed.where("episode in (select episode from episodes where n_steps = 3)")
    assert asked.global_sparsity()["samples"].to_list() == [1]
    with pytest.raises(UsageError, match="does not apply to episodes"):
        asked.view("episodes")


@pytest.mark.slow
@pytest.mark.parametrize(
    "view", one_in_five([*queries.VIEWS, "sample_counts", "lyapunov_windows(5)", "E", "steps -- all"])
)
def test_a_condition_that_reads_steps_is_refused_before_any_question(view, opened):
    """And one that reads another table is held to: DuckDB can't filter what the filter is made of."""
    condition = f"step < (select count(*) from {view}\n)"
    if view in ("episodes", "axes", "runs", "returns", *queries.RESULTS):
        assert opened.where(condition).samples() is not None
        return
    refused = r"^condition .* reads steps, or a view of them, and so itself: find the number by `jacdb sql` first, and"
    with pytest.raises(UsageError, match=refused):
        opened.where(condition)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["environment=Other", "run [1] *", "it's", "ünï"])
def test_the_folders_name_does_not_matter(tmp_path, name):
    root = tmp_path / name / "data"
    dataset(root, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    with jacdb.open(root) as odd:
        assert odd.view("steps", "E").fetchall()[0][0] == "E"
        assert odd.global_sparsity()["env"].to_list() == ["E"]


@pytest.mark.slow
def test_a_float64_run_keeps_its_digits_beside_a_float32_one(tmp_path):
    third = np.full((1, 2, 2), 1 / 3), np.full((1, 2, 1), 1 / 3)
    dataset(tmp_path / "mixed", "E", [episode(0, *third, dtype=np.float32)], "run-a", pa.float32())
    dataset(tmp_path / "other", "E", [episode(0, *third)], "run-b")
    shutil.copytree(tmp_path / "other", tmp_path / "mixed", dirs_exist_ok=True)  # as no command does
    with jacdb.open(tmp_path / "mixed") as mixed:
        first = mixed.sql("select j_state[1][1] from steps order by run_id").fetchall()
    assert first == [(float(np.float32(1 / 3)),), (1 / 3,)]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["axes", "steps", "patterns", "episodes", "runs"])
def test_a_broken_file_is_named(small, table):
    [path] = small.glob(f"{table}/*/*/*.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FailureError, match=path.name), jacdb.open(small) as opened:  # when a query needs it
        opened.fetch(opened.sql(f"from stored_{table}"))


def test_wrong_sql_and_failing_sql_are_told_apart(opened):
    with pytest.raises(UsageError, match="nosuch"):
        opened.sql("select nosuch from steps")
    with pytest.raises(FailureError, match="Conversion"):
        fetch(opened.sql("select env::integer from steps"))


def test_an_unknown_view_gets_the_list_and_an_unknown_environment_the_nearest(opened):
    with pytest.raises(UsageError, match="global_sparsity"):
        opened.view("globalsparsity")
    with pytest.raises(UsageError, match="there are E"):
        opened.view("steps", "F")


def test_no_dataset_is_no_traceback(tmp_path):
    for path, words in ((tmp_path / "no", "no dataset at"), (tmp_path, "no dataset in"), (__file__, "is a file")):
        with pytest.raises(UsageError, match=words):
            jacdb.open(path)


def test_a_newer_dataset_is_refused_with_the_remedy(small):
    [path] = small.glob("axes/*/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata({schemas.VERSION_KEY: b"99"}), path)
    with pytest.raises(UsageError, match=r"schema version 99.*pip install -U"):
        jacdb.open(small)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(UsageError, match="not written by jacdb"):
        jacdb.open(small)


@pytest.mark.slow
def test_every_view_answers_while_the_first_part_is_still_to_come(small):
    for table in ("steps", "patterns", "episodes", "runs"):
        shutil.rmtree(small / table)
    with jacdb.open(small) as begun:
        for name in queries.VIEWS:
            assert fetch(begun.view(name)).is_empty() == (name != "axes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "query", "told"),
    [
        ({"timeout": 0.2}, "select count(*) from range(1000000000000)", "stopped after 0.2 s"),
        ({"timeout": 0.2}, "with recursive t as (select 1 as x union all select x + 1 from t) from t", "stopped after"),
        ({"memory": 0.1}, "select list(range) from range(1000000000)", "take more than 0.1 GiB"),
        ({"memory": 0.1}, "select random() from range(1000000000)", "take more than 0.1 GiB"),
    ],
)
def test_a_query_ends_at_its_limits(small, limit, query, told):
    with jacdb.Dataset(small, **limit) as limited:
        with pytest.raises(FailureError, match=told):
            limited.fetch(limited.sql(query))
        assert len(limited.fetch(limited.sql("from steps"))) == 3  # and the next one is answered


@pytest.mark.slow
def test_users_11_a_part_may_be_a_link_and_opens_nothing_beside_it(small, tmp_path):
    """A part that is a link to another dataset's, and a folder that is a link to the one above it."""
    other = tmp_path / "other"
    dataset(other, "Secret", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    [secret] = other.glob("steps/*/*/*.parquet")
    link = small / "steps" / "environment=Secret" / "run=r" / "part-00000.parquet"
    summaries = small / "episodes" / link.relative_to(small / "steps")
    for here, there in ((link, secret), (summaries, next(other.glob("episodes/*/*/*.parquet")))):
        here.parent.mkdir(parents=True)
        here.symlink_to(there)
    with jacdb.open(small) as opened:
        assert {*opened.fetch(opened.sql("select env from steps"))["env"]} == {"E", "Secret"}
        for beside in (secret.with_name("*.parquet"), next(other.glob("axes/*/*/*.parquet"))):
            with pytest.raises(UsageError, match=r"not allowed|Cannot access file"):
                opened.fetch(opened.sql(f"select count(*) from read_parquet('{beside}')"))
        link.unlink()
        link.symlink_to(next(other.glob("axes/*/*/*.parquet")))  # moved while it is open
        with pytest.raises(FailureError, match="Cannot access file"):
            opened.fetch(opened.sql("select count(*) from steps"))
    link.unlink()
    (small / "steps" / "environment=Loop").symlink_to(small / "steps")
    (small / "axes" / "environment=Loop").symlink_to(small)
    with jacdb.open(small) as opened:
        assert opened.steps()["env"].unique().to_list() == ["E"]


@pytest.mark.slow
def test_users_01_an_episode_by_another_method_has_the_same_trajectory(tmp_path):
    """Stored ids are those that Python gives, whatever the method."""
    one = [episode(number, np.ones((3, 2, 2)), np.ones((3, 2, 1))) for number in range(2)]
    for run, method in (("run-a", "implicit"), ("run-b", "fd")):
        dataset(tmp_path, "E", one, run, method=method)
        one = [episode(number, np.ones((3, 2, 2)), np.ones((3, 2, 1))) for number in range(2)]
    with jacdb.open(tmp_path) as opened:
        ids = dict(
            opened.sql("select run_id, list(trajectory_id order by episode) from episodes group by all").fetchall()
        )
    expected = [schemas.trajectory_id("E", "noise", "{}", 0, "", number) for number in range(2)]
    assert ids["run-a"] == ids["run-b"] == expected
    assert len({*expected}) == 2


@pytest.mark.slow
def test_users_11_a_dataset_of_links_answers_as_the_folders_it_links_to(small, tmp_path):
    """Of its folder, of its environments' folders, and of all files, as the Hub's cache has them."""
    made = {name: tmp_path / name for name in ("whole", "folders", "files")}
    made["whole"].symlink_to(small)
    for path in [path for path in small.rglob("*") if path.is_file()]:
        file = made["files"] / path.relative_to(small)
        file.parent.mkdir(parents=True)
        file.symlink_to(path)
    for path in small.glob("*/environment=E"):
        (made["folders"] / path.parent.name).mkdir(parents=True)
        (made["folders"] / path.relative_to(small)).symlink_to(path)
    for root in made.values():
        with jacdb.open(root) as opened:
            assert opened.global_sparsity()["samples"].to_list() == [3]
            assert [len(batch["state"]) for batch in opened.batches("E")] == [3]
        assert verification.verify(root, sample=0).ok
