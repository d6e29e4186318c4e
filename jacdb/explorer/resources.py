"""The files that the explorer serves, each by its own name: the page's, those made for it, and the dataset's parts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from jacdb.dataset.dataset import Dataset
from jacdb.explorer.data_files import PARTS, DataFiles
from jacdb.explorer.page import page_files
from jacdb.explorer.subject import Subject

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
_ANY = "application/octet-stream"


@dataclass(frozen=True)
class Resource:
    """A file that is served.

    Attributes:
        stream: its bytes, at the first; it can seek.
        size: how many there are.
        media_type: for the header Content-Type.
        fixed: whether it is of the page, and not of data.
    """

    stream: BinaryIO
    size: int
    media_type: str
    fixed: bool


class Resources:
    """The files that are served, by their addresses from the page's. An address that is not listed leads nowhere."""

    def __init__(self, page: Path, files: DataFiles, subject: Subject) -> None:
        """
        Args:
            page: the folder of the built page.
            files: those that are made for it.
            subject: what is explored.
        """
        self._page, self._files, self._subject = page_files(page), files, subject
        self._parts = {f"{PARTS}{part}": (run, part) for run, parts in subject.runs.items() for part in parts}

    @contextmanager
    def open(self, address: str) -> Iterator[Resource | None]:
        """Yield the file at an address, open; None if there is none.

        Raises:
            UsageError: there is none, and the message says why.
            GoneError: it is there no longer.
            FailureError: the dataset can't be read.
            OSError: the file can't be read.
        """
        address = address or "index.html"
        media_type = _TYPES.get(PurePosixPath(address).suffix, _ANY)
        if path := self._page.get(address):
            with path.open("rb") as stream:
                yield Resource(stream, os.fstat(stream.fileno()).st_size, media_type, fixed=True)
        elif address in self._parts:
            run, part = self._parts[address]
            self._subject.check_present([run])
            with _opened(self._subject.dataset, part) as (stream, size):
                yield Resource(stream, size, _ANY, fixed=False)
        elif made := self._files.path(address):
            with made.open("rb") as stream:
                yield Resource(stream, made.stat().st_size, media_type, fixed=False)
        else:
            yield None


@contextmanager
def _opened(dataset: Dataset, part: str) -> Iterator[tuple[BinaryIO, int]]:
    location = dataset.location
    if path := location.own_file(part):
        with path.open("rb") as stream:
            yield stream, os.fstat(stream.fileno()).st_size
    else:
        stamp = location.stamp(part)
        with location.open(part) as remote:
            yield cast(BinaryIO, remote), stamp[1] if stamp else 0
