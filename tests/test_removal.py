"""`jacdb rm`: one run is gone, the others are as they were, and who is at work is left alone."""

import errno
import os
import pty
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, call_jacdb, run_jacdb
from synthetic import dataset, episode, trajectory

import jacdb
from jacdb import FailureError, UsageError, schemas
from jacdb.dataset import integrity, manifest, partials, removal, run_status, schema_version, shards
from jacdb.dataset.layout import Run
from jacdb.dataset.removal import Removal
from jacdb.dataset.shard import Shard
from jacdb.errors import told_with_remedy
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.merging import merge


@pytest.fixture
def sample(tmp_path):
    shutil.copytree(ROOT / "datasets" / "sample", tmp_path / "sample")
    return tmp_path / "sample"


def cheetah(root) -> str:
    with jacdb.open(root) as dataset:
        return dataset.runs("CheetahRun")["run_id"].item()


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_removal_that_was_stopped_before_the_journal_can_be_repeated(sample):
    run_id = cheetah(sample)
    run = Removal.find(sample, run_id).run
    for table in (*removal.ORDER, "models"):
        shutil.rmtree(sample / run.folder(table), ignore_errors=True)
    assert (sample / run.manifest).is_file()
    ran = call_jacdb("rm", run_id, "--data", sample, "--yes")
    assert ran.returncode == 0, ran.stderr
    assert not [path for path in sample.rglob("*") if "CheetahRun" in str(path.relative_to(sample))]


@pytest.fixture
def cut(tmp_path):
    """A dataset's folder with a run in one shard, of two episodes with patterns of their own."""
    root, rng = tmp_path / "cut", np.random.default_rng(1)
    episodes = [episode(n, (j := rng.normal(size=(5, 2, 3)).round())[..., :2], j[..., 2:]) for n in range(2)]
    dataset(root, "E", episodes, shard=Shard(0, 1), part_bytes=1)
    return root


def carry_out(cut) -> None:
    Removal.find(cut, "run-a").carry_out()


@pytest.mark.parametrize("remove", [carry_out, lambda cut: merge([cut], cut)])
def test_a_removal_of_a_shard_that_was_stopped_can_be_repeated(cut, monkeypatch, remove):
    """Wherever it stopped, the shard is not taken for whole, its axes go last, and no file is left in the end."""
    rmtree, gone = shutil.rmtree, []

    def stop_after(folder, **_: object):
        rmtree(folder)
        if "shards" in folder.parts:
            gone.append(folder.parent.parent.name)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal.shutil, "rmtree", stop_after)
        while "journal" not in gone:
            with pytest.raises(KeyboardInterrupt):
                remove(cut)
            assert all(not one.is_finished for one in shards.on_disk(cut))
    assert gone == ["episodes", "steps", "patterns", "axes", "journal"]
    assert not [path for path in (cut / "shards").rglob("*") if path.is_file()]


def leave(cut) -> None:
    """Leave of a shard what former versions did: they removed its folders in any order."""
    for table in ("axes", "patterns"):
        shutil.rmtree(next(cut.glob(f"shards/*/{table}")))


def test_the_rest_of_a_shard_is_removed_with_its_run_or_by_a_merge(cut):
    shutil.copytree(cut / "shards", cut.with_name("whole") / "shards")
    leave(cut)
    shutil.copytree(cut, cut.with_name("alone"))
    carry_out(cut.with_name("alone"))
    assert not list(cut.with_name("alone").iterdir())
    merge([cut.with_name("whole")], cut.with_name("whole"))
    shutil.copytree(cut, cut.with_name("whole"), dirs_exist_ok=True)
    assert len(merge([cut.with_name("whole")], cut.with_name("whole")).there) == 1
    assert not (cut.with_name("whole") / "shards").exists()


