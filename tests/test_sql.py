"""What people write in SQL: axes by name, what is allowed, and what they are told."""

import itertools

import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError
from jacdb.dataset import named_axes

RNG = np.random.default_rng(6)
STEPS, D, A = 5, 3, 2


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("named")
    columns = {name: RNG.normal(size=(STEPS, size)) for name, size in (("next_state", D), ("action", A))}
    one = episode(0, RNG.normal(size=(STEPS, D, D)), RNG.normal(size=(STEPS, D, A)),
                  state=RNG.normal(size=(STEPS, D)), columns=columns)  # fmt: skip
    dataset(root, "Walk", [one])
    dataset(root, "Swim", [episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)))])
    with jacdb.open(root) as opened:
        yield opened


@pytest.mark.slow
def test_users_06_every_axis_has_a_name_in_sql(opened):
    """Each number of each vector and matrix, by the names that `axes` has for its position."""
    axes = opened.axes("Walk")
    names = {
        space: axes.filter(space=space).sort("index")["name"].to_list() for space in ("state", "tangent", "action")
    }
    [plain] = opened.sql("from steps where env = 'Walk' and step = 3").pl().to_dicts()
    for column, space in (("state", "state"), ("next_state", "state"), ("action", "action")):
        for i, name in enumerate(names[space]):
            [(value,)] = opened.sql(f'select {column}."{name}" from Walk where step = 3').fetchall()
            assert value == plain[column][i]
    for column, space in (("j_state", "tangent"), ("j_action", "action")):
        for (i, row), (k, col) in itertools.product(enumerate(names["tangent"]), enumerate(names[space])):
            [(value,)] = opened.sql(f'select {column}."{row}"."{col}" from walk where step = 3').fetchall()
            assert value == plain[column][i][k]
    assert opened.sql("select state.* from Walk").columns == names["state"]


