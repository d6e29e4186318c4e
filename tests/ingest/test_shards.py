"""Shards of real runs: made in any order, they are the run in one piece, to the last bit."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import call_jacdb
from shard_rows import rows, same

import jacdb
from jacdb import UsageError, merging
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.ingest import provenance, request_checks, source_pipeline
from jacdb.ingest.models import loading
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.run_plan import Request
from jacdb.ingest.source_pipeline import Annotation, annotate
from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.host_policies import HostNoise
from jacdb.ingest.sources.model import ModelSource
from jacdb.ingest.sources.rollouts import Rollouts

pytestmark = pytest.mark.slow

N = 4
ORDER = (2, 0, 3, 1)
CART = """<mujoco model="cart"><option timestep=".01"/><worldbody><body>
<joint name="x" type="slide" axis="1 0 0" range="-.3 .3" damping=".1"/><geom size=".1"/>
<body><joint name="pole" axis="0 1 0"/><geom type="capsule" size=".03" fromto="0 0 0 0 0 -.25"/></body>
</body></worldbody><actuator><motor name="push" joint="x" ctrlrange="-9 9"/></actuator></mujoco>"""


def asked(shard: Shard | None = None) -> Request:
    return Request("CartpoleBalance", episodes=6, steps=40, seed=5, shard=shard)


def checksums(root: Path) -> list[str]:
    """Of the bytes of every step's matrices, in order."""
    with jacdb.open(root) as opened:
        frame = opened.sql("select j_state, j_action from steps order by env, run_id, episode, step").pl()
    kept = (np.array(frame[name].to_list(), np.float64) for name in frame.columns)
    return [hashlib.sha256(matrices.tobytes()).hexdigest() for matrices in kept]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run in one piece."""
    root = tmp_path_factory.mktemp("whole")
    ingest(asked(), root)
    return root


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Path:
    """A folder that has the shards in folders of their own."""
    root = tmp_path_factory.mktemp("nodes")
    for index in ORDER:
        ingest(asked(Shard(index, N)), root / str(index))
    return root


def test_shards_merged_in_any_order_are_the_run_in_one_piece(whole, nodes, tmp_path):
    merging.merge([nodes / str(index) for index in ORDER[::-1]], tmp_path)
    same(rows(tmp_path), rows(whole))
    assert checksums(tmp_path) == checksums(whole)


def test_in_one_folder_the_last_shard_completes_the_run(whole, nodes, tmp_path):
    for index in ORDER[:-1]:
        shutil.copytree(nodes / str(index) / "shards", tmp_path / "shards", dirs_exist_ok=True)
    words = [
        "ingest",
        "--env",
        "CartpoleBalance",
        "--episodes",
        "6",
        "--steps",
        "40",
        "--seed",
        "5",
        "--data",
        tmp_path,
    ]
    there = call_jacdb(*words, "--shard", "0/4")
    assert there.returncode == 0 and "there already, nothing to do; shard 1 of 4 is missing\n" in there.stdout
    refused = call_jacdb(*words, "--shard", "0/5")
    assert refused.returncode == 2 and "has shards of 4 of run noise-seed5" in refused.stderr
    last = call_jacdb(*words, "--shard", "1/4")
    assert last.returncode == 0 and last.stdout.endswith("; all shards are there, the run is whole\n")
    same(rows(tmp_path), rows(whole))
    again = call_jacdb(*words, "--shard", "3/4")
    assert again.stdout.startswith("240 steps") and "nothing to do" in again.stdout
    assert not (tmp_path / "shards").exists()


def test_a_shard_that_stopped_goes_on(whole, nodes, tmp_path):
    def stop(event):
        if event.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(asked(Shard(1, 2)), tmp_path, report=stop)
    [row] = pl.read_json(call_jacdb("runs", "--data", tmp_path, "--format", "json").stdout.encode()).to_dicts()
    assert row["status"] == "stopped" and row["doing"] == "0 of 2 shards are there"
    with pytest.raises(UsageError, match="nothing to resume"):
        ingest(asked(Shard(0, 2)), tmp_path, resume=True)
    ingest(asked(Shard(1, 2)), tmp_path, resume=True)
    ingest(asked(Shard(0, 2)), tmp_path)
    same(rows(tmp_path), rows(whole))


def test_shards_of_another_engine_do_not_make_a_run(nodes, tmp_path, monkeypatch):
    current = provenance.ENGINE_VERSION
    monkeypatch.setattr(provenance, "ENGINE_VERSION", 99)
    provenance.versions.cache_clear()
    try:
        ingest(asked(Shard(3, N)), tmp_path / "new")
    finally:
        provenance.versions.cache_clear()
    told = call_jacdb(
        "merge", *(nodes / str(index) for index in range(3)), tmp_path / "new", "--data", tmp_path / "out", "-q"
    )
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    versions = f"(engine {current} and 99)"
    assert f"shard 3 of 4 is missing; shards were made by different versions {versions}" in told.stderr


@pytest.mark.thorough
def test_a_model_of_ones_own_in_shards(tmp_path, monkeypatch):
    """Blocks of rows are cut elsewhere, and no row depends on it; one episode has no step that counts."""
    monkeypatch.setattr(source_pipeline, "ROWS_AT_ONCE", 100)
    (tmp_path / "cart.xml").write_text(CART)
    rollouts = Rollouts(HostNoise(), 6, 50, seed=3)
    source = ModelSource(loading.load(str(tmp_path / "cart.xml")), 2, rollouts)

    def annotation(shard: Shard | None = None) -> Annotation:
        return Annotation(source, "noise", rollouts.settings(), seed=3, shard=shard)

    annotate(annotation(), tmp_path / "whole")
    for index in ORDER:
        result = annotate(annotation(Shard(index, N)), tmp_path / "cut")
    assert result.describe("cart", "cut").endswith("; all shards are there, the run is whole")
    same(rows(tmp_path / "cut"), rows(tmp_path / "whole"))
    assert checksums(tmp_path / "cut") == checksums(tmp_path / "whole")
    record(tmp_path / "whole", tmp_path / "walks.npz")
    annotate_a_recording(tmp_path)


def record(root: Path, path: Path) -> None:
    with jacdb.open(root) as opened:
        frame = opened.sql("select episode, state, action from steps order by episode, step").pl()
    state, action = np.array(frame["state"].to_list()), np.array(frame["action"].to_list())
    np.savez(path, qpos=state[:, :2], qvel=state[:, 2:], ctrl=action, episode=frame["episode"].to_numpy() // 2)


def annotate_a_recording(folder: Path) -> None:
    """Three episodes in four shards: one is empty."""
    for shard in (None, *(Shard(index, N) for index in ORDER)):
        opened = recordings.open(folder / "walks.npz", model=loading.load(str(folder / "cart.xml")).model, n_substeps=2)
        annotate(Annotation(opened, shard=shard), folder / ("annotated" if shard is None else "annotated_cut"))
    same(rows(folder / "annotated_cut"), rows(folder / "annotated"))
    with jacdb.open(folder / "annotated_cut") as dataset:
        assert dataset.runs()["episodes"].to_list() == [3]


def test_resuming_a_shard_of_a_whole_run_is_nothing_to_refuse(tmp_path):
    synthetic_run = tmp_path / Run("CartpoleBalance", "noise-seed5-0123456789").folder("axes") / "part-00000.parquet"
    synthetic_run.parent.mkdir(parents=True)
    synthetic_run.touch()
    request_checks.check_resumable(tmp_path, "CartpoleBalance", 5, Shard(0, 2))
    with pytest.raises(UsageError, match="nothing to resume"):
        request_checks.check_resumable(tmp_path, "CartpoleBalance", 4, Shard(0, 2))


@pytest.mark.thorough
def test_shards_of_many_episodes_are_the_run_in_one_piece_to_the_last_bit(tmp_path):
    """More than a batch has places for: elsewhere in a batch an episode rounds otherwise, and is soon another."""
    request = Request("CartpoleBalance", episodes=120, steps=100, seed=21)
    ingest(request, tmp_path / "whole")
    ingest(dataclasses.replace(request, num_envs=37), tmp_path / "few")
    for index in range(3):
        ingest(dataclasses.replace(request, shard=Shard(index, 3)), tmp_path / "shards")
    columns = "episode, step, state, action, next_state, reward, residual, j_state, j_action, pattern_id"
    whole, few, shards = (
        jacdb.open(tmp_path / name).sql(f"select {columns} from steps order by episode, step").pl()
        for name in ("whole", "few", "shards")
    )
    assert len(whole) == 12_000 and whole.equals(few) and whole.equals(shards)
