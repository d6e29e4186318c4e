"""The shards of a run as one run: which files become which, and the run's row."""

import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.atomic_file import draft_of, sync_folder
from jacdb.dataset import joining
from jacdb.dataset.encoding import write_table
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.shards import FinishedShard
from jacdb.errors import FailureError
from jacdb.merging import file_copies
from jacdb.progress import Event

# Columns of `runs` that are of each shard; all others have to be equal
SUMMED = ("episodes", "n_rows", "n_excluded", "n_recomputed", "seconds")
LARGEST = ("steps", "num_envs")  # a recording's longest episode; machines of several sizes
FIRST = ("started",)


def row(pieces: Sequence[FinishedShard]) -> dict[str, Any]:
    """Return the row of the run in `runs`.

    Args:
        pieces: all of its shards, in order.

    Raises:
        FailureError: they differ in what determines the run's rows.
    """
    rows = [piece.row for piece in pieces]
    whole = dict(rows[0])
    for piece, other in zip(pieces[1:], rows[1:], strict=True):
        differ = [name for name in whole if name not in (*SUMMED, *LARGEST, *FIRST) and whole[name] != other.get(name)]
        if differ:
            raise FailureError(
                f"run {whole['run_id']} of {whole['env']}: shards {pieces[0].begun.shard.index} and"
                f" {piece.begun.shard.index} differ in {', '.join(differ)}: they are of two runs"
            )
    whole |= {name: sum(one[name] for one in rows) for name in SUMMED}
    whole |= {name: max(one[name] for one in rows) for name in LARGEST}
    return whole | {name: min(one[name] for one in rows) for name in FIRST}


@dataclass
class ShardUnion:
    """Puts the files of all shards of a run into a dataset; parts are numbered through, in the order of shards.

    Attributes:
        out: the dataset's folder.
        run: the run, held by this process.
        pieces: all of its shards, in order; their checksums have been compared.
        report: called with progress.
    """

    out: Path
    run: Run
    pieces: Sequence[FinishedShard]
    report: Callable[[Event], None]
    _sums: dict[str, str] = field(default_factory=dict, init=False)
    _patterns: set[int] = field(default_factory=set, init=False)  # that are there

    def put(self) -> dict[str, str]:
        """Put the files, and return their checksums by path; the run is held to the dataset's others by its first part.

        Raises:
            UsageError: it can't be in the dataset; what was put is removed again.
        """
        numbered = self._numbered()
        planned: dict[str, str | None] = {self.run.partials: None}  # others' are written over
        for piece, old, new in numbered:
            planned |= {self._path(table, new): None for table in ("patterns", "episodes")}
            planned[self._path("steps", new)] = self._sum(piece, "steps", old)
        file_copies.clear_others(self.out, self.run, planned)
        with joining.taken_back_if_refused(self.out, self.out, self.run):
            for path in (self.run.model, self._path("axes", 0)):
                if path in self.pieces[0].sums:
                    self._put(self.pieces[0], path, path)
            for done, (piece, old, new) in enumerate(numbered):
                self.report(Event("merging", done, len(numbered), "parts"))
                self._put_patterns(piece, old, new)
                self._put(piece, self._path("steps", old), self._path("steps", new))
                if not done:
                    joining.check(self.out, self.out, self.run)
                self._put_episodes(piece, old, new)
        return self._sums

    def _numbered(self) -> list[tuple[FinishedShard, int, int]]:
        """Return every part of every shard: its number there, and its number in the run."""
        own = [(piece, part.number) for piece in self.pieces for part in self._parts(piece) if part.table == "episodes"]
        return [(piece, old, new) for new, (piece, old) in enumerate(own)]

    def _parts(self, piece: FinishedShard) -> list[PartPath]:
        return sorted(part for part in map(PartPath.parse, piece.sums) if part)

    def _put_patterns(self, piece: FinishedShard, old: int, new: int) -> None:
        """Put those patterns of a part that no part before has; where it has none, no other writer's stay."""
        path, place = self._path("patterns", old), self._path("patterns", new)
        there = path in piece.sums
        table = _read(piece.begun.root / path, schemas.PATTERNS) if there else schemas.PATTERNS.schema.empty_table()
        ids = table["pattern_id"].to_pylist()
        unknown = [pattern not in self._patterns for pattern in ids]
        self._patterns.update(ids)
        if not any(unknown):
            (self.out / place).unlink(missing_ok=True)
        elif all(unknown):
            self._put(piece, path, place)
        else:
            self._write(place, table.filter(pa.array(unknown)))

    def _put_episodes(self, piece: FinishedShard, old: int, new: int) -> None:
        """Put the rows of a part's episodes, which name the part."""
        path = self._path("episodes", old)
        if old == new:
            self._put(piece, path, path)
            return
        table = _read(piece.begun.root / path, schemas.EPISODES)
        place = table.schema.get_field_index("part")
        number = pa.array([new] * len(table), pa.int32())
        self._write(self._path("episodes", new), table.set_column(place, table.schema.field(place), number))

    def _put(self, piece: FinishedShard, path: str, new: str) -> None:
        file_copies.put(piece.begun.root / path, self.out, self.run, new, piece.sums[path])
        self._sums[new] = piece.sums[path]

    def _write(self, path: str, table: pa.Table) -> None:
        final = self.out / path
        final.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(self.out / self.run.journal / path.replace("/", "-")) as draft:
            self._sums[path] = write_table(draft, table)
            draft.replace(final)
        sync_folder(final.parent)

    def _path(self, table: str, number: int) -> str:
        return f"{self.run.folder(table)}/part-{number:05d}.parquet"

    def _sum(self, piece: FinishedShard, table: str, number: int) -> str:
        try:
            return piece.sums[self._path(table, number)]
        except KeyError:
            raise FailureError(f"{piece.begun.mark} names no part {number} of {table}") from None


def check_episodes(pieces: Sequence[FinishedShard]) -> None:
    """Refuse shards that have an episode twice.

    Raises:
        FailureError: they do.
    """
    numbers: collections.Counter[int] = collections.Counter()
    for piece in pieces:
        for path in piece.sums:
            part = PartPath.parse(path)
            if part and part.table == "episodes":
                with pq.ParquetFile(piece.begun.root / path) as file:
                    numbers.update(file.read(["episode"])["episode"].to_pylist())
    if twice := sorted(number for number, times in numbers.items() if times > 1):
        run = pieces[0].begun.run
        raise FailureError(f"run {run.run_id} of {run.env}: episode {twice[0]} is in two shards: make these anew")


def _read(path: Path, table: schemas.Table) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read().cast(table.schema)
