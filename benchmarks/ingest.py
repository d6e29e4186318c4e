"""Time a whole `jacdb ingest` against its Jacobians alone, in one process.

    python benchmarks/ingest.py [--env CheetahRun] [--episodes 144] [--steps 700] [--out FILE.json]

- engine: the Jacobians of the very steps that ingest takes, a batch a call, and those that are computed again by
  another method: what benchmarks/jacobians.py has under that name;
- chunks: the compiled rollout with Jacobians, its results left on the device;
- ingest: everything from the first chunk of steps to the last file on disk, compiled before.

They take turns, the engine before and after each ingest. Of each the best turn is given, and the median over the turns
of ingest's ratio to it in the same turn: a machine that others share is slower in one minute than in the next. Wall
time, and the process's user time, all cores together: where a virtual machine borrows its memory, to touch it first
costs system time; the last line says how much.
"""

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jacobians import compiled, shared  # the script beside this one
from jaxtyping import Array

from jacdb.ingest import pipeline, run_plan
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import CtrlJacobian, OnDevice, PhysicsInput
from jacdb.ingest.environments.loading import System
from jacdb.ingest.recording.chunk_program import Batch, StepChunk
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.recomputation import Recompute, Recomputed
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord
from jacdb.progress import Event

TURNS = 11


def spent() -> np.ndarray:
    """Return the seconds so far: wall time, and the process's user time."""
    return np.array([time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime])


def whole(request: run_plan.Request, programs: pipeline.MakePrograms) -> np.ndarray:
    """Ingest, and return seconds per row from the first chunk on, before which everything is compiled."""
    seen: list[np.ndarray] = []

    def report(event: Event) -> None:
        if event.doing.startswith("rolling out") and not seen:
            seen.append(spent())

    with tempfile.TemporaryDirectory() as root:
        result = pipeline.ingest(request, root, report=report, programs=programs)
        ended = spent()
    return (ended - seen[0]) / result.n_rows


@dataclass
class Calls:
    """Arguments with which the first ingest called its programs.

    Attributes:
        chunks: the batch and the noise of every chunk of every block of slots.
        inputs: of every chunk of every block, (steps, slots, …).
        recomputed: the program and the arguments of every recomputation.
    """

    chunks: list[tuple[Batch, Array | np.ndarray]] = field(default_factory=list)
    inputs: list[PhysicsInput] = field(default_factory=list)
    recomputed: list[tuple[Recompute, PhysicsInput, CtrlJacobian]] = field(default_factory=list)

    def of_steps(self, n_blocks: int, steps: int) -> list[PhysicsInput]:
        """Return the inputs of each step of all slots."""
        chunks = itertools.batched(self.inputs, n_blocks)
        together: list[PhysicsInput] = [
            jax.tree.map(lambda *blocks, k=k: np.concatenate([block[k] for block in blocks]), *chunk)
            for chunk in chunks
            for k in range(len(chunk[0].qpos))
        ]
        return together[:steps]


class KeptPrograms(Programs):
    """Programs that are compiled once for all ingests, and record what the first ingest calls them with."""

    def __init__(self, settings: RolloutSettings) -> None:
        super().__init__(settings)
        self.calls = Calls()
        self.recording = True

    def close(self) -> None:
        """Keep what is compiled: the next ingest uses it again."""

    def step_chunk(self, chunk: int) -> StepChunk:
        compiled = super().step_chunk(chunk)
        if not self.recording:
            return compiled

        def recorded(batch: Batch, noise: Array | np.ndarray) -> tuple[Batch, ChunkRecord]:
            after, record = compiled(batch, noise)
            self.calls.chunks.append((batch, noise))
            self.calls.inputs.append(jax.tree.map(np.array, record.steps.physics_input))
            return after, record

        return recorded

    def recompute(self, method: OnDevice) -> Recompute:
        compiled = super().recompute(method)
        if not self.recording:
            return compiled

        def recorded(start: PhysicsInput, ctrl: CtrlJacobian) -> Recomputed:
            self.calls.recomputed.append((compiled, start, ctrl))
            return compiled(start, ctrl)

        return recorded


def measure(name: str, episodes: int, steps: int) -> dict[str, Any]:
    """Time the engine, the chunks and whole ingests of the same steps, in turns."""
    system = System.load(name)
    request = run_plan.Request(name, episodes=episodes, steps=steps, num_envs=episodes)
    kept: list[KeptPrograms] = []

    def programs(settings: RolloutSettings, report: Callable[[Event], None]) -> Programs:
        if not kept:
            kept.append(KeptPrograms(settings))
        kept[0].report = report
        return kept[0]

    whole(request, programs)  # compiles, and touches the memory that the turns will use
    kept[0].recording = False
    calls, rows = kept[0].calls, episodes * steps
    inputs = calls.of_steps(-(-episodes // kept[0].block), steps)
    step_chunk = kept[0].step_chunk(len(calls.chunks[0][1]))
    method = cast(OnDevice, system.spec.method)  # no environment's own is fd
    differentiate, _ = compiled(control_step.physics_jacobian(system, method), inputs[0], spread=True)
    shares = [shared(of_step) for of_step in inputs]

    def engine() -> np.ndarray:
        started = spent()
        again = [recompute(start, ctrl) for recompute, start, ctrl in calls.recomputed]
        for of_step in shares:
            differentiate(of_step)
        jax.block_until_ready(again)
        return (spent() - started) / rows

    def chunks() -> np.ndarray:
        before, started = None, spent()
        for batch, noise in calls.chunks:
            _, record = step_chunk(batch, noise)
            jax.block_until_ready(before)  # not this chunk: cores share no chunk's end, as in ingest
            before = record
        jax.block_until_ready(before)
        return (spent() - started) / rows

    engine(), chunks()
    turns = []
    for _ in range(TURNS):
        before, ingest, after = engine(), whole(request, programs), engine()
        turns.append({"engine": (before + after) / 2, "chunks": chunks(), "ingest": ingest})
    best = {way: 1e6 * np.min([turn[way] for turn in turns], axis=0) for way in turns[0]}
    ratio = {way: np.median([turn["ingest"] / turn[way] for turn in turns], axis=0) for way in best}
    return {
        "env": name,
        "rows": rows,
        "us_per_row": {way: us.tolist() for way, us in best.items()},
        "ingest_ratio": {way: of.tolist() for way, of in ratio.items()},
        "turns": [{way: (1e6 * seconds).tolist() for way, seconds in turn.items()} for turn in turns],
    }


def first_touch() -> dict[str, float]:
    """Return us per KiB to write to memory that the process has just been given, and to write there again."""
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
