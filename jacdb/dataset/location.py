"""Find a dataset by what a person gives: a folder's path, or the address of a repository on the Hugging Face Hub."""

import os
import re
from pathlib import Path

from jacdb.dataset.folder import Folder, StillFolder
from jacdb.errors import UsageError


def locate(where: Path | str | Folder) -> Folder:
    """Return the dataset in a folder, or at ``hf://datasets/OWNER/NAME[@REVISION]``; return a Folder as it is.

    Raises:
        UsageError: there is no dataset, or this is no path.
        FailureError: the Hub can't be reached.
    """
    if isinstance(where, Folder):
        return where
    if not isinstance(where, str | os.PathLike):
        raise UsageError(f"{where!r}: give the folder of a dataset, or hf://datasets/OWNER/NAME")
    if str(where).startswith("hf:"):
        # Here, for huggingface_hub is slow to import, and local datasets do not need it.
        from jacdb.dataset.remote_folder import SCHEME, RemoteFolder

        return RemoteFolder(re.sub("^hf:/+", SCHEME, str(where)))  # a Path has lost a slash
    return Folder(where)


def as_it_is(where: Path | str) -> Folder:
    """Return a dataset as ``locate`` does, without what comes into it later; on the Hub nothing comes into a commit.

    Raises:
        UsageError: there is no dataset, or this is no path.
        FailureError: the Hub can't be reached.
    """
    found = locate(where)
    return found if found.is_remote else StillFolder(where)
