"""Time the views over a billion steps in a thousand runs, from the runs' sums, and the same of ten million from steps.

    jacdb ingest --env CheetahRun --episodes 20 --steps 1000 --data DIR
    python benchmarks/billion.py --data DIR --folder SCRATCH [--many 100000] [--by-steps VIEW …] [--out FILE.json]

The ingested episodes are repeated to a run of a million steps (as queries.py does). Each further run has the same files
of `steps`, `episodes` and `patterns` by hard links; axes, sums, checksums and a row in `runs` are its own. The linked
rows name the first run: who counts steps here takes the run's id from the folder (:class:`LinkedFolder`). Each view is
answered in a process of its own, twice: the second time what it needs is in memory. SCRATCH is kept; it takes 2 GB.
"""

import argparse
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import jacdb
from jacdb import schemas
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest, partials
from jacdb.dataset.encoding import parquet_options
from jacdb.dataset.folder import Folder
from jacdb.dataset.layout import Run
from queries import PAPER, repeat  # the script beside this one

STEPS = 1_000_000  # of a run
BY_STEPS = 10  # runs that are counted from steps: ten million
VIEWS = (
    *PAPER, "causal_graph", "sparsity_by_constraint", "constraint_sets", "switch_explanations", "symmetries", "samples",
    "threshold_sweep",
)  # fmt: skip
FROM_STEPS = ("sparsity_timeline",)  # a row is a step
FROM_EPISODES = ("threshold_sweep",)  # never from steps


class LinkedFolder(Folder):
    """A dataset whose rows name another run than their folder, which is right."""

    def scan(self, table: str, parts: Sequence[str] | None = None) -> str:
        scan = super().scan(table, parts)
        if table == "partials":
            return scan
        by_folder = scan.replace("hive_partitioning = false", "hive_partitioning = true, hive_types_autocast = false")
        return f"(select * exclude (environment, run) replace (run as run_id) from {by_folder})"


def first_run(source: Path, root: Path, steps: int) -> Run:
    """Write the run that others are links to, with its checksums and sums; return it."""
    repeat(source, root, steps)
    [run] = {
        Run(path.parts[-3].partition("=")[2], path.parts[-2].partition("=")[2]) for path in root.glob("steps/*/*/*")
    }
    (root / run.manifest).parent.mkdir(parents=True)
    (root / run.manifest).write_text(manifest.encode({path: sha256_of(root / path) for path in manifest.parts(root)}))
    partials.make(root, run)
    return run


