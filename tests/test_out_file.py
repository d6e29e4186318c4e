"""A file that a person names by --out is written whole, or what was there stays; what is no file is written to."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import call_jacdb
from synthetic import dataset, episode

from jacdb import atomic_file


@contextlib.contextmanager
def no_room():
    """The disk has none: the system says so when what was written is to reach it."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    j = np.arange(180.0).reshape(30, 2, 3) % 3
    dataset(root, "E", [episode(0, j[..., :2], j[..., 2:])])
    return root


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("sql", "from steps select * exclude (j_state)"), "it.csv"),
        (("query", "steps"), "it.parquet"),
        (("verify", "--sample", 0), "it.json"),
        (("graph", "--env", "E"), "it.graphml"),
        (("plot", "histogram", "--env", "E"), "it.pdf"),
        (("plot", "histogram", "--env", "E"), "it.svg"),
        (("plot", "histogram", "--env", "E"), "it.png"),
    ],
)
def test_on_a_full_disk_the_file_of_before_is_kept(words, name, data, tmp_path):
    out = tmp_path / name
    out.write_bytes(b"before")
    with no_room():
        ran = call_jacdb(*words, "--data", data, "--out", out)
    [said] = [line for line in ran.stderr.splitlines() if line.startswith("jacdb: ")]
    assert (
        ran.returncode == 1
        and f"could not write to {out}: No space left on device: make room; the file of before is kept" in said
    )
    assert "Traceback" not in ran.stderr
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
    out.unlink()
    with no_room():
        assert "nothing of it is left" in call_jacdb(*words, "--data", data, "--out", out).stderr
    assert not list(tmp_path.iterdir())


def test_an_answer_that_has_no_room_on_stdout_is_told_in_one_line(data):
    words = [sys.executable, "-m", "jacdb", "sql", "select 1", "--data", str(data)]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 1
    assert ran.stderr == (
        "jacdb: could not write to standard output: No space left on device: make room; repeat the command\n"
    )


def test_permissions_are_kept_and_those_of_a_new_file_the_umasks(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")
    old.chmod(0o604)
    former = os.umask(0o027)
    try:
        atomic_file.write_file(old, b"now")
        atomic_file.write_file(new, b"now")
    finally:
        os.umask(former)
    assert old.read_bytes() == new.read_bytes() == b"now"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o604, 0o640]


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "sub").mkdir()
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    link.symlink_to("sub/there")
    dangling.symlink_to("sub/new")
    (tmp_path / "sub" / "there").write_bytes(b"before")
    for path in (link, dangling):
        atomic_file.write_file(path, b"now")
        assert path.is_symlink() and path.resolve().read_bytes() == b"now"
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["new", "there"]


def test_a_fifo_and_a_stream_are_written_to(data, tmp_path):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    atomic_file.write_file(fifo, b"now")
    reader.join()
    assert read == [b"now"] and stat.S_ISFIFO(fifo.stat().st_mode)
    words = [sys.executable, "-m", "jacdb", "sql", "select 1 as n", "--data", str(data), "--format", "csv"]
    piped = subprocess.run([*words, "--out", "/dev/stdout"], stdout=subprocess.PIPE, text=True, check=True)
    with (tmp_path / "answer").open("w") as kept:
        subprocess.run([*words, "--out", "/dev/stdout"], stdout=kept, check=True)
        assert os.fstat(kept.fileno()).st_ino == (tmp_path / "answer").stat().st_ino
    assert piped.stdout == (tmp_path / "answer").read_text() == "n\n1\n"


def test_drafts_of_writers_that_were_killed_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f"it.{dead.pid}.tmp").write_bytes(b"part")
    at_work, other = tmp_path / f"it.{os.getppid()}.tmp", tmp_path / f"its.{dead.pid}.tmp"
    for path in (at_work, other):
        path.write_bytes(b"part")
    atomic_file.write_file(tmp_path / "it", b"now")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["it", at_work.name, other.name])
