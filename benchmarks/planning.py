"""Write planning.json: the cost of a billion steps, and how shards queue on workers that fail.

    python benchmarks/planning.py

Costs are of the rates in RATES, each with its source. The queue is simulated: W workers take shards in order. A shard
costs its start and its rows; machines differ in speed; a worker fails at random, and then its shard goes on after a
wait, without the episodes that were not finished. Seeds are fixed: the numbers come out the same everywhere.
"""

import heapq
import json
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 10**9
RUN_STEPS = (10**5, 10**6, 10**7)  # 100, 1,000 and 10,000 episodes of 1,000 steps
PART_BYTES = 10**8  # of matrices before compression: ingest/storage/run_writer.py
OTHER_FILES = 8  # of a run, beside the parts of its steps: 5 tables, and 3 in its journal
HUB_FOLDER, HUB_FILES = 10_000, 100_000  # the Hub's limits of entries in a folder, and of files in a repository
# Core microseconds and bytes a row, seconds until a shard's first step where programs are compiled already, sources
RATES: dict[str, dict[str, Any]] = {
    "CartpoleBalance": {
        "core_us": 10.7, "bytes": 129, "matrix_bytes": 80, "start_s": 3.6,
        "source": "`jacdb ingest --env CartpoleBalance --steps 1000` with 440 and with 40 episodes: user and system"
        " time of the difference, on a machine that others used (2026-11-29); start as CheetahRun's",
    },
    "CheetahRun": {
        "core_us": 50.4, "bytes": 1722, "matrix_bytes": 1728, "start_s": 3.6,
        "source": "performance.md: ingest's user time (2026-11-26), `host.py`'s bytes, start (both 2026-11-28)",
    },
    "PandaPickCube": {
        "core_us": 2 * 199 + 23.4, "bytes": 3276, "matrix_bytes": 6992, "start_s": 5.6,
        "source": "performance.md (2026-11-28): two cores for the engine's time, and `host.py`'s; start",
    },
}  # fmt: skip
QUEUED = "PandaPickCube"  # whose shards are queued
WORKERS, SHARDS_A_WORKER, FAILURES = (8, 64, 512), (1, 2, 4, 8, 16), (0.0, 0.2, 2.0)  # failures: a worker, an hour
CORES = 8  # of a worker
SPREAD = 0.2  # standard deviation of the logarithm of machines' speeds: an assumption
WAIT = 60.0  # seconds until a shard is queued again: an assumption
BATCH_STEPS = 136 * 150  # steps lost when a worker fails, at most: 136 episodes side by side, of 150 steps
DRAWS = 20


def wall(workers: int, shards: int, failures: float, rate: dict[str, Any], seed: int) -> float:
    """Return the hours until the last shard is finished.

    Args:
        workers: how many take shards.
        shards: how many the steps are cut into.
        failures: of a worker, an hour.
        rate: of the environment.
        seed: of speeds and failures.
    """
    random = np.random.default_rng([seed, workers, shards])
    slowness = np.exp(random.normal(0, SPREAD, workers))
    free = [(0.0, worker) for worker in range(workers)]
    a_step = rate["core_us"] * 1e-6 / CORES
    queue = [(0.0, STEPS / shards)] * shards  # when a shard may start, and the steps that it lacks
    heapq.heapify(queue)
    last = 0.0
    while queue:
        ready, steps = heapq.heappop(queue)
        at, worker = heapq.heappop(free)
        start = max(at, ready)
        needs = rate["start_s"] + steps * a_step * slowness[worker]
        lives = random.exponential(3600 / failures) if failures else np.inf
        if lives < needs:
            done = max(0.0, lives - rate["start_s"]) / (a_step * slowness[worker])
            kept = done // BATCH_STEPS * BATCH_STEPS
            heapq.heappush(queue, (start + lives + WAIT, steps - kept))
        heapq.heappush(free, (start + min(lives, needs), worker))
        last = max(last, start + min(lives, needs))
    return last / 3600


def costs(rate: dict[str, Any]) -> dict[str, Any]:
    """Return core-hours and terabytes of the steps and, by the length of a run, how many runs and files they are."""
    lengths = []
    for length in RUN_STEPS:
        parts = -(-length * rate["matrix_bytes"] // PART_BYTES)
        files = STEPS // length * (parts + OTHER_FILES)
        lengths.append({"steps": length, "runs": STEPS // length, "parts": parts, "files": files})
    core_hours, terabytes = STEPS * rate["core_us"] * 1e-6 / 3600, STEPS * rate["bytes"] / 1e12
    return {"core_hours": core_hours, "terabytes": terabytes, "lengths": lengths}


def main() -> None:
    queue = []
    for workers in WORKERS:
        for each in SHARDS_A_WORKER:
            row: dict[str, Any] = {"workers": workers, "shards": workers * each, "each": each, "walls": []}
            for failures in FAILURES:
                drawn = [wall(workers, workers * each, failures, RATES[QUEUED], seed) for seed in range(DRAWS)]
                row["walls"].append([float(np.median(drawn)), float(np.max(drawn))])
            row["ideal"] = costs(RATES[QUEUED])["core_hours"] / (CORES * workers)
            queue.append(row)
    kept: dict[str, Any] = {"environments": {env: rate | costs(rate) for env, rate in RATES.items()}, "queue": queue}
    kept |= {
        "failures": FAILURES,
        "cores": CORES,
        "spread": SPREAD,
        "wait": WAIT,
        "batch": BATCH_STEPS,
        "draws": DRAWS,
        "queued": QUEUED,
    }
    kept |= {"queued": QUEUED, "hub_folder": HUB_FOLDER, "hub_files": HUB_FILES}
    Path(__file__).with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
    for row in queue:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
