"""Views of what holds in a step and what the zero pattern does then: against plain loops over the rows."""

import collections
import itertools

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from synthetic import dataset, episode

import jacdb
from jacdb.dataset.sandbox import fetch

RNG = np.random.default_rng(2)
D, A = 3, 2


class Row(collections.namedtuple("Row", "place zero constraints")):
    """A finite step: (run, episode, step), its zero mask, and the set of what holds."""


@pytest.fixture(scope="module")
def walking(tmp_path_factory, scale):
    """Two runs in which a foot, a hand and a limit come and go, and the matrices mostly with them."""
    root = tmp_path_factory.mktemp("walking")
    rows: list[Row] = []
    masks = RNG.random((4, D, D + A)) < 0.4
    for run in ("run-a", "run-b"):
        episodes = []
        for number, steps in enumerate((40 * scale, 1, 25 * scale)):
            foot, hand, limit = (np.cumsum(RNG.random(steps) < 0.2) % 2 for _ in range(3))
            kind = np.where(RNG.random(steps) < 0.9, foot + 2 * limit, 0)
            j = np.where(masks[kind], 0.0, RNG.normal(size=(steps, D, D + A)))
            j[RNG.random(steps) < 0.1, 0, 0] = np.nan
            touching = [["foot"] * f + ["hand"] * h for f, h in zip(foot, hand, strict=True)]
            active = [["joint_limit:knee"] * at for at in limit]
            episodes.append(episode(number, j[..., :D], j[..., D:], touching=touching, active=active))
            for step in np.flatnonzero(np.isfinite(j).all((1, 2))):
                holds = {f"contact:floor - {geom}" for geom in touching[step]} | set(active[step])
                rows.append(Row((run, number, step), np.abs(j[step]) < 1e-12, frozenset(holds)))
        dataset(root, "Walk", episodes, run)
    finite_differences = episode(0, np.ones((9, D, D)), np.ones((9, D, A)), method="fd", touching=[["foot"]] * 9)
    dataset(root, "Walk", [finite_differences], "run-c")
    with jacdb.open(root) as opened:
        yield opened, rows


@pytest.mark.slow
@pytest.mark.parametrize(("view", "keys"), [
    ("patterns", ("env", "run_id", "pattern_id")), ("constraint_sets", ("env", "constraints", "set")),
    ("step_constraints", ("env", "run_id", "episode", "step")),
])  # fmt: skip
def test_rows_come_in_one_order_whichever_thread_is_first(view, keys):
    with jacdb.open(ROOT / "datasets" / "sample") as sample:
        counted = sample.where("step >= 0")  # from steps, not from partials
        rows = counted.fetch(counted.view(view)).select(keys).rows()
    assert rows == sorted(rows)


def pairs(rows: list[Row]) -> list[tuple[Row, Row]]:
    """Consecutive steps of an episode."""
    return [
        (before, after)
        for before, after in itertools.pairwise(rows)
        if before.place[:2] == after.place[:2] and before.place[2] + 1 == after.place[2]
    ]


def of_kind(constraints: frozenset[str], kind: str) -> set[str]:
    return {name for name in constraints if kind in ("any", name.split(":")[0])}


@pytest.mark.slow
def test_constraints_are_contacts_and_active_by_name(walking):
    opened, rows = walking
    found = fetch(opened.sql("from step_constraints order by run_id, episode, step"))
    assert found["constraints"].to_list() == [sorted(row.constraints) for row in rows]
    assert found["n_zero_state"].to_list() == [row.zero[:, :D].sum() for row in rows]


def test_sparsity_by_constraint_agrees_with_a_loop(walking):
    opened, rows = walking
    found = fetch(opened.view("sparsity_by_constraint", "Walk"))
    names = [(row["kind"], row["name"]) for row in found.to_dicts()]
    assert names == [
        ("contact", None),
        ("contact", "floor - foot"),
        ("contact", "floor - hand"),
        ("joint_limit", None),
        ("joint_limit", "knee"),
        ("nothing", None),
    ]
    for row in found.to_dicts():
        if row["kind"] == "nothing":
            holds = np.array([not one.constraints for one in rows])
        else:
            wanted = row["name"] and f"{row['kind']}:{row['name']}"
            holds = np.array([bool(of_kind(one.constraints, row["kind"]) & ({wanted} if wanted else one.constraints))
                              for one in rows])  # fmt: skip
        sparsity = np.array([(one.zero[:, :D].mean(), one.zero[:, D:].mean()) for one in rows])
        assert row["steps"] == holds.sum() and row["share"] == pytest.approx(holds.mean())
        expected = [*sparsity[holds].mean(0), *sparsity[~holds].mean(0)]
        columns = ("sparsity_state", "sparsity_action", "sparsity_state_else", "sparsity_action_else")
        assert [row[column] for column in columns] == pytest.approx(expected)


