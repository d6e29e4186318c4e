"""Causal discovery finds the links of a system that is known, and one line says what to install for it."""

import numpy as np
import pytest
from conftest import call_jacdb
from contact_rows import ENV, contact_dataset

import jacdb
from jacdb.cli import score
from jacdb.errors import UsageError
from jacdb.learning import causal_discovery, graph_evaluation
from jacdb.learning.causal_discovery import METHODS, DiscoverySettings
from jacdb.learning.problem import LearningProblem

# Three states and an action: a chain that the action drives, and a state of its own
LINKS = np.array([[0.8, 0.0, 0.0, 0.6], [0.5, 0.7, 0.0, 0.0], [0.0, 0.0, -0.6, 0.0]])


@pytest.fixture
def tigramite():
    for name in causal_discovery.NEEDED:
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return contact_dataset(tmp_path_factory.mktemp("causal") / "data")


@pytest.fixture(scope="module")
def problem(root):
    with jacdb.open(root) as dataset:
        return LearningProblem.of(dataset, ENV)


def rollout(seed, steps=200):
    random = np.random.default_rng(seed)
    rows, state = [], random.normal(size=3)
    for _ in range(steps):
        rows.append(np.append(state, random.normal()))
        state = LINKS @ rows[-1] + random.normal(size=3)
    return np.array(rows)


@pytest.mark.parametrize("method", METHODS)
def test_users_29_links_of_a_linear_system_with_process_noise_are_found(method, tigramite):
    found = causal_discovery.discover([rollout(seed) for seed in range(8)], 3, method, DiscoverySettings(alpha=1e-4))
    np.testing.assert_array_equal(found.p_value <= 1e-4, LINKS != 0)
    np.testing.assert_array_equal(np.sign(found.strength)[LINKS != 0], np.sign(LINKS)[LINKS != 0])
    assert np.abs(found.strength)[LINKS == 0].max() < np.abs(found.strength)[LINKS != 0].min()


def test_users_29_a_column_that_never_changes_has_no_links(tigramite):
    series = [rollout(seed) for seed in range(4)]
    for one in series:
        one[:, 2] = 1.0
    found = causal_discovery.discover(series, 3, "pcmci_plus", DiscoverySettings())
    assert (found.strength[2] == 0).all() and (found.p_value[:, 2] == 1).all()
    assert found.p_value[1, 0] < 1e-6


@pytest.mark.slow
def test_users_29_trajectories_have_the_columns_of_the_jacobian_and_no_more_rows_than_asked(problem):
    rows = problem.parts["train"]
    whole = causal_discovery.trajectories(problem, len(rows))
    assert len(whole) == len(np.unique(rows.trajectory)) and sum(map(len, whole)) == len(rows)
    assert whole[0].shape[1] == problem.shape[1]
    np.testing.assert_allclose(np.concatenate(whole)[:, -1], rows.action[:, 0], rtol=1e-6)
    for most in (100, 200):
        part = causal_discovery.trajectories(problem, most)
        assert most - len(part) <= sum(map(len, part)) <= most
        for one in part:  # each is a stretch of one trajectory
            assert any(np.array_equal(one, w[k : k + len(one)]) for w in whole for k in range(len(w) - len(one) + 1))
    with pytest.raises(UsageError, match="no training episode has 20 consecutive steps"):
        every_second = {**problem.parts, "train": rows.where(np.arange(0, len(rows), 2))}
        causal_discovery.trajectories(LearningProblem(**{**vars(problem), "parts": every_second}), 100)


@pytest.mark.slow
def test_users_29_it_is_scored_as_a_graph_that_never_changes(root, problem, tigramite):
    words = ("score", "--baseline", "pcmci_plus", "--env", ENV, "--data", root, "--quiet")
    done = call_jacdb(*words, "--set", "rows=200")
    assert done.returncode == 0 and "auroc 0.500" in done.stdout, done.stderr
    assert "it is there already" in call_jacdb(*words, "--set", "rows=200").stdout
    assert "it is there already" not in call_jacdb(*words, "--set", "rows=100").stdout
    graph = causal_discovery.global_graph(problem, "pcmci_plus", DiscoverySettings(rows=200))
    scores = {s.metric: s.value for s in graph_evaluation.evaluate(problem, graph) if s.part == "test"}
    assert 0 <= scores["global_auroc"] <= 1 and scores["auroc"] == 0.5


def test_users_29_without_tigramite_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(causal_discovery, "NEEDED", ("a_package_that_is_missing",))
    with pytest.raises(UsageError, match=r"a_package_that_is_missing is missing: pip install 'jacdb\[causal\]'"):
        score._names(["mean_pattern", "pcmci"], quiet=True)
    assert score._names(["all"], quiet=False) == ["mean_pattern", "contact_oracle", "kinematic_tree"]
    assert "pip install 'jacdb[causal]'" in capsys.readouterr().err
    assert score._names(["contact_oracle"], quiet=False) == ["contact_oracle"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": 3}, "rows=3: give a number of rows, 20 or more"),
        ({"rows": True}, "rows=True"),
        ({"alpha": 1.0}, "alpha=1.0: give a level of significance"),
        ({"test": "parcor"}, "did you mean parcorr?"),
        ({"row": 100}, "did you mean rows?"),
    ],
)
def test_users_29_wrong_settings_get_one_line(given, said):
    with pytest.raises(UsageError) as refused:
        DiscoverySettings.of(given)
    assert said in str(refused.value)


def test_users_29_settings_are_for_causal_discovery(root):
    done = call_jacdb("score", "--baseline", "mean_pattern", "--set", "rows=100", "--env", ENV, "--data", root)
    assert done.returncode == 2 and "--set is for --baseline fullci, pcmci, pcmci_plus" in done.stderr
