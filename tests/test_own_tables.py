"""Frames, Parquet and views of a person's own, beside the tables of a dataset."""

import ast
import inspect

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from conftest import call_jacdb
from mypy import api
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, queries
from jacdb.dataset import dataset as module

LABELS = pl.DataFrame({"step": [0, 2], "label": ["first", "last"]})
JOINED = "select step, label from steps join mine using (step) order by step"


@pytest.fixture
def opened(tmp_path):
    clips = [[], ["joint_limit:a"], ["ctrl_clip:m", "force_clip:m"]]
    dataset(tmp_path / "data", "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)), active=clips)])
    with jacdb.open(tmp_path / "data") as opened:
        yield opened


def as_file(tmp_path):
    LABELS.write_parquet(tmp_path / "labels.parquet")
    return tmp_path / "labels.parquet"


def as_folder(tmp_path):
    for i, rows in enumerate(LABELS.iter_slices(1)):
        (tmp_path / "labels" / f"part={i}").mkdir(parents=True)
        rows.write_parquet(tmp_path / "labels" / f"part={i}" / "rows.parquet")
    return str(tmp_path / "labels")


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows", [lambda _: LABELS, lambda _: LABELS.to_pandas(), lambda _: LABELS.to_arrow(), as_file, as_folder],
    ids=["polars", "pandas", "arrow", "file", "folder"],
)  # fmt: skip
def test_users_17_own_rows_are_joined(rows, opened, tmp_path):
    opened.register("mine", pl.DataFrame({"step": [1], "label": ["other"]}))
    opened.register("mine", rows(tmp_path))  # replaced
    assert opened.sql(JOINED).fetchall() == [(0, "first"), (2, "last")]
    with opened.where("step in (select step from mine) and step > 0") as some:
        assert some.sql(JOINED).fetchall() == [(2, "last")]
    with pytest.raises(UsageError, match="not allowed"):
        opened.sql(f"from read_parquet('{tmp_path}/labels.parquet')")  # SQL itself still opens nothing


@pytest.mark.slow
def test_a_table_is_one_in_whatever_spelling(opened, tmp_path):
    for spelling, value in (("legs", 1), ("Legs", 2), ("legs", 3)):
        opened.register(spelling, pl.DataFrame({"a": [value]}))
    with opened.where("true") as same:
        assert opened.sql("from legs").fetchall() == same.sql("from LEGS").fetchall() == [(3,)]
    (tmp_path / "LEGS.sql").write_text("select 4 as a")
    with pytest.raises(UsageError, match="'LEGS' is taken"):
        opened.register_views(tmp_path)
    (tmp_path / "LEGS.sql").rename(tmp_path / "Arms.sql")
    opened.register_views(tmp_path)
    with pytest.raises(UsageError, match="'arms' is taken"):
        opened.register("arms", LABELS)


@pytest.mark.slow
def test_users_17_a_folder_of_views(opened, tmp_path):
    views = tmp_path / "views"
    views.mkdir()
    (views / "a.sql").write_text("-- reads the next\nselect 2 * n as double from b; -- so")
    (views / "b.sql").write_text("select count(*) as n from steps")
    opened.register_views(views)
    assert opened.view("a").fetchall() == [(6,)]
    with opened.where("step = 1") as some:
        assert some.view("a").fetchall() == [(2,)]
    (views / "b.sql").write_text("select nosuch from steps")
    with pytest.raises(UsageError, match=r"b\.sql: Binder Error: Referenced column .nosuch"):
        opened.register_views(views)
    (views / "b.sql").write_text("drop view steps")
    with pytest.raises(UsageError, match=r"b\.sql: only SELECT"):
        opened.register_views(views)


@pytest.mark.slow
def test_users_17_a_folder_of_views_on_the_command_line(opened, tmp_path):
    (tmp_path / "counted.sql").write_text("select count(*) as n from steps")
    words = ("sql", "from counted", "--data", tmp_path / "data", "--format", "csv")
    assert call_jacdb(*words, "--views", str(tmp_path)).stdout == "n\n3\n"
    nowhere = call_jacdb(*words, "--views", str(tmp_path / "nowhere"))
    assert (nowhere.returncode, nowhere.stderr) == (2, f"jacdb: {tmp_path}/nowhere: no .sql file there\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows", "told"),
    [
        ("steps", LABELS, "'steps' is taken"),
        ("e", LABELS, "'e' is taken"),
        (5, LABELS, "5 is no name of a table: give text"),
        ("stored_steps", LABELS, "is taken"),
        ("mine", 3, "mine: give a frame"),
        ("mine", LABELS.lazy(), r"collect\(\)"),
        ("mine", "no/such.parquet", "mine: no Parquet at no/such.parquet"),
        ("mine", __file__, "is not Parquet"),
        ("mine", pa.table({}), "mine: .*at least one column"),
    ],
)
def test_users_17_what_is_no_table_is_refused(name, rows, told, opened):
    with pytest.raises(UsageError, match=told):
        opened.register(name, rows)


@pytest.mark.slow
def test_users_17_a_misspelt_view_is_told_what_was_meant(opened):
    with pytest.raises(AttributeError, match="did you mean global_sparsity"):
        opened.globalsparsity()
    with pytest.raises(UsageError, match="did you mean global_sparsity"):
        opened.view("globalsparsity")


@pytest.mark.thorough
def test_users_17_a_misspelt_view_is_a_type_error(tmp_path):
    """To mypy, which sees the views as methods with a frame for an answer."""
    listed = [
        node.target.id for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.AnnAssign)
    ]
    assert [name for name in listed if name in queries.VIEWS] == list(queries.VIEWS)
    program = tmp_path / "program.py"
    program.write_text(
        "import jacdb\n"
        "dataset = jacdb.open('data')\n"
        "reveal_type(dataset.global_sparsity('E'))\n"
        "dataset.globalsparsity()\n"
    )
    told, _, status = api.run([str(program), "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"])
    assert status == 1 and "DataFrame" in told
    assert 'program.py:4: error: "Dataset" has no attribute "globalsparsity"' in told


@pytest.mark.slow
def test_users_18_steps_at_a_clip_can_be_left_out(opened):
    assert opened.sql("select step, at_clip(active) from steps order by step").fetchall() == [
        (0, False), (1, False), (2, True),
    ]  # fmt: skip
    with opened.where("not at_clip(active)") as inside:
        assert inside.samples()["samples"].to_list() == [2]
