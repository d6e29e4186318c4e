"""A dataset on the Hub, read in place: small tables are fetched whole, of steps and episodes only the bytes needed."""

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
from huggingface_hub import HfFileSystem, snapshot_download
from huggingface_hub.hf_file_system import HfFileSystemFile

from jacdb import hub, hub_names
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import CURRENT, PartPath, Run, the_one
from jacdb.dataset.sql_text import literal
from jacdb.errors import FailureError, UsageError

SCHEME = "hf://"
# tables kept in the Hub's cache, once a query needs them
SMALL = ("axes", "patterns", "runs", "partials", "learning_runs", "learning_scores")
READ_AHEAD = 4 * 2**10  # bytes; the ids of a row group take less
THREADS = 16  # each waits for the network most of the time


class RemoteFolder(Folder):
    """A dataset in a repository on the Hub, at the commit of its revision when it was opened."""

    is_remote = True

    def __init__(self, url: str) -> None:
        """
        Args:
            url: ``hf://datasets/OWNER/NAME[@REVISION]``.

        Raises:
            UsageError: there is no such repository or revision, or no dataset in it.
            FailureError: the Hub can't be reached.
        """
        name, revision = hub_names.parse_url(url)
        self._snapshot = hub.Snapshot.take(name, revision)
        self.name = url
        self._at = f"datasets/{name}@{self._snapshot.commit}"
        self._fetched: set[str] = set()
        parts = {path: part for path in self._snapshot.files if (part := PartPath.parse(path)) and part.counts}
        self._files_of_tables = sorted(parts)
        self.layout = the_one((part.run.layout.key for part in parts.values()), url) or CURRENT
        if not self.parts("axes"):
            raise UsageError(f"no dataset in {url}: publish one there with `jacdb publish {name}`")
        with hub.explained(name, revision):
            small = snapshot_download(
                name,
                repo_type="dataset",
                revision=self._snapshot.commit,
                allow_patterns=[f"axes/{self.layout.parts}"],
                tqdm_class=hub.Silent,
            )
        self.path = Path(small)
        self._files = _PinnedFileSystem(self._at, self._snapshot)

    def parts(self, table: str) -> list[str]:
        return [path for path in self._files_of_tables if path.startswith(f"{table}/")]

    def uncommitted(self, table: str, runs: Iterable[Run] | None = None) -> set[str]:
        return set()  # only finished runs are published

    def environments(self, table: str) -> list[str]:
        return sorted({path.split("/")[1].partition("=")[2] for path in self.parts(table)})

    def begun(self) -> list[Run]:
        return sorted({part.run for part in map(PartPath.parse, self.parts("axes")) if part})

    def parts_of(self, table: str, runs: Iterable[Run]) -> list[str]:
        folders = {run.folder(table) for run in runs}
        return [part for part in self.parts(table) if part.rpartition("/")[0] in folders]

    def read(self, path: str) -> bytes:
        if path not in self._snapshot.files:
            raise FileNotFoundError(path)
        self._fetch(f"partials/{self.layout.parts}", Run("*", "*", self.layout).manifest)
        return super().read(path)

    def stamp(self, path: str) -> tuple[int, ...] | None:
        stored = self._snapshot.files.get(path)
        return (0, stored.size, 0) if stored else None  # a commit never changes

    def model(self, run: Run) -> Path | None:
        if run.model not in self._snapshot.files:
            return None
        self._fetch(run.model)
        return super().model(run)

    def own_file(self, part: str) -> Path | None:
        return None

    def _fetch(self, *patterns: str) -> None:
        """Fetch small files into the Hub's cache, once."""
        if self._fetched.issuperset(patterns):
            return
        with hub.explained(self._snapshot.name, self._snapshot.commit):
            snapshot_download(
                self._snapshot.name,
                repo_type="dataset",
                revision=self._snapshot.commit,
                allow_patterns=[*patterns],
                tqdm_class=hub.Silent,
            )
        self._fetched.update(patterns)

    def open(self, part: str) -> pa.NativeFile | BinaryIO:
        return self._files.open(f"{self._at}/{part}", "rb")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(self._files)
        connection.execute(f"set threads = {THREADS}")
        connection.execute("set parquet_metadata_cache = true")
        super().attach(connection)

    def scan(self, table: str, parts: Sequence[str] | None = None) -> str:
        if table in SMALL:
            self._fetch(f"{table}/{self.layout.parts}")
            return super().scan(table, parts)
        globs = [f"{table}/{self.layout.parts}"] if parts is None else parts
        patterns = ", ".join(literal(f"{SCHEME}{self._at}/{glob}") for glob in globs)
        return f"read_parquet([{patterns}], {self._options(table)})"

    def dtypes(self) -> set[str]:
        self._fetch(f"runs/{self.layout.parts}")
        return super().dtypes()

    def _readable(self) -> list[str]:
        # the files of a snapshot are links into the repository's folder in the Hub's cache
        return [*super()._readable(), str(self.path.parents[1].resolve()), f"{SCHEME}{self._at}"]


class _PinnedFileSystem(HfFileSystem):
    """The Hub's file system at one commit; it needs no listing requests, and reads little more than is asked for."""

    cachable = False

    def __init__(self, at: str, snapshot: hub.Snapshot) -> None:
        super().__init__()
        self._sizes = {f"{at}/{path}": stored.size for path, stored in snapshot.files.items()}

    def glob(self, path: str, maxdepth: int | None = None, **_: Any) -> list[str]:
        pattern = self._strip_protocol(path)
        depth = pattern.count("/")  # PurePath.match compares only the end of a path
        return sorted(name for name in self._sizes if name.count("/") == depth and PurePosixPath(name).match(pattern))

    def info(self, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name not in self._sizes:
            raise FileNotFoundError(name)
        return {"name": name, "size": self._sizes[name], "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self._sizes

    isfile = exists

    def isdir(self, path: str) -> bool:
        return False

    def modified(self, path: str, **_: Any) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)  # a commit never changes

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> HfFileSystemFile:
        return _File(self, path, mode=mode, block_size=READ_AHEAD, cache_type="readahead")


class _File(HfFileSystemFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        with hub.explained(self.path):
            content = super()._fetch_range(start, end)
        if len(content) != end - start:  # such as the whole file, by a proxy that knows no ranges: other bytes
            raise FailureError(
                f"{self.path}: {end - start:,} bytes were asked for, and {len(content):,} came: repeat the command, or"
                " `jacdb pull` the dataset"
            )
        return content
