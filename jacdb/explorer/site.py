"""Write the explorer as a static site: the page, what is made for it, and the dataset's parts; any server will do."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jacdb import out_path
from jacdb.atomic_file import draft_of, remove_abandoned
from jacdb.errors import FailureError, UsageError, telling_writes
from jacdb.explorer.data_files import INDEX, PARTS, DataFiles
from jacdb.explorer.page import page_files, reading_from
from jacdb.explorer.scenes import SceneMaker
from jacdb.explorer.subject import Subject
from jacdb.progress import Event

_SITE = "site of the explorer's"
_DATA = {"index.json", "tables.duckdb", "runs", "scenes", "steps"}


@dataclass(frozen=True)
class Site:
    """A site that was written: where, how many files and bytes, and the robots that it can't show, each with why."""

    folder: Path
    n_files: int
    n_bytes: int
    missing: dict[str, str]

    def files(self) -> dict[str, Path]:
        """Return its files by their addresses."""
        return _files(self.folder)

    def describe(self) -> str:
        """Return one line for people."""
        return f"{self.folder}: {self.n_files:,} files, {self.n_bytes:,} bytes; any server of files shows it"


def check(out: Path, page: Path) -> None:
    """Refuse a folder that a site can't be written to: it may be new, empty, or a site of before and nothing else.

    Args:
        out: the folder.
        page: the folder of the built page.

    Raises:
        UsageError: it is something else, or can't be written.
    """
    out_path.check_own_folder(out, {path.name for path in page.iterdir()} | {"data"}, INDEX, _SITE)
    if out.exists():
        out_path.check_own_folder(out / "data", _DATA, Path(INDEX).name, _SITE)


def write(
    subject: Subject,
    page: Path,
    out: Path,
    maker: SceneMaker | None,
    *,
    parts_at: str | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Site:
    """Write a site; it appears under its name when it is whole, in the place of one of before.

    Args:
        subject: what is explored.
        page: the folder of the built page.
        out: the site's folder.
        maker: makes scenes; None where there is no simulator.
        parts_at: the address of the dataset's folder elsewhere, as a page reads it, ending with a slash: parts are not
            part of the site then.
        report: called with progress.

    Raises:
        UsageError: the folder is something else, or the dataset is on the Hub and has to stay there.
        FailureError: a file can't be read, is not the dataset's own, or can't be written.
    """
    check(out, page)
    parts = [] if parts_at else [part for parts in subject.runs.values() for part in parts]
    kept = "the site of before is kept" if out.exists() else "nothing of it is left"
    with telling_writes(out, f"{kept}; repeat the command"):
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.resolve())
        with draft_of(out.resolve()) as draft:
            draft.mkdir()
            _copy_page(page, draft, parts_at)
            files = DataFiles(subject, draft, maker, parts_at or PARTS)
            missing = _make(files, report)
            for done, part in enumerate(parts):
                report(Event("linking parts", done, len(parts), "files"))
                _link(subject, part, draft / PARTS / part)
            written = _files(draft)
            site = Site(out, len(written), sum(path.stat().st_size for path in written.values()), missing)
            _replace(draft, out.resolve())
    return site


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _copy_page(page: Path, draft: Path, parts_at: str | None) -> None:
    for address, path in page_files(page).items():
        copy = draft / address
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if parts_at:
        html = draft / "index.html"
        html.write_text(reading_from(html.read_text("utf-8"), parts_at), "utf-8")


def _make(files: DataFiles, report: Callable[[Event], None]) -> dict[str, str]:
    """Make all files, scenes first; return the scenes that can't be made, each with why."""
    keys = {f"data/scenes/{key}.json": key for key in files.scenes.keys.values()}
    missing = {}
    for done, (address, key) in enumerate(keys.items()):
        report(Event("loading robots", done, len(keys), "robots"))
        try:
            files.path(address)
        except UsageError as error:
            missing[key] = str(error)
            files.scenes.give_up(key, str(error))
    others = [address for address in files.addresses if not address.startswith("data/scenes/")]
    for done, address in enumerate(others):
        report(Event("writing tables", done, len(others), "files"))
        files.path(address)
    return missing


def _link(subject: Subject, part: str, copy: Path) -> None:
    """Give a part another name in the site, or copy it where a file can't have two names.

    Raises:
        FailureError: it is not the dataset's own.
    """
    try:
        path = subject.dataset.location.own_file(part)
    except UsageError as error:
        raise FailureError(str(error)) from error
    if path is None:
        raise UsageError("the dataset is on the Hub: `jacdb pull` it, or say by --parts-at where a page reads it")
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def _replace(draft: Path, out: Path) -> None:
    """Give a draft its name, and remove what had it."""
    if not out.exists():
        draft.rename(out)
        return
    name = out.with_name(f"{out.name}.former")
    remove_abandoned(name)
    with draft_of(name) as former:
        out.rename(former)
        try:
            draft.rename(out)
        except OSError:
            with suppress(OSError):
                former.rename(out)
            raise
