"""What is wrong with learning runs is found: a row, its scores, a checkpoint of another training."""

import errno
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from learned_results import checkpoint, learned
from verified import FLIPS, found, refusing

import jacdb
from jacdb import schemas, verification
from jacdb.dataset import learning_files


@pytest.fixture
def results(tmp_path):
    """Seven learning runs without the rows that they are of, each with a checkpoint; ids as jacdb gives them."""
    root = tmp_path / "results"
    learned(root, "E")  # whose folders say what the checkpoints are called
    runs = [path.name.removeprefix("run=") for path in root.glob("learning_runs/*/*")]
    for run_id in runs:
        checkpoint(root, run_id)
    learned(root, "E")
    for path in root.rglob("run=*+*"):  # an id has no such letter
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


def test_a_file_of_a_learning_run_that_the_disk_can_not_read_is_a_finding(results, monkeypatch):
    run = learning_files.in_folder(results)[1]
    paths = learning_files.scores_of(run), learning_files.checkpoint_of(run)
    monkeypatch.setattr(learning_files, "sha256_of", refusing(errno.EIO, *paths))
    for path in paths:
        assert ("learned", path, None) in found(results)
        monkeypatch.setattr(learning_files, "sha256_of", refusing(errno.EIO, paths[1]))


@pytest.mark.slow
def test_a_flipped_bit_of_a_learning_run_is_found(results):
    rng, run = np.random.default_rng(0), learning_files.in_folder(results)[1]
    assert found(results) == [] and not any(check.note for check in verification.verify(results).checks)
    of_checkpoint = learning_files.checkpoint_of(run)
    for path in (learning_files.row_of(run), learning_files.scores_of(run), of_checkpoint, of_checkpoint):
        file = results / path
        original = file.read_bytes()
        for bit in rng.integers(8 * len(original), size=FLIPS // 20).tolist():
            flipped = bytearray(original)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            if path == of_checkpoint:
                difference = learning_files.difference_of_checkpoint(results, run)
                assert difference and difference.is_problem, f"bit {bit} of {path}"
            else:
                wrong = learning_files.problem(results, run)
                assert wrong and wrong.path == path, f"bit {bit} of {path}"
        assert found(results) == [("learned", path, None)]
        file.write_bytes(original)
        if path == of_checkpoint:  # and then of a training that was repeated, whose file the row does not name
            checkpoint(results, run.run_id, seconds=3.0)
            assert found(results) == []


def test_a_checkpoint_is_its_rows_by_its_parameters(results):
    run = learning_files.in_folder(results)[1]
    path = learning_files.checkpoint_of(run)
    checkpoint(results, run.run_id, seconds=3.0)
    checkpoint(results, run.run_id, seconds=1.0, has_ended=False)  # which has found the best, and does not know it
    assert found(results) == []
    checkpoint(results, run.run_id, value=2.0, has_ended=False)
    verified = verification.verify(results)
    said = "its checkpoint is of a training that has not ended, and goes on from it"
    assert verified.ok and [check.run_id for check in verified.checks if check.note == said] == [run.run_id]
    checkpoint(results, run.run_id, value=2.0)
    [finding] = verification.verify(results).findings
    assert finding.path == path and "it is another training's" in finding.wrong


def test_a_row_of_a_learning_run_that_is_written_anew_is_found_and_one_of_before_is_noted(results):
    run = learning_files.in_folder(results)[0]
    file = results / learning_files.row_of(run)
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table, file)  # as who changes it with Arrow does
    assert found(results) == [("learned", learning_files.row_of(run), None)]
    kept = {schemas.VERSION_KEY: table.schema.metadata[schemas.VERSION_KEY]}
    pq.write_table(table.replace_schema_metadata(kept), file)  # as it was before rows had checksums
    verified = verification.verify(results)
    assert verified.ok and [check.run_id for check in verified.checks if "before 1.0" in check.note] == [run.run_id]
    n_scores = table.schema.get_field_index("n_scores")
    other = table.set_column(n_scores, table.schema.field("n_scores"), pa.array([1]))
    pq.write_table(other.replace_schema_metadata(kept), file)
    [finding] = verification.verify(results).findings
    assert finding.wrong == "n_scores is 1, the run has 10"


@pytest.mark.slow
@pytest.mark.parametrize("tables", [("learning_runs",), ("learning_scores",), ("learning_runs", "learning_scores")])
def test_a_second_part_of_a_learning_run_is_found_and_doubles_no_view(results, tables):
    with jacdb.open(results) as opened:
        views = [opened.leaderboard(), opened.learning_runs(), opened.learning_scores()]
    run = learning_files.in_folder(results)[1]
    for table in tables:
        first = results / run.folder(table) / "part-00000.parquet"
        shutil.copy(first, first.with_name("part-00001.parquet"))
    assert found(results) == [("learned", f"{run.folder(tables[0])}/part-00001.parquet", None)]
    with jacdb.open(results) as opened:
        for before, view in zip(views, (opened.leaderboard, opened.learning_runs, opened.learning_scores), strict=True):
            assert view().sort(pl.all()).equals(before.sort(pl.all()))  # rows of tables have no order


def test_scores_without_a_row_are_said_to_be_unfinished(results):
    run = learning_files.in_folder(results)[0]
    (results / learning_files.row_of(run)).unlink()
    verified = verification.verify(results)
    [check] = [check for check in verified.checks if check.run_id == run.run_id]
    assert verified.ok and check.note == "unfinished: no row in learning_runs"
    (results / learning_files.scores_of(run)).write_bytes(b"")
    assert found(results) == [("learned", learning_files.scores_of(run), None)]
