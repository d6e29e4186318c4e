"""Robot models, from a git repository on this machine."""

import subprocess
from pathlib import Path

import pytest

from jacdb import user_cache
from jacdb.errors import UsageError
from jacdb.ingest.compat import playground
from jacdb.ingest.environments import menagerie


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def remote(tmp_path):
    """A repository of three robots, and the commit to be had (not the last)."""
    folder = tmp_path / "remote"
    for robot in ("arm", "hand", "dog"):
        (folder / robot / "assets").mkdir(parents=True)
        (folder / robot / "robot.xml").write_text(f"<mujoco model='{robot}'/>")
        (folder / robot / "assets" / "mesh.stl").write_bytes(robot.encode() * 1000)
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "pinned")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / "arm" / "robot.xml").write_text("changed since")
    git(folder, "commit", "--quiet", "-a", "-m", "later")
    return f"file://{folder}", commit


def test_only_the_robots_needed_are_fetched_at_the_pinned_commit(remote, tmp_path):
    url, commit = remote
    told: list[str] = []
    menagerie.fetch(url, commit, ["arm", "hand"], tmp_path / "cache", told.append)
    found = sorted(str(p.relative_to(tmp_path / "cache")) for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert found == ["arm/assets/mesh.stl", "arm/robot.xml", "hand/assets/mesh.stl", "hand/robot.xml"]
    assert (tmp_path / "cache" / "arm" / "robot.xml").read_text() == "<mujoco model='arm'/>"
    assert any("fetching arm and hand" in line for line in told)


def test_a_robot_that_is_not_there_is_said_so(remote, tmp_path):
    url, commit = remote
    with pytest.raises(UsageError, match=r"no cat at commit.*MENAGERIE_ROOT"):
        menagerie.fetch(url, commit, ["cat"], tmp_path / "cache", lambda line: None)
    assert not list((tmp_path / "cache").iterdir())


def test_what_is_in_the_cache_is_not_fetched_again(monkeypatch, tmp_path):
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JACDB_MENAGERIE_URL", "file:///nowhere")
    user_cache.folder.cache_clear()
    before = playground.robots_folder()
    root = tmp_path / "jacdb" / "menagerie" / playground.MENAGERIE_COMMIT
    (root / "arm").mkdir(parents=True)
    try:
        menagerie.provide(["arm"])
        assert playground.robots_folder() == str(root)
    finally:
        playground.read_robots_from(Path(before))
        user_cache.folder.cache_clear()


def test_a_checkout_without_the_robot_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    with pytest.raises(UsageError, match=r"MENAGERIE_ROOT=.* has no arm"):
        menagerie.provide(["arm"])
