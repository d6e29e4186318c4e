"""Time the host's half of `jacdb ingest`, without a device: from a chunk's record to Parquet on the disk.

    python benchmarks/host.py [ENV …] [--writers 1 2 …] [--baseline PYTHON --baseline-checkout FOLDER]

A short rollout is recorded once, which compiles it: what the device hands over of every chunk, and of every
recomputation. The recording is kept (--recordings). From then on it is fed again and again, as if a device had given
it, through all that the host does: received, made into rows, gathered into episodes, encoded, summed up, and written to
a temporary folder (TMPDIR says where).

Of each number of parts that are written at once: µs of a core a row, user and system together, all threads; thousands
of rows a second; and bytes a row, all files together. The best turn of each is given, and the median over the turns.
Each turn is a process of its own; with --baseline, the other checkout's turns alternate with this one's, and ratios
are printed.
"""

import argparse
import itertools
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jacdb import user_cache
from jacdb.ingest import pipeline, run_plan, runtime
from jacdb.ingest.environments.loading import System
from jacdb.ingest.policies.noise import NoisePolicy
from jacdb.ingest.recording.chunk_rows import RowMaker
from jacdb.ingest.recording.device_shards import DeviceShard
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord
from jacdb.ingest.storage import run_writer
from jacdb.ingest.storage.arrow import share_process_memory
from jacdb.ingest.storage.episodes import Episode

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = {"CheetahRun": (192, 110_000), "PandaPickCube": (64, 37_000)}  # steps recorded, rows fed at once
OTHERS = (64, 50_000)
SLOTS, TURNS, TIMES = 144, 3, 4


def record(env: str, path: Path) -> None:
    """Roll out once, and keep what the device hands over, as arrays of NumPy."""
    chunks: list[Any] = []
    recomputed: list[Any] = []

    def kept(compiled: Callable[..., Any], results: list[Any], result: Callable[[Any], Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any) -> Any:
            given = compiled(*arguments)
            results.append(jax.tree.map(np.array, result(given)))  # of each batch, one after the other
            return given

        return recorded

    class Recorded(Programs):
        def step_chunk(self, *arguments: Any) -> Any:
            return kept(super().step_chunk(*arguments), chunks, lambda given: given[1])

        def recompute(self, *arguments: Any) -> Any:
            return kept(super().recompute(*arguments), recomputed, lambda given: given)

    steps, _ = ENVIRONMENTS.get(env, OTHERS)
    with tempfile.TemporaryDirectory() as root:
        request = run_plan.Request(env, episodes=SLOTS, steps=steps, num_envs=SLOTS)
        pipeline.ingest(request, root, programs=Recorded, report=lambda event: print(event.doing, file=sys.stderr))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((chunks, recomputed)))


class Host:
    """The host's half of a rollout, which is fed a recording.

    Args:
        env: the environment.
        path: of the recording.
    """

    def __init__(self, env: str, path: Path) -> None:
        records, recomputed = pickle.loads(path.read_bytes())
        system, policy = System.load(env), NoisePolicy()
        self.env, self.recomputed = env, itertools.cycle(recomputed)
        self.block = records[0].steps.in_episode.shape[1]  # slots of a batch
        batches = -(-SLOTS // self.block)
        mesh = runtime.mesh(self.block)
        every, of_slots = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((None, "slots"), ("slots",)))
        put = [
            ChunkRecord(jax.device_put(one.steps, every), jax.device_put(one.statistics, of_slots)) for one in records
        ]
        self.chunks = list(itertools.batched(put, batches))
        self.rows = sum(int(one.steps.in_episode.sum()) for one in records)  # of all episodes recorded
        steps = sum(len(chunk[0].steps.in_episode) for chunk in self.chunks)
        settings = RolloutSettings(system, policy, system.spec.method, 0, steps, SLOTS)
        self.row_maker = RowMaker(settings, lambda method: lambda start, ctrl: next(self.recomputed))

    def write(self, root: Path, repeats: int) -> None:
        """Write the recorded episodes so many times. A chunk's rows are made when the next one is received."""
        writer = run_writer.RunWriter(root, self.env, "recorded", "run", lambda episode: episode)
        with writer.alone():
            episodes: dict[int, Episode] = {}
            number = itertools.count()
            received: list[DeviceShard] = []
            for chunk in itertools.chain(*[self.chunks] * repeats, [()]):
                shards = [
                    shard._replace(first_slot=batch * self.block + shard.first_slot)
                    for batch, one in enumerate(chunk)
                    for shard in self.row_maker.receive(one)
                ]
                over = []
                for slot, piece, patterns, sizes, is_over in itertools.chain(*map(self.row_maker.rows, received)):
                    episode = episodes.get(slot) or episodes.setdefault(slot, Episode(next(number)))
                    episode.append(piece, patterns, sizes, is_over=is_over)
                    if is_over:
                        over.append(episodes.pop(slot))
                writer.add(*over)
                received = shards
            writer.flush()


