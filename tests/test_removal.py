"""`jacdb rm`: one run is gone, the others are as they were, and who is at work is left alone."""

import errno
import os
import pty
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, call_jacdb, run_jacdb

import jacdb
from jacdb import FailureError, UsageError, schemas
from jacdb.dataset import partials, removal, run_status, schema_version
from jacdb.dataset.removal import Removal


@pytest.fixture
def sample(tmp_path):
    shutil.copytree(ROOT / "datasets" / "sample", tmp_path / "sample")
    return tmp_path / "sample"


def cheetah(root) -> str:
    with jacdb.open(root) as dataset:
        return dataset.runs("CheetahRun")["run_id"].item()


def test_users_19_rm_removes_one_run_and_nothing_else(sample):
    run_id = cheetah(sample)
    with jacdb.open(sample) as dataset:
        others = dataset.global_sparsity().filter(env="WalkerRun")
    ran = call_jacdb("rm", run_id, "--data", sample, "--yes")
    assert ran.returncode == 0 and ran.stdout.startswith(f"removed run {run_id} of CheetahRun")
    assert not [path for path in sample.rglob("*") if "CheetahRun" in str(path.relative_to(sample))]
    with jacdb.open(sample) as dataset:
        assert len(dataset.environments) == 8
        assert dataset.global_sparsity().filter(env="WalkerRun").equals(others)
    ran = call_jacdb("rm", run_id, "--data", sample, "--yes")
    assert ran.returncode == 2 and f"no run {run_id!r}" in ran.stderr


def test_users_19_rm_asks_and_refuses_a_run_at_work(sample):
    run_id = cheetah(sample)
    before = sorted(sample.rglob("*"))
    ran = run_jacdb("rm", run_id, "--data", str(sample))
    assert ran.returncode == 2 and "--yes" in ran.stderr and ran.stderr.count("\n") == 1
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    words = [sys.executable, "-m", "jacdb", "rm", run_id, "--data", str(sample)]
    asked = subprocess.run(words, stdin=theirs, capture_output=True, text=True)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 1 and asked.stderr.endswith("jacdb: nothing was removed\n")
    found = Removal.find(sample, run_id)
    with run_status.lock(sample, found.run), pytest.raises(UsageError, match="an ingest is at work"):
        found.carry_out()
    assert [path for path in sorted(sample.rglob("*")) if path.name != "lock"] == before


def test_users_19_a_removal_that_was_stopped_can_be_repeated(sample, monkeypatch):
    """Wherever it stopped, the dataset answers, and what is left is still listed."""
    partials.refresh(sample)
    run_id = cheetah(sample)
    rmtree = shutil.rmtree
    for table in removal.ORDER[:-1]:

        def stop_after(folder, table=table, **_: object):
            rmtree(folder)
            if folder.relative_to(sample).parts[0] == table:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(removal.shutil, "rmtree", stop_after)
            Removal.find(sample, run_id).carry_out()
        assert run_id in run_status.status(sample)["run_id"]
        with jacdb.open(sample) as dataset:
            assert len(dataset.global_sparsity().drop_nulls()) >= 8
    Removal.find(sample, run_id).carry_out()
    assert run_id not in run_status.status(sample)["run_id"]
    schema_version.check_version(sample)


def test_users_19_every_table_is_removed():
    assert {*removal.ORDER} == {table.name for table in schemas.TABLES + schemas.DERIVED}


@pytest.mark.parametrize(
    ("code", "said"), [(errno.EACCES, "part-00000.parquet, and repeat"), (errno.EROFS, "copy the dataset to a disk")]
)
def test_what_can_not_be_removed_is_told_with_its_folder(sample, monkeypatch, code, said):
    found = Removal.find(sample, cheetah(sample))

    def refuse(name: str, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), name)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(FailureError, match=re.escape(said)) as raised:
        found.carry_out()
    assert f"can't be removed from {sample}" in str(raised.value)
    assert code == errno.EROFS or f"{sample / found.run.row}" in str(raised.value)
