"""Time every view on a million rows or more, and against the same question asked of the nested lists.

    jacdb ingest --env CheetahRun --episodes 20 --steps 1000 --data DIR
    python benchmarks/queries.py --data DIR [--rows N …] [--keep FOLDER] [--out FILE.json]

The ingested episodes of the environment are repeated, with episode numbers of their own, until there are so many rows.
Each view is answered in a process of its own, to the last row, as a polars frame: the best of three answers, and the
process's peak memory. `unnest` is the paper's statistic computed from the matrices, an entry at a time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import jacdb
from jacdb import queries, schemas
from jacdb.dataset.encoding import parquet_options
from jacdb.dataset.layout import CURRENT
from jacdb.dataset.sandbox import fetch
from jacdb.ingest.storage.run_writer import ROW_GROUP_ROWS

PAPER = ("global_sparsity", "entry_zero_fraction", "sparsity_histogram", "sparsity_timeline", "zero_durations")
TIMES = 3

ENTRIES = """with rows as (
    select env, episode, step, unnest(j_state) as entries, generate_subscripts(j_state, 1) as row
    from steps where finite
), entries as (
    select env, episode, step, row, unnest(entries) as entry, generate_subscripts(entries, 1) as col from rows
)"""
UNNEST = {  # of j_state alone
    "global_sparsity": f"""{ENTRIES}, ever as (
        select env, row, col, bool_and(abs(entry) < 1e-12) as zero from entries group by all
    ) select env, count(*) filter (where zero) as zero_state from ever group by env""",
    "entry_zero_fraction": f"""{ENTRIES}
        select env, row, col, avg((abs(entry) < 1e-12)::integer) as zero_fraction from entries group by all""",
    "sparsity_histogram": f"""{ENTRIES}, steps_zeros as (
        select env, episode, step, avg((abs(entry) < 1e-12)::integer) as sparsity from entries group by all
    ) select env, floor(sparsity * 10) as bin, count(*) as steps from steps_zeros group by all""",
}


def repeat(source: Path, target: Path, rows: int) -> None:
    """Write a dataset of at least so many rows, in parts and row groups like the source's."""

    def count(table: str) -> int:
        return sum(pq.read_metadata(path).num_rows for path in source.glob(f"{table}/{CURRENT.parts}"))

    copies, episodes = -(-rows // count("steps")), count("episodes")
    for table in schemas.TABLES:
        for path in sorted(source.glob(f"{table.name}/{CURRENT.parts}")):
            folder = target / path.parent.relative_to(source)
            folder.mkdir(parents=True, exist_ok=True)
            if table.name not in ("steps", "episodes"):
                (folder / path.name).write_bytes(path.read_bytes())
                continue
            for copy in range(copies):
                _later_episodes(path, folder, copy, episodes)


def _later_episodes(path: Path, folder: Path, copy: int, episodes: int) -> None:
    """Write a part again, as the episodes after those of the copies before."""
    rows = pq.read_table(path, partitioning=None)
    column = rows.schema.get_field_index("episode")
    moved = pa.array(rows["episode"].to_numpy() + copy * episodes, pa.int32())
    number = int(path.stem.removeprefix("part-")) + copy * 100
    if "trajectory_id" in rows.column_names:  # of `episodes`: equal ones would be taken for the same states
        place = rows.schema.get_field_index("trajectory_id")
        own = pa.array(rows["trajectory_id"].to_numpy() ^ copy)
        rows = rows.set_column(place, rows.schema.field(place), own)
    with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", rows.schema, **parquet_options(rows.schema)) as out:
        out.write_table(rows.set_column(column, rows.schema.field("episode"), moved), row_group_size=ROW_GROUP_ROWS)


def answer(root: Path, name: str, unnest: bool) -> dict[str, float]:
    """Return the seconds to answer a view, and the process's peak memory."""
    seconds = []
    for _ in range(1 if unnest else TIMES):
        with jacdb.open(root) as dataset:
            started = time.perf_counter()
            rows = len(fetch(dataset.sql(UNNEST[name]) if unnest else dataset.view(name)))
            seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": min(seconds), "rows": rows, "peak_gib": peak}


def measure(root: Path, name: str, *options: str) -> dict[str, float]:
    """Answer a view in a process of its own, and return what :func:`answer` says there."""
    command = [sys.executable, __file__, "--data", str(root), "--view", name, *options]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--keep", type=Path, help="make the repeated datasets here, and keep them")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--view", help=argparse.SUPPRESS)
    parser.add_argument("--unnest", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.view:
        print(json.dumps(answer(arguments.data, arguments.view, arguments.unnest)))
        return
    found: dict[int, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for rows in arguments.rows:
            root = (arguments.keep or Path(scratch)) / str(rows)
            if not root.exists():
                repeat(arguments.data, root, rows)
            found[rows] = {name: measure(root, name) for name in queries.STATISTICS}
            print(f"{rows:,} steps{'':<20}seconds     GiB")
            for name, measured in found[rows].items():
                print(f"{name:<28}{measured['seconds']:>10.3f}{measured['peak_gib']:>8.2f}", flush=True)
            print(f"{'the five of the paper':<28}{sum(found[rows][name]['seconds'] for name in PAPER):>10.3f}")
            if rows == min(arguments.rows):
                for name in UNNEST:
                    slow = found[rows][f"{name} by unnest"] = measure(root, name, "--unnest")
                    ratio = slow["seconds"] / found[rows][name]["seconds"]
                    print(f"{name + ' by unnest':<38}{slow['seconds']:>10.1f}  {ratio:.0f}x", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"command": " ".join(sys.argv), "seconds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
