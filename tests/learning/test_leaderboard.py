"""The leaderboard and its figures say what the tables of results say."""

import itertools
import json
import runpy
import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, call_jacdb
from learned_results import learned
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, figures, report
from jacdb.figures.learning import MARKERS
from jacdb.figures.learning_results import labels
from jacdb.publishing import card
from jacdb.report import leaderboard

ENV = "Walk"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Results without the rows that they are of, as they are kept for docs/learning.md."""
    root = tmp_path_factory.mktemp("kept")
    learned(root, ENV)
    with jacdb.open(root) as opened:
        yield opened


def test_users_29_the_leaderboard_is_over_seeds_and_ordered_by_auroc(kept):
    board = kept.leaderboard(ENV)
    assert board["rank"].to_list() == [1, 2, 3]
    assert board["kind"].to_list() == ["baseline", "trained", "trained"]
    assert board["loss"].to_list() == [None, "mse+l1", "mse"] and board["seeds"].to_list() == [0, 3, 3]
    mse = board.row(2, named=True)
    assert mse["auroc_mean"] == pytest.approx(0.7) and mse["auroc_std"] == pytest.approx(0.1)
    assert mse["auroc_near_switch_mean"] == pytest.approx(0.6) and mse["switch_f1_mean"] == 0.25
    assert mse["prediction_mse_1_mean"] == pytest.approx(1.1) and mse["relative_sparsity_mean"] == 0.0
    # a prediction that diverges has no deviation; a score that nobody has is null
    assert mse["prediction_mse_50_mean"] == np.inf and mse["prediction_mse_50_std"] is None and mse["shd_mean"] is None
    assert (mse["steps"], mse["seconds"], mse["n_switching"]) == (300, 6.0, 9)
    assert board["auroc_std"][0] is None and board["steps"][0] is None


def test_users_29_only_one_benchmark_compares(tmp_path):
    learned(tmp_path, ENV)
    learned(tmp_path, ENV, benchmark="b2")
    with jacdb.open(tmp_path) as both:
        board = leaderboard.rows(both, ENV)
    assert [row["rank"] for row in board] == [1, 2, 3] * 2
    text = leaderboard.markdown(board)
    assert text.count("| *baseline mean_pattern* |") == 2 and "`b1`" in text and "`b2`" in text
    assert "0.700 ± 0.100" in text and "infinite" in text
    json.dumps(board, allow_nan=False)
    assert leaderboard.markdown([]) == ""


def test_a_deviation_that_is_infinite_is_told(kept):
    board = leaderboard.rows(kept, ENV)
    board[2] |= {"prediction_mse_50_mean": 7e305, "prediction_mse_50_std": "infinite"}
    assert "| 7e+305 ± infinite |" in leaderboard.markdown(board)


def test_users_29_errors_are_relative_to_mse_and_zeros_stand_at_the_end(kept):
    error, sparsity, auroc, *_ = figures.draw(kept, "learning", ENV).axes
    marks = {line.get_ydata()[0]: line.get_xdata()[0] for line in error.lines if line.get_marker() == "o"}
    assert [label.get_text() for label in error.get_yticklabels()] == ["mlp, mse", "mlp, mse+l1",
                                                                       "baseline mean_pattern"]  # fmt: skip
    assert marks == pytest.approx({0: 1.0, 1: 2.0})
    spread = next(line for line in error.lines if line.get_marker() == "None" and len(set(line.get_xdata())) == 2)
    assert list(spread.get_xdata()) == pytest.approx([1 / 1.1, 1.2 / 1.1])
    trained = {line.get_ydata()[0]: line.get_xdata()[0] for line in sparsity.lines
               if line.get_marker() == "o" and line.get_markerfacecolor() != "white"}  # fmt: skip
    zero = sparsity.get_xticks()[0]
    assert trained == pytest.approx({0: zero, 1: 0.01, 2: 1.0}) and zero < 1e-6
    assert len([line for line in auroc.lines if line.get_marker() == "o"]) == 6


def test_users_29_entries_are_those_of_the_best_trained_model(kept):
    figure = figures.draw(kept, "learned_entries", ENV)
    assert figure.get_suptitle() == f"{ENV}: mlp, mse+l1"
    auroc, zero = (panel.images[0].get_array() for panel in figure.axes[:2])
    assert auroc[0, 1] == pytest.approx(0.8) and zero[0, 1] == 0.5


def test_users_29_what_cannot_be_drawn_gets_one_line(kept, tmp_path):
    with pytest.raises(UsageError, match="learned_entries shows one environment, not 2"):
        figures.draw(kept, "learned_entries", [ENV, "Other"])
    with pytest.raises(UsageError, match=r"'Wlak' here.*Walk"):
        figures.draw(kept, "learning", "Wlak")
    assert leaderboard.rows(kept, "Other") == []


def test_users_29_models_of_one_name_are_told_apart_by_their_settings(kept):
    mse = kept.leaderboard(ENV).filter(loss="mse")
    wide = mse.with_columns(configuration=json_with(mse["configuration"][0], width=8))
    narrow = mse.with_columns(configuration=json_with(mse["configuration"][0], width=4))
    assert labels(wide.vstack(narrow)) == ["mlp, mse, width=8", "mlp, mse, width=4"]
    assert labels(wide) == ["mlp, mse"]
    # between environments a name means the same, and what differs there alone is not told
    elsewhere = narrow.with_columns(env=pl.lit("Run"))
    assert labels(wide.vstack(elsewhere)) == ["mlp, mse"] * 2
    assert labels(wide.vstack(narrow).vstack(elsewhere))[1:] == ["mlp, mse, width=4"] * 2


def test_no_two_models_share_a_label(kept):
    mse = kept.leaderboard(ENV).filter(loss="mse")

    def of(**settings):
        several = [
            mse.with_columns(configuration=json_with(mse["configuration"][0], kernel=v)) for v in settings["kernel"]
        ]
        return labels(pl.concat(several))

    long = "gaussian_mixture_"
    assert of(kernel=[long + "a", long + "b"]) == [f"mlp, mse, kernel={long}{end}" for end in "ab"]
    assert of(kernel=["c" * 50 + end for end in "ba"]) == [f"mlp, mse, kernel={'c' * 40} ({n})" for n in (2, 1)]
    assert len(set(of(kernel=[1, True, 1.0, "1", None, "None"]))) == 6
    assert of(kernel=["short", long]) == ["mlp, mse, kernel=short", "mlp, mse, kernel=gaussian_mix"]


def test_environments_have_marks_of_their_own():
    assert len(set(MARKERS)) == len(MARKERS) >= 54
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(MARKERS))


@pytest.mark.slow
def test_what_is_not_a_number_is_said_and_not_ranked_first(tmp_path):
    learned(tmp_path, ENV)
    [run] = (tmp_path / "learning_scores").rglob("run=mlp-mse-0-b1/*.parquet")
    frame = pl.read_parquet(run, hive_partitioning=False)
    broken = pl.col("metric").is_in(["auroc", "relative_sparsity"])
    changed = frame.with_columns(pl.when(broken).then(float("nan")).otherwise("value").alias("value"))
    pq.write_table(changed.to_arrow().cast(pq.read_schema(run)), run)
    with jacdb.open(tmp_path) as opened:
        board = leaderboard.rows(opened, ENV)
        assert figures.draw(opened, "learned_entries", ENV).get_suptitle() == f"{ENV}: mlp, mse+l1"
    last = max(board, key=lambda row: row["rank"])
    assert last["loss"] == "mse" and last["auroc_mean"] == last["relative_sparsity_mean"] == "not a number"
    assert "not a number" in leaderboard.markdown(board)


def json_with(text, **settings):
    return pl.lit(json.dumps({**json.loads(text), "settings": settings}))


@pytest.mark.slow
def test_users_29_several_environments_stand_in_one_figure(kept, tmp_path):
    for env in (ENV, "Run"):
        learned(tmp_path, env)
    ran = call_jacdb("plot", "learning", "--env", ENV, "--env", "Run", "--data", tmp_path, "--out", tmp_path / "it.pdf")
    assert (ran.returncode, ran.stdout) == (0, f"learning of Walk, Run: {tmp_path / 'it.pdf'}\n"), ran.stderr
    with jacdb.open(tmp_path) as both:
        figure = figures.draw(both, "learning", [ENV, "Run"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [ENV, "Run"]
    of_each = [{line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == marker} for marker in "os"]
    assert of_each[0] == of_each[1] and len(of_each[0]) == 2


@pytest.mark.slow
def test_users_29_report_card_and_page_show_the_leaderboard(tmp_path, monkeypatch):
    j = np.ones((6, 2, 3))
    for env in (ENV, "Unlearned"):
        dataset(tmp_path / "data", env, [episode(0, j[..., :2], j[..., 2:])])
    learned(tmp_path / "data", ENV)
    with jacdb.open(tmp_path / "data") as opened:
        report.write(opened, tmp_path / "report", embedding=False)
        pages = [(tmp_path / "report" / "report.md").read_text(), card.write(opened, "someone/walks")]
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    written = runpy.run_path(str(ROOT / "docs" / "pages" / "learning.py"))["learned"]
    for page in (*pages, written(tmp_path / "data")):
        assert "20 of the test part, in which 9 entries switch; computed on a processor." in page
        assert leaderboard.NOTE in page and "| 3 | mlp, mse | 3 | 0.700 ± 0.100 | 0.600 ± 0.100 |" in page
    assert pages[0].count("Walk-learning.png") == pages[0].count("Walk-learned_entries.png") == 1
    assert (
        "No learning: nothing was learned of Unlearned: train a model with `jacdb learn --env Unlearned --data"
        in pages[0]
    )
    assert written(tmp_path / "nowhere") == ""
