"""A dataset in a local folder: its files, and how DuckDB and Arrow read them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.dataset import manifest
from jacdb.dataset.sql_text import literal
from jacdb.errors import FailureError, UsageError, first_line

_PART = re.compile(r"part-[0-9]{5}\.parquet")


class Folder:
    """A dataset in a local folder.

    Attributes:
        name: what a person calls it.
        path: the folder, absolute.
    """

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            UsageError: there is no dataset.
        """
        self.name = str(path)
        self.path = Path(path).resolve()
        if not self.path.exists():
            raise UsageError(f"no dataset at {path}: make one with `jacdb ingest --env … --data {path}`")
        if not self.path.is_dir():
            raise UsageError(f"{path} is a file: give the folder of a dataset")
        if "\\" in str(self.path):
            raise UsageError(f"{path}: DuckDB can't read a path with a backslash; give the folder another name")
        if not self.parts("axes"):
            raise UsageError(f"no dataset in {path}: make one with `jacdb ingest --env … --data {path}`")

    def parts(self, table: str) -> list[str]:
        """The parts of a table that are there, as paths below the dataset, in order."""
        runs = (run for env in _inside(self.path / table, "env=") for run in _inside(Path(env), "run="))
        parts = (part for run in runs for part in _inside(Path(run), "part-") if _PART.fullmatch(part.name))
        return sorted(Path(part).relative_to(self.path).as_posix() for part in parts)

    def open(self, part: str) -> pa.NativeFile | BinaryIO:
        """A part, for reading, by many threads at a time if they open it each."""
        return pa.OSFile(str(self.path / part))

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read here, and nowhere else."""
        folders = ", ".join(literal(f"{folder}/") for folder in self._readable())
        connection.execute(f"set allowed_directories = [{folders}]")
        connection.execute("set enable_external_access = false")

    def scan(self, table: str) -> str:
        """A table's files as a source for DuckDB's FROM."""
        # Partition columns stand in the files: a folder called env=… above the dataset must not overrule them.
        pattern = literal(f"{_glob_literal(self.path)}/{table}/{schemas.PARTS}")
        return f"read_parquet({pattern}, {self._options(table)})"

    def _options(self, table: str) -> str:
        # By name where a float64 run stands beside a float32 one, so that it keeps its digits; else not, for DuckDB
        # then reads the footer of every file each time that a view is named.
        by_name = table == "steps" and self._has_both_types()
        return f"hive_partitioning = false, union_by_name = {str(by_name).lower()}"

    def _has_both_types(self) -> bool:
        """Whether matrices are float32 in some runs and float64 in others; of an unfinished run, a part tells."""
        try:
            kinds = {dtype for part in self.parts("runs") for dtype in self._read(part, "dtype").to_pylist()}
            finished = {part.split("/", 1)[1].rpartition("/")[0] for part in self.parts("runs")}
            begun = {part.split("/", 1)[1].rpartition("/")[0]: part for part in self.parts("steps")}
            for run in begun.keys() - finished:
                with self.open(begun[run]) as stream:
                    kind = pq.read_schema(stream).field("j_state").type.value_type.value_type
                    kinds.add("float32" if kind == pa.float32() else "float64")
        except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise FailureError(f"{self.name} can't be read: {first_line(error)}") from error
        return len(kinds) > 1

    def _read(self, part: str, column: str) -> pa.ChunkedArray:
        return pq.read_table(self.path / part, columns=[column], partitioning=None).column(0)

    def _readable(self) -> list[str]:
        # both spellings: DuckDB compares a pattern with the folders before it expands it
        return [str(self.path), _glob_literal(self.path)]


class FinishedRuns(Folder):
    """A dataset in a local folder, without the runs that are not finished.

    Attributes:
        runs: those that are.
        sums: the checksums of their parts, by path.
        unfinished: those that are not.
    """

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            UsageError: there is no dataset, or no finished run in it.
            FailureError: a run's checksums can't be read.
        """
        whole = Folder(path)
        self.name, self.path = whole.name, whole.path
        self.runs = manifest.finished(whole.path)
        begun = {part.run for part in map(manifest.PartPath.parse, whole.parts("axes")) if part}
        self.unfinished = sorted(begun - {*self.runs})
        if not self.runs:
            raise UsageError(f"no run in {path} is finished: the command that began one completes it")
        self.sums = {part: sha256 for run in self.runs for part, sha256 in manifest.read(self.path, run).items()}

    def parts(self, table: str) -> list[str]:
        return [path for path in self.sums if path.startswith(f"{table}/")]

    def scan(self, table: str) -> str:
        files = ", ".join(literal(_glob_literal(self.path / part)) for part in self.parts(table))
        return f"read_parquet([{files}], {self._options(table)})"


def _inside(folder: Path, beginning: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, if it is one, and is called so."""
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if entry.name.startswith(beginning)]
    except (FileNotFoundError, NotADirectoryError):
        return


def _glob_literal(path: Path) -> str:
    """The folder as a glob pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
