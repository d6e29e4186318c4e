"""Opening a dataset, and what a query may not do."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, queries, schemas
from jacdb.catalog import fetch


@pytest.fixture
def small(tmp_path):
    root = tmp_path / "data"
    dataset(root, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    return root


@pytest.fixture
def opened(small):
    with jacdb.open(small) as one:
        yield one


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
        "select 1; drop view steps",
        "",
    ],
)
def test_only_one_select_is_answered(opened, query):
    with pytest.raises(UsageError):
        opened.sql(query)
    assert opened.sql("select count(*) from steps").fetchall() == [(3,)]


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
def test_no_file_outside_the_dataset_is_read(opened, small, source):
    other = small.parent / "other.csv"
    other.write_text("secret\n1\n")
    local_frame = fetch(opened.view("steps"))  # a variable here is no table there
    assert len(local_frame) == 3
    text = source.format(other=other, data=small, parent=small.parent)
    with pytest.raises(UsageError):
        fetch(opened.sql(f"select * from {text}"))


@pytest.mark.parametrize(
    "condition",
    ["nothing > 1", "1 = 1) ; drop view steps; select (1", "true) union all select * from read_text('/etc/hosts"],
)
def test_a_condition_that_is_none_is_refused(small, condition):
    with pytest.raises(UsageError):
        jacdb.open(small).where(condition)


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


def test_every_view_answers_while_the_first_part_is_still_to_come(small):
    for table in ("steps", "patterns", "episodes", "runs"):
        shutil.rmtree(small / table)
    with jacdb.open(small) as begun:
        for name in queries.VIEWS:
            assert fetch(begun.view(name)).is_empty() == (name != "axes")
