"""A finished run that lacks files, as after a copy that was cut: told by whatever reads it, by each way."""

import shutil

import numpy as np
import pytest
from conftest import call_jacdb
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, spark
from jacdb.dataset import run_status
from jacdb.dataset.layout import Run
from jacdb.verification import verify

RNG = np.random.default_rng(8)
TOLD = (
    r"run run-a of Cut lacks {}.*: copy it here again, `jacdb pull` it, or remove the run by `jacdb rm run-a --env Cut "
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two environments; of the first a run of three parts, of the other one of one part."""
    root = tmp_path_factory.mktemp("whole")
    for env, n in (("Cut", 3), ("Whole", 1)):
        episodes = [episode(i, RNG.normal(size=(9, 2, 2)), RNG.normal(size=(9, 2, 1))) for i in range(n)]
        dataset(root, env, episodes, part_bytes=300)
    assert len([*(root / Run("Cut", "run-a").folder("steps")).iterdir()]) == 3
    return root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "data")


WAYS = {
    "partials": lambda root: jacdb.open(root).samples(),
    "of the environment": lambda root: jacdb.open(root).samples("Cut"),
    "steps": lambda root: jacdb.open(root).where("true").samples(),
    "sql": lambda root: jacdb.open(root).sql("select count(*) from stored_episodes"),
    "batches": lambda root: jacdb.open(root).batches("Cut"),
    "spark": spark.statements,
}


@pytest.mark.slow
@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("gone", ["steps/*/*/part-00002.parquet", "patterns", "episodes", "steps"])
def test_every_way_refuses_a_run_that_lacks_files(ask, gone, root):
    table, _, part = gone.partition("/")
    folder = root / Run("Cut", "run-a").folder(table)
    if part:
        (folder / "part-00002.parquet").unlink()
    else:
        shutil.rmtree(folder.parent)
    with pytest.raises(FailureError, match=TOLD.format(table)) as raised:
        ask(root)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_what_lists_and_mends_runs_goes_on(root):
    """And so do other environments, and the dataset once the file is there again."""
    part = root / Run("Cut", "run-a").folder("steps") / "part-00001.parquet"
    kept = part.read_bytes()
    with jacdb.open(root) as opened:
        part.unlink()
        assert opened.runs()["run_id"].len() == 2
        assert opened.samples("Whole")["samples"].to_list() == [9]
        with pytest.raises(FailureError, match=TOLD.format(part.relative_to(root))):
            opened.samples("Cut")
        assert run_status.status(root)["doing"].to_list() == [f"lacks {part.relative_to(root)}", None]
        assert [finding.wrong for finding in verify(root, sample=0).findings] == ["it is missing"]
        part.write_bytes(kept)
        assert opened.samples("Cut")["samples"].to_list() == [27]


@pytest.mark.parametrize("table", ["episodes", "steps"])
def test_a_run_of_which_a_part_can_not_be_read_is_listed_with_the_others(table, root):
    path = root / Run("Cut", "run-a").folder(table) / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    cut, other = run_status.status(root).to_dicts()
    assert (cut["status"], cut["steps"], cut["excluded"]) == ("finished", None, None)
    assert cut["doing"].startswith(f"{path.relative_to(root)} can't be read: ")
    assert (other["status"], other["steps"], other["doing"]) == ("finished", 9, None)


@pytest.mark.slow
def test_a_run_without_any_steps_can_be_removed(root):
    shutil.rmtree(root / "steps/environment=Cut")
    shutil.rmtree(root / "axes/environment=Cut")
    told = "lacks axes/environment=Cut/run=run-a/part-00000.parquet and 3 more of its files"
    assert run_status.status(root)["doing"][0] == told
    call_jacdb("rm", "run-a", "--env", "Cut", "--yes", "--data", root)
    with jacdb.open(root) as opened:
        assert opened.samples()["env"].to_list() == ["Whole"]
