"""Time the loader against reading the same Parquet columns into Arrow, and its memory as the dataset grows.

    jacdb ingest --env CheetahRun --episodes 20 --steps 1000 --data DIR
    python benchmarks/loader.py --data DIR [--env E] [--rows N …] [--turns N] [--buffer-mib M] [--out FILE.json]

The ingested episodes are repeated, with episode numbers of their own, until there are so many rows. All ways take turns
in one process. Printed are the median, and its ratio to the faster of the two ways of Arrow, in time and
in what all threads together computed. Memory is how much the peak of a process of its own has grown by a shuffled pass
(on Linux).
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

import jacdb
from jacdb import schemas
from jacdb.dataset.layout import CURRENT, Run
from jacdb.dataset.loader import COLUMNS, Batches
from queries import repeat  # the script beside this one


def through(batches: Batches) -> int:
    """Make one pass, and return its bytes."""
    return sum(values.nbytes for batch in batches for values in batch.values())


def ways(root: Path, env: str, buffer_mib: float) -> dict[str, Callable[[], object]]:
    """Return the ways to read an environment's steps, by name."""
    files = sorted(root.glob(f"{Run(env, '*').folder('steps')}/part-*.parquet"))
    columns = list(COLUMNS)
    dataset = jacdb.open(root)

    def tables() -> None:
        for path in files:
            pq.read_table(path, columns=columns, partitioning=None, use_threads=True)

    def groups() -> None:
        for path in files:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    file.read_row_group(group, columns, use_threads=True)

    in_order = dataset.batches(env, buffer_mib=buffer_mib)
    shuffled = dataset.batches(env, shuffle=True, buffer_mib=buffer_mib)
    return {
        "Arrow, by file": tables,
        "Arrow, by row group": groups,
        "loader": lambda: through(in_order),
        "loader, shuffled": lambda: through(shuffled),
    }


def compare(root: Path, env: str, turns: int, buffer_mib: float) -> dict[str, dict[str, float]]:
    """Return each way's MB/s, by the arrays' bytes, and its ratio to the faster of Arrow's."""
    ask = ways(root, env, buffer_mib)
    with jacdb.open(root) as dataset:
        nbytes = through(dataset.batches(env))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ask}
    for _ in range(turns):
        for name, run in ask.items():
            started = time.perf_counter(), time.process_time()
            run()
            seconds[name].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    median = {name: [statistics.median(of) for of in zip(*taken, strict=True)] for name, taken in seconds.items()}
    wall, cpu = (min(median[name][i] for name in median if name.startswith("Arrow")) for i in (0, 1))
    return {
        name: {"mb_per_s": nbytes / taken / 1e6, "ratio": wall / taken, "cpu_ratio": cpu / computed}
        for name, (taken, computed) in median.items()
    }


def memory(root: Path, env: str, buffer_mib: float) -> dict[str, float]:
    """Return the MiB by which this process's peak grows in a shuffled pass."""
    with jacdb.open(root) as dataset:
        batches = dataset.batches(env, shuffle=True, buffer_mib=buffer_mib)
        before = peak_mib()
        nbytes = through(batches)
    return {"arrays_mib": nbytes / 2**20, "growth_mib": peak_mib() - before}


def peak_mib() -> float:
    """Return the process's peak memory. Not getrusage's, which includes the parent's memory at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--env", default="CheetahRun")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--buffer-mib", type=float, default=64.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(arguments.data, arguments.env, arguments.buffer_mib)))
        return
    found: dict[int, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        alone = Path(scratch) / "one"
        for table in schemas.TABLES:  # an environment of many
            folder = Path(table.name) / f"{CURRENT.key}={arguments.env}"
            shutil.copytree(arguments.data / folder, alone / folder)
        for rows in arguments.rows:
            root = Path(scratch) / str(rows)
            repeat(alone, root, rows)
            results = found[rows] = compare(root, arguments.env, arguments.turns, arguments.buffer_mib)
            print(f"{rows:,} rows of {arguments.env}{'':<12}MB/s    ratio      CPU")
            for name, way in results.items():
                print(f"{name:<28}{way['mb_per_s']:>10.0f}{way['ratio']:>9.2f}{way['cpu_ratio']:>9.2f}", flush=True)
            command = [sys.executable, __file__, "--memory", "--data", str(root), "--env", arguments.env,
                       "--buffer-mib", str(arguments.buffer_mib)]  # fmt: skip
            results["memory"] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            growth, arrays = results["memory"]["growth_mib"], results["memory"]["arrays_mib"]
            print(f"a pass grows memory by {growth:.0f} MiB, with arrays of {arrays:.0f} MiB", flush=True)
            shutil.rmtree(root)
    if arguments.out:
        arguments.out.write_text(json.dumps({"command": " ".join(sys.argv), "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
