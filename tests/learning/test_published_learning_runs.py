"""Learning runs on the Hub: of two the one with more scores stays, and a damaged one withholds nothing else."""

import re
import shutil

import learned_results
import pytest
from hub_datasets import ALICE, as_alice, contents, refused, small
from loopback import HUB

from jacdb import FailureError
from jacdb.dataset import learning_files
from jacdb.dataset.layout import Run
from jacdb.learning import results
from jacdb.learning.scores import Score
from jacdb.publishing import publish as publishing

pytestmark = pytest.mark.slow


def scored(root, n, run_id="mlp-a", value=0.5):
    """Write a learning run of one score of its own rows, and of others of another policy's: n in all."""
    scores = [Score("test", "all", "auroc", 9, value)]
    scores += [Score("test", "other_policy", "auroc", 9, 0.25, horizon=k) for k in range(1, n)]
    results.write(root, "E", run_id, learned_results.row(), scores)


def test_of_a_learning_run_the_one_with_more_scores_stays(tmp_path):
    a, b, row = tmp_path / "a", tmp_path / "b", learning_files.row_of(Run("E", "mlp-a"))
    scored(small(a), 2)
    assert as_alice("publish", "alice/scored", "--data", a).returncode == 0
    ran = as_alice("pull", "alice/scored", "--data", b)
    assert ", 1 learning run added" in ran.stdout
    scored(a, 5)
    assert as_alice("publish", "alice/scored", "--data", a).returncode == 0
    scored(b, 3)
    head = HUB.repositories["alice/scored"].head
    said = "has 5 scores of learning run mlp-a of E, this folder 3: `jacdb pull alice/scored` into it first"
    refused(as_alice("publish", "alice/scored", "--data", b), said)
    assert HUB.repositories["alice/scored"].head == head
    ran = as_alice("pull", "alice/scored", "--data", b)
    assert ran.returncode == 0 and ", 1 learning run given more scores" in ran.stdout
    assert learning_files.problem(b, Run("E", "mlp-a")) is None and (b / row).read_bytes() == (a / row).read_bytes()
    assert "nothing had changed" in as_alice("publish", "alice/scored", "--data", b).stdout
    scored(b, 7)
    before = contents(b)
    ran = as_alice("pull", "alice/scored", "--data", b)
    assert ran.returncode == 0 and "learning run " not in ran.stdout and contents(b) == before
    assert as_alice("publish", "alice/scored", "--data", b).returncode == 0
    scored(a, 9, value=0.75)
    refused(as_alice("pull", "alice/scored", "--data", a), "mlp-a of E", "different scores", "another --data")
    assert not (a / ".pull").exists()


@pytest.mark.parametrize("change", ["scored anew", "removed"])
def test_what_has_changed_since_it_was_checked_is_not_published(change, tmp_path, monkeypatch):
    """New scores beside the row of the old ones are what nobody could pull."""
    monkeypatch.setenv("HF_TOKEN", ALICE)
    scored(small(tmp_path), 2)
    publication = publishing.prepare(tmp_path, "alice/changed")
    scores = tmp_path / learning_files.scores_of(Run("E", "mlp-a"))
    if change == "removed":
        scores.unlink()
    else:
        scored(tmp_path, 5)
    said = f"{scores} is gone or has changed since it was checked: nothing was published"
    with pytest.raises(FailureError, match=re.escape(said)):
        publishing.publish(publication)
    assert "README.md" not in HUB.files("alice/changed")


def test_a_learning_run_that_a_stopped_pull_left_half_put_is_completed_at_any_commit(tmp_path):
    a, run = tmp_path / "a", Run("E", "mlp-a")
    row, scores = learning_files.row_of(run), learning_files.scores_of(run)
    assert as_alice("publish", "alice/stopped", "--data", small(a)).returncode == 0
    repository, commits = HUB.repositories["alice/stopped"], []
    for n in (2, 4, 6):
        scored(a, n)
        repository.commit({path: HUB.keep(content) for path, content in contents(a).items()})
        commits.append(repository.head)
        shutil.copytree(a, tmp_path / str(n))
    for commit, whole, said in zip(commits, (2, 4, 6), ("completed", *["given more scores"] * 2), strict=True):
        half = tmp_path / "half"
        shutil.copytree(tmp_path / "2", half)
        shutil.copy(tmp_path / "4" / scores, half / scores)  # stopped here, before the row
        ran = as_alice("pull", "alice/stopped", "--revision", commit, "--data", half)
        assert ran.returncode == 0 and f", 1 learning run {said}" in ran.stdout, ran.stderr
        for path in (row, scores):
            assert (half / path).read_bytes() == (tmp_path / str(whole) / path).read_bytes()
        shutil.rmtree(half)
    shutil.copy(tmp_path / "4" / scores, tmp_path / "6" / scores)
    refused(as_alice("pull", "alice/stopped", "--revision", commits[1], "--data", tmp_path / "6"), "pull again", code=1)


def test_a_damaged_learning_run_withholds_nothing_else(tmp_path):
    a, b = small(tmp_path / "a"), tmp_path / "b"
    scored(a, 2)
    scored(a, 2, "mlp-b")
    scored(a, 2, "mlp-c")
    assert as_alice("publish", "alice/damaged", "--data", a).returncode == 0
    files, bad = contents(a), [learning_files.scores_of(Run("E", run_id)) for run_id in ("mlp-a", "mlp-c")]
    damaged = {path: content for path, content in files.items() if path != bad[1]} | {bad[0]: b"PAR1xxPAR1"}
    repository = HUB.repositories["alice/damaged"]
    repository.commit({path: HUB.keep(content) for path, content in damaged.items()})
    told = (bad[0], "nor can 1 more of its learning runs", "all else was pulled")
    refused(as_alice("pull", "alice/damaged", "--data", b), *told, code=1)
    assert contents(b) == {path: content for path, content in files.items() if not re.search("mlp-[ac]", path)}
    repository.commit({path: HUB.keep(content) for path, content in files.items()})
    assert as_alice("pull", "alice/damaged", "--data", b).returncode == 0
    (b / bad[0]).write_bytes(b"PAR1xxPAR1")
    small(a, "run-b")
    scored(a, 3)
    scored(a, 3, "mlp-b")
    assert as_alice("publish", "alice/damaged", "--data", a).returncode == 0
    refused(as_alice("pull", "alice/damaged", "--data", b), bad[0], "pull again", "all else was pulled", code=1)
    here = contents(b)
    assert {path for path, content in contents(a).items() if here.get(path) != content} == {
        bad[0], learning_files.row_of(Run("E", "mlp-a"))
    }  # fmt: skip


def test_different_scores_of_a_learning_run_are_not_published_over_those_on_the_hub(tmp_path):
    a = small(tmp_path / "a")
    scored(a, 2)
    assert as_alice("publish", "alice/retrained", "--data", a).returncode == 0
    repository = HUB.repositories["alice/retrained"]
    head, row = repository.head, learning_files.row_of(Run("E", "mlp-a"))
    for n in (2, 3):
        scored(a, n, value=0.75)
        refused(as_alice("publish", "alice/retrained", "--data", a), "mlp-a of E", "different scores", "remove")
    assert repository.head == head
    repository.commit(repository.trees[head] | {row: HUB.keep(b"PAR1xxPAR1")})  # of which nothing can be read
    assert as_alice("publish", "alice/retrained", "--data", a).returncode == 0
    shutil.rmtree((a / row).parent)
    assert as_alice("pull", "alice/retrained", "--data", a).returncode == 0
    assert learning_files.problem(a, Run("E", "mlp-a")) is None
