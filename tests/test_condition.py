"""Conditions on steps: the same rows each time, and names that a condition may say."""

import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError

RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("condition")
    episodes = [episode(n, RNG.normal(size=(20, 2, 2)), RNG.normal(size=(20, 2, 1))) for n in range(3)]
    dataset(root, "E", episodes)
    with jacdb.open(root) as opened:
        yield opened


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("random() < 0.1", "random()"),
        ("step < 3 or main.\"UUID\"()::text < '5'", "uuid()"),
        ("len(list_filter(active, lambda name: random() < 0.5)) > 0", "random()"),
        ("setseed(0.5) is null", "setseed()"),
        ("nextval('numbers') % 2 = 0", None),  # no such sequence: DuckDB is first
        ("episode in (select episode from episodes using sample 2)", "a sample"),
        ("episode in (select episode from episodes tablesample 50%)", "a sample"),
    ],
)
def test_a_condition_chooses_the_same_steps_each_time(condition, told, opened):
    """One answer may read steps several times: each would be of another sample."""
    with pytest.raises(UsageError) as raised:
        opened.where(condition)
    assert "\n" not in str(raised.value)
    if told:
        assert f": {told} is another each time" in str(raised.value)
        assert "hash(run_id, episode, step) % 10 = 0" in str(raised.value)


@pytest.mark.slow
def test_a_share_of_the_rows_is_chosen_by_the_row(opened):
    """The remedy that the refusal names."""
    with opened.where("hash(run_id, episode, step) % 3 = 0") as some:
        [(n,)] = some.sql("select count(*) from steps").fetchall()
        assert 0 < n < 60
        binned = "select sum(steps) from sparsity_histogram where jacobian = 'state'"
        assert some.sql(f"select (select samples from samples), ({binned})").fetchall() == [(n, n)]


@pytest.mark.slow
def test_a_condition_names_its_table(opened):
    own = "exists (from episodes e where e.run_id = steps.run_id and e.episode = steps.episode and e.episode > 0)"
    with opened.where(own) as some, some.where("steps.step < 5") as fewer:
        assert [frame["samples"][0] for frame in (some.samples(), fewer.samples())] == [40, 10]
        assert fewer.sql("select distinct step from E order by step").fetchall() == [(n,) for n in range(5)]
    rows = sum(len(batch["state"]) for batch in opened.batches("E", where="steps.step < 5"))
    assert rows == 15
    for columns in ("state", "zero_state"):  # of which there is no pattern either
        with pytest.raises(UsageError, match=r"E by an exact method: give another condition than steps\.step > 50,"):
            opened.batches("E", columns, where="steps.step > 50")
    with pytest.raises(UsageError, match="reads steps, or a view of them"):
        opened.where("step < (select max(steps.step) from steps)")
