"""Baselines: they know what they are told, and nothing else."""

import dataclasses

import numpy as np
import pytest
from contact_rows import ENV, contact_dataset
from synthetic import dataset as written
from synthetic import episode

import jacdb
from jacdb.cli import score
from jacdb.errors import UsageError
from jacdb.learning import baselines, graph_evaluation
from jacdb.learning.bodies import Bodies
from jacdb.learning.graph_scores import LocalGraphs, ranking
from jacdb.learning.problem import LearningProblem


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    with jacdb.open(contact_dataset(tmp_path_factory.mktemp("contact") / "data")) as dataset:
        return LearningProblem.of(dataset, ENV)


def test_scores(problem, graph):
    scores = graph_evaluation.evaluate(problem, graph)
    return {s.metric: s for s in scores if (s.part, s.rows) == ("test", "all")}


test_scores.__test__ = False


def aurocs(problem, graph):
    rows = problem.parts["test"]
    return ranking(graph(rows), LocalGraphs.of(problem.zero(rows), problem.undecided(rows)))[0]


@pytest.mark.slow
def test_users_29_the_contact_oracle_knows_what_contacts_decide_and_no_more(problem):
    found = aurocs(problem, baselines.contact_oracle(problem))
    assert found[0, 1] == found[1, 0] == 1.0
    assert abs(found[2, 3] - 0.5) < 0.2  # odd and even steps: no constraint tells
    assert np.count_nonzero(~np.isnan(found)) == 3


def test_users_29_where_contacts_decide_all_the_oracle_is_perfect_and_the_mean_is_not(problem):
    patterns = problem.patterns.copy()
    patterns[:, 2, 3] = False  # without the entry that they do not decide
    told = dataclasses.replace(problem, patterns=patterns)
    for part in told.parts.values():
        part.raw_jacobian[:, 2, 3] = np.where(part.raw_jacobian[:, 2, 3] == 0, 1.0, part.raw_jacobian[:, 2, 3])
    perfect = test_scores(told, baselines.contact_oracle(told))
    for metric in ("auroc", "auprc", "f1", "switch_f1", "global_auroc", "global_f1", "body_auroc"):
        assert perfect[metric].value == 1.0, metric
    for metric in ("shd", "shd_switching", "global_shd"):
        assert perfect[metric].value == 0.0, metric
    assert perfect["auroc"].n == 2 and perfect["switch_f1"].horizon == graph_evaluation.WITHIN
    mean = test_scores(told, baselines.mean_pattern(told))
    assert mean["auroc"].value == 0.5 and mean["switch_f1"].value == 0.0 and mean["global_auroc"].value == 1.0
    assert mean["shd"].value == mean["shd_switching"].value > 0.5  # it is wrong in the entries that switch alone
    n = len(told.parts["test"])
    assert mean["undecided_entries"].value == told.undecided(told.parts["test"]).sum() > n / 8


def test_users_29_an_unseen_set_of_constraints_gets_the_mean_pattern(problem):
    rows = problem.parts["test"]
    both = problem.constraint_sets.index(("contact:floor - tip", "contact:floor - toe"))
    train = problem.parts["train"]
    without = {**problem.parts, "train": train.where(train.constraints != both)}
    less = dataclasses.replace(problem, parts=without)
    found, mean = (make(less)(rows) for make in (baselines.contact_oracle, baselines.mean_pattern))
    unseen = rows.constraints == both
    assert unseen.any() and not unseen.all()
    np.testing.assert_array_equal(found[unseen], mean[unseen])
    assert (found[~unseen] != mean[~unseen]).any((1, 2)).all()


def test_users_29_a_kinematic_tree_parts_bodies_that_do_not_touch(problem):
    bodies = Bodies(("arm", "hand", "cube"), ("hand",))
    of_bodies = dataclasses.replace(problem, bodies=bodies)
    graph = baselines.kinematic_tree(of_bodies, {"arm": 0, "hand": 0, "cube": 1})
    assert graph(problem.parts["test"])[0].tolist() == [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 0]]
    remembered = dataclasses.replace(problem, bodies=Bodies(("arm", None, "cube"), ("arm",)))
    graph = baselines.kinematic_tree(remembered, {"arm": 0, "cube": 1})
    assert graph(problem.parts["test"])[0].tolist() == [[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    with pytest.raises(UsageError, match="the trees have no body 'cube'"):  # another robot's
        baselines.kinematic_tree(of_bodies, {"arm": 0, "hand": 0})


@pytest.mark.slow
def test_without_its_model_the_kinematic_tree_is_left_out_of_all_and_told(problem, tmp_path, capsys):
    matrices = np.ones((2, 3, 3)), np.ones((2, 3, 1))
    written(tmp_path, ENV, [episode(0, *matrices)], run_id=problem.parts["train"].run_id[0], suite="file")
    with jacdb.open(tmp_path) as dataset:
        assert score._trees(dataset, problem, is_one_of_all=True, quiet=False) == {}
        [line] = capsys.readouterr().err.splitlines()
        assert "without kinematic_tree" in line and "the run's model is not here: copy models/" in line
        with pytest.raises(UsageError, match=r"--baseline kinematic_tree asks for .* the run's model is not here"):
            score._trees(dataset, problem, is_one_of_all=False, quiet=False)


def test_users_29_a_block_of_bodies_is_on_if_any_entry_is():
    bodies = Bodies(("arm", "cube", "arm", None, None), ("arm", "cube"))
    on = np.zeros((1, 5, 7), bool)
    on[0, 0, 2] = on[0, 1, 6] = on[0, 3, 4] = True  # arm on arm, cube on the cube's action, one memory on the other
    decided = np.ones_like(on)
    decided[0, 0, 0] = decided[0, 2, 1] = False  # in a block that is on, and in one that may be
    truth = bodies.graphs(LocalGraphs(on, decided))
    assert truth.on[0].astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert np.argwhere(~truth.decided[0]).tolist() == [[0, 1]]
    scores = np.arange(35.0).reshape(1, 5, 7)
    assert bodies.largest(scores)[0, 0].tolist() == [16, 15, 17, 18, 19, 20]


def test_users_29_bodies_are_those_of_the_axes():
    with jacdb.open("datasets/sample") as dataset:
        bodies = Bodies.of(dataset, "FingerTurnEasy")
    assert bodies.of_tangent == ("proximal", "distal", "spinner") * 2 and bodies.of_action == ("proximal", "distal")


@pytest.mark.slow
def test_users_29_bodies_without_a_name_are_not_one_body(tmp_path):
    """Runs of before 1.0 have '' for each of them."""
    bodies = {"tangent": ["", "", "cart"], "action": ["", ""]}
    written(tmp_path, "E", [episode(0, np.ones((2, 3, 3)), np.ones((2, 3, 2)))], bodies=bodies)
    with jacdb.open(tmp_path) as dataset:
        assert Bodies.of(dataset, "E") == Bodies((None, None, "cart"), (None, None))