@pytest.mark.slow
def test_a_name_that_a_row_has_several_times_counts_once(tmp_path):
    """Rows of before 1.0 name a joint once for each of its dofs that holds."""
    ball = "friction_holds:ball"
    active = [[ball] * 3, [ball] * 2, [], [ball]]
    dataset(tmp_path, "E", [episode(0, np.zeros((4, D, D)), np.zeros((4, D, A)), active=active)])
    with jacdb.open(tmp_path) as opened:
        assert {tuple(names) for names in fetch(opened.view("constraint_sets", "E"))["constraints"]} == {(), (ball,)}
        shares = fetch(opened.view("sparsity_by_constraint", "E")).select("kind", "name", "steps", "share").rows()
        holding = [("friction_holds", None, 3, 0.75), ("friction_holds", "ball", 3, 0.75)]
        assert shares == [*holding, ("nothing", None, 1, 0.25)]
        for row in fetch(opened.view("switch_explanations", "E")).to_dicts():
            assert row["constraint_switches"] == 2, "held by fewer dofs, it holds as before"


def test_pattern_switches_agree_with_a_loop(walking):
    opened, rows = walking
    expected = [
        {
            "run_id": after.place[0],
            "episode": after.place[1],
            "step": after.place[2],
            "changed_state": (before.zero ^ after.zero)[:, :D].sum(),
            "changed_action": (before.zero ^ after.zero)[:, D:].sum(),
            "began": sorted(after.constraints - before.constraints),
            "ended": sorted(before.constraints - after.constraints),
        }
        for before, after in pairs(rows)
        if (before.zero != after.zero).any()
    ]
    found = fetch(opened.view("pattern_switches", "Walk"))
    assert found.select(*expected[0]).to_dicts() == expected
    assert (found["pattern_before"] != found["pattern_id"]).all()


def test_switch_explanations_agree_with_a_loop(walking):
    opened, rows = walking
    found = fetch(opened.view("switch_explanations", "Walk"))
    assert found["kind"].to_list() == ["any", "contact", "joint_limit"]
    for row in found.to_dicts():
        switched = np.array(
            [
                [
                    (before.zero != after.zero).any(),
                    of_kind(before.constraints, row["kind"]) != of_kind(after.constraints, row["kind"]),
                ]
                for before, after in pairs(rows)
            ]
        )
        both = switched.all(1).sum()
        assert (row["steps"], row["together"]) == (len(switched), both)
        assert [row["pattern_switches"], row["constraint_switches"]] == switched.sum(0).tolist()
        assert row["recall"] == pytest.approx(both / switched[:, 0].sum())
        assert row["precision"] == pytest.approx(both / switched[:, 1].sum())


def test_causal_graph_agrees_with_numpy(walking):
    opened, rows = walking
    zero = np.array([row.zero for row in rows])
    found = fetch(opened.view("causal_graph", "Walk"))
    share, block = np.zeros((D, D + A)), np.full((D, D + A), -1)
    for row in found.to_dicts():
        column = row["source"] + (D if row["source_space"] == "action" else 0)
        share[row["target"], column], block[row["target"], column] = row["share"], row["block"]
        assert row["source_name"] == f"{row['source_space']}{row['source']}"
    np.testing.assert_allclose(share, 1 - zero.mean(0))
    there = np.argwhere(~zero.all(0))
    assert len(found) == len(there)
    for a, b in itertools.combinations(map(tuple, there), 2):
        assert (block[a] == block[b]) == (zero[:, a[0], a[1]] == zero[:, b[0], b[1]]).all()
    shares = found.group_by("block").agg(pl.col("share").first()).sort("block")["share"].to_list()
    assert shares == sorted(shares, reverse=True)


@pytest.mark.slow
def test_an_axis_that_nothing_else_depends_on_is_ignorable(tmp_path):
    j = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0]])  # 0 depends on 2, 2 on 1, 1 on nothing
    two = np.stack([j, np.where(np.arange(3) == 1, j, np.eye(3))])  # in the second step, 0 does not depend on 2
    dataset(tmp_path, "E", [episode(0, two, np.ones((2, 3, 1)))])
    with jacdb.open(tmp_path) as opened:
        found = fetch(opened.view("symmetries", "E"))
    assert found["name"].to_list() == ["tangent0", "tangent1", "tangent2"]
    assert found["dependents"].to_list() == [0, 1, 1]
    assert found["sources"].to_list() == [1, 0, 1]
    assert found["ignorable"].to_list() == [True, False, False]


@pytest.mark.slow
def test_without_a_finite_step_axes_are_there_and_nothing_is_said_of_them(tmp_path):
    dataset(tmp_path, "E", [episode(0, np.full((4, 2, 2), np.nan), np.ones((4, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        axes = fetch(opened.view("symmetries", "E"))
        assert axes["ignorable"].to_list() == [None, None]
        for name in ("sparsity_by_constraint", "pattern_switches", "switch_explanations", "causal_graph"):
            assert fetch(opened.view(name, "E")).is_empty()


@pytest.mark.slow
def test_a_state_of_one_axis_has_symmetries(tmp_path):
    dataset(tmp_path, "I", [episode(0, np.ones((3, 1, 1)), np.ones((3, 1, 1)))])
    with jacdb.open(tmp_path) as single:
        assert single.sql("select dependents, sources, ignorable from symmetries").fetchall() == [(0, 0, True)]
