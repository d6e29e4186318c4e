"""The checksums of a finished run: ``runs/env=…/run=…/SHA256SUMS``, in the format of sha256sum(1).

One file a run, written just before the run's row. Without jacdb, in the dataset's folder, it is checked by
``sha256sum -c runs/env=E/run=R/SHA256SUMS``.
"""

import hashlib
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
    """A run: the environment, and the run's name."""

    env: str
    run_id: str

    def folder(self, table: str) -> str:
        return f"{table}/env={self.env}/run={self.run_id}"

    @property
    def manifest(self) -> str:
        return f"{self.folder('runs')}/{NAME}"

    @classmethod
    def from_manifest(cls, path: str) -> Self | None:
        """The run whose manifest has this path below a dataset, if it is one's."""
        found = _MANIFEST.fullmatch(path)
        return cls(found["env"], found["run_id"]) if found else None


class PartPath(NamedTuple):
    """A Parquet file of a dataset, as its path says."""

    table: str
    run: Run
    number: int

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """What a path below a dataset's folder says; None where it is no part's."""
        found = _PART.fullmatch(path)
        return cls(found["table"], Run(found["env"], found["run_id"]), int(found["number"])) if found else None


def finished(root: Path) -> list[Run]:
    """The runs that are whole: those that have a row in `runs`, and a manifest."""
    paths = (path.relative_to(root).as_posix() for path in root.glob(f"runs/env=*/run=*/{NAME}"))
    runs = (run for run in map(Run.from_manifest, paths) if run)
    return sorted(run for run in runs if (root / run.folder("runs") / "part-00000.parquet").is_file())


def parts(root: Path) -> Iterator[str]:
    """Every part below a dataset's folder, finished runs' or not."""
    for table in schemas.TABLES:
        for path in sorted(root.glob(f"{table.name}/{schemas.PARTS}")):
            yield path.relative_to(root).as_posix()


def encode(sums: Mapping[str, str]) -> str:
    """Checksums by path, as the text of a manifest."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def read(root: Path, run: Run) -> dict[str, str]:
    """The checksums of a run's parts, by path below the dataset's folder.

    Raises:
        FailureError: the manifest can't be read, or says what none can say.
    """
    path = root / run.manifest
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error
    return decode(text, run)


def decode(text: str, run: Run) -> dict[str, str]:
    """The checksums that a run's manifest gives; every file of it must be a part of that run.

    Raises:
        FailureError: a line is no checksum, or of a file that is no part of the run; or a table is missing.
    """
    lines = text.splitlines()
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        part = found and PartPath.parse(found[2])
        if not (found and part and part.run == run) or found[2] in sums:
            raise FailureError(f"{run.manifest}, line {number} is no checksum of a part of this run: {line[:200]!r}")
        sums[found[2]] = found[1]
    if text != encode(sums):
        raise FailureError(f"{run.manifest} is not as jacdb writes it: its lines are out of order, or one is cut")
    there = {part.table for part in map(PartPath.parse, sums) if part}
    if missing := [table.name for table in schemas.TABLES if table.name not in there and table.name != "patterns"]:
        raise FailureError(f"{run.manifest} names no part of {', '.join(missing)}: the run is not whole")
    return sums


def digest(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
