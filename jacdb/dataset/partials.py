"""Add up a finished run's steps, into a file beside them; it is read as long as it is of these steps.

The file ``partials/environment=…/run=…/part-00000.parquet`` has one row, and in it a list of rows for each view of
``queries.PARTIALS``. It is one of the files in the run's SHA256SUMS. Its metadata say which SQL made it, and the
checksum of the other lines of SHA256SUMS. Where one of the three is not as it should be, the run is counted from its
steps.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import filelock
import pyarrow as pa

from jacdb import out_path, queries, schemas
from jacdb.atomic_file import draft_of, remove_drafts, sync_folder
from jacdb.counted import counted
from jacdb.dataset import integrity, manifest, run_status
from jacdb.dataset.encoding import write_table
from jacdb.dataset.folder import FinishedRuns
from jacdb.dataset.layout import Run
from jacdb.dataset.schema_version import refuse_former
from jacdb.dataset.sql_text import empty_select, literal, patterns_select
from jacdb.errors import FailureError, UsageError, first_line, suggestion, told_with_remedy
from jacdb.progress import Event

FROM = ("steps", "patterns", "episodes", "axes")  # the tables that they are made from
UNFINISHED = "not finished"
MISSING, _DAMAGED = "no partials", "damaged partials"
OTHER_SQL, _OTHER_RUN = "partials by other SQL", "partials of other files"


def of_run(root: Path, run: Run, sums: Mapping[str, str]) -> pa.Table:
    """Return the partials of a run: one row, columns of :data:`jacdb.schemas.PARTIALS`.

    The same files give the same bytes: rows are in order, and numbers are whole or largest ones.

    Args:
        root: the dataset's folder.
        run: the run; its files of `runs` need not be there yet.
        sums: the checksums of the run's files by path, without the partials' own.

    Raises:
        duckdb.Error: a file can't be read, or memory does not suffice.
    """
    with duckdb.connect(config={"python_enable_replacements": False, "temp_directory": ""}) as connection:
        connection.execute("set preserve_insertion_order = false")  # less memory; rows are put in order below
        for table in schemas.TABLES:
            files = [literal(str(root / path)) for path in sums if path.startswith(f"{table.name}/")]
            scan = f"read_parquet([{', '.join(files)}], hive_partitioning = false)"
            scan = f"({patterns_select(scan)})" if table is schemas.PATTERNS else scan
            # as constants they cost nothing where rows are grouped by them
            named = f"select * replace ({literal(run.env)} as env, {literal(run.run_id)} as run_id) from {scan}"
            text = named if files and table.name in FROM else empty_select(table.schema)
            connection.execute(f"create view stored_{table.name} as {text}")
        for signature, text in queries.INTERNAL_MACROS.items():
            connection.execute(f"create macro {signature} as {text}")
        for name in queries.MADE_FROM:
            connection.execute(f"create view {name} as {queries.sql(name)}")
        columns = {"env": pa.array([run.env]), "run_id": pa.array([run.run_id])}
        for name in queries.PARTIALS:
            columns[name] = _rows(connection, name, schemas.PARTIALS.schema.field(name).type)
    metadata = {schemas.PARTIALS_KEY: about(sums), **schemas.PARTIALS.schema.metadata}
    return pa.table(columns, schemas.PARTIALS.schema.with_metadata(metadata))


def _rows(connection: duckdb.DuckDBPyConnection, name: str, kind: pa.DataType) -> pa.Array:
    """Return the rows of a partial as a list, (1,)."""
    ordered = connection.sql(f"select * exclude (env, run_id) from {name} order by all")
    with ordered.to_arrow_reader() as reader:
        rows = reader.read_all()
    struct = kind.value_type
    arrays = [rows[one.name].combine_chunks().cast(one.type) for one in struct]
    return pa.ListArray.from_arrays([0, len(rows)], pa.StructArray.from_arrays(arrays, fields=list(struct)), kind)


def about(sums: Mapping[str, str]) -> bytes:
    """Return what the metadata of partials say: which SQL made them, and the checksum of what they were made from."""
    return f"{queries.partials_version()} {hashlib.sha256(manifest.encode(sums).encode()).hexdigest()}".encode()


def write(root: Path, run: Run, sums: Mapping[str, str]) -> str:
    """Write the partials of a run, and return the file's checksum.

    Args:
        root: the dataset's folder.
        run: the run; its files of `runs` need not be there yet.
        sums: the checksums of the run's files by path, without the partials' own.

    Raises:
        duckdb.Error: a file can't be read, or memory does not suffice.
        OSError: the file can't be written.
    """
    table, final = of_run(root, run, sums), root / run.partials
    final.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(root / run.journal / f"partials-{final.name}") as draft:
        sha256 = write_table(draft, table)
        draft.replace(final)
    sync_folder(final.parent)
    return sha256


def make(root: Path, run: Run) -> None:
    """Make the partials of a finished run, and enter them in its checksums.

    A reader meets the old file, one that the checksums do not name, which counts as none, or the new one.

    Args:
        root: the dataset's folder.
        run: a finished run, which no other process writes.

    Raises:
        FailureError: a file can't be read, or memory does not suffice.
        OSError: a file can't be written.
    """
    named = manifest.read(root, run)
    sums = {path: sha256 for path, sha256 in named.items() if path != run.partials}
    if sums != named:  # stopped after the new file, the run would have one that has changed
        manifest.write(root, run, sums)
    try:
        sums[run.partials] = write(root, run, sums)
    except duckdb.Error as error:
        raise FailureError(f"partials of run {run.run_id} of {run.env}: {first_line(error)}") from error
    manifest.write(root, run, sums)


@dataclass(frozen=True)
class Refreshed:
    """Which finished runs of a dataset got partials, and how many had them."""

    made: list[Run]
    n_there: int

    def describe(self, root: Path | str) -> str:
        """Return one line for people."""
        return f"{root}: partials of {counted(len(self.made), 'run')} made, {self.n_there:,} were there"


def refresh(
    root: Path, *, envs: Sequence[str] | None = None, report: Callable[[Event], None] = lambda event: None
) -> Refreshed:
    """Make the partials of the finished runs that have none, or none that can be used.

    Args:
        root: the dataset's folder.
        envs: of these environments only.
        report: called with progress.

    Raises:
        UsageError: there is no dataset, it is of a former schema version or on the Hub, no run of it is finished, it
            has no such environment, or partials are missing and it may not be written to.
        FailureError: a file is not what its run's checksums say, or can't be read or written.
    """
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root} is on the Hub: `jacdb pull` it, and give the folder")
    finished = FinishedRuns(root)
    refuse_former(finished.path, root, "partials are of version {}", ", which makes them")
    present = {run.env for run in finished.runs}
    for env in envs or []:
        if env not in present:
            raise UsageError(f"no finished run of {env!r} here: {suggestion(env, present)}")
    runs = [run for run in finished.runs if not envs or run.env in envs]
    stale = [run for run in runs if problem(finished.read(run.manifest), run, finished.read)]
    if stale:
        out_path.check_folder(root, "--data")
    for done, run in enumerate(stale):
        report(Event(f"adding up {run.env}", done, len(stale), "runs"))
        others = integrity.check_runs(finished.path, [run])
        for path, wrong in (found for found in others if found.path != run.partials):
            raise FailureError(f"{path}: {wrong}; its run's partials were not made")
        try:
            with run_status.lock(finished.path, run):
                remove_drafts(finished.path / run.journal)
                make(finished.path, run)
        except (filelock.Timeout, OSError) as error:
            at_work = isinstance(error, filelock.Timeout)
            reason = "an ingest is at work on it" if at_work else told_with_remedy(error)
            raise FailureError(f"partials of run {run.run_id} of {run.env} can't be written: {reason}") from error
    return Refreshed(stale, len(runs) - len(stale))


def problem(listed: bytes, run: Run, read: Callable[[str], bytes]) -> str | None:
    """Return why a run's partials can't be used, in words; None if they can.

    Args:
        listed: the text of the run's checksums.
        run: the run.
        read: returns the bytes of a file, given its path below the dataset's folder.
    """
    others, expected = manifest.split(listed, run.partials)
    if expected is None:
        return MISSING
    try:
        data = read(run.partials)
    except OSError:
        return MISSING
    if hashlib.sha256(data).hexdigest() != expected:
        return _DAMAGED
    # the value follows its key in the footer, which stands at the end; the checksum vouches for the bytes
    version, _, made_from = data[data.rfind(schemas.PARTIALS_KEY) :][len(schemas.PARTIALS_KEY) + 2 :][:81].partition(
        b" "
    )
    if version != queries.partials_version().encode():
        return OTHER_SQL
    return None if made_from == hashlib.sha256(others).hexdigest().encode() else _OTHER_RUN
