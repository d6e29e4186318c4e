"""Parquet on disk: whole episodes, whole files, and a dataset that is readable at every moment.

A part is written to a temporary name, synced, and renamed: it exists whole or not at all. One flush writes the
parts of one number in the order patterns, steps, episodes, so that the presence of ``episodes/…/part-N`` says
that everything of number N is there. Last come the run's checksums (:mod:`jacdb.dataset.manifest`), then its row in
``runs``.
"""

import concurrent.futures
import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import schemas
from jacdb.atomic_file import draft_of, remove_drafts, sync_folder
from jacdb.checksum import sha256_of
from jacdb.dataset import environment_axes, finishing, joining, one_disk, removal, run_status, shards
from jacdb.dataset.encoding import words_column
from jacdb.dataset.layout import MODELS, PARTS, Run
from jacdb.dataset.shard import Shard
from jacdb.errors import DENIED, FailureError, UsageError
from jacdb.ingest.storage.episodes import ARRAYS, Episode, in_groups, summaries
from jacdb.ingest.storage.parquet import Encoder, RowGroup, Writing, writing, writing_steps
from jacdb.ingest.storage.parquet_pages import placeholder, rechunk

PART_BYTES = 100_000_000  # of matrices, about, before compression: they hardly compress
ROW_GROUP_ROWS = 5_000  # at most: a one-row look-up reads a whole row group, and its writer holds one in memory
WRITERS = 2  # parts written at once: episodes of one length end together, and then all cores are idle


