"""Learning runs of datasets that are merged: none is lost, and of two the one with more scores stays."""

import errno
import os
import shutil
from pathlib import Path

import learned_results
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import leave_a_draft
from learned_results import checkpoint, learned
from shard_rows import made
from synthetic import dataset

import jacdb
from jacdb import FailureError, UsageError, schemas
from jacdb.dataset import learning_files
from jacdb.dataset.layout import Run
from jacdb.learning import results
from jacdb.learning.scores import Score
from jacdb.merging import file_copies, learning_runs, merge
from jacdb.verification import verify

pytestmark = pytest.mark.slow


def test_learning_runs_are_added_once_with_their_parameters(tmp_path):
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    dataset(a, "E", [made(0)])
    for root in (a, b):  # b has results without the rows that they are of
        learned(root, "E")
        for path in root.rglob("run=*+*"):  # an id has no such letter
            shutil.rmtree(path)
    first = a / learning_files.checkpoint_of(learning_files.in_folder(a)[0])
    first.parent.mkdir(parents=True)
    first.write_bytes(b"parameters")
    said = merge([a, b], out).describe("out")
    assert said == "1 run added to out, 0 runs completed from shards, 4 learning runs added"
    assert learning_files.in_folder(out) == learning_files.in_folder(a)
    assert (out / first.relative_to(a)).read_bytes() == b"parameters"
    assert verify(out, sample=0).ok
    with jacdb.open(out) as opened:
        assert len(opened.learning_runs()) == 4 and len(opened.learning_scores())
    assert merge([b], out).describe("out").endswith("shards, 4 learning runs there already")


def test_drafts_of_writers_that_were_killed_go_with_the_next(tmp_path):
    """Of a large model's checkpoint they take as much room as it does, each time that a training is killed."""
    run, a, b = Run("E", "mlp-a"), tmp_path / "a", tmp_path / "b"
    path = a / learning_files.checkpoint_of(run)
    for drafted in (path, *(root / f".{table}" for root in (a, b) for table in ("learning_scores", "learning_runs"))):
        drafted.parent.mkdir(parents=True, exist_ok=True)
        leave_a_draft(drafted)
    assert len([*tmp_path.rglob("*.tmp")]) == 5
    assert checkpoint(a, run.run_id) == path
    results.write(a, *run[:2], learned_results.row(), [Score("test", "all", "auroc", 9, 0.5)])
    assert not [*a.rglob("*.tmp")]
    learning_runs.add(a, run, b)
    assert not [*b.rglob("*.tmp")] and len([*b.rglob("part-*")]) == 2


def test_a_learning_run_gets_the_scores_of_other_policies_rows_that_another_dataset_has(tmp_path, monkeypatch):
    a, b = (tmp_path / name for name in ("a", "b"))
    for root in (a, b):
        learned(root, "E")
    run = learning_files.in_folder(b)[0]
    row = (
        pl.read_parquet(b / learning_files.row_of(run))
        .drop("env", "run_id", "n_scores", "scores_sha256")
        .row(0, named=True)
    )
    scores = pl.read_parquet(b / learning_files.scores_of(run), hive_partitioning=False).drop("env", "run_id")
    more = [*(Score(**one) for one in scores.to_dicts()), Score("test", "other_policy", "auroc", 9, 0.5)]
    results.write(b, run.env, run.run_id, row, more)
    put = file_copies.link_or_copy

    def stop(source: Path, target: Path, *rest) -> None:
        if target == a / learning_files.row_of(run):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(source, target, *rest)

    with monkeypatch.context() as patched, pytest.raises(FailureError):
        patched.setattr(file_copies, "link_or_copy", stop)
        merge([b], a)  # stops between the scores and the row
    others = len(learning_files.in_folder(a)) - 1
    assert (
        merge([b], a).describe("a").endswith(f"1 learning run given more scores, {others} learning runs there already")
    )
    for name in (learning_files.row_of(run), learning_files.scores_of(run)):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert all(learning_files.problem(a, one) is None for one in learning_files.in_folder(a))
    assert merge([b], a).describe("a").endswith(f"shards, {others + 1} learning runs there already")
    results.write(a, run.env, run.run_id, row, more[:-1])
    (a / name).write_bytes((b / name).read_bytes())  # stopped again, and then the other is scored anew
    results.write(b, run.env, run.run_id, row, [*more, Score("test", "other_policy", "auroc", 9, 0.5, horizon=2)])
    shutil.copytree(a, tmp_path / "half")
    assert "1 learning run given more scores" in merge([b], a).describe("a")
    results.write(b, run.env, run.run_id, row, more[:-1])
    assert "1 learning run completed" in merge([b], tmp_path / "half").describe("half")
    assert all(learning_files.problem(root, run) is None for root in (a, tmp_path / "half"))


