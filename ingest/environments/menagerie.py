"""Robot models: of MuJoCo Menagerie only the folders that an environment needs.

Playground would clone the whole of it, gigabytes, on first use. jacdb looks into MENAGERIE_ROOT, a checkout of the
user's; without one, it fetches the needed folders of the commit that Playground pins into the user's cache.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from jacdb import interruption, user_cache
from jacdb.errors import UsageError
from jacdb.ingest.compat import playground

MENAGERIE_URL = "https://github.com/google-deepmind/mujoco_menagerie.git"
# git gives up a connection that carries less than 1 kB/s for 30 s.
_TIMEOUTS = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30")


def provide(robots: Iterable[str], report: Callable[[str], None] = lambda doing: None) -> None:
    """Make these robots' models available to Playground.

    Args:
        robots: folders of Menagerie; with none, nothing is needed.
        report: told what is being fetched, and how far it is.

    Raises:
        UsageError: MENAGERIE_ROOT lacks one, or it can't be fetched.
    """
    robots = list(robots)
    if not robots:
        return
    checkout = os.environ.get("MENAGERIE_ROOT")
    root = _users_checkout(Path(checkout), robots) if checkout else _cached_checkout(robots, report)
    playground.read_robots_from(root)


def _users_checkout(root: Path, robots: list[str]) -> Path:
    """Return MENAGERIE_ROOT as it is, if it has these robots.

    Raises:
        UsageError: it lacks one.
    """
    if missing := [robot for robot in robots if not (root / robot).is_dir()]:
        raise UsageError(
            f"MENAGERIE_ROOT={root} has no {' or '.join(missing)}: name a checkout of MuJoCo Menagerie"
            f" (commit {playground.MENAGERIE_COMMIT[:10]}), or unset it to have jacdb fetch what it needs"
        )
    return root


def _cached_checkout(robots: list[str], report: Callable[[str], None]) -> Path:
    """Return the cache's copy of the pinned commit, after fetching the robots that it lacks."""
    commit = playground.MENAGERIE_COMMIT
    root = user_cache.folder() / "menagerie" / commit
    missing = [robot for robot in robots if not (root / robot).is_dir()]
    if missing:
        url = os.environ.get("JACDB_MENAGERIE_URL", MENAGERIE_URL)
        fetch(url, commit, missing, root, report)
    return root


def fetch(url: str, commit: str, robots: list[str], root: Path, report: Callable[[str], None]) -> None:
    """Fetch folders of one commit by a shallow, sparse, blob-filtered git fetch, and put them below ``root``.

    Raises:
        UsageError: git is missing, or the repository can't be reached or lacks a folder.
    """
    names = " and ".join(robots)
    root.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as work,
        interruption.at_stop(lambda: shutil.rmtree(work)),
    ):
        try:
            _git(work, "init", "--quiet")
            _git(work, "remote", "add", "origin", url)
            _git(work, "config", "remote.origin.promisor", "true")
            _git(work, "config", "remote.origin.partialclonefilter", "blob:none")
            _git(work, "sparse-checkout", "set", "--no-cone", *(f"/{robot}/" for robot in robots))
            fetching = ("fetch", "--progress", "--depth=1", "--filter=blob:none", "origin", commit)
            _git(work, *fetching, report=lambda line: report(f"fetching {names}: {line}"))
            _git(
                work,
                "checkout",
                "--progress",
                "FETCH_HEAD",
                report=lambda line: report(f"fetching {names}: {line}"),
            )
        except (OSError, subprocess.CalledProcessError) as error:
            why = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise UsageError(
                f"the models of {names} can't be fetched ({why}): connect to the network (git, {url}), or set"
                " MENAGERIE_ROOT to a checkout of MuJoCo Menagerie"
            ) from error
        for robot in robots:
            if not (Path(work) / robot).is_dir():
                raise UsageError(f"{url} has no {robot} at commit {commit[:10]}: set MENAGERIE_ROOT to a checkout")
            with contextlib.suppress(OSError):  # another process was faster; its copy is as good
                (Path(work) / robot).rename(root / robot)


def _git(folder: str, *arguments: str, report: Callable[[str], None] = lambda line: None) -> None:
    """Run git, telling ``report`` each line of progress.

    Raises:
        OSError: there is no git.
        CalledProcessError: git failed; ``stderr`` is its last line.
    """
    command = ["git", *_TIMEOUTS, "-C", folder, *arguments]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}  # nobody is there to type a password
    last = ""
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment) as git,
        interruption.at_stop(git.kill),
    ):
        assert git.stderr is not None
        for line in git.stderr:  # text mode ends a line at git's carriage returns too
            if line.strip():
                last = line.strip()
                report(last)
    if git.returncode:
        raise subprocess.CalledProcessError(git.returncode, command, stderr=last)
