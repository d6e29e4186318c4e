"""Rewrite a dataset of a former schema version in the present one: rows equal to the last bit, under their run ids.

What was learned of it comes along as it is: rows and ids are the same, and so is what a learning run is of.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jacdb import out_path, schemas
from jacdb.atomic_file import draft_of, remove_abandoned
from jacdb.checksum import sha256_of
from jacdb.counted import counted
from jacdb.dataset import integrity, learning_files, manifest, partials
from jacdb.dataset.encoding import parquet_options, words_column
from jacdb.dataset.folder import FinishedRuns
from jacdb.dataset.layout import MODEL, PartPath, Run, layout_of
from jacdb.dataset.schema_version import check_version
from jacdb.errors import FailureError, UsageError, telling_writes
from jacdb.progress import Event


@dataclass(frozen=True)
class Upgraded:
    """The result of an upgrade.

    Attributes:
        n_runs: how many runs were rewritten.
        left_out: what was not taken over, each with the reason.
        n_learning_runs: how many learning runs were taken over.
    """

    n_runs: int
    left_out: list[str]
    n_learning_runs: int = 0

    def describe(self, root: Path | str, out: Path | str) -> str:
        """Return one line for people."""
        learning = f" and {counted(self.n_learning_runs, 'learning run')}" if self.n_learning_runs else ""
        return f"{counted(self.n_runs, 'run')}{learning} of {root} in {out}, schema version {schemas.SCHEMA_VERSION}"


def upgrade(
    root: Path | str,
    out: Path | str,
    *,
    dtype: str | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Upgraded:
    """Rewrite the finished runs of a dataset of a former version in the present one, into a new folder.

    Its learning runs, with their scores and checkpoints, are taken over as they are. The new folder comes to be when
    all of it is written. The old one stays as it is.

    Args:
        root: the old dataset's folder.
        out: the new folder; it does not exist yet, or is empty.
        dtype: rewrite only the runs whose matrices are stored so; needed where some are float32 and others float64, for
            a dataset of the present version has one type.
        report: called with progress.

    Raises:
        UsageError: there is no dataset of a former version, none of its runs is finished, the new folder is not empty,
            it may not be written, or the runs differ in type and none is given.
        FailureError: a file is not what its run's checksums say, a learning run is damaged, or the new folder can't be
            written.
    """
    out = Path(out)
    if str(root).startswith("hf:"):
        raise UsageError(f"{root} is on the Hub: `jacdb pull` it, and give the folder")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"--out {out} exists: give a new folder")
    out_path.check_folder(out)
    if layout_of(Path(root)) is None:
        raise UsageError(
            f"no dataset at {root}: give the folder of one of a schema version before {schemas.SCHEMA_VERSION}"
        )
    old = FinishedRuns(root)
    if (version := check_version(old.path)) == schemas.SCHEMA_VERSION:
        raise UsageError(f"{root} is of schema version {version} already: there is nothing to upgrade")
    left_out = [f"run {run.run_id} of {run.env} is not finished" for run in old.unfinished]
    integrity.refuse_damaged(old, report, "nothing was written")
    rows = {run: pq.read_table(old.path / run.row, partitioning=None).to_pylist()[0] for run in old.runs}
    chosen = {run: row for run, row in rows.items() if row["dtype"] == _one_type(root, rows, dtype)}
    left_out += [f"run {run.run_id} of {run.env} is {rows[run]['dtype']}" for run in rows if run not in chosen]
    kept = f"nothing was kept of it, {root} is as it was"
    with telling_writes(out, kept, kinds=(OSError, pa.ArrowException)):
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.absolute())
        with draft_of(out.absolute()) as draft:
            draft.mkdir()
            learned, more = _take_over_learned(old.path, draft)
            left_out += more
            for done, (run, row) in enumerate(chosen.items()):
                report(Event("rewriting", done, len(chosen), "runs"))
                _rewrite(old.path, draft, run, row)
            draft.replace(out.absolute())
    return Upgraded(len(chosen), left_out, len(learned))


def _one_type(root: Path | str, rows: dict[Run, dict[str, Any]], dtype: str | None) -> str:
    """Return the type of the matrices to take over."""
    present = sorted({row["dtype"] for row in rows.values()})
    if dtype is not None and dtype not in present:
        raise UsageError(f"--dtype {dtype}: the runs of {root} are {' and '.join(present)}")
    if dtype is None and len(present) > 1:
        raise UsageError(
            f"{root} has runs of {' and of '.join(present)}, a dataset of version {schemas.SCHEMA_VERSION} has one"
            f" type: give --dtype {' or --dtype '.join(present)}, and repeat it with the other into another --out"
        )
    return dtype or present[0]


def _take_over_learned(root: Path, out: Path) -> tuple[list[Run], list[str]]:
    """Copy the learning runs of a folder into another, and check the copies.

    Returns:
        the learning runs, and what was left out, each with the reason.

    Raises:
        FailureError: one is damaged.
    """
    runs = learning_files.in_folder(root)
    left_out = [f"learning run {run.run_id} of {run.env} is not finished" for run in learning_files.unfinished(root)]
    for run in runs:
        row, checkpoint = learning_files.row_of(run), learning_files.checkpoint_of(run)
        for path in (row, learning_files.scores_of(run), checkpoint):
            if (root / path).is_file():  # one only scored has no checkpoint
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / path, out / path)
        if found := learning_files.problem(out, run):
            raise FailureError(
                f"{root / found.path}: {found.wrong}; nothing was written: remove {(root / row).parent} to leave it out"
            )
        difference = learning_files.difference_of_checkpoint(out, run)
        if difference and difference.is_problem:
            (out / checkpoint).unlink()
            left_out.append(f"{root / checkpoint} {difference.told},")
    return runs, left_out


def _rewrite(root: Path, out: Path, old: Run, row: dict[str, Any]) -> None:
    """Rewrite a run: its parts, then its checksums."""
    new, sums = Run(old.env, old.run_id), {}
    for path in sorted(manifest.read(root, old)):
        part = PartPath.parse(path)
        if part is None:
            raise FailureError(f"{path} is no part")
        there = f"{new.folder(part.table)}/part-{part.number:05d}.parquet"
        (out / there).parent.mkdir(parents=True, exist_ok=True)
        _rewrite_part(root / path, out / there, part.table, row)
        sums[there] = sha256_of(out / there)
    if (model := root / old.journal / MODEL).is_file():  # where version 2 kept it
        (out / new.model).parent.mkdir(parents=True)
        shutil.copyfile(model, out / new.model)
        sums[new.model] = sha256_of(out / new.model)
    (out / new.manifest).parent.mkdir(parents=True, exist_ok=True)
    (out / new.manifest).write_text(manifest.encode(sums), "ascii")
    partials.make(out, new)


def _rewrite_part(source: Path, target: Path, table: str, row: dict[str, Any]) -> None:
    """Rewrite a part row group by row group, which bounds the memory that it takes."""
    with pq.ParquetFile(source) as parquet:
        entry = pa.float64() if row["dtype"] == "float64" else pa.float32()
        schema = next(one.schema for one in (schemas.steps(entry), *schemas.TABLES) if one.name == table)
        with pq.ParquetWriter(target, schema, **parquet_options(schema)) as writer:
            for index in range(parquet.num_row_groups):
                group = parquet.read_row_group(index)
                columns = {name: group[name] for name in group.column_names}
                columns = _added(table, group, row) | columns | _changed(table, row)
                writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))


def _added(table: str, group: pa.Table, row: dict[str, Any]) -> dict[str, pa.Array | list[int]]:
    """Return the columns that former versions lack.

    Args:
        table: its name.
        group: some of its rows.
        row: the run's row in `runs`.
    """
    if table == "patterns":
        sizes = {"zero_state": row["d_state"] ** 2, "zero_action": row["d_state"] * row["d_action"]}
        return {f"{name}_words": words_column(group[name].to_pylist(), entries) for name, entries in sizes.items()}
    if table == "episodes":
        determining = {name: row[name] for name in ("env", "policy", "policy_config", "seed", "model")}
        numbers = group["episode"].to_pylist()
        return {"trajectory_id": [schemas.trajectory_id(**determining, episode=number) for number in numbers]}
    if table == "steps":
        return {"replay_error": pa.nulls(len(group), pa.float64())}
    return {name: [value] for name, value in _source(row).items()} if table == "runs" else {}


def _changed(table: str, row: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the columns that the present version says otherwise."""
    if table != "runs":
        return {}
    versions = json.loads(row["versions"])
    kept = {name: said for name, said in versions.items() if name not in ("suite", "source", "replay")}
    return {"schema_version": [schemas.SCHEMA_VERSION], "versions": [json.dumps(kept, sort_keys=True)]}


def _source(row: dict[str, Any]) -> dict[str, Any]:
    """Return where a run's rows are from; version 2 said it among the versions, of what is not Playground's."""
    about = json.loads(row["versions"])
    said = about.get("source", {})
    licence = said.get("licence")
    return {
        "suite": about.get("suite", schemas.PLAYGROUND),
        "source": said.get("dataset_id") or said.get("source") or said.get("environment") or said.get("model"),
        "source_version": said.get("gymnasium") or said.get("dm_control") or said.get("minari_version"),
        "licence": None if licence == "not stated" else licence,
        "replay_tolerance": about.get("replay", {}).get("tolerance"),
    }