@dataclass
class RunWriter:
    """Writes one run of one environment into a dataset.

    Attributes:
        root: the dataset's folder.
        env, policy, run_id: constants of every row.
        trajectory_id: the id of an episode's states, given its number.
        jacobian: type of the stored matrix entries.
        part_bytes: of matrices in a part, about.
        encoder: who encodes the matrices' pages (:func:`jacdb.ingest.storage.parquet.writing_steps`).
        shard: which shard of the run to write; None for all of it.
    """

    root: Path
    env: str
    policy: str
    run_id: str
    trajectory_id: Callable[[int], int]
    jacobian: pa.DataType = field(default_factory=pa.float32)
    part_bytes: int = PART_BYTES
    encoder: Encoder = "pages"
    shard: Shard | None = None
    _place: Path = field(init=False)  # the folder of all files
    _pending: list[Episode] = field(default_factory=list, init=False)
    _pending_bytes: int = field(default=0, init=False)
    _known_patterns: set[int] = field(default_factory=set, init=False)
    _next_part: int = field(default=0, init=False)
    _writing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS), init=False)
    _at_work: list[Future[None]] = field(default_factory=list, init=False)  # parts being written, in order
    # Who stops the process writes what is pending from another thread (jacdb.interruption)
    _taking: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _sums: dict[str, str] = field(default_factory=dict, init=False)  # checksums of the parts that this writer made

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: the run was cut into another number of shards, or a table's folder is on another disk.
        """
        self._place = self.root
        if self._run_is_whole():
            return
        one_disk.check(self.root, self._run, self._run.journal)
        if self.shard:
            shards.check_count(self.root, self._run, self.shard)
            self._place = self.shard.root(self.root)
            one_disk.check(self._place, self._run, self._run.journal)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run against any other process that would write it.

        Raises:
            UsageError: another does.
            FailureError: the file system has no locks.
            OSError: the lock may not be written.
        """
        self.journal.mkdir(parents=True, exist_ok=True)
        try:
            held = run_status.lock(self._place, self._run).acquire()
        except filelock.Timeout:
            raise UsageError(f"another ingest is at work on run {self.run_id} of {self.env}: let it finish") from None
        except OSError as error:
            if error.errno in DENIED:
                raise
            raise FailureError(
                f"run {self.run_id} can't be locked in {self.root} ({error.strerror}): give a --data on a disk that has"
                " locks, and copy the dataset from there"
            ) from error
        with held:
            yield

    def resume(self) -> dict[int, int]:
        """Take up a run that stopped, if it had begun: drop what its last flush left half done. Hold it first.

        A shard that a stopped removal has left without axes begins anew: its patterns may be gone.

        Returns:
            The episodes that are already there, whole, each with the id of its states.
        """
        remove_drafts(self.journal)
        tables = ("steps", "patterns", "episodes")
        numbers = {table: {_part_number(path) for path in self._parts(table)} for table in tables}
        committed = numbers["steps"] & numbers["episodes"] if self.has_begun() or not self.shard else set[int]()
        if not self.has_begun():
            (self.journal / shards.MARK).unlink(missing_ok=True)
        for table in tables:
            for path in self._folder(table).glob("part-*"):
                if not path.match(PARTS) or _part_number(path) not in committed:
                    path.unlink()
        self._next_part = max(committed, default=-1) + 1
        self._known_patterns = set(self._column(schemas.PATTERNS, "pattern_id").to_pylist())
        numbers, ids = (self._column(schemas.EPISODES, name).to_pylist() for name in ("episode", "trajectory_id"))
        return dict(zip(numbers, ids, strict=True))

    def has_begun(self) -> bool:
        return bool(self._parts("axes"))

    def is_finished(self) -> bool:
        if self.shard and shards.BegunShard(self._place, self._run, self.shard).is_finished:
            return True
        # also of a shard, and after its mark: who completes the run takes marks away, once its row is there
        return self._run_is_whole()

    def counts(self, method: str) -> dict[str, int]:
        """Count the rows, excluded rows, and rows by another method than the run's, that are on disk."""
        place = self.root if self._run_is_whole() else self._place  # its shards go once it is
        return {
            "n_rows": pc.sum(self._column(schemas.EPISODES, "n_steps", place)).as_py() or 0,
            "n_excluded": pc.sum(self._column(schemas.EPISODES, "n_excluded", place)).as_py() or 0,
            "n_recomputed": pc.sum(pc.not_equal(self._column(schemas.steps(), "method", place), method)).as_py() or 0,
        }

    def check_axes(self, axes: list[dict[str, Any]]) -> None:
        """Refuse axes that are not those of the environment's other runs in the dataset; a finished run stays.

        Raises:
            UsageError: they are not.
        """
        if not self.is_finished():
            environment_axes.check(self.root, self._run, environment_axes.of_rows(axes))

    def write_axes(self, axes: list[dict[str, Any]]) -> None:
        """Write the run's axes and the type of its matrices, and look at the others': one may have begun just now."""
        is_new, rows = not self.has_begun(), [{"env": self.env, "run_id": self.run_id, **axis} for axis in axes]
        said = {schemas.DTYPE_KEY: schemas.dtype_of_steps(schemas.steps(self.jacobian).schema)}
        schema = schemas.AXES.schema.with_metadata({**schemas.AXES.schema.metadata, **said})
        with self._draft(schemas.AXES, writing(pa.Table.from_pylist(rows, schema)), 0) as commit:
            commit()
        try:
            joining.check(self.root, self._place, self._run)
        except UsageError:
            for folder in map(self._folder, ("axes", MODELS)):
                if is_new:
                    removal.remove_folder(folder, self._place)
            raise

    def write_model(self, binary: bytes) -> None:
        """Write the run's MuJoCo model, compiled, whole or not at all; it is one of the files with a checksum."""
        final = self._place / self._run.model
        final.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(self.journal / final.name) as draft:
            with draft.open("wb") as stream:
                stream.write(binary)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(final)
        sync_folder(final.parent)

    def write_run(self, run: dict[str, Any]) -> None:
        """Write the run's row, and before it the checksums of all that the run has; of a shard, the like of both."""
        row = {"env": self.env, "policy": self.policy, "run_id": self.run_id, **run}
        if self.shard:
            shards.write_mark(shards.BegunShard(self._place, self._run, self.shard), row, self._checksums())
        else:
            finishing.finish(self.root, self._run, row, self._checksums())

    def add(self, *episodes: Episode) -> None:
        """Take finished episodes; begin to write parts when enough have come together.

        Parts are written in the background, and an episode's rows are let go of when they are. What can't be written
        is raised by a later call.
        """
        self._pending += episodes
        self._pending_bytes += sum(one.nbytes for one in episodes)  # once: a part may hold thousands of short ones
        if self._pending_bytes >= self.part_bytes:
            self.begin()

    def flush(self) -> None:
        """Write what is pending, and wait until all is on disk."""
        with self._taking:
            self.begin()
            self._await_parts(0)

    def begin(self) -> None:
        """Begin to write what is pending, in equal parts: the last of unequal ones would be written alone."""
        with self._taking:
            self._pending.sort(key=lambda episode: episode.number)
            parts = max(1, round(self._pending_bytes / self.part_bytes))
            self._pending_bytes = 0
            for some in np.array_split(np.arange(len(self._pending)), parts):
                if some.size:
                    self._await_parts(WRITERS - 1)  # interrupted here, what is pending still is
                    episodes, self._pending = self._pending[: some.size], self._pending[some.size :]
                    self._begin_part(episodes)

    def _begin_part(self, episodes: list[Episode]) -> None:
        occurring = (item for episode in episodes for item in episode.patterns.items())
        new = {pattern: bits for pattern, bits in occurring if pattern not in self._known_patterns}
        before = self._at_work[-1] if self._at_work else None
        self._at_work.append(self._writing.submit(self._write_part, self._next_part, episodes, new, before))
        self._known_patterns |= new.keys()
        self._next_part += 1

    def _await_parts(self, allowed: int) -> None:
        while len(self._at_work) > allowed:
            if self._at_work[0].exception():
                concurrent.futures.wait(self._at_work)  # none behind it comes to be; each takes its drafts away first
            self._at_work[0].result()
            del self._at_work[0]

    def _write_part(
        self,
        part: int,
        episodes: list[Episode],
        new_patterns: dict[int, tuple[bytes, bytes]],
        before: Future[None] | None,
    ) -> None:
        """Write drafts, then wait for the part before: parts come to be in order, or patterns might be missing."""
        if shutil.disk_usage(self.root).free < sum(episode.nbytes for episode in episodes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # rather than fill the last of it
        with contextlib.ExitStack() as drafts:

            def draft(table: schemas.Table, write: Writing) -> Callable[[], None]:
                return drafts.enter_context(self._draft(table, write, part))

            ready = []
            if new_patterns:
                new = self._patterns_table(new_patterns, episodes[0])
                ready.append(draft(schemas.PATTERNS, writing(new)))
            # before the steps, whose writing lets go of them, and gives the cores work while this waits for the disk
            summaries = draft(schemas.EPISODES, writing(self._episodes_table(episodes, part)))
            # our own pages have an entry in each list, at least: those of a model without actuators are Arrow's
            encoder = self.encoder if episodes[0].jacobian_shape[1] else "arrow"
            steps = writing_steps(schemas.steps(self.jacobian).schema, self._row_groups(episodes), encoder)
            ready += [draft(schemas.TABLES[0], steps), summaries]
            if before:
                before.result()
            for commit in ready:
                commit()

    # --- tables ---------------------------------------------------------------------------------------------

    def _row_groups(self, episodes: list[Episode]) -> Iterator[RowGroup]:
        """Yield the rows of the episodes, whose memory is given back once they are written: 0.1 s for a part."""
        for some in in_groups(episodes, ROW_GROUP_ROWS):
            rows, pieces = self._steps(some), [piece for episode in some for piece in episode.pieces]
            arrays = (rechunk([getattr(piece, name) for piece in pieces], ROW_GROUP_ROWS) for name in ARRAYS)
            for number, of_group in enumerate(zip(*arrays, strict=True)):
                group = rows.slice(number * ROW_GROUP_ROWS, ROW_GROUP_ROWS)
                yield RowGroup(group, dict(zip(ARRAYS, of_group, strict=True)))
            for episode in some:
                episode.pieces.clear()

    def _steps(self, episodes: list[Episode]) -> pa.Table:
        """Return the rows of whole episodes, but for their arrays."""
        schema = schemas.steps(self.jacobian).schema
        lengths = [episode.n_steps for episode in episodes]
        n_rows = sum(lengths)
        own = pa.concat_tables([episode.columns for episode in episodes]).combine_chunks()
        columns = {
            **{name: own[name] for name in own.column_names},
            **{name: placeholder(n_rows, schema.field(name)) for name in ARRAYS},
            "env": pa.repeat(self.env, n_rows),
            "policy": pa.repeat(self.policy, n_rows),
            "run_id": pa.repeat(self.run_id, n_rows),
            "episode": pa.array(np.repeat([episode.number for episode in episodes], lengths), pa.int32()),
            "step": pa.array(np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])),
        }
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _patterns_table(self, patterns: dict[int, tuple[bytes, bytes]], like: Episode) -> pa.Table:
        d_state, d_action = like.jacobian_shape
        zero_state, zero_action = map(list, zip(*patterns.values(), strict=True))
        columns = {
            "env": pa.repeat(self.env, len(patterns)),
            "run_id": pa.repeat(self.run_id, len(patterns)),
            "pattern_id": list(patterns),
            "d_state": pa.repeat(d_state, len(patterns)),
            "d_action": pa.repeat(d_action, len(patterns)),
            "zero_state": zero_state,
            "zero_action": zero_action,
            "zero_state_words": words_column(zero_state, d_state * d_state),
            "zero_action_words": words_column(zero_action, d_state * d_action),
        }
        return pa.table(columns, schemas.PATTERNS.schema)

    def _episodes_table(self, episodes: list[Episode], part: int) -> pa.Table:
        constant = {"env": self.env, "policy": self.policy, "run_id": self.run_id, "part": part}
        own = summaries(episodes)
        columns = {
            **{name: own[name] for name in own.column_names},
            **{name: [value] * len(episodes) for name, value in constant.items()},
            "trajectory_id": [self.trajectory_id(episode.number) for episode in episodes],
        }
        return pa.table(columns, schemas.EPISODES.schema)

    # --- files ----------------------------------------------------------------------------------------------

    @property
    def _run(self) -> Run:
        return Run(self.env, self.run_id)

    @property
    def journal(self) -> Path:
        """The folder of the run's log, lock and drafts."""
        return self._place / self._run.journal

    def _run_is_whole(self) -> bool:
        return (self.root / self._run.row).is_file()

    def _folder(self, table: str, place: Path | None = None) -> Path:
        return (place or self._place) / self._run.folder(table)

    def _parts(self, table: str, place: Path | None = None) -> list[Path]:
        return sorted(self._folder(table, place).glob(PARTS))

    def _column(self, table: schemas.Table, column: str, place: Path | None = None) -> pa.ChunkedArray:
        none = table.schema.empty_table().select([column])
        parts = [pq.ParquetFile(path).read(columns=[column]) for path in self._parts(table.name, place)]
        return pa.concat_tables([none, *parts]).column(column)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._place).as_posix()

    def _checksums(self) -> dict[str, str]:
        """Return the checksums of all that the run has, by path."""
        there = [self._name(path) for table in schemas.TABLES for path in self._parts(table.name)]
        there += [self._run.model] if (self._place / self._run.model).is_file() else []
        # an earlier writer of the run took its sums with it
        return {name: self._sums.get(name) or sha256_of(self._place / name) for name in there}

    @contextmanager
    def _draft(self, table: schemas.Table, write: Writing, part: int) -> Iterator[Callable[[], None]]:
        """Write a part in the run's journal folder; yield the function that moves it to its own place and name."""
        folder = self._folder(table.name)
        for needed in (folder, self.journal):
            needed.mkdir(parents=True, exist_ok=True)
        final = folder / f"part-{part:05d}.parquet"
        with draft_of(self.journal / f"{table.name}-{final.name}") as draft:
            self._sums[self._name(final)] = write(draft)

            def commit() -> None:
                draft.replace(final)
                sync_folder(folder)

            yield commit


def _part_number(path: Path) -> int:
    return int(path.stem.removeprefix("part-"))