@pytest.mark.slow
def test_users_06_views_by_name_wait_until_they_are_asked_for(opened):
    with opened.where("step < 2") as some:
        made = "select view_name from duckdb_views() where view_name in ('Walk', 'Swim')"
        assert some.sql(made).fetchall() == []
        assert some.sql("select count(*), max(state.state0) is not null from Walk").fetchall() == [(2, True)]
        assert some.sql(made).fetchall() == [("Walk",)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Pend", "pend"])
def test_environments_that_sql_cant_tell_apart_are_named(name, tmp_path):
    for env in ("Pend", "pend"):
        dataset(tmp_path, env, [episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        with pytest.raises(UsageError) as raised:
            opened.sql(f"from {name}")
        assert str(raised.value) == (
            f"SQL can't tell Pend from pend: ask by position, `from steps`, where env = '{name}'"
        )
        assert opened.sql(f"select count(*) from steps where env = '{name}'").fetchall() == [(2,)]


@pytest.mark.slow
@pytest.mark.parametrize("second", ["j.vel", "J.Vel"])
def test_axes_that_sql_cant_tell_apart_are_named(second, tmp_path):
    """Datasets of before 1.0 may have two axes of one name."""
    matrices = np.ones((2, 2, 2)), np.ones((2, 2, 1))
    dataset(tmp_path, "Old", [episode(0, *matrices)], names={"state": ["j.vel", second]})
    with jacdb.open(tmp_path) as opened:
        with pytest.raises(UsageError) as raised:
            opened.sql("select state.* from Old")
        assert str(raised.value).startswith(f"Old: SQL can't tell axes 0 ('j.vel') and 1 ({second!r}) of space 'state'")
        assert opened.sql("select state[2] from steps where env = 'Old'").fetchall() == [(0,), (0,)]


@pytest.mark.parametrize(
    "query",
    ["select state[0] from steps", "from steps where j_state [2][ 0 ] > 0", 'select count("action"[0]) from steps'],
)
def test_users_06_the_first_of_a_list_is_not_0(query, opened):
    with pytest.raises(UsageError, match="always null: lists of SQL count from 1"):
        opened.sql(query)
    assert opened.sql(f"select {quoted(query)} as text -- state[0]").fetchall() == [(query,)]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_users_06_a_condition_is_told_so_too(opened):
    with pytest.raises(UsageError, match=r"condition 'state\[0\] > 1': state\[0\] is always null"):
        opened.where("state[0] > 1")
    with opened.where("state[1] > -100") as every:
        assert every.sql("select count(*) from Walk").fetchall() == [(STEPS,)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select stat from steps", 'Candidate bindings: "state"'),
        ("from step", 'Did you mean "steps"'),
        ("select bit_cout(zero_state) from patterns", 'Did you mean "bit_count"'),
        ("select state.stat0 from Walk", 'Candidate Entries: "state0"'),
        ("from Walks", "no table 'Walks': did you mean Walk?"),
        ("select state.state0 from steps", "`from Swim` instead of `from steps` has its axes by name"),
        (
            "select state [1], j_state[1][2] from walk",
            "SQL: state [1]: `from Walk` has axes by name, write state.\"state0\"; `from steps where env = 'Walk'` has",
        ),
        ("select 'state[2]', j_state[1][2] from Walk", 'j_state[1][2]: `from Walk` has axes by name, write j_state."'),
        ("select state[9] from Walk", "state[9]: Walk has no such axis"),
        ('select "state"[1], walk.state[2] from Walk', 'SQL: "state"[1]: `from Walk` has axes by name, write state."'),
        ("select w.state[2] from Walk w -- state[1]", 'w.state[2]: `from Walk` has axes by name, write w.state."st'),
        (
            "select state[step] from Walk",
            "a string key instead; `from Walk` has axes by name (`describe Walk`), `from steps where env = 'Walk'` has",
        ),
        (
            "select b.state[3] from Swim a join Walk b using (step)",
            "; `from Swim` and `from Walk` have axes by name (`describe Swim`), `from steps where env = ...` has them",
        ),
        ("select {'a': 1}[1] from Walk", "use a string key instead; `from Walk` has axes by name (`describe Walk`)"),
        ("select t.state[1] from (select {'a': 1} as state) t, Walk", "use a string key instead; `from Walk` has"),
        ("select {'a': 1}[1]", "use a string key instead"),
        ("insert into steps values (1)", "SELECT, DESCRIBE, SUMMARIZE and SHOW TABLES are allowed, this is INSERT"),
    ],
)
def test_users_19_an_error_says_what_was_meant(query, told, opened):
    with pytest.raises(UsageError) as raised:
        opened.sql(query)
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_environments_that_a_query_names():
    named = named_axes.among("select 'Walk' from swim, \"Walk\" -- Run", ["Walk", "Swim", "Run", "wal"])
    assert named == ["Swim", "Walk"]


@pytest.mark.parametrize(
    "query", ["select 1;", "-- why\nselect 1", "select 1; -- so", "/* ; */ select 1 /* é */ ; ; -- ;"]
)
def test_users_19_comments_stand_anywhere(query, opened):
    assert opened.sql(query).fetchall() == [(1,)]


def test_users_19_what_describes_tables_is_allowed(opened):
    assert ("n_zero_state", "INTEGER") in [row[:2] for row in opened.sql("describe steps").fetchall()]
    assert ("steps",) in opened.sql("show tables").fetchall()
    assert {row[0] for row in opened.sql("summarize episodes").fetchall()} >= {"n_steps", "total_reward"}


@pytest.mark.slow
def test_an_environment_named_as_a_table_is_told_to_be_so(tmp_path):
    matrices = np.ones((2, 2, 2)), np.ones((2, 2, 1))
    dataset(tmp_path, "steps", [episode(0, *matrices)])
    told = r"'steps' is a table's name: give the model's file another to ask it by axis names"
    with jacdb.open(tmp_path) as alone, pytest.raises(UsageError, match=told):
        alone.sql("select state.state0 from steps")
    dataset(tmp_path, "Walk", [episode(0, *matrices)])
    with jacdb.open(tmp_path) as both, pytest.raises(UsageError, match=r"`from Walk` instead of `from steps`"):
        both.sql("select state.state0 from steps")


def test_each_condition_stands_alone(opened):
    """Joined as text, the end of one would be the beginning of the next."""
    with opened.where("step < 2 -- early") as early, early.where("step > 0 -- late") as second:
        assert second.condition == "(step < 2) and (step > 0)"
        assert second.sql("select distinct step from steps").fetchall() == [(1,)]
        assert early.condition == "step < 2 -- early"
        for condition, told in (("true) or (true", "syntax error"), ("7", "is INTEGER, not true or false")):
            with pytest.raises(UsageError, match=told):
                early.where(condition)


@pytest.mark.parametrize("query", [None, b"select 1", 5])
def test_sql_is_text(query, opened):
    for ask in (opened.sql, opened.explain):
        with pytest.raises(UsageError, match="give text"):
            ask(query)


@pytest.mark.parametrize("query", ["select 1", None])
def test_what_is_fetched_is_a_relation(query, opened):
    for fetch in (opened.fetch, opened.fetch_table):
        with pytest.raises(UsageError, match="is no relation: give what sql or view returned"):
            fetch(query)


def test_environments_are_any_names(opened):
    env = opened.environments[0]
    whole = opened.view("samples", env).fetchall()
    for names in ([env], {env}, np.array([env]), (name for name in [env])):
        assert opened.view("samples", names).fetchall() == whole
    assert opened.explain("samples", iter([env])) == opened.explain("samples", env) == "from partials: 1 run"
    for ask in (opened.view, opened.explain):
        with pytest.raises(UsageError, match="no steps of 5 here"):
            ask("samples", 5)
    assert opened.view("samples", []).fetchall() == [] and opened.explain("samples", []) == "from partials: 0 runs"
    with pytest.raises(UsageError, match="no steps of 5 here"):
        opened.view("samples", 5)


@pytest.mark.parametrize("window", ["10", 10.0, True])
def test_a_window_is_a_whole_number(window, opened):
    with pytest.raises(UsageError, match="give a whole number"):
        opened.lyapunov("Walk", window=window)
