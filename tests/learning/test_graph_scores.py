"""Metrics of local graphs: AUROC and average precision as scikit-learn has them, all else by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, roc_auc_score

from jacdb.learning import graph_evaluation, graph_scores
from jacdb.learning.graph_scores import LocalGraphs
from jacdb.learning.switch_times import switch_f1


def random_graphs(seed: int, n: int, levels: int | None) -> tuple[np.ndarray, LocalGraphs]:
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.05, 0.95, (3, 4))
    rates[0, 0], rates[1, 1] = 0.0, 1.0  # never and always on
    zero = rng.uniform(size=(n, 3, 4)) >= rates
    undecided = ~zero & (rng.uniform(size=zero.shape) < 0.1)
    scores = ~zero + rng.normal(size=zero.shape)
    if levels:  # many equal scores
        scores = np.round(scores * levels) / levels
    return scores, LocalGraphs.of(zero, undecided)


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize("at_once", [2**21, 400])
def test_users_29_auroc_and_average_precision_are_those_of_scikit_learn(levels, at_once, monkeypatch):
    monkeypatch.setattr(graph_scores, "AT_ONCE", at_once)  # all entries together, and two at a time
    scores, truth = random_graphs(0, 200, levels)
    auroc, precision = graph_scores.ranking(scores, truth)
    switching = truth.switching()
    assert not switching[0, 0] and not switching[1, 1] and switching.sum() == 10
    assert np.isnan(auroc[~switching]).all() and np.isnan(precision[~switching]).all()
    for place in np.argwhere(switching):
        at = (slice(None), *place)
        counts = truth.decided[at]
        expected = [
            metric(truth.on[at][counts], scores[at][counts]) for metric in (roc_auc_score, average_precision_score)
        ]
        np.testing.assert_allclose([auroc[tuple(place)], precision[tuple(place)]], expected, rtol=1e-12)
    pooled = graph_scores.pooled_ranking(scores, truth)
    flat = truth.on[truth.decided], scores[truth.decided]
    np.testing.assert_allclose(pooled, [roc_auc_score(*flat), average_precision_score(*flat)], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 2])
def test_users_29_the_threshold_has_the_best_f1_of_all(levels):
    scores, truth = random_graphs(1, 150, levels)
    switching = np.argwhere(truth.switching())

    def mean_f1(threshold):
        each = []
        for place in switching:
            at = (slice(None), *place)
            counts = truth.decided[at]
            each.append(f1_score(truth.on[at][counts], scores[at][counts] >= threshold))
        return np.mean(each)

    threshold = graph_scores.best_f1_threshold(scores, truth)
    np.testing.assert_allclose(np.nanmean(graph_scores.f1(scores >= threshold, truth)), mean_f1(threshold), rtol=1e-12)
    some = np.unique(scores)[:: 1 if levels else 7]
    assert mean_f1(threshold) >= max(map(mean_f1, some)) - 1e-3
    if levels:
        assert mean_f1(threshold) == max(map(mean_f1, some))


@pytest.mark.parametrize("levels", [None, 2])
def test_users_29_the_distance_has_a_threshold_of_its_own(levels):
    scores, truth = random_graphs(2, 150, levels)

    def distance(threshold):
        return int(graph_scores.hamming(scores >= threshold, truth).sum())

    some = [*np.unique(scores)[:: 1 if levels else 7], np.inf]
    least = min(map(distance, some))
    assert distance(graph_scores.best_distance_threshold(scores, truth)) <= least * 1.005
    if levels:
        assert distance(graph_scores.best_distance_threshold(scores, truth)) == least
    nothing = LocalGraphs.of(np.ones_like(truth.on), np.zeros_like(truth.on))
    assert graph_scores.hamming(scores >= graph_scores.best_distance_threshold(scores, nothing), nothing).sum() == 0
    assert graph_scores.best_f1_threshold(scores, nothing) is None


def test_users_29_distance_and_pooled_f1_are_those_of_scikit_learn():
    scores, truth = random_graphs(3, 80, None)
    called = scores >= 0.7
    expected = [
        hamming_loss(on[known], call[known]) * known.sum()
        for on, call, known in zip(truth.on, called, truth.decided, strict=True)
    ]
    np.testing.assert_allclose(graph_scores.hamming(called, truth), expected, rtol=1e-12)
    of_all = f1_score(truth.on[truth.decided], called[truth.decided])
    np.testing.assert_allclose(graph_scores.pooled_f1(called, truth), of_all, rtol=1e-12)


def test_users_29_distance_and_global_graph_by_hand():
    zero = np.array([[[1, 0], [1, 0]], [[0, 0], [1, 1]], [[1, 0], [1, 1]]], bool)
    undecided = np.zeros_like(zero)
    undecided[1, 0, 1] = True  # always on, and once it may be roundoff
    truth = LocalGraphs.of(zero, undecided)
    called = np.array([[[0, 0], [0, 1]], [[1, 0], [1, 1]], [[0, 1], [0, 0]]], bool)
    assert graph_scores.hamming(called, truth).tolist() == [1, 2, 0]
    assert truth.n_undecided == 1
    assert truth.switching().tolist() == [[True, False], [False, True]]
    np.testing.assert_allclose(graph_scores.f1(called, truth), [[1, np.nan], [np.nan, 2 / 3]])
    assert truth.ever().on[0].tolist() == [[True, True], [False, True]]
    assert truth.ever().decided.all()
    undecided[1, 1, 0] = True  # off, and once unknown: it may be on
    assert LocalGraphs.of(zero, undecided).ever().decided[0].tolist() == [[True, True], [False, True]]


def series(*texts: str) -> np.ndarray:
    """Rows of one entry each, on where there is a 1."""
    return np.array([[[c == "1"] for c in text] for text in zip(*texts, strict=True)]).reshape(len(texts[0]), -1, 1)


@pytest.mark.parametrize(
    ("true", "called", "within", "expected"),
    [
        ("0001111000", "0001111000", 0, 1.0),
        ("0001111000", "0000111100", 0, 0.0),
        ("0001111000", "0000111100", 1, 1.0),
        ("0000000111", "1110000000", 9, 0.0),  # the other direction
        ("0001111111", "0010101111", 1, 2 / 6),  # 1 true, 5 found: one of them is matched
        ("0001011111", "0011111111", 2, 2 / 4),
        ("0000000000", "0000000000", 2, np.nan),
        ("0000000000", "0100000000", 2, 0.0),
    ],
)
def test_users_29_switch_times_by_hand(true, called, within, expected):
    on = series(true)
    truth = LocalGraphs(on, np.ones_like(on))
    follows = np.arange(len(on)) > 0
    np.testing.assert_allclose(switch_f1(series(called), truth, follows, within), [[expected]])


def test_users_29_switches_keep_to_their_entry_and_episode_and_pass_over_undecided_steps():
    on, called = series("0011000111", "0000111111"), series("0011000111", "0000011111")
    truth = LocalGraphs(on, np.ones_like(on))
    follows = np.ones(10, bool)
    follows[[0, 5]] = False  # a second episode begins with step 5: the second entry's true switch is in the first
    np.testing.assert_allclose(switch_f1(called, truth, follows, 2), [[1.0], [0.0]])
    decided = np.ones_like(on)
    decided[1:3, 0] = False  # off, ?, ?, on: it switches at step 3
    truth = LocalGraphs(on & decided, decided)
    np.testing.assert_allclose(switch_f1(called, truth, follows, 0)[0, 0], 2 * 2 / (3 + 3))
    decided[5:8, 0] = False  # an episode that begins undecided: it is on when it is known, and no switch
    truth = LocalGraphs(on & decided, decided)
    np.testing.assert_allclose(switch_f1(called, truth, follows, 1)[0, 0], 2 * 2 / (2 + 3))


def most_matches(true: list[int], found: list[int], within: int) -> int:
    """By trying all: the most pairs one to one."""
    if not true:
        return 0
    best = most_matches(true[1:], found, within)
    for i, one in enumerate(found):
        if abs(one - true[0]) <= within:
            best = max(best, 1 + most_matches(true[1:], found[:i] + found[i + 1 :], within))
    return best


def test_users_29_as_many_switches_as_possible_are_matched():
    rng = np.random.default_rng(3)
    for _ in range(30):
        on, called = (rng.uniform(size=(14, 2, 1)) < 0.5 for _ in range(2))
        follows = np.arange(14) > 0
        for entry in range(2):
            pairs = n = 0
            for up in (True, False):
                true, found = (
                    [t for t in range(1, 14) if g[t, entry, 0] == up != g[t - 1, entry, 0]] for g in (on, called)
                )
                pairs, n = pairs + most_matches(true, found, 2), n + len(true) + len(found)
            made = switch_f1(called, LocalGraphs(on, np.ones_like(on)), follows, 2)[entry, 0]
            np.testing.assert_allclose(made, 2 * pairs / n)


@pytest.mark.filterwarnings("error")
def test_above_the_largest_number_of_all_is_infinity():
    scores, truth = np.zeros((2, 1, 1), np.float32), LocalGraphs.of(np.ones((2, 1, 1), bool), np.zeros((2, 1, 1), bool))
    scores[0] = np.finfo(np.float32).max
    assert graph_scores.best_distance_threshold(scores, truth) == np.inf


@pytest.mark.slow
def test_a_graph_that_is_not_a_number_has_no_score(linear):
    def graph(rows):
        graphs = (~linear.zero(rows)).astype(np.float32)
        graphs[rows.step == 0, 0, 0] = np.nan
        return graphs

    scores = graph_evaluation.evaluate(linear, graph, sparsity=True)
    free = {s.metric for s in scores if s.rows == "free" and np.isnan(s.value if s.value is not None else 0)}
    whole = {s.metric: s.value for s in scores if (s.part, s.rows) == ("test", "all")}
    assert np.isnan(whole["global_auroc"]) and np.isnan(whole["shd"]) and np.isfinite(whole["undecided_entries"])
    assert "shd" in free  # the validation part, where thresholds are chosen, has one
    sparsity = {s.part: str(s.value) for s in scores if s.metric == "relative_sparsity"}
    assert sparsity == {"validation": "nan", "test": "nan"}


@pytest.mark.slow
def test_relative_sparsity_needs_no_threshold_of_the_validation_part(linear):
    def graph(rows):
        graphs = (~linear.zero(rows)).astype(np.float32)
        return graphs if rows is linear.parts["test"] else np.full_like(graphs, np.nan)

    scores = graph_evaluation.evaluate(linear, graph, sparsity=True)
    assert {s.value for s in scores if (s.part, s.metric) == ("test", "relative_sparsity")} == {1.0}
