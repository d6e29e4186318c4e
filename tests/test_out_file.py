"""A file that a person names by --out is written whole, or what was there stays; what is no file is written to."""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, call_jacdb, leave_a_draft
from synthetic import dataset, episode

from jacdb import atomic_file, figures
from jacdb.errors import FailureError, UsageError


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("sql", "select 1", "--data", "data"),
        ("query", "steps", "--format", "parquet", "--data", "data"),
        ("sql", "--help"),
        ("--version",),
    ],
)
def test_an_answer_that_has_no_room_on_stdout_is_told_in_one_line(words, data):
    with Path("/dev/full").open("wb") as full:
        ran = jacdb_process(words, data, stdout=full, stderr=subprocess.PIPE)
    assert (ran.returncode, ran.stderr) == (
        1, "jacdb: could not write to standard output: No space left on device: make room; repeat the command\n"
    )  # fmt: skip


@pytest.mark.slow
def test_without_room_on_stderr_a_command_goes_on_and_ends_with_its_own_code(data):
    with Path("/dev/full").open("wb") as full:
        assert jacdb_process(("query", "none"), data, stdout=full, stderr=full).returncode == 2
        ran = jacdb_process(
            ("query", "steps", "--format", "csv", "--data", "data"), data, stdout=subprocess.PIPE, stderr=full
        )
    assert ran.returncode == 0 and ran.stdout.startswith("env,"), "a note comes before the answer"


