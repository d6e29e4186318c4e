"""A dataset on a Hub on loopback, asked in place: what it says is what a copy says, and little is transferred."""

import json

import numpy as np
import pyarrow as pa
import pytest
from conftest import call_jacdb
from hub_datasets import SAMPLE, as_alice, contents, refused, small
from loopback import HUB
from synthetic import dataset, episode

import jacdb

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published():
    """The sample, published."""
    ran = as_alice("publish", "alice/in-place", "--data", SAMPLE)
    assert ran.returncode == 0, ran.stderr
    return "alice/in-place"


@pytest.mark.parametrize("view", ["global_sparsity", "threshold_sweep", "zero_durations", "runs"])
def test_a_view_in_place_says_what_it_says_of_a_copy(published, view):
    there = call_jacdb("query", view, "--data", f"hf://datasets/{published}", "--format", "csv", token=None)
    here = as_alice("query", view, "--data", SAMPLE, "--format", "csv")
    assert there.returncode == 0 and sorted(there.stdout.split("\n")) == sorted(here.stdout.split("\n"))


def test_a_statistic_in_place_reads_little(tmp_path):
    """Of matrices as large as PandaPickCube's, 6,000 steps: neither they nor their files are transferred."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(6):
        j = rng.normal(size=(1000, 38, 46)) * (rng.random((38, 46)) > 0.5)
        episodes.append(episode(number, j[..., :38], j[..., 38:], dtype=np.float32))
    dataset(tmp_path, "Large", episodes, jacobian=pa.float32())
    total = sum(map(len, contents(tmp_path).values()))
    assert as_alice("publish", "alice/large", "--data", tmp_path).returncode == 0
    before = HUB.sent
    ran = as_alice("query", "global_sparsity", "--data", "hf://datasets/alice/large", "--format", "json")
    [row] = json.loads(ran.stdout)
    with jacdb.open(tmp_path) as local:
        assert row["zero_state"] == local.global_sparsity()["zero_state"].item()
    assert total > 20_000_000 and HUB.sent - before < 0.002 * total


def test_a_query_in_place_reads_nothing_else(published, tmp_path):
    other = small(tmp_path / "data")
    assert as_alice("publish", "alice/other", "--data", other).returncode == 0
    for path in ("hf://datasets/alice/other/steps/*/*/*.parquet", f"{other}/steps/*/*/*.parquet", "/etc/passwd"):
        ran = as_alice("sql", f"select * from read_parquet('{path}')", "--data", f"hf://datasets/{published}")
        refused(ran, "not allowed")


def test_a_picture_of_a_remote_dataset(published, tmp_path):
    out = tmp_path / "a.png"
    where = ("--env", "FingerSpin", "--data", f"hf://datasets/{published}", "--where", "step < 100")
    assert as_alice("plot", "heatmap", *where, "--out", out).returncode == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_hub_that_is_lost_in_the_middle_gets_one_line(tmp_path):
    """The repository's large objects vanish after it was listed: small ones are kept, steps can't be read."""
    assert as_alice("publish", "alice/lost", "--data", small(tmp_path / "data", value=3.0)).returncode == 0
    where = ("--data", "hf://datasets/alice/lost")
    assert as_alice("query", "axes", *where).returncode == 0
    _, tree = HUB.repositories["alice/lost"].resolve("main")
    [digest] = [digest for path, digest in tree.items() if path.startswith("steps/")]
    HUB.gone.add(digest)
    try:
        refused(as_alice("query", "step_sets", *where), "the Hub said no (404)", code=1)
    finally:
        HUB.gone.clear()
    assert as_alice("query", "global_sparsity", *where).returncode == 0


def test_other_bytes_than_were_asked_for_are_no_rows(published, tmp_path, monkeypatch):
    monkeypatch.setattr(HUB, "ignores_ranges", True)
    ran = as_alice("query", "sparsity_timeline", "--env", "BallInCup", "--data", f"hf://datasets/{published}")
    refused(ran, "bytes were asked for, and ", "came: repeat the command", code=1)
