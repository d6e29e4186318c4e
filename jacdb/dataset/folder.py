"""A dataset in a local folder: its files, and how DuckDB and Arrow read them."""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import out_path, schemas
from jacdb.dataset import listing, manifest
from jacdb.dataset.layout import CURRENT, OF_ONE_PART, ONE_PART, PartPath, Run, layout_of
from jacdb.dataset.shard import SHARDS
from jacdb.dataset.sql_text import literal
from jacdb.errors import FailureError, UsageError, first_line


class Folder:
    """A dataset in a local folder.

    Attributes:
        name: the path as it was given, for messages.
        path: the folder, absolute.
        layout: the names of its files.
        is_remote: whether it is on the Hub.
        is_still: whether parts that come later do not count.
    """

    is_remote = is_still = False

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            UsageError: there is no dataset, or it mixes two layouts.
        """
        self.name, quoted = str(path), shlex.quote(str(path))
        self.path = Path(path).resolve()
        if not self.path.exists():
            out_path.check_no_address(path)
            raise UsageError(f"no dataset at {path}: make one with `jacdb ingest --env … --data {quoted}`")
        if not self.path.is_dir():
            raise UsageError(f"{path} is a file: give the folder of a dataset")
        out_path.check_no_backslash(path)
        self.layout = layout_of(self.path) or CURRENT
        if not self.has("axes") and not self.has("learning_runs"):  # results may be kept without their rows
            if (self.path / SHARDS).is_dir():
                raise UsageError(f"{path} has shards of runs and no run yet: `jacdb runs --data {quoted}` says which")
            if within := _datasets_in(self.path):
                there = " or ".join(f"--data {shlex.quote(str(Path(path) / name))}" for name in within)
                raise UsageError(f"no dataset in {path} itself: give {there}")
            raise UsageError(f"no dataset in {path}: make one with `jacdb ingest --env … --data {quoted}`")

    def parts(self, table: str) -> list[str]:
        """Return the parts of a table, sorted, as paths below the dataset's folder."""
        return sorted(self._stored(table) - self.uncommitted(table))

    def _stored(self, table: str) -> set[str]:
        """Return the parts of a table, whether they count or not."""
        above = len(str(self.path)) + 1
        return {part.path[above:] for _, run in self._runs(table) for part in self._parts_of_run(table, run.path)}

    def uncommitted(self, table: str, runs: Iterable[Run] | None = None) -> set[str]:
        """Return the parts of `steps` that do not count yet, as paths below the dataset's folder; of others none.

        A part's rows in `episodes` come last, and say that all of it is there. Without them a writer is between the
        two, or was stopped there, or a removal was. What a finished run lacks is a fault, which `Completeness` finds.

        Args:
            table: the table.
            runs: of these runs alone; None for all.
        """
        if table != "steps":
            return set()
        if runs is None:
            runs = self.with_folder_in(table)
        found: set[str] = set()
        for run in runs:
            if not os.path.exists(f"{self.path}/{run.row}"):  # noqa: PTH110 (a Path takes three times as long)
                names = (
                    {part.name for part in listing.parts(self.path / run.folder(of))} for of in (table, "episodes")
                )
                found |= {f"{run.folder(table)}/{name}" for name in set.difference(*names)}
        return found

    def has(self, table: str) -> bool:
        """Return whether a table has a part."""
        return bool(self.environments(table))

    def environments(self, table: str) -> list[str]:
        """Return the environments of which a table has a part, sorted: the first that is found will do."""
        found: set[str] = set()
        for env, run in self._runs(table):
            if env not in found and self._parts_of_run(table, run.path):
                found.add(env)
        return sorted(found)

    def begun(self) -> list[Run]:
        """Return the runs that have files, finished or not, sorted: by the names of their folders."""
        return sorted({run for table in ("axes", "steps") for run in self.with_folder_in(table)})

    def with_folder_in(self, table: str) -> list[Run]:
        """Return the runs that have a folder in a table, whatever is in it."""
        return [Run(env, folder.name[len("run=") :], self.layout) for env, folder in self._runs(table)]

    def read(self, path: str) -> bytes:
        """Return the bytes of a small file, given its path below the dataset's folder.

        Raises:
            OSError: it can't be read.
        """
        with open(f"{self.path}/{path}", "rb") as stream:  # noqa: PTH123 (a Path takes three times as long)
            return stream.read()

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """Return what differs when a file is another one than before; None if there is none."""
        try:
            about = os.stat(f"{self.path}/{path}")  # noqa: PTH116 (a Path takes three times as long)
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size, about.st_ino

    def model(self, run: Run) -> Path | None:
        """Return the file of the MuJoCo model that a run keeps; None if it keeps none."""
        path = self.path / run.model
        return path if path.is_file() else None

    def own_file(self, part: str) -> Path | None:
        """Return the file of a part, for others to read; None where the dataset is on the Hub.

        Raises:
            UsageError: it is a link out of the dataset's folder, or no file: what it leads to is nobody else's.
        """
        path = (self.path / part).resolve()
        if not path.is_relative_to(self.path) or not path.is_file():
            raise UsageError(f"{part} is a link out of the dataset's folder, or no file: it is not given to a page")
        return path

    def open(self, part: str) -> pa.NativeFile | BinaryIO:
        """Open a part for reading; threads that read it at the same time each open it."""
        return pa.OSFile(str(self.path / part))

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Allow a connection to read this folder, the parts that links in it lead to now, and nothing else."""
        folders = ", ".join(literal(f"{folder}/") for folder in self._readable())
        connection.execute(f"set allowed_directories = [{folders}]")
        if linked := ", ".join(map(literal, self._linked_parts())):
            connection.execute(f"set allowed_paths = [{linked}]")
        connection.execute("set enable_external_access = false")

    def scan(self, table: str, parts: Sequence[str] | None = None) -> str:
        """Return SQL that reads a table's files, for DuckDB's FROM.

        Args:
            table: its name.
            parts: read only these, at least one; None for all that there are whenever it is read.
        """
        # The files hold the partition columns: a folder called env=… above the dataset must not replace them.
        above = _glob_literal(self.path)
        globs = [f"{table}/{self.layout.parts_of(table)}"] if parts is None else parts
        patterns = ", ".join(literal(f"{above}/{glob}") for glob in globs)
        return f"read_parquet([{patterns}], {self._options(table)})"

    def parts_of(self, table: str, runs: Iterable[Run]) -> list[str]:
        """Return the parts of some runs in a table, as paths below the dataset's folder."""
        runs = [*runs]
        folders = [run.folder(table) for run in runs]
        found = [f"{folder}/{part.name}" for folder in folders for part in listing.parts(self.path / folder)]
        uncommitted = self.uncommitted(table, runs)
        return [part for part in found if part not in uncommitted]

    def _options(self, table: str) -> str:
        # union_by_name keeps the digits of float64 runs beside float32 ones. It is off otherwise, for DuckDB then reads
        # every footer each time a view is named.
        by_name = table == "steps" and len(self.dtypes()) > 1
        return f"hive_partitioning = false, union_by_name = {str(by_name).lower()}"

    def dtypes(self) -> set[str]:
        """Return the types in which matrices are stored, float32 or float64; of unfinished runs, by a part.

        Raises:
            FailureError: a file can't be read.
        """
        try:
            kinds = {dtype for part in self.parts("runs") for dtype in self._read(part, "dtype").to_pylist()}
            finished = {part.split("/", 1)[1].rpartition("/")[0] for part in self.parts("runs")}
            begun = {part.split("/", 1)[1].rpartition("/")[0]: part for part in self.parts("steps")}
            for run in begun.keys() - finished:
                with self.open(begun[run]) as stream:
                    kinds.add(schemas.dtype_of_steps(pq.read_schema(stream)))
        except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise FailureError(f"{self.name} can't be read: {first_line(error)}") from error
        return kinds

    def _read(self, part: str, column: str) -> pa.ChunkedArray:
        with pq.ParquetFile(self.path / part) as file:  # not read_table: it imports pandas
            return file.read([column]).column(0)

    def _linked_parts(self) -> Iterator[str]:
        """Yield where the parts of tables with links are, one by one: beside them may lie anything."""
        for table in schemas.ALL_TABLES:
            if listing.has_link(f"{self.path}/{table.name}"):
                yield from (os.path.realpath(f"{self.path}/{part}") for part in self.parts(table.name))

    def _runs(self, table: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the folders of a table's runs, each with its environment."""
        return listing.run_folders(f"{self.path}/{table}", self.layout.key)

    def _parts_of_run(self, table: str, folder: str) -> list[os.DirEntry[str]]:
        """Return the parts of a table in a run's folder that views read."""
        found = listing.parts(folder)
        return [part for part in found if part.name == ONE_PART] if table in OF_ONE_PART else found

    def _readable(self) -> list[str]:
        # both spellings: DuckDB compares a pattern with the folders before it expands it
        return [str(self.path), _glob_literal(self.path)]


def _datasets_in(path: Path) -> list[str]:
    """Return the names of a folder's own folders that are datasets, sorted; at most three."""
    found = [sub.name for sub in path.iterdir() if any((sub / "axes").glob(f"{CURRENT.key}=*"))]
    return sorted(found)[:3]


class StillFolder(Folder):
    """A dataset in a local folder without what comes later: of the files that it has when this is made, those left."""

    is_still = True

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            UsageError: there is no dataset.
        """
        self._files: dict[str, set[str]] | None = None  # while it is None all count
        super().__init__(path)
        self._begun = {*super().begun()}
        self._files = {table.name: {*self.parts(table.name)} for table in schemas.ALL_TABLES}

    def uncommitted(self, table: str, runs: Iterable[Run] | None = None) -> set[str]:
        if self._files is None:
            return super().uncommitted(table, runs)
        if runs is None:
            return self._stored(table) - self._files[table]
        folders = [run.folder(table) for run in runs]
        there = {f"{folder}/{part.name}" for folder in folders for part in listing.parts(self.path / folder)}
        return there - self._files[table]

    def begun(self) -> list[Run]:
        return [run for run in super().begun() if run in self._begun]

    def stamp(self, path: str) -> tuple[int, ...] | None:
        of_table = (self._files or {}).get(path.partition("/")[0])
        return None if of_table is not None and path not in of_table else super().stamp(path)


class FinishedRuns(Folder):
    """A dataset in a local folder, limited to its finished runs.

    Attributes:
        runs: the finished runs.
        sums: the checksums of their parts, by path.
        unfinished: the other runs.
    """

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            UsageError: there is no dataset, or none of its runs is finished.
            FailureError: a run's checksums can't be read.
        """
        folder = Folder(path)
        self.name, self.path, self.layout = folder.name, folder.path, folder.layout
        self.runs = manifest.finished(folder.path)
        begun = {part.run for part in map(PartPath.parse, folder.parts("axes")) if part}
        self.unfinished = sorted(begun - {*self.runs})
        if not self.runs:
            raise UsageError(f"no run in {path} is finished: repeat the `jacdb ingest` command to complete one")
        self.sums = {part: sha256 for run in self.runs for part, sha256 in manifest.read(self.path, run).items()}

    def begun(self) -> list[Run]:
        return self.runs

    def with_folder_in(self, table: str) -> list[Run]:
        return self.runs

    def environments(self, table: str) -> list[str]:
        return sorted({path.split("/")[1].partition("=")[2] for path in self.parts(table)})

    def parts(self, table: str) -> list[str]:
        if table in (result.name for result in schemas.RESULTS):  # no run's checksums name them
            return super().parts(table)
        return [path for path in self.sums if path.startswith(f"{table}/")]

    def parts_of(self, table: str, runs: Iterable[Run]) -> list[str]:
        folders = {run.folder(table) for run in runs}
        return [part for part in self.parts(table) if part.rpartition("/")[0] in folders]

    def scan(self, table: str, parts: Sequence[str] | None = None) -> str:
        return super().scan(table, self.parts(table) if parts is None else parts)


def _glob_literal(path: Path) -> str:
    """Return a glob pattern that matches exactly this path."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