@pytest.mark.slow
def test_a_reader_that_has_what_it_wants_makes_no_failure(data):
    reading, writing = os.pipe()
    os.close(reading)
    ran = jacdb_process(("sql", "select 1", "--data", "data"), data, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def jacdb_process(words, data, **streams):
    """A process with stdout and stderr as a person's have them: with buffers, which are written out as it ends."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "jacdb", *(str(data) if word == "data" else word for word in words)]
    return subprocess.run(command, env=environment, text=True, check=False, **streams)


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


@pytest.mark.slow
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
    for name in ("it", "its"):
        leave_a_draft(tmp_path / name)
    [other] = tmp_path.glob("its.*")
    own = [tmp_path / name for name in ("it.20240101.tmp", "it.jacdb-1.tmp")]  # a person's
    for path in own:
        path.mkdir()
    with atomic_file.draft_of(tmp_path / "it") as at_work:
        at_work.mkdir()
        atomic_file.write_file(tmp_path / "it", b"now")
        assert set(tmp_path.iterdir()) == {tmp_path / "it", at_work, other, *own}


def test_a_draft_whose_writer_can_not_be_asked_for_stays(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "it"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead.pid)
        patch.setattr(atomic_file, "_process_space", lambda: "0" * 8)  # another node's, or a container's
        with atomic_file.draft_of(path) as elsewhere:
            elsewhere.write_bytes(b"part")
            patch.undo()
            atomic_file.write_file(path, b"now")
            assert elsewhere.exists()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead.pid)
        with atomic_file.draft_of(path) as theirs:
            theirs.write_bytes(b"part")
            patch.undo()
            patch.setattr(atomic_file, "_remove", refusing(errno.EPERM))  # of another user, in a sticky folder
            atomic_file.write_file(path, b"now")
            patch.undo()


def refusing(code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV, errno.EROFS, errno.ENAMETOOLONG])
def test_a_file_that_can_not_be_replaced_is_written_in_place(code, tmp_path, monkeypatch):
    path = tmp_path / "it"
    path.write_bytes(b"long before")
    file = path.stat().st_ino
    monkeypatch.setattr(Path, "replace", refusing(code))
    atomic_file.write_file(path, b"now")
    assert path.read_bytes() == b"now" and path.stat().st_ino == file and list(tmp_path.iterdir()) == [path]
    with no_room(), pytest.raises(FailureError, match="No space left on device: make room; the file of before is kept"):
        atomic_file.write_file(path, b"then")
    monkeypatch.setattr(os, "open", lambda *a, open=os.open: refusing(code)() if ".jacdb-" in str(a[0]) else open(*a))
    with no_room(), pytest.raises(FailureError, match="No space left on device: make room; what it held is lost"):
        atomic_file.write_file(path, b"then")
    path.write_bytes(b"kept")
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.ENOSPC))
    with pytest.raises(FailureError, match="No space left on device: make room; the file of before is kept"):
        atomic_file.write_file(path, b"longer")
    assert path.read_bytes() == b"kept"


def test_a_file_stays_its_owners(tmp_path, monkeypatch):
    path = tmp_path / "it"
    path.write_bytes(b"before")
    path.chmod(0o600)
    owner, asked = (os.getuid(), os.getgid()), []
    if os.getuid() == 0:
        owner = (1000, 1001)
        os.chown(path, *owner)
    atomic_file.write_file(path, b"now")
    now = path.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (*owner, 0o600)
    # who may not give it to them leaves them the file that they have
    others = os.stat_result([*now[:4], now.st_uid + 1, *now[5:]])
    monkeypatch.setattr(atomic_file, "_status", lambda path: others)
    monkeypatch.setattr(os, "chown", lambda *words: asked.append(words[1]) or refusing(errno.EPERM)())
    atomic_file.write_file(path, b"then")
    assert path.read_bytes() == b"then" and path.stat().st_ino == now.st_ino and asked == [now.st_uid + 1]


def test_attributes_are_kept(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(b"before")
    os.utime(path, (0, 0))
    try:
        os.setxattr(path, "user.of", b"mine")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    atomic_file.write_file(path, b"")
    assert os.getxattr(path, "user.of") == b"mine" and path.stat().st_mtime > 0


def test_all_names_of_a_file_have_what_was_written(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"long before")
    other.hardlink_to(one)
    atomic_file.write_file(one, b"now")
    assert other.read_bytes() == b"now" and one.samefile(other)


def test_a_descriptor_is_written_to_where_it_stands(tmp_path):
    (tmp_path / "it").write_bytes(b"before,")
    with (tmp_path / "it").open("ab") as stream:
        for path in (Path(f"/dev/fd/{stream.fileno()}"), tmp_path / "link"):
            if path.parent == tmp_path:
                path.symlink_to(f"/dev/fd/{stream.fileno()}")
            atomic_file.write_file(path, b"now,")
        assert (tmp_path / "it").read_bytes() == b"before,now,now," and (tmp_path / "it").samefile(
            f"/dev/fd/{stream.fileno()}"
        )


@pytest.mark.parametrize("letter", ["n", "ä"])
def test_a_name_may_be_as_long_as_the_system_has_them(letter, tmp_path):
    path = tmp_path / (letter * (251 // len(letter.encode())) + ".csv")
    atomic_file.write_file(path, b"before")
    atomic_file.write_file(path, b"now")
    assert path.read_bytes() == b"now" and list(tmp_path.iterdir()) == [path]


def test_links_in_a_circle_get_one_line(data, tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(FailureError, match="Too many levels of symbolic links"):
        atomic_file.write_file(one, b"now")
    for words in (("sql", "select 1", "--out", one), ("report", "--out", other)):
        ran = call_jacdb(*words, "--data", data)
        assert ran.returncode == 2 and "is a link that leads back to itself: give another place" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_a_file_that_may_not_be_written_stays(tmp_path, monkeypatch):
    path = tmp_path / "it.png"
    path.write_bytes(b"before")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may all
    with pytest.raises(FailureError, match=r"Permission denied: .*; the file of before is kept"):
        atomic_file.write_file(path, b"now")
    with pytest.raises(UsageError, match="may not be written: give another place"):
        figures.save(None, path)
    assert path.read_bytes() == b"before"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("learn", "--env", "Linear", "--steps", 250, "--set", "width=8", "--data", "DATA"),
        ("score", "--env", "Linear", "--baseline", "mean_pattern", "--data", "DATA"),
        ("partials", "--data", "DATA"),
        ("export", "npz", "--env", "Linear", "--data", "DATA", "--out", "NEW.npz"),
        ("upgrade", ROOT / "tests" / "frozen" / "v2", "--out", "NEW"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(words, linear_root, tmp_path, monkeypatch):
    shutil.copytree(linear_root, tmp_path / "DATA", ignore=shutil.ignore_patterns("partials"))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may all
    ran = call_jacdb(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1].endswith("may not be written to; give another folder")
    assert sorted(tmp_path.rglob("*")) == before
