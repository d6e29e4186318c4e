"""A file or folder to write, refused before any work if it can't be written."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from jacdb.errors import UsageError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # of one letter it is a drive


def check_file(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Refuse a file that can't be written.

    Args:
        suffixes: what its name may end in; with none, anything.

    Raises:
        UsageError: its name ends in none of them, it is a folder or a link to itself, or its folder is missing or may
            not be written to.
    """
    _check_link(path, "--out")
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder: give a file name")
    if suffixes:
        check_suffix(path, suffixes)
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--out {path} may not be written: give another place")


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file whose name ends in none of these.

    Raises:
        UsageError: it does not.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: give a file name that ends in {', '.join(suffixes)}")


def check_folder(path: Path, option: str = "--out") -> None:
    """Refuse a folder that can't be written into; it need not exist.

    Args:
        option: what the person gave it as, for messages.

    Raises:
        UsageError: it is a file, lies under one, is a link to itself, or may not be written to.
    """
    _check_link(path, option)
    standing = path
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if not standing.is_dir():
        raise UsageError(f"{option} {path}: {standing} is a file; give a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {path}: {standing} may not be written to; give another folder")


def check_no_address(path: Path | str) -> None:
    """Refuse a dataset's folder whose name begins as an address does: ``s3://bucket``, or ``gymnasium:Ant-v5``.

    Arrow takes both for a place elsewhere, and what does not go through Arrow would make a folder of that name here.

    Raises:
        UsageError: it does, and is no whole path.
    """
    if (scheme := _SCHEME.match(str(path))) and scheme[0] == "hf:":
        raise UsageError(f"{path} is on the Hub: `jacdb pull` it, and give the folder")
    if scheme and scheme[0] in ("http:", "https:"):
        raise UsageError(f"{path} is a page: give a folder, or hf://datasets/OWNER/NAME to read a dataset on the Hub")
    if scheme:
        whole = Path(path).absolute()
        raise UsageError(f"{path}: {scheme[0]} begins an address: give a folder, {whole} if that is its name")


def check_no_backslash(path: Path | str) -> None:
    """Refuse a dataset's folder whose whole path has a backslash, as ``C:\\data`` on Linux.

    Raises:
        UsageError: it has.
    """
    if "\\" in str(Path(path).resolve()):
        raise UsageError(f"{path}: DuckDB can't read a path with a backslash; give the folder another name")


def check_dataset(path: Path | str) -> None:
    """Refuse a folder for a dataset that can't be written into, or not be read from then; it need not exist.

    Raises:
        UsageError: its name is an address or has a backslash; or `check_folder` refuses it.
    """
    check_no_address(path)
    check_folder(Path(path), "--data")
    check_no_backslash(path)


def check_own_folder(path: Path, own: Collection[str], mark: str, words: str) -> None:
    """Refuse a folder to write into, unless it is new, empty, or what was written before and nothing else.

    Args:
        own: names of all that is written into it.
        mark: a file that is always among it, as a path below the folder.
        words: what is written: "report".

    Raises:
        UsageError: it holds something else, or can't be written.
    """
    check_folder(path)
    names = {entry.name for entry in path.iterdir()} if path.exists() else set()
    more = sorted(names.difference(own))
    if names and (more or not (path / mark).is_file()):
        holds = f"holds {more[0]}, which is" if more else "is"
        raise UsageError(f"--out {path} {holds} no {words}: give a new folder")


def _check_link(path: Path, option: str) -> None:
    if Path(os.path.realpath(path)).is_symlink():  # it follows all links but those in a circle
        raise UsageError(f"{option} {path} is a link that leads back to itself: give another place")
