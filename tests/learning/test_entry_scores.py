"""Scores of single entries: which entries have them, and that the mean over entries is the mean of these."""

import numpy as np
import pytest
from contact_rows import ENV, SHAPE, contact_dataset
from sklearn.metrics import roc_auc_score

import jacdb
from jacdb.learning.problem import LearningProblem
from jacdb.learning.scoring import Entry, score


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    with jacdb.open(contact_dataset(tmp_path_factory.mktemp("entries") / "data")) as dataset:
        return LearningProblem.of(dataset, ENV)


def noisy(rows):
    """Rather on in rows where the true entry is large."""
    return np.abs(rows.raw_jacobian) + np.random.default_rng(len(rows)).uniform(size=(len(rows), *SHAPE))


@pytest.mark.slow
def test_users_29_entries_have_scores_of_their_own(problem, tmp_path):
    scores = score(problem, tmp_path, Entry("noisy", noisy, {})).scores
    of_entry = {(one.metric, one.row, one.col): one for one in scores if one.row is not None}
    assert {(one.part, one.rows) for one in of_entry.values()} == {("test", "all")}
    switching = [(0, 1), (1, 0), (2, 3)]
    assert [key[1:] for key in of_entry if key[0] == "auroc_entry"] == switching
    rows = problem.parts["test"]
    found, zero, graphs = [], problem.zero(rows), noisy(rows)
    for at in switching:
        found.append(of_entry["auroc_entry", *at].value)
        assert found[-1] == pytest.approx(roc_auc_score(~zero[:, *at], graphs[:, *at]))
        assert of_entry["zero_share_entry", *at].value == zero[:, *at].mean()
    assert len(set(found)) == 3
    whole = next(one for one in scores if (one.part, one.rows, one.metric) == ("test", "all", "auroc"))
    assert whole.value == pytest.approx(np.mean(found)) and whole.row is None
    always_on = {(i, i) for i in range(3)}
    shares = {key[1:]: one for key, one in of_entry.items() if key[0] == "zero_share_entry"}
    assert {*shares, *always_on} == set(np.ndindex(SHAPE)) and not {*shares} & always_on
    # a roundoff stands there every seventh step, which does not count
    assert shares[2, 1].value == 1.0 and shares[2, 1].n < len(rows) == shares[2, 0].n


@pytest.mark.slow
def test_users_29_sql_reads_scores_of_entries(problem, tmp_path):
    root = contact_dataset(tmp_path / "data")
    score(problem, root, Entry("noisy", noisy, {}))
    with jacdb.open(root) as dataset:
        asked = "select row, col from learning_scores where metric = 'auroc_entry' order by all"
        assert dataset.sql(asked).fetchall() == [(0, 1), (1, 0), (2, 3)]
        named = "select distinct metric from learning_scores where row is not null"
        assert set(dataset.sql(named).fetchall()) == {("auroc_entry",), ("zero_share_entry",)}