def test_a_checkpoint_that_is_there_stays_and_what_is_not_its_rows_is_said(tmp_path):
    run_id = "mlp-mse-0-b1"
    theirs = checkpoint(tmp_path / "a", run_id)
    learned(tmp_path / "a", "E")
    cases = {
        "the same parameters": ({"seconds": 3.0}, ""),
        "a training at work": ({"value": 2.0, "has_ended": False}, "is of a training that has not ended"),
        "another training": ({"value": 2.0}, "it is another training's"),
    }
    for has_one in (True, False):
        for at, (ours, said) in enumerate(cases.values()):
            out = tmp_path / f"out{at}{has_one}"
            path = checkpoint(out, run_id, **ours)
            before = path.read_bytes()
            merged = merge([tmp_path / "a"], out)
            told = merged.describe("out")
            assert f"; {path} stays: it" in told and said in told if said else told.endswith("4 learning runs added")
            assert len(merged.checkpoints) == bool(said) and path.read_bytes() == before
            assert verify(out, sample=0).ok == (at < 2)
        theirs = theirs.rename(tmp_path / "kept.npz")
    theirs.rename(tmp_path / "a" / learning_files.checkpoint_of(Run("E", run_id)))
    merge([tmp_path / "a"], tmp_path / "fresh")
    assert (tmp_path / "fresh" / learning_files.checkpoint_of(Run("E", run_id))).is_file()


def test_a_damaged_checkpoint_is_left_out_of_a_merge(tmp_path):
    theirs = checkpoint(tmp_path / "a", "mlp-mse-0-b1")
    learned(tmp_path / "a", "E")
    theirs.write_bytes(b"damaged")
    assert f"; {theirs} was left out: it has the SHA-256 " in merge([tmp_path / "a"], tmp_path / "out").describe("out")
    assert not (tmp_path / "out" / "checkpoints").exists() and verify(tmp_path / "out", sample=0).ok


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_a_row_with_checksums_is_taken_before_one_without(tmp_path, order):
    for name in order:
        learned(tmp_path / name, "E")
    for row in tmp_path.glob("old/learning_runs/*/*/*.parquet"):  # as they were before they had checksums
        table = pq.read_table(row, partitioning=None)
        kept = {schemas.VERSION_KEY: table.schema.metadata[schemas.VERSION_KEY]}
        pq.write_table(table.replace_schema_metadata(kept), row)
    merge([tmp_path / name for name in order], tmp_path / "out")
    notes = [check.note for check in verify(tmp_path / "out", sample=0).checks]
    assert not any(notes), notes
    said = merge([tmp_path / "new"], tmp_path / "old").describe("old")
    assert said.endswith(", 4 learning runs given checksums")


def test_a_learning_run_twice_with_other_scores_or_damaged_is_refused(tmp_path):
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    for root in (a, b):
        learned(root, "E")
    run = learning_files.in_folder(b)[0]
    [row] = (
        pl.read_parquet(b / learning_files.row_of(run)).drop("env", "run_id", "n_scores", "scores_sha256").to_dicts()
    )
    results.write(b, run.env, run.run_id, row, [Score("test", "all", "auroc", 9, 0.123)])
    with pytest.raises(
        UsageError, match=rf"learning run {run.run_id} of E is in .*a and in .*b, with different scores"
    ):
        merge([a, b], out)
    (b / learning_files.scores_of(run)).write_bytes(b"")
    told = rf"not a Parquet file: .*; nothing was merged: remove {b / run.folder('learning_runs')}, and repeat"
    with pytest.raises(FailureError, match=told):
        merge([b], out)
    assert not out.exists()
