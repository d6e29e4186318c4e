"""Refuse what can't be joined, before anything is written, and say why shards may be missing."""

import collections
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jacdb import out_path
from jacdb.dataset import environment_axes, learning_files, manifest, matrix_type, one_disk, shards
from jacdb.dataset.environment_axes import BegunRun
from jacdb.dataset.layout import Run, layout_of
from jacdb.dataset.schema_version import refuse_former
from jacdb.dataset.shard import SHARDS
from jacdb.dataset.shards import BegunShard, Missing
from jacdb.errors import UsageError


def check_folders(sources: Sequence[Path], out: Path) -> None:
    """Refuse folders that can't be joined, before anything is written.

    Raises:
        UsageError: there is nothing in one, it is an address, or one is of another schema version; or ``out`` can't be
            written.
    """
    for root in sources:
        out_path.check_no_address(root)
    out_path.check_dataset(out)
    for root in sources:
        if not root.is_dir() or not (
            layout_of(root) or (root / SHARDS).is_dir() or learning_files.in_folder(root)  # kept without their rows
        ):
            raise UsageError(f"{root} has neither runs nor shards of one: give folders that `jacdb ingest` has written")
    for root in (*sources, *([out] if out.is_dir() else [])):
        for folder in (root, *sorted({one.root for one in shards.begun(root)})):
            refuse_former(folder, root, "a merge is of version {}", " first", option="")


def check_runs(out: Path, finished: Mapping[Run, Sequence[Path]], pieces: Mapping[Run, Sequence[BegunShard]]) -> None:
    """Refuse runs and shards that don't go into one dataset.

    Args:
        out: the dataset's folder.
        finished: the folders that have each finished run.
        pieces: the shards of each run.

    Raises:
        UsageError: one is there twice, with different rows; or matrices are of two types.
        FailureError: what is said of a run or shard can't be read.
    """
    kinds: dict[str, list[BegunRun]] = collections.defaultdict(list)
    for run, roots in finished.items():
        check_rows(run, roots, out)
        kinds[matrix_type.of_row(roots[0], run)].append(BegunRun(roots[0], roots[0], run))
    for one in environment_axes.begun(out, "*"):
        if one.run not in finished and one.root == out and (dtype := matrix_type.of_run(one)):
            kinds[dtype].append(one)
    for run, begun in pieces.items():
        for piece in [] if run in finished else shards.distinct(begun):
            root = piece.begun.root
            kinds[piece.row["dtype"]].append(BegunRun(root.parents[1], root, run))
    if len(kinds) > 1:
        said = ", ".join(f"{kind} in {ones[0].root}" for kind, ones in sorted(kinds.items()))
        remedy = "merge those of each into a --data of its own"
        if mixed := set.intersection(*({one.dataset for one in ones} for ones in kinds.values())):
            of_kinds = ([one for one in ones if one.dataset == min(mixed)] for ones in kinds.values())
            remedy = matrix_type.removal(min(of_kinds, key=len))
        raise UsageError(f"matrices are {said}, and a dataset has one type: {remedy}")


def check_rows(run: Run, roots: Sequence[Path], out: Path) -> None:
    """Refuse a finished run that folders have with different rows.

    Args:
        run: the run.
        roots: the folders that have it.
        out: the dataset's folder.

    Raises:
        UsageError: they differ.
        FailureError: its checksums can't be read.
    """
    rows = {root: _of_steps(manifest.read(root, run)) for root in roots}
    for root in roots[1:]:
        if rows[root] != rows[roots[0]]:
            first = f"--data {roots[0]}" if roots[0] == out else str(roots[0])
            either = (f"`jacdb rm {run.run_id} --data {shlex.quote(str(one))}`" for one in (roots[0], root))
            raise UsageError(
                f"run {run.run_id} of {run.env} is in {first} and in {root}, with different files: leave {root}"
                f" out, or {' or '.join(either)}"
            )


def check_axes(out: Path, finished: Mapping[Run, Sequence[Path]], pieces: Mapping[Run, Sequence[BegunShard]]) -> None:
    """Refuse runs and shards of an environment whose axes are not those of its other runs.

    Args:
        out: the dataset's folder.
        finished: the folders that have each finished run.
        pieces: the shards of each run.

    Raises:
        UsageError: their axes differ.
        FailureError: a file of axes can't be read.
    """
    added = [BegunRun(roots[0], roots[0], run) for run, roots in sorted(finished.items()) if roots[0] != out]
    every = sorted(one for run, begun in pieces.items() if run not in finished for one in begun if one.is_finished)
    added += [BegunRun(one.root.parents[1], one.root, one.run) for one in every if one.root.parents[1] != out]
    there = [one for env in sorted({one.run.env for one in added}) for one in environment_axes.begun(out, env)]
    if found := environment_axes.conflict([*there, *added], out):
        raise UsageError(f"{found.told}: merge each into a --data of its own, or {found.run.removal}")


def check_disk(
    out: Path,
    finished: Mapping[Run, Sequence[Path]],
    pieces: Mapping[Run, Sequence[BegunShard]],
    learned: Mapping[Run, Sequence[Path]],
) -> None:
    """Refuse to add or complete runs where a folder of theirs is on another disk than their drafts.

    Args:
        out: the dataset's folder.
        finished: the folders that have each finished run.
        pieces: the shards of each run.
        learned: the folders that have each learning run.

    Raises:
        UsageError: one is.
    """
    for run in {run for run, roots in finished.items() if roots[0] != out} | pieces.keys() - finished.keys():
        one_disk.check(out, run, run.journal)
    for run, roots in learned.items():
        if roots[0] != out:
            one_disk.check(out, run, ".", one_disk.OF_A_LEARNING_RUN)


def explained(missing: Sequence[Missing], pieces: Mapping[Run, Sequence[BegunShard]]) -> list[Missing]:
    """Return what is missing, with a note where two runs are one but for the versions that made them."""
    versions: dict[str, dict[Run, dict[str, Any]]] = collections.defaultdict(dict)
    for run, *_ in missing:
        if row := next((one.read().row for one in pieces[run] if one.is_finished), None):
            asked = [row[name] for name in ("env", "policy_config", "seed", "method", "dtype", "suite")]
            versions[json.dumps(asked)][run] = json.loads(row["versions"])
    notes: dict[Run, str] = {}
    for alike in versions.values():
        made_by = [*alike.values()]
        differ = [name for name in made_by[0] if any(one.get(name) != made_by[0][name] for one in made_by)]
        said = ", ".join(
            f"{name} {' and '.join(dict.fromkeys(str(one.get(name)) for one in made_by))}" for name in differ
        )
        if differ:
            notes |= dict.fromkeys(alike, f"; shards were made by different versions ({said}): make all by the same")
    return [one._replace(note=notes.get(one.run, "")) for one in missing]


def _of_steps(sums: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of a run's steps alone: its row tells when it was made, and the like."""
    return {path: sha256 for path, sha256 in sums.items() if path.startswith("steps/")}
