"""List a dataset's folders: of a hundred thousand runs each microsecond counts, and pathlib takes many."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_PART = re.compile(r"part-[0-9]{5}\.parquet")


def entries(folder: Path | str, prefix: str = "") -> list[os.DirEntry[str]]:
    """Return the entries of a folder whose names begin with a prefix; none if it is not a folder."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if entry.name.startswith(prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def run_folders(table: Path | str, key: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the folders of a table's runs, each with its environment.

    Args:
        table: the table's folder.
        key: of the folders of environments, KEY=Env.
    """
    for env in entries(table, f"{key}="):
        name = env.name[len(key) + 1 :]
        yield from ((name, run) for run in entries(env.path, "run="))


def parts(run: Path | str) -> list[os.DirEntry[str]]:
    """Return the parts in the folder of a run."""
    return [entry for entry in entries(run, "part-") if _PART.fullmatch(entry.name)]


def has_link(folder: str, depth: int = 2) -> bool:
    """Return whether something is a symbolic link: a table's folder, or what is so many folders below it."""
    if depth == 2 and Path(folder).is_symlink():
        return True
    return any(entry.is_symlink() or (depth > 0 and has_link(entry.path, depth - 1)) for entry in entries(folder))
