"""Publish a static site of the explorer as a Space on the Hugging Face Hub: the page, for everyone.

The Space has no steps. Its page reads them from the dataset's repository, at the commit that the site was made of.
"""

from pathlib import Path

from huggingface_hub import HfApi, constants

from jacdb import hub
from jacdb.errors import UsageError
from jacdb.explorer.data_files import INDEX
from jacdb.explorer.site import Site
from jacdb.publishing.publish import Published

_CARD = "README.md"
_OF_THE_HUB = {".gitattributes", _CARD}  # a new Space has them
_UNORDERED = ".duckdb"  # such a file's pages are written in no fixed order
_CARD_TEXT = """---
title: {title}
sdk: static
app_file: index.html
colorFrom: blue
colorTo: gray
datasets:
- {dataset}
tags:
- jacdb
---

The dynamics in [{dataset}](https://huggingface.co/datasets/{dataset}), to look at: robots, their Jacobians, and what
depends on what. Made by `jacdb publish {dataset} --explorer OWNER/SPACE`.
"""


def parts_address(dataset: str, revision: str) -> str:
    """Return the address below which a page reads the files of a dataset's repository at a commit, tag or branch."""
    return f"{constants.ENDPOINT}/datasets/{dataset}/resolve/{revision}/"


def former(name: str, dataset: str) -> hub.Snapshot | None:
    """Return what a Space holds that a site may be published as; None if there is none of that name.

    Args:
        name: OWNER/SPACE.
        dataset: OWNER/NAME of the dataset that its page reads; it need not be there yet.

    Raises:
        UsageError: the Space is something else, or the dataset is private.
        FailureError: the Hub can't be reached, or fails.
    """
    api = HfApi()
    with hub.explained(dataset):
        if api.repo_exists(dataset, repo_type="dataset") and api.dataset_info(dataset).private:
            raise UsageError(f"--explorer {name}: {dataset} is private, and its page reads it without a token")
    with hub.explained(name, kind="space"):
        if not api.repo_exists(name, repo_type="space"):
            return None
        snapshot = hub.Snapshot.take(name, kind="space")
    others = sorted({*snapshot.files} - _OF_THE_HUB)
    if others and INDEX not in snapshot.files:
        raise UsageError(
            f"--explorer {name} is there already, holds {others[0]}, and is no page of the explorer's: give a new name,"
            " or delete it on the Hub"
        )
    return snapshot


def write_card(site: Site, dataset: str) -> None:
    """Write a Space's card into a site: what the Hub needs in order to show it, and the dataset's name."""
    title = f"{dataset.split('/')[1]}: dynamics to look at"
    (site.folder / _CARD).write_text(_CARD_TEXT.format(title=f'"{title}"', dataset=dataset), "utf-8")


def publish(site: Site, name: str, snapshot: hub.Snapshot | None) -> Published:
    """Make a Space hold a site and nothing else; nothing is committed if it does.

    Args:
        site: the site, with a card.
        name: OWNER/SPACE.
        snapshot: what it holds, as :func:`former` returned it.

    Raises:
        UsageError: the token may not write.
        FailureError: the Hub can't be reached, or fails, or someone else has published meanwhile.
    """
    api = HfApi()
    with hub.explained(name, kind="space"):
        if snapshot is None:
            api.create_repo(name, repo_type="space", space_sdk="static", private=False)
            snapshot = hub.Snapshot.take(name, kind="space")
        url = f"{constants.ENDPOINT}/spaces/{name}"
        local = site.files()
        stale = sorted({*snapshot.files} - {*local} - {".gitattributes"})
        fresh = [path for path, file in local.items() if not _has(snapshot, path, file)]
        if not stale and all(path.endswith(_UNORDERED) for path in fresh):
            return Published(url, snapshot.commit, 0, 0)
        made = api.upload_folder(
            repo_id=name,
            repo_type="space",
            folder_path=site.folder,
            commit_message=f"jacdb: {len(fresh)} files of {len(local)}",
            delete_patterns=stale or None,
            parent_commit=snapshot.commit,  # or files of two sites would be mixed
        )
    return Published(url, made.oid, len(fresh), sum(local[path].stat().st_size for path in fresh))


def _has(snapshot: hub.Snapshot, path: str, file: Path) -> bool:
    return path in snapshot.files and snapshot.files[path].holds(file)
