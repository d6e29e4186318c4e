"""A table's folder on another disk: no file can be renamed into it, which is told before anything is written."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import call_jacdb
from learned_results import learned
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError
from jacdb.dataset.shard import Shard
from jacdb.merging import merge
from jacdb.publishing.pull import pull

pytestmark = pytest.mark.slow

MEMORY = Path("/dev/shm")  # a disk of its own on Linux


@pytest.fixture
def disk(tmp_path):
    """A folder on another disk than the temporary files."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk")
    folder = MEMORY / f"jacdb-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def make(root, run_id="run-a", **options) -> Path:
    dataset(root, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))], run_id, **options)
    return root


def move(folder, disk) -> None:
    """Move a folder to another disk, and leave a link."""
    shutil.copytree(folder, disk / folder.name)
    shutil.rmtree(folder)
    folder.symlink_to(disk / folder.name)


@pytest.mark.parametrize("linked", ["steps", "steps/environment=E"])
def test_what_writes_runs_refuses_a_table_on_another_disk(tmp_path, disk, linked):
    out, other = make(tmp_path / "out"), make(tmp_path / "other", "run-b")
    make(tmp_path / "cut", "run-c", shard=Shard(0, 1))
    name = f"alice/disk-{linked.count('/')}"
    assert call_jacdb("publish", name, "--data", other, token="hf_alice").returncode == 0
    move(out / linked, disk)
    before = sorted(out.rglob("*"))
    for write in (
        lambda: make(out, "run-d"),
        lambda: make(out, "run-d", shard=Shard(0, 2)),
        lambda: merge([other], out),
        lambda: merge([tmp_path / "cut"], out),
        lambda: pull(name, out),
    ):
        with pytest.raises(
            UsageError, match=rf"{re.escape(str(out / 'steps'))}\S* is on another disk than {out},.*link"
        ):
            write()
        assert sorted(out.rglob("*")) == before


def test_what_is_written_elsewhere_is_not_refused(tmp_path, disk):
    """Old runs on a disk of archives, and the results of learning on another."""
    out, other = make(tmp_path / "out"), make(tmp_path / "other", "run-b")
    learned(out, "E")
    for folder in (out / "steps/environment=E/run=run-a", out / "learning_scores"):
        move(folder, disk)
    assert len(merge([other], out).added) == 1 and make(out, "run-c")
    learned(tmp_path / "results", "E", "b2")
    with pytest.raises(UsageError, match="learning_scores/environment=E is on another disk"):
        merge([tmp_path / "results"], out)
    with pytest.raises(FailureError, match=f"{os.strerror(errno.EXDEV)}: keep all of the dataset on one disk"):
        learned(out, "E", "b3")


def test_the_whole_of_a_dataset_may_be_a_link_to_another_disk(tmp_path, disk):
    move(make(tmp_path / "out"), disk)
    merge([make(tmp_path / "other", "run-b")], make(tmp_path / "out", "run-c"))
    with jacdb.open(tmp_path / "out") as opened:
        assert len(opened.steps()) == 9
