"""A shard's way where nodes share no folder: made in a node's own folder, sent to a store, fetched from it.

A run in one piece travels as shard 0 of 1.
"""

import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from jacdb import merging
from jacdb.counted import counted
from jacdb.dataset import manifest, shards
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.dataset.shards import BegunShard, FinishedShard
from jacdb.errors import JacdbError, UsageError
from jacdb.ingest.plans.object_store import ObjectStore
from jacdb.ingest.plans.planned_command import PlannedCommand, Task
from jacdb.ingest.plans.planned_runs import Outcome
from jacdb.ingest.plans.scratch_folder import scratch_folder
from jacdb.ingest.requested_run import Report, RequestedRun

WHOLE = Shard(0, 1)  # a run in one piece


@dataclass(frozen=True)
class Inventory:
    """The runs and shards that a dataset has, finished: nodes that don't see its folder need not make them.

    Attributes:
        place: the dataset's folder, for messages.
        runs: finished runs.
        pieces: finished shards of the others.
    """

    place: str
    runs: frozenset[Run]
    pieces: Mapping[Run, frozenset[Shard]]

    @classmethod
    def of(cls, data: Path) -> "Inventory":
        """Return that of the dataset in a folder; there need be none."""
        pieces: dict[Run, frozenset[Shard]] = {}
        for one in shards.begun(data):
            if one.is_finished:
                pieces[one.run] = pieces.get(one.run, frozenset()) | {one.shard}
        return cls(str(data), frozenset(manifest.finished(data)), pieces)

    def has(self, run: Run, shard: Shard) -> bool:
        """Return whether a shard, or all of its run, is there."""
        return run in self.runs or shard in self.pieces.get(run, ())


class Sent(NamedTuple):
    """A shard that is finished.

    Attributes:
        url: the store's.
        run: the run that it is of.
        shard: which it is.
        is_there: it is in the dataset already, and not in the store.
    """

    url: str
    run: Run
    shard: Shard
    is_there: bool = False


class _Finished(Exception):
    """Nothing is to be made: it is finished."""


def check(runs: Sequence[Task]) -> None:
    """Refuse what can't travel.

    Raises:
        UsageError: a plan names another command than ingest.
    """
    for run in runs:
        if isinstance(run, PlannedCommand):
            raise UsageError(
                f"--store takes what ingest makes, and `{run.words}` needs a folder that all nodes see: leave it to a"
                " plan without --store"
            )


def send(asked: RequestedRun, store: ObjectStore, inventory: Inventory) -> Sent | Outcome:
    """Make a shard on this node and put it into the store, unless it is there or in the dataset.

    Returns:
        Which it is, or why it could not be made or sent.
    """
    shard = asked.shard or WHOLE
    named: list[Run] = []

    def begin(run: Run) -> None:
        named.append(run)
        if asked.shard and run not in inventory.runs:
            shards.check_counts(inventory.place, run, shard, {one.count for one in inventory.pieces.get(run, ())})
        if inventory.has(run, shard) or store.has(run, shard):
            raise _Finished

    top = Path(tempfile.gettempdir())
    try:
        store.check()  # here, and not after hours of work
        with scratch_folder(top) as folder:
            asked.carry_out(folder, lambda event: None, begin=begin)
            [run] = named
            one = BegunShard(shard.root(folder), run, shard)
            store.send(as_shard(folder, run) if shard == WHOLE else one.read())
    except _Finished:
        [run] = named
        is_there = inventory.has(run, shard)
        if is_there:
            store.remove(run, shard)  # who fetched it may have been stopped before it did
        return Sent(store.url, run, shard, is_there)
    except (JacdbError, OSError) as error:
        return Outcome(f"{asked.words}, on {socket.gethostname()}: {_said(error, top)}", failed=True)
    return Sent(store.url, run, shard)


def receive(sent: Sent, data: Path, report: Report) -> Outcome:
    """Fetch a shard into a dataset, whose run is completed when all of its shards are there.

    Returns:
        What became of it.
    """
    url, run, shard, is_there = sent
    begun = BegunShard(shard.root(data), run, shard)
    try:
        if not is_there and (begun.is_finished or (data / run.row).is_file()):  # a plan may name a run twice
            ObjectStore(url).remove(run, shard)
            is_there = True
        if not is_there:
            ObjectStore(url).fetch(run, shard, data, report)
        row = None if is_there else begun.read().row
        state = merging.shard_state(data, run, shard, report)
    except (JacdbError, OSError) as error:
        return Outcome(f"{run.env}, {shard.words} of run {run.run_id}: {error}", failed=True)
    name, after = shards.told(run.run_id, None if shard == WHOLE else state)
    if row is None:
        return Outcome(f"{run.env} in {data}, {name}: there already, nothing to do{after}", failed=False)
    rows = f"{counted(row['n_rows'], 'step')} of {run.env} in {data}, {name}"
    return Outcome(f"{rows}: {row['seconds']:.0f} s, {row['n_excluded']:,} excluded{after}", failed=False)


def as_shard(root: Path, run: Run) -> FinishedShard:
    """Return a run in one piece as its only shard, whose mark is written; what it adds up to is left out."""
    with pq.ParquetFile(root / run.row) as file:
        [row] = file.read().to_pylist()
    own = {path: sha256 for path, sha256 in manifest.read(root, run).items() if path not in (run.row, run.partials)}
    begun = BegunShard(root, run, WHOLE)
    shards.write_mark(begun, row, own)
    return FinishedShard(begun, row, own)


def _said(error: JacdbError | OSError, top: Path) -> str:
    """Return what an error says, without what holds where a dataset's folder stays: a node's own does not."""
    from jacdb.ingest.run_failures import KEPT  # it needs JAX, as the run did

    said = str(error)
    for kept in KEPT:
        said = said.replace(f"{kept}, or ", "; ").replace(kept, "")
    return f"{said}; TMPDIR of the nodes names another disk" if f"{top}/" in said else said
