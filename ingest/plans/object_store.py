"""Finished shards in an object store, or at any address of fsspec: left there by nodes, fetched by who waits for them.

A store is laid out as a dataset's folder is, ``URL/shards/1-of-4/steps/environment=…``. A shard's mark
(:mod:`jacdb.dataset.shards`) comes last and goes first: where it is, all of the shard is.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jacdb import merging
from jacdb.dataset import integrity
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import SHARDS, Shard
from jacdb.dataset.shards import BegunShard, FinishedShard
from jacdb.errors import FailureError, JacdbError, UsageError, first_line
from jacdb.ingest.plans.scratch_folder import scratch_folder
from jacdb.ingest.requested_run import Report
from jacdb.merging import file_copies
from jacdb.progress import Event

TABLES = (*file_copies.ORDER, "journal")  # the folders that a shard may have files in
_WILDCARDS = frozenset("*?[]")  # fsspec expands them in paths to remove, but for local ones; no name in a shard has any
_TEXT = b"jacdb wrote this to see whether it may, and will remove it\n"


@dataclass(frozen=True)
class ObjectStore:
    """A place that all nodes and the one who waits for them can write.

    Attributes:
        url: its address, ``s3://BUCKET/PREFIX`` say.
    """

    url: str

    def check(self) -> None:
        """Refuse a store that can't be written, read and cleared, by doing so with a small file.

        Raises:
            UsageError: there is no such protocol, its package is not installed, or the store refuses.
        """
        files, root = self._opened
        path = f"{root}/jacdb-{uuid.uuid4().hex}.txt"
        try:
            with tempfile.NamedTemporaryFile() as small:
                small.write(_TEXT)
                small.flush()
                files.put_file(small.name, path)
            files.invalidate_cache()
            read = files.cat_file(path) if files.find(path) else b""
            files.rm_file(path)
        except Exception as error:  # each file system has errors of its own
            raise UsageError(
                f"--store {self.url} can't be written ({_reason(error)}): make it, or give credentials that may write,"
                " read and remove there"
            ) from error
        if read != _TEXT:
            raise UsageError(f"--store {self.url} does not keep what is written to it: give another")

    def has(self, run: Run, shard: Shard) -> bool:
        """Return whether a shard is there, whole.

        Raises:
            FailureError: the store does not say.
        """
        files, _ = self._opened
        with self._told(f"{self.url} does not say whether {shard.words} is there"):
            files.invalidate_cache()  # of what others have written meanwhile
            return bool(files.exists(self._path(shard, _mark(run))))

    def send(self, piece: FinishedShard) -> None:
        """Put a finished shard into the store, its mark last.

        Raises:
            FailureError: it can't be sent.
        """
        files, _ = self._opened
        root, run, shard = piece.begun
        self.remove(run, shard)  # what a node that was lost had sent of it
        for path in (*file_copies.in_order(piece.sums), _mark(run)):
            with self._told(f"{shard.words} of run {run.run_id} could not be sent to {self.url}"):
                files.put_file(os.fspath(root / path), self._path(shard, path))

    def fetch(self, run: Run, shard: Shard, data: Path, report: Report) -> None:
        """Move a shard from the store into a dataset's folder, each of its checksums compared.

        Raises:
            UsageError: another process is at work on the shard.
            FailureError: it can't be fetched, or a file of it is damaged; then it is removed from the store.
        """
        (data / SHARDS).mkdir(parents=True, exist_ok=True)
        with scratch_folder(data / SHARDS) as folder:
            begun = BegunShard(shard.root(folder), run, shard)
            self._get(begun, _mark(run))
            try:
                sums = begun.read().sums
            except FailureError as error:
                raise self._damaged(begun, _mark(run), str(error).replace(str(begun.mark), "it")) from error
            for done, path in enumerate(file_copies.in_order(sums)):
                report(Event(f"fetching {shard.words}", done, len(sums), "files"))
                self._get(begun, path)
                if wrong := integrity.check_file(begun.root / path, path, sums[path]):
                    raise self._damaged(begun, path, wrong)
            merging.take(begun, data, report)
        self.remove(run, shard)

    def remove(self, run: Run, shard: Shard) -> None:
        """Remove what there is of a shard; where there is nothing, do nothing.

        Raises:
            FailureError: it can't be removed.
        """
        files, _ = self._opened
        with self._told(f"{shard.words} of run {run.run_id} can't be removed from {self.url}"):
            files.invalidate_cache()
            mark = self._path(shard, _mark(run))
            if files.exists(mark):
                files.rm_file(mark)
            for table in TABLES:
                if found := files.find(self._path(shard, run.folder(table))):
                    files.rm(found)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path in it.

        Raises:
            UsageError: there is none.
        """
        import fsspec  # huggingface_hub brings it

        protocol, colon, _ = self.url.partition("://")
        if not colon or protocol == "memory":
            raise UsageError(f"--store {self.url}: give an address that all nodes can write, s3://BUCKET/PREFIX say")
        is_local = protocol in ("file", "local")
        if not is_local and set(self.url) & _WILDCARDS:
            raise UsageError(
                f"--store {self.url}: * ? [ ] would stand for other names, too, where files are removed: give a prefix"
                " without them"
            )
        options = {"auto_mkdir": True} if is_local else {}
        try:
            files, root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            missing = getattr(error.__cause__ or error, "name", None) or str(error)
            raise UsageError(f"--store {self.url} needs a package: pip install {missing.partition('.')[0]}") from error
        except Exception as error:  # unknown protocols are a ValueError; others check what the address says
            raise UsageError(f"--store {self.url}: {first_line(error)}: give an address that fsspec knows") from error
        if not (root := str(root).rstrip("/")):
            raise UsageError(f"--store {self.url} names no bucket or folder: give s3://BUCKET/PREFIX, say")
        return files, root

    def _path(self, shard: Shard, path: str) -> str:
        """Return where a file of a shard is, given its path below the shard's folder."""
        return f"{self._opened[1]}/{shard.folder}/{path}"

    def _address(self, shard: Shard, path: str) -> str:
        """Return the address of a file of a shard, for messages."""
        return f"{self.url.rstrip('/')}/{shard.folder}/{path}"

    def _get(self, begun: BegunShard, path: str) -> None:
        """Fetch a file of a shard into a folder.

        Raises:
            FailureError: it can't be fetched.
        """
        target = begun.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        files, _ = self._opened
        with self._told(
            f"{self._address(begun.shard, path)} could not be fetched", "; it stays there, for the same command"
        ):
            try:
                files.get_file(self._path(begun.shard, path), os.fspath(target))
            except FileNotFoundError:
                raise self._damaged(begun, path, "it is missing") from None

    def _damaged(self, begun: BegunShard, path: str, wrong: str) -> FailureError:
        """Remove a shard, a file of which is damaged, and return what is to be said of it."""
        self.remove(begun.run, begun.shard)
        return FailureError(
            f"{self._address(begun.shard, path)}: {wrong}; its shard was removed from the store, to be made anew"
        )

    @contextlib.contextmanager
    def _told(self, what: str, after: str = "") -> Iterator[None]:
        """Tell failures of the store in one line.

        Raises:
            FailureError: in their place.
        """
        try:
            yield
        except JacdbError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise FailureError(f"{what} ({_reason(error)}){after}") from error


def _mark(run: Run) -> str:
    """Return the path of a shard's mark, below the shard's folder."""
    return BegunShard(Path(), run, Shard(0, 1)).mark.as_posix()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
