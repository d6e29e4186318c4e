"""The files of a dataset's runs, and the checksums of a finished one: ``journal/environment=…/run=…/SHA256SUMS``.

Each run has one such file, in the format of sha256sum(1), written just before the run's row in `runs`. Without jacdb,
``sha256sum -c journal/environment=E/run=R/SHA256SUMS`` checks it in the dataset's folder.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from jacdb import schemas
from jacdb.atomic_file import draft_of
from jacdb.dataset.layout import LAYOUTS, PartPath, Run
from jacdb.errors import FailureError, first_line

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def finished(root: Path) -> list[Run]:
    """Return the finished runs, sorted: those that have a row in `runs` and a manifest."""
    files = (path for layout in LAYOUTS for path in root.glob(Run("*", "*", layout).manifest))
    runs = (Run.from_manifest(path.relative_to(root).as_posix()) for path in files)
    return sorted(run for run in runs if run and (root / run.row).is_file())


def parts(root: Path) -> Iterator[str]:
    """Yield every part below a dataset's folder, of finished and of unfinished runs."""
    for table in schemas.TABLES + schemas.DERIVED:
        for layout in LAYOUTS:
            for path in sorted(root.glob(f"{table.name}/{layout.parts}")):
                yield path.relative_to(root).as_posix()


def encode(sums: Mapping[str, str]) -> str:
    """Return the text of a manifest, given checksums by path."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def write(root: Path, run: Run, sums: Mapping[str, str]) -> None:
    """Write a run's manifest, given checksums by path; it is on the disk when this returns."""
    final = root / run.manifest
    with draft_of(final) as draft:
        with draft.open("w", encoding="ascii") as stream:
            stream.write(encode(sums))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(final)


def read(root: Path, run: Run) -> dict[str, str]:
    """Read a run's manifest; return the checksums of its parts, and of its model, by path below the dataset's folder.

    Raises:
        FailureError: the manifest can't be read, or is not valid.
    """
    path = root / run.manifest
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise FailureError(f"{path} can't be read: {first_line(error)}") from error
    return decode(text, run)


def named(root: Path, run: Run) -> list[str]:
    """Return the files that a run's manifest names, unchecked, as paths below the dataset's folder; none without it."""
    try:
        listed = (root / run.manifest).read_text("utf-8", "replace")
    except OSError:
        return []
    return [line[66:] for line in listed.splitlines()]  # behind a checksum and two spaces


def split(text: bytes, path: str) -> tuple[bytes, str | None]:
    """Return a manifest's text without the line of a path, and that line's checksum; None if there is none."""
    place = text.find(f"  {path}\n".encode())
    start = place - 64
    if start < 0 or text[start - 1 : start] not in (b"", b"\n"):
        return text, None
    return text[:start] + text[place + len(path) + 3 :], text[start:place].decode(errors="replace")


def decode(text: str, run: Run) -> dict[str, str]:
    """Return the checksums in the text of a run's manifest, by path.

    Raises:
        FailureError: a line is not a checksum, names a file that is not of the run, or a table is missing.
    """
    lines = text.splitlines()
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        part = match and PartPath.parse(match[2])
        is_own = match and (match[2] == run.model or (part and part.run == run))
        if not (match and is_own) or match[2] in sums:
            raise FailureError(f"{run.manifest}, line {number} is no checksum of a file of this run: {line[:200]!r}")
        sums[match[2]] = match[1]
    if text != encode(sums):
        raise FailureError(f"{run.manifest} is not as jacdb writes it: its lines are out of order, or one is cut")
    tables = {part.table for part in map(PartPath.parse, sums) if part}
    if missing := [table.name for table in schemas.TABLES if table.name not in tables and table.name != "patterns"]:
        raise FailureError(f"{run.manifest} names no part of {', '.join(missing)}: the run is not complete")
    return sums