def measure(env: str, path: Path, writers: int) -> list[dict[str, float]]:
    """Feed the recording several times, and return what each took; the first, which touches new memory, is left out."""
    run_writer.WRITERS = writers
    share_process_memory()
    host = Host(env, path)
    repeats = max(1, round(ENVIRONMENTS.get(env, OTHERS)[1] / host.rows))
    rows = repeats * host.rows
    found = []
    with runtime.without_collector():
        for _ in range(TIMES):
            with tempfile.TemporaryDirectory() as folder:
                before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
                host.write(Path(folder), repeats)
                after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
                core = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
                size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
                found.append({"core": 1e6 * core / rows, "speed": rows / (ended - started), "bytes": size / rows})
    gib = after.ru_maxrss / 2**20
    return [{**one, "gib": gib} for one in found[1:]]


def child(python: str, checkout: Path, *arguments: str) -> str:
    """Run this script with another checkout, and return what it prints."""
    command = [python, str(Path(__file__).resolve()), *arguments]
    path = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    return subprocess.run(command, cwd=checkout, env=path, stdout=subprocess.PIPE, check=True, text=True).stdout


def turns(sides: dict[str, tuple[str, Path]], env: str, path: Path, writers: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield what each side took, turn by turn."""
    for _ in range(TURNS):
        for side, (python, checkout) in sides.items():
            yield side, json.loads(child(python, checkout, env, "--writers", str(writers), "--turn", str(path)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", default=list(ENVIRONMENTS), metavar="ENV")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--writers", type=int, nargs="+", default=list(range(1, cores + 1)))
    parser.add_argument("--recordings", type=Path, help="where recordings are kept; left out, in the user's cache")
    parser.add_argument("--baseline", metavar="PYTHON", help="the Python of another checkout")
    parser.add_argument("--baseline-checkout", type=Path, metavar="FOLDER", help="that checkout")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if (arguments.baseline is None) != (arguments.baseline_checkout is None):
        parser.error("--baseline and --baseline-checkout go together")
    if arguments.record:
        return record(arguments.environments[0], arguments.record)
    if arguments.turn:
        return print(json.dumps(measure(arguments.environments[0], arguments.turn, arguments.writers[0])))
    sides = {"this": (sys.executable, ROOT)}
    if arguments.baseline:
        sides["baseline"] = (arguments.baseline, arguments.baseline_checkout)
    heads = "core-us a row: best  median   1000 rows/s: best  median   bytes a row   peak GiB"
    print(f"{'writers':>31}  {heads}")
    for env, writers in itertools.product(arguments.environments, arguments.writers):
        path = (arguments.recordings or user_cache.folder() / "host").resolve() / f"{env}.pickle"
        if not path.exists():
            child(sys.executable, ROOT, env, "--record", str(path))
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for side, of_turn in turns(sides, env, path, writers):
            found[side] += of_turn
        best = {}
        for side, times in found.items():
            core, speed = ([one[name] for one in times] for name in ("core", "speed"))
            best[side] = (min(core), statistics.median(core), max(speed) / 1e3, statistics.median(speed) / 1e3)
            size, gib = times[0]["bytes"], max(one["gib"] for one in times)
            numbers = "{:>21.2f}{:>8.2f}{:>19.1f}{:>8.1f}".format(*best[side])
            print(f"{env:<18}{side:<10}{writers:>3}{numbers}{size:>14.1f}{gib:>11.2f}", flush=True)
        if arguments.baseline:
            ratios = [this / base for this, base in zip(best["this"], best["baseline"], strict=True)]
            print(f"{env:<18}{'ratio':<10}{writers:>3}" + "{:>21.2f}{:>8.2f}{:>19.2f}{:>8.2f}".format(*ratios))
    return None


if __name__ == "__main__":
    main()
