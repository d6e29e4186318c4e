"""Files of a repository's commit, fetched into a folder and checked: published data is not trusted."""

import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacdb import hub
from jacdb.dataset import integrity, learning_files, manifest
from jacdb.dataset.layout import Run
from jacdb.errors import FailureError
from jacdb.progress import Event

WORKERS = 8  # files fetched at once
MAX_MANIFEST = 2**26  # bytes

_NOT_KEPT = "it was not kept: repeat the command, or ask its owner to publish it again"


@dataclass
class Fetch:
    """A fetch of files of a snapshot into a folder; each file is checked."""

    snapshot: hub.Snapshot
    folder: Path
    report: Callable[[Event], None]
    total: int = 0
    _got: dict[str, int] = field(default_factory=dict)  # bytes by path
    _stopped: bool = False

    def manifest(self, run: Run) -> dict[str, str]:
        """Fetch a run's checksums; check that the Hub has every file that they name, with the same checksum."""
        stored = self.snapshot.files[run.manifest]
        if stored.size > MAX_MANIFEST:
            raise FailureError(f"{run.manifest} has {stored.size:,} bytes: a manifest is smaller")
        text = self.snapshot.fetch(run.manifest, self.folder).read_bytes().decode("ascii", "replace")
        sums = manifest.decode(text, run)
        for path, sha256 in sums.items():
            on_hub = self.snapshot.files.get(path)
            if on_hub is None or on_hub.sha256 not in (None, sha256):
                wrong = "is missing" if on_hub is None else "is not what the run's checksums say"
                raise FailureError(f"{self.snapshot.name}: {path} {wrong}; ask its owner to publish it again")
        return sums

    def parts(self, sums: dict[str, str]) -> None:
        """Fetch and check parts, several at once."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            try:
                list(pool.map(self._part, sums, sums.values()))
            except BaseException:
                self._stopped = True
                pool.shutdown(cancel_futures=True)
                raise

    def learned(self, run: Run) -> str | None:
        """Fetch and check a learning run's scores and its row; return what is wrong with them; None if nothing is."""
        for path in (learning_files.scores_of(run), learning_files.row_of(run)):
            if path not in self.snapshot.files:
                return f"{self.snapshot.name}: {path} is missing; ask its owner to publish it again"
            self.snapshot.fetch(path, self.folder)
        if found := learning_files.problem(self.folder, run):
            (self.folder / found.path).unlink(missing_ok=True)
            return f"{self.snapshot.name}: {found.path}: {found.wrong}; {_NOT_KEPT}"
        return None

    def _part(self, path: str, sha256: str) -> None:
        file = self.snapshot.fetch(path, self.folder, self._meter(path))
        if wrong := integrity.check_file(file, path, sha256):
            file.unlink()
            raise FailureError(f"{self.snapshot.name}: {path}: {wrong}; {_NOT_KEPT}")

    def _meter(self, path: str) -> type[hub.Silent]:
        """Return a progress class that counts the bytes of a download, and stops it when another one has failed."""
        fetch, env = self, path.split("/")[1].partition("=")[2]

        class Meter(hub.Silent):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.count = int(options.get("initial") or 0)

            def update(self, n: float | None = 1) -> None:
                if fetch._stopped:
                    raise FailureError("stopped")
                self.count += int(n or 0)
                fetch._got[path] = max(fetch._got.get(path, 0), self.count)  # Xet sometimes reports a file twice
                fetch.report(Event(f"fetching {env}", sum(fetch._got.values()), fetch.total, "bytes"))

        return Meter
