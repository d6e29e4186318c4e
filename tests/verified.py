"""Findings of verification, and files that are changed or can't be read, for its tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import verification
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest
from jacdb.dataset.layout import Run

RUN = Run("E", "run-a")
FLIPS = 1_000


def found(root: Path) -> list[tuple[str, str, int | None]]:
    """(check, path, row) of every finding."""
    verified = verification.verify(root, sample=0)
    assert verified.ok == (not verified.findings)
    return [(check.name, one.path, one.row) for check in verified.checks for one in check.findings]


def refusing(code: int, *paths: str) -> Callable[[Path], str]:
    """Return a function like ``sha256_of`` that can't read these files."""

    def read(file: Path) -> str:
        if file.as_posix().endswith(paths):
            raise OSError(code, os.strerror(code), str(file))
        return sha256_of(file)

    return read


def part(table: str, number: int = 0) -> str:
    return f"{RUN.folder(table)}/part-{number:05d}.parquet"


def seal(root: Path) -> None:
    """Give the run the checksums of the files that it has now, as one would who wants to deceive."""
    paths = [path for path in manifest.parts(root) if f"/run={RUN.run_id}/" in path]
    (root / RUN.manifest).write_text(manifest.encode({path: sha256_of(root / path) for path in paths}))


def write(root: Path, path: str, table: pa.Table) -> None:
    pq.write_table(table, root / path)
    seal(root)


def change(root: Path, path: str, column: str, row: int, value: object) -> None:
    """Another value in one row; a function is given the old one."""
    table = pq.read_table(root / path, partitioning=None)
    values = table[column].to_pylist()
    values[row] = value(values[row]) if callable(value) else value
    field = table.schema.field(column)
    write(root, path, table.set_column(table.schema.names.index(column), field, pa.array(values, field.type)))


def entry(row: int, column: int, value: object):
    def put(matrix: list[list]) -> list[list]:
        matrix[row][column] = value
        return matrix

    return put
