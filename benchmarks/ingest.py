"""A whole `jacdb ingest` against its Jacobians alone, in one process.

    python benchmarks/ingest.py [--env CheetahRun] [--episodes 144] [--steps 700] [--out FILE.json]

- engine: calls of the compiled Jacobian of a batch of visited states, as in benchmarks/jacobians.py;
- chunks: the compiled rollout with Jacobians, its results left on the device;
- ingest: everything from the first chunk of steps to the last file on disk, compiled before.

They take turns. Of each the best turn is given, and the median over the turns of ingest's ratio to it in the same turn:
a machine that others share is slower in one minute than in the next. Wall time, and the process's user time, all cores
together: where a virtual machine borrows its memory, to touch it first costs system time; the last line says how much.
"""

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jacobians import compiled, visited  # the script beside this one

from jacdb.ingest import jacobians, pipeline
from jacdb.ingest.dynamics import System
from jacdb.ingest.jacobians import OnDevice
from jacdb.ingest.rollout import Batch, Rollout
from jacdb.ingest.rows import RowMaker
from jacdb.progress import Event

TURNS = 7


def spent() -> np.ndarray:
    """Seconds: wall, user."""
    return np.array([time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime])


def repeated(call: Callable[[], object], times: int, rows: int) -> np.ndarray:
    """Seconds per row, after a first call that warms caches."""
    call()
    started = spent()
    for _ in range(times):
        call()
    return (spent() - started) / (times * rows)


def whole(request: pipeline.Request) -> np.ndarray:
    """Seconds per row, from the first chunk on, before which everything is compiled."""
    seen: list[np.ndarray] = []

    def report(event: Event) -> None:
        if event.doing.startswith("rolling out") and not seen:
            seen.append(spent())

    with tempfile.TemporaryDirectory() as root:
        result = pipeline.ingest(request, root, report=report)
        ended = spent()
    return (ended - seen[0]) / result.n_rows


def compile_once() -> list[tuple]:
    """Let ingests share what is compiled; gives what rollouts compile and for what, as soon as one has."""
    chunks: list[tuple] = []
    again: dict[str, Callable] = {}
    compile_chunk, differentiate_again = Rollout._compile, RowMaker._differentiate_again

    def chunk_of(self: Rollout, chunk: int, batch: Batch) -> Callable:
        chunks.extend([] if chunks else [(compile_chunk(self, chunk, batch), chunk, batch)])
        return chunks[0][0]

    def again_by(self: RowMaker, method: OnDevice) -> Callable:
        again[method] = again.get(method) or differentiate_again(self, method)
        return again[method]

    Rollout._compile = chunk_of  # type: ignore[method-assign]
    RowMaker._differentiate_again = again_by  # type: ignore[method-assign]
    return chunks


def measure(name: str, episodes: int, steps: int) -> dict:
    system = System.load(name)
    request = pipeline.Request(name, episodes=episodes, steps=steps, num_envs=episodes)
    compiled_chunks = compile_once()
    whole(request)  # compiles, and touches the memory that the turns will use
    [(step_chunk, chunk, batch)] = compiled_chunks
    noise = np.random.default_rng(0).uniform(-1, 1, (chunk, episodes, system.spec.d_action))
    batch = batch._replace(taken=jax.device_put(np.zeros(episodes, int), batch.taken.sharding))

    def run_chunk() -> None:
        jax.block_until_ready(step_chunk(batch, noise))

    inputs = visited(system, episodes)
    differentiate, _ = compiled(jacobians.physics_jacobian(system, system.spec.method), inputs, spread=True)
    ways = {
        "engine": lambda: repeated(differentiate, steps, episodes),
        "chunks": lambda: repeated(run_chunk, steps // chunk, chunk * episodes),
        "ingest": lambda: whole(request),
    }
    turns = [{way: 1e6 * turn() for way, turn in ways.items()} for _ in range(TURNS)]
    best = {way: np.min([turn[way] for turn in turns], axis=0).tolist() for way in ways}
    ratio = {way: np.median([turn["ingest"] / turn[way] for turn in turns], axis=0).tolist() for way in ways}
    all_turns = [{way: us.tolist() for way, us in turn.items()} for turn in turns]
    return {"env": name, "rows": episodes * steps, "us_per_row": best, "ingest_ratio": ratio, "turns": all_turns}


def first_touch() -> dict[str, float]:
    """us per KiB to write to memory that the process has just been given, and to write there again."""
    memory = np.empty(2**30, np.uint8)
    times = [time.perf_counter()]
    for value in (1, 2):
        memory[:] = value
        times.append(time.perf_counter())
    first, again = (1e6 * (b - a) / 2**20 for a, b in itertools.pairwise(times))
    return {"first": first, "again": again}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="CheetahRun")
    parser.add_argument("--episodes", type=int, default=144)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    touch = first_touch()
    found = measure(arguments.env, arguments.episodes, arguments.steps)
    print(f"{found['rows']:,} rows of {arguments.env}, us per row    wall    user   ingest: of wall, of user")
    for way, us in found["us_per_row"].items():
        of_wall, of_user = found["ingest_ratio"][way]
        print(f"{way:<40}{us[0]:>8.1f}{us[1]:>8.1f}{of_wall:>12.2f}x{of_user:>8.2f}x")
    print(f"a KiB of memory: {touch['first']:.2f} us to touch first, {touch['again']:.2f} us again")
    if arguments.out:
        where = {"device": jax.devices()[0].device_kind, "cores": len(jax.devices()), "command": " ".join(sys.argv)}
        arguments.out.write_text(json.dumps({**where, **found, "first_touch": touch}, indent=1) + "\n")


if __name__ == "__main__":
    main()
