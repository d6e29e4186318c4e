"""What docs/learning.md shows works as it stands there, in order, in one folder."""

import contextlib
import io
import re
import shlex
import shutil

import pytest
from conftest import ROOT, call_jacdb

import jacdb
from jacdb.learning.loss_names import LOSSES

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "learning.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.thorough
def test_users_29_the_page_on_learning_runs(tmp_path, monkeypatch):
    """Its commands, its model in a file, its function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JACDB_DATA", raising=False)
    printed = []
    for language, block in BLOCKS:
        if language == "python" and (file := re.match(r"# (\w+\.py)\n", block)):
            (tmp_path / file[1]).write_text(block)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(block, {})
            printed.append(out.getvalue())
        for line in block.splitlines() if language == "sh" else ():
            if line.startswith("cp "):
                assert shlex.split(line) == ["cp", "-r", "datasets/sample", "learned"]
                shutil.copytree(ROOT / "datasets" / "sample", tmp_path / "learned")
                continue
            ran = call_jacdb(*shlex.split(line)[1:])
            assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
            printed.append(ran.stdout)
    assert len(printed) >= 4 and any(text.startswith("coast-") for text in printed)
    with jacdb.open(tmp_path / "learned") as opened:
        assert set(opened.learning_runs()["model"]) >= {"mlp", "affine.py:Affine", "coast", "near", "contact_oracle"}


def test_users_29_the_page_says_the_losses_and_their_weights():
    told = dict(re.findall(r"^\| `(mse[+a-z0-9]*)` \| .*? \| ([\d.]*) ?\|$", PAGE, re.MULTILINE))
    assert told == {name: f"{loss.weight:g}" if loss.weight else "" for name, loss in LOSSES.items()}


def test_users_29_the_page_defines_every_metric(tmp_path):
    shutil.copytree(ROOT / "datasets" / "sample", tmp_path / "learned")
    ran = call_jacdb("learn", "--env", "CartpoleBalance", "--set", "width=8", "--steps", "10", "--validate-every", "10",
                     "--data", tmp_path / "learned")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    with jacdb.open(tmp_path / "learned") as opened:
        for metric in opened.learning_scores()["metric"].unique():
            assert f"`{metric}`" in PAGE, metric
