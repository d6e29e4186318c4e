"""The names of a dataset's files, ``<table>/environment=<Env>/run=<run_id>/part-00000.parquet``, and of version 1's.

Versions 2 and 3 name their files alike: which of them a file is of, its own metadata say.

The key of an environment's folders is no column of the files, or readers that know hive partitions would meet it twice.
Below a table's folder lie its parts and nothing else, for many readers take whatever they find there. What else there
is of a run lies beside the tables, in ``journal/environment=<Env>/run=<run_id>``: its checksums, log, lock and drafts.
The model of a run that is of none of Playground's environments is ``models/environment=<Env>/run=<run_id>/model.mjb``.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from jacdb import schemas
from jacdb.errors import UsageError

_WORD = "[A-Za-z0-9._-]{1,128}"
_TABLES = "|".join(table.name for table in schemas.ALL_TABLES)


PARTS = "part-[0-9][0-9][0-9][0-9][0-9].parquet"  # a glob pattern
ONE_PART = "part-00000.parquet"  # of a table of which a run has one part
OF_ONE_PART = {table.name for table in schemas.RESULTS}
MANIFEST = "SHA256SUMS"  # a finished run's checksums
MODELS, MODEL = "models", "model.mjb"  # a run's MuJoCo model: its folder, and its name in the run's own
PROGRESS, LOG = "progress.json", "ingest.log"  # how far an unfinished run is, and what its ingests did


class Layout(NamedTuple):
    """The names of some schema versions.

    Attributes:
        versions: the schema versions, the newest last.
        key: of the folders of environments, KEY=Env.
        journal: the folder above runs' checksums, progress and logs.
        locks: the folder above their locks.
        lock: the file that a run's writer holds.
    """

    versions: tuple[int, ...]
    key: str
    journal: str
    locks: str
    lock: str

    @property
    def words(self) -> str:
        """The versions in words: "2 or 3"."""
        return " or ".join(map(str, self.versions))

    @property
    def parts(self) -> str:
        """A glob pattern of a table's files, below its folder."""
        return f"{self.key}=*/run=*/{PARTS}"

    def parts_of(self, table: str) -> str:
        """Return a glob pattern of the files of a table that count, below its folder: a learning run has one part."""
        return f"{self.key}=*/run=*/{ONE_PART}" if table in OF_ONE_PART else self.parts


VERSION_1 = Layout((1,), "env", "runs", "axes", ".lock")
CURRENT = Layout((2, schemas.SCHEMA_VERSION), "environment", "journal", "journal", "lock")
LAYOUTS = (VERSION_1, CURRENT)
_BY_KEY = {layout.key: layout for layout in LAYOUTS}
_KEYS = "|".join(_BY_KEY)
_PART = re.compile(
    rf"(?P<table>{_TABLES})/(?P<key>{_KEYS})=(?P<env>{_WORD})/run=(?P<run_id>{_WORD})/part-(?P<number>[0-9]{{5}})\.parquet"
)
_MODEL = re.compile(rf"{MODELS}/(?P<key>{_KEYS})=(?P<env>{_WORD})/run=(?P<run_id>{_WORD})/{MODEL}")
_MANIFEST = re.compile(rf"(?:runs|journal)/(?P<key>{_KEYS})=(?P<env>{_WORD})/run=(?P<run_id>{_WORD})/{MANIFEST}")


class Run(NamedTuple):
    """A run, identified by its environment and its id, in a layout."""

    env: str
    run_id: str
    layout: Layout = CURRENT

    def folder(self, table: str) -> str:
        """Return the folder of the run's parts of a table, as a path below the dataset's folder."""
        return f"{table}/{self.layout.key}={self.env}/run={self.run_id}"

    @property
    def journal(self) -> str:
        """The folder of its checksums, progress and log, below the dataset's folder."""
        return self.folder(self.layout.journal)

    @property
    def model(self) -> str:
        """The path of its MuJoCo model, compiled, below the dataset's folder; runs of Playground's have none."""
        return f"{self.folder(MODELS)}/{MODEL}"

    @property
    def manifest(self) -> str:
        """The path of its checksums, below the dataset's folder."""
        return f"{self.journal}/{MANIFEST}"

    @property
    def partials(self) -> str:
        """The path of what its steps add up to, below the dataset's folder."""
        return f"{self.folder('partials')}/part-00000.parquet"

    @property
    def lock(self) -> str:
        """The path of its lock, below the dataset's folder."""
        return f"{self.folder(self.layout.locks)}/{self.layout.lock}"

    @property
    def row(self) -> str:
        """The path of its row in `runs`, below the dataset's folder."""
        return f"{self.folder('runs')}/part-00000.parquet"

    @classmethod
    def from_model(cls, path: str) -> Self | None:
        """Return the run whose MuJoCo model has this path; None if the path is not a model's."""
        match = _MODEL.fullmatch(path)
        return cls(match["env"], match["run_id"], _BY_KEY[match["key"]]) if match else None

    @classmethod
    def from_manifest(cls, path: str) -> Self | None:
        """Return the run whose manifest has this path; None if the path is not a manifest's."""
        match = _MANIFEST.fullmatch(path)
        run = cls(match["env"], match["run_id"], _BY_KEY[match["key"]]) if match else None
        return run if run and path == run.manifest else None


class PartPath(NamedTuple):
    """The path of a part, which is a Parquet file of a dataset, taken apart."""

    table: str
    run: Run
    number: int

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Take apart a path below a dataset's folder; return None if it is not a part's."""
        match = _PART.fullmatch(path)
        if not match:
            return None
        run = Run(match["env"], match["run_id"], _BY_KEY[match["key"]])
        return cls(match["table"], run, int(match["number"]))

    @property
    def counts(self) -> bool:
        """Return whether views read it: a learning run has one part, and what lies beside it would double its rows."""
        return self.number == 0 or self.table not in OF_ONE_PART


def layout_of(root: Path) -> Layout | None:
    """Return the layout of the dataset in a folder; None if nothing is in it.

    Raises:
        UsageError: the folder mixes two.
    """
    tables = (root / table.name for table in schemas.TABLES)
    return the_one((path.name.partition("=")[0] for top in tables if top.is_dir() for path in top.iterdir()), str(root))


def the_one(keys: Iterable[str], name: str) -> Layout | None:
    """Return the layout that has these keys; None if none of them is a layout's.

    Args:
        keys: of the folders below tables.
        name: of the dataset, for messages.

    Raises:
        UsageError: they are of two layouts.
    """
    found = sorted({_BY_KEY[key] for key in keys if key in _BY_KEY})
    if len(found) > 1:
        keys_found = " and ".join(f"{layout.key}=… (schema version {layout.words})" for layout in found)
        raise UsageError(f"{name} mixes {keys_found}: move the files of one version into a folder of their own")
    return found[0] if found else None
