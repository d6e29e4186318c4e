"""The report says what the views say, in files that stand alone."""

import json
import re

import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import figures, report


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two environments of the paper, one as it is there and one not, and one without a finite step."""
    root, out = (tmp_path_factory.mktemp(name) for name in ("data", "report"))
    reacher = np.ones((6, 4, 6))
    reacher[:, 1:, 0] = 0
    dataset(root, "ReacherHard", [episode(0, reacher[..., :4], reacher[..., 4:])])
    ball = np.ones((6, 8, 10))
    ball[:, 3, 3] = ball[:3, 2, :] = 0
    dataset(root, "BallInCup", [episode(0, ball[..., :8], ball[..., 8:], active=[["joint_limit:a"]] * 3 + [[]] * 3)])
    dataset(root, "<b>Broken", [episode(0, np.full((3, 2, 2), np.nan), np.ones((3, 2, 1)))])
    with jacdb.open(root) as opened:
        return report.write(opened, out), out


def test_table_1_has_a_verdict_per_row(written):
    facts, _ = written
    verdicts = {env: of["verdict"] for env, of in facts["environments"].items()}
    assert verdicts == {
        "ReacherHard": "equal",
        "BallInCup": "differs: zero_state 1 (paper 0)",
        "<b>Broken": "not in the paper",
    }
    assert report.summary(facts).startswith("Table 1 of the paper: 1 of 2 environments equal")
    assert "not in the dataset: CartpoleBalance, CheetahRun" in report.summary(facts)


def test_the_pages_stand_alone_and_kept_facts_give_the_same_page(written):
    facts, out = written
    page, text = (out / "index.html").read_text(), (out / "report.md").read_text()
    assert not re.search(r'(src|href)="(?!data:image/png)', page) and "<b>" not in page
    drawn = page.count('src="data:image/png')
    assert 2 * len(figures.FIGURES) - 3 <= drawn <= 2 * len(figures.FIGURES)
    assert all((out / link).is_file() for link in re.findall(r"!\[.*\]\((.*)\)", text))
    assert "No embedding: " in text and "No heatmap" not in text
    assert "| ReacherHard | 4 | 2 | 3 | 18.75 | 0 | 6 | 0 | 3, 0 | equal |" in text
    kept = json.loads((out / "facts.json").read_text())
    assert report.markdown(kept) == report.markdown(facts)
