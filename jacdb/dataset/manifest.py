"""Paths of a dataset's files, and the checksums of a finished run: ``runs/env=…/run=…/SHA256SUMS``.

Each run has one such file, in the format of sha256sum(1), written just before the run's row in `runs`. Without jacdb,
``sha256sum -c runs/env=E/run=R/SHA256SUMS`` checks it in the dataset's folder.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from jacdb import schemas
from jacdb.errors import FailureError, first_line

NAME = "SHA256SUMS"
_WORD = "[A-Za-z0-9._-]{1,128}"
_TABLES = "|".join(table.name for table in schemas.TABLES)
_PART = re.compile(
    rf"(?P<table>{_TABLES})/env=(?P<env>{_WORD})/run=(?P<run_id>{_WORD})/part-(?P<number>[0-9]{{5}})\.parquet"
)
_MANIFEST = re.compile(rf"runs/env=(?P<env>{_WORD})/run=(?P<run_id>{_WORD})/{NAME}")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Run(NamedTuple):
    """A run, identified by its environment and its id."""

    env: str
    run_id: str

    def folder(self, table: str) -> str:
        """Return the folder of the run's parts of a table, as a path below the dataset's folder."""
        return f"{table}/env={self.env}/run={self.run_id}"

    @property
    def manifest(self) -> str:
        """The path of its checksums, below the dataset's folder."""
        return f"{self.folder('runs')}/{NAME}"

    @classmethod
    def from_manifest(cls, path: str) -> Self | None:
        """Return the run whose manifest has this path; None if the path is not a manifest's."""
        match = _MANIFEST.fullmatch(path)
        return cls(match["env"], match["run_id"]) if match else None


class PartPath(NamedTuple):
    """The path of a part, which is a Parquet file of a dataset, taken apart."""

    table: str
    run: Run
    number: int

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Take apart a path below a dataset's folder; return None if it is not a part's."""
        match = _PART.fullmatch(path)
        return cls(match["table"], Run(match["env"], match["run_id"]), int(match["number"])) if match else None


def finished(root: Path) -> list[Run]:
    """Return the finished runs, sorted: those that have a row in `runs` and a manifest."""
    paths = (path.relative_to(root).as_posix() for path in root.glob(f"runs/env=*/run=*/{NAME}"))
    runs = (run for run in map(Run.from_manifest, paths) if run)
    return sorted(run for run in runs if (root / run.folder("runs") / "part-00000.parquet").is_file())


def parts(root: Path) -> Iterator[str]:
    """Yield every part below a dataset's folder, of finished and of unfinished runs."""
    for table in schemas.TABLES:
        for path in sorted(root.glob(f"{table.name}/{schemas.PARTS}")):
            yield path.relative_to(root).as_posix()


def encode(sums: Mapping[str, str]) -> str:
    """Return the text of a manifest, given checksums by path."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def read(root: Path, run: Run) -> dict[str, str]:
    """Read a run's manifest; return the checksums of its parts by path below the dataset's folder.

    Raises:
        FailureError: the manifest can't be read, or is not valid.
    """
    path = root / run.manifest
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error
    return decode(text, run)


def decode(text: str, run: Run) -> dict[str, str]:
    """Return the checksums in the text of a run's manifest, by path.

    Raises:
        FailureError: a line is not a checksum, names a file that is not a part of the run, or a table is missing.
    """
    lines = text.splitlines()
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        part = match and PartPath.parse(match[2])
        if not (match and part and part.run == run) or match[2] in sums:
            raise FailureError(f"{run.manifest}, line {number} is no checksum of a part of this run: {line[:200]!r}")
        sums[match[2]] = match[1]
    if text != encode(sums):
        raise FailureError(f"{run.manifest} is not as jacdb writes it: its lines are out of order, or one is cut")
    tables = {part.table for part in map(PartPath.parse, sums) if part}
    if missing := [table.name for table in schemas.TABLES if table.name not in tables and table.name != "patterns"]:
        raise FailureError(f"{run.manifest} names no part of {', '.join(missing)}: the run is not complete")
    return sums
