"""A dataset on the Hub, read in place: small tables are fetched whole, of steps and episodes only the bytes needed."""

import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
from huggingface_hub import HfFileSystem, snapshot_download
from huggingface_hub.hf_file_system import HfFileSystemFile

from jacdb import hub, hub_names
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import CURRENT, PartPath, the_one
from jacdb.dataset.sql_text import literal
from jacdb.errors import UsageError

SCHEME = "hf://"
SMALL = (
    "axes",
    "patterns",
    "runs",
    "learning_runs",
    "learning_scores",
)  # tables kept in the Hub's cache; most statistics need these and few columns
READ_AHEAD = 4 * 2**10  # bytes; the ids of a row group take less
THREADS = 16  # each waits for the network most of the time


class RemoteFolder(Folder):
    """A dataset in a repository on the Hub, at the commit of its revision when it was opened."""

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
        parts = filter(None, map(PartPath.parse, self._snapshot.files))
        self.layout = the_one((part.run.layout.key for part in parts), url) or CURRENT
        if not self.parts("axes"):
            raise UsageError(f"no dataset in {url}: publish one there with `jacdb publish {name}`")
        with hub.explained(name, revision):
            small = snapshot_download(
                name,
                repo_type="dataset",
                revision=self._snapshot.commit,
                allow_patterns=[f"{table}/{self.layout.parts}" for table in SMALL],
                tqdm_class=hub.Silent,
            )
        self.path = Path(small)
        self._files = _PinnedFileSystem(self._at, self._snapshot)

    def parts(self, table: str) -> list[str]:
        paths = ((path, PartPath.parse(path)) for path in self._snapshot.files)
        return sorted(path for path, part in paths if part and part.table == table)

    def open(self, part: str) -> pa.NativeFile | BinaryIO:
        return self._files.open(f"{self._at}/{part}", "rb")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(self._files)
        connection.execute(f"set threads = {THREADS}")
        connection.execute("set parquet_metadata_cache = true")
        super().attach(connection)

    def scan(self, table: str) -> str:
        if table in SMALL:
            return super().scan(table)
        pattern = literal(f"{SCHEME}{self._at}/{table}/{self.layout.parts}")
        return f"read_parquet({pattern}, {self._options(table)})"

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
            return super()._fetch_range(start, end)