def link_run(source: Path, run: Run, root: Path, new: Run, sums: dict[str, str]) -> None:
    """Add a run: small tables that name it, and links to the other's files."""
    own: dict[str, str] = {}
    for path, digest in sums.items():
        target = root / path.replace(run.run_id, new.run_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.startswith(("axes/", "runs/", "partials/")):
            _rename(source / path, target, new, own)
            own[path.replace(run.run_id, new.run_id)] = sha256_of(target)
        else:
            os.link(source / path, target)
            own[path.replace(run.run_id, new.run_id)] = digest
    (root / new.manifest).parent.mkdir(parents=True, exist_ok=True)
    (root / new.manifest).write_text(manifest.encode(own))


def _rename(source: Path, target: Path, run: Run, sums: dict[str, str]) -> None:
    table = pq.read_table(source, partitioning=None)
    place = table.schema.get_field_index("run_id")
    table = table.set_column(place, table.schema.field(place), pa.repeat(run.run_id, len(table)))
    if target.parts[-4] == "partials":
        table = table.replace_schema_metadata(table.schema.metadata | {schemas.PARTIALS_KEY: partials.about(sums)})
    pq.write_table(table, target, **parquet_options(table.schema))


def linked(source: Path, run: Run, root: Path, runs: int) -> None:
    """Write a dataset of so many runs that are one, unless it is there."""
    sums = manifest.read(source, run)
    # a run's sums are of all its other files, which come first
    ordered = dict(sorted(sums.items(), key=lambda item: item[0].startswith("partials/")))
    for number in range(runs):
        new = Run(run.env, f"{run.run_id}-{number:06d}")
        if not (root / new.manifest).exists():
            link_run(source, run, root, new, ordered)


def link_all(source: Path, root: Path, runs: int) -> None:
    """Write a dataset that can be opened, of links; a copy where a file has all names that its file system allows."""
    [run] = manifest.finished(source)
    for path in (*manifest.read(source, run), run.manifest):
        linked = source / path
        for number in range(runs):
            target = root / path.replace(run.run_id, f"{run.run_id}-{number:06d}")
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(linked, target)
            except OSError as error:
                if error.errno != errno.EMLINK:
                    raise
                linked = Path(shutil.copyfile(linked, target))


def answer(root: Path, name: str, way: str) -> dict[str, object]:
    """Open a dataset and answer a view, once; return seconds, the peak memory, and a checksum of the answer.

    Args:
        root: its folder.
        name: the view; "open" for none.
        way: "sums" or "steps".
    """
    started = time.perf_counter()
    with jacdb.Dataset(LinkedFolder(root), where=None if way == "sums" else "true") as dataset:
        opened = time.perf_counter() - started
        if name == "open":
            return {"seconds": opened, "peak_gib": peak()}
        started = time.perf_counter()
        rows = dataset.fetch(dataset.view(name))
        first = time.perf_counter() - started
        started = time.perf_counter()
        dataset.fetch(dataset.view(name))
        again = time.perf_counter() - started
        said = dataset.explain(name)
    ordered = rows.sort([column for column in rows.columns if not isinstance(rows[column].dtype, pl.List)])
    digest = int(ordered.hash_rows(seed=1).cast(pl.UInt64).reinterpret(signed=True).sum())
    return {
        "open": opened, "seconds": first, "again": again, "rows": len(rows), "peak_gib": peak(), "way": said,
        "digest": digest,
    }  # fmt: skip


def peak() -> float:
    """Return the most memory that this process had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(root: Path, name: str, way: str) -> dict[str, object]:
    """Answer a view in a process of its own."""
    command = [sys.executable, __file__, "--answer", str(root), name, way]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--many", type=int, default=0, help="open so many runs, too; they are links alone")
    parser.add_argument("--by-steps", nargs="*", default=(), help="views to count from all steps, too: minutes each")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--answer", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        print(json.dumps(answer(Path(arguments.answer[0]), *arguments.answer[1:])))
        return
    folder, found = arguments.folder, dict[str, object]()
    one, ten, all_runs, many = (folder / name for name in ("one", "ten", "all", "many"))
    run = manifest.finished(one)[0] if one.exists() else first_run(arguments.data, one, STEPS)
    linked(one, run, ten, BY_STEPS)
    linked(one, run, all_runs, arguments.runs)
    found["open"] = measure(all_runs, "open", "sums")
    for name in arguments.by_steps:
        print(f"{name} of all, by steps: {measure(all_runs, name, 'steps')}")
    print(f"open {arguments.runs} runs: {found['open']}")
    print(f"{'':<26}{'by steps':>10}{'sums of 10':>12}{'of all':>10}{'again':>8}{'GiB':>7}  same")
    for name in VIEWS:
        if name in FROM_STEPS:
            continue
        if name in FROM_EPISODES:
            found[name] = {"all": measure(all_runs, name, "sums")}
            continue
        steps, some, every = measure(ten, name, "steps"), measure(ten, name, "sums"), measure(all_runs, name, "sums")
        same = steps["digest"] == some["digest"]
        found[name] = {"ten million by steps": steps, "ten million": some, "all": every, "same": same}
        times = (steps["seconds"], some["seconds"], every["seconds"], every["again"], every["peak_gib"])
        print(
            f"{name:<26}" + "".join(f"{value:>{w}.3f}" for value, w in zip(times, (10, 12, 10, 8, 7), strict=True)),
            f"  {same}",
        )
    if arguments.many:
        link_all(arguments.data, many, arguments.many)
        found["open many"] = measure(many, "open", "sums")
        print(f"open {arguments.many} runs: {found['open many']}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"command": " ".join(sys.argv), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