def test_the_rest_of_a_shard_is_made_anew_or_taken_from_a_whole_one(cut):
    shutil.copytree(cut, cut.with_name("whole"))
    leave(cut)
    shutil.copytree(cut, cut.with_name("out"))
    writer = RunWriter(cut, "E", "noise", "run-a", trajectory, shard=Shard(0, 1))
    assert not writer.is_finished() and writer.resume() == {}
    assert not list(cut.rglob("part-*")) and not list(cut.rglob(shards.MARK))
    assert len(merge([cut.with_name("whole")], cut.with_name("out")).completed) == 1
    assert not (cut.with_name("out") / "shards").exists()


@pytest.mark.slow
@pytest.mark.parametrize("n_shards", [0, 2])
def test_a_merge_clears_what_a_stopped_removal_left_of_a_run_in_other_parts(tmp_path, monkeypatch, n_shards):
    """Wherever it stopped: foreign patterns would be rows that no checksum names."""
    rng, out, unlink = np.random.default_rng(1), tmp_path / "out", os.unlink
    matrices = [rng.normal(size=(5, 2, 3)) * (rng.random((5, 2, 3)) < 0.5) for _ in range(3)]

    def make(name: str, shard: Shard | None = None, **options) -> None:
        numbers = shard.numbers(3) if shard else range(3)
        episodes = [episode(n, matrices[n][..., :2], matrices[n][..., 2:]) for n in numbers]
        dataset(tmp_path / name, "E", episodes, shard=shard, **options)

    make("parts", part_bytes=1)
    for shard in [Shard(index, n_shards) for index in range(n_shards)] or [None]:
        make(f"other{shard.index if shard else ''}", shard)
    others, run = [*tmp_path.glob("other*")], Run("E", "run-a")
    merge(others, tmp_path / "wanted")
    n_files = len([*(tmp_path / "parts").rglob("part-*")])
    for n_removed in range(1, n_files):
        left = iter(range(n_removed))

        def stop_after(*words: object, left=left, **options: object) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            unlink(*words, **options)

        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tmp_path / "parts", out)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "unlink", stop_after)
            carry_out(out)
        merge(others, out)
        assert not [*integrity.check_runs(out, [run])], n_removed
        assert manifest.read(out, run) == manifest.read(tmp_path / "wanted", run)


@pytest.mark.slow
def test_a_run_of_links_is_removed_and_what_they_lead_to_stays(tmp_path):
    data, disk, run = tmp_path / "data", tmp_path / "disk", Run("E", "run-a")
    dataset(data, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    disk.mkdir()
    for path in (run.folder("steps"), run.folder("episodes"), f"{run.folder('axes')}/part-00000.parquet"):
        (data / path).rename(disk / path.partition("/")[0])
        (data / path).symlink_to(disk / path.partition("/")[0])
    sizes = [path.stat().st_size for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    ran = call_jacdb("rm", "run-a", "--data", data, "--yes")
    stays = f"what links lead to stays: {disk / 'episodes'} and 2 more"
    said = f"removed run run-a of E (finished, {sum(sizes) / 1e6:,.1f} MB; {stays}) from {data}\n"
    assert (ran.returncode, ran.stdout) == (0, said)
    assert not [*data.iterdir()] and len([*disk.rglob("*")]) == 5


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


def test_a_folder_that_may_not_be_entered_is_told_as_such(tmp_path, monkeypatch):
    stat, access = os.stat, os.access

    def status(path, **options):
        if str(path).startswith(f"{tmp_path}/"):
            raise PermissionError(errno.EACCES, "No", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", status)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path) and access(path, mode))
    refused = PermissionError(errno.EACCES, "No", str(tmp_path / "part-00000.parquet"))
    assert told_with_remedy(refused) == f"Permission denied: make {tmp_path} readable"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_a_lock_file_that_an_ingest_left_holds_no_run_where_there_are_no_locks(tmp_path, monkeypatch, code):
    dataset(tmp_path, "E", [episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)))])
    found = Removal.find(tmp_path, "run-a")
    (tmp_path / found.run.lock).touch()

    def no_locks(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(FailureError, match=f"{os.strerror(code)}: keep the dataset on a disk that has locks"):
        found.carry_out()
