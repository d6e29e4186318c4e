"""Time each figure and the report, next to another checkout's.

    python benchmarks/figures.py [ENV …] [--data DIR] [--baseline PYTHON --baseline-checkout FOLDER]

A figure is drawn and written as PNG, as `jacdb plot` does; the embedding is left out, which is t-SNE's own time. The
numbers are milliseconds of CPU, user and system together, in the median of all rounds and environments. Both checkouts
take turns, each round in a process of its own, and draw the same dataset: --data must be one that both can read. What
the first figure of a process pays, imports among it, is not counted.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ["CartpoleBalance", "CheetahRun", "PandaPickCube"]
ROUNDS, TIMES = 3, 3


def measure(data: Path, environments: list[str]) -> dict[str, list[float]]:
    """Return CPU seconds of each figure, by name, an environment at a time: the best of a few; and of the report."""
    import jacdb
    from jacdb import figures, report

    figures.FIGURES.pop("embedding")
    seconds: dict[str, list[float]] = {}
    with jacdb.open(data) as dataset:
        for name in figures.FIGURES:
            for env in environments:
                taken = []
                for _ in range(TIMES + 1):
                    started = time.process_time()
                    figures.save(figures.draw(dataset, name, env), io.BytesIO())
                    taken.append(time.process_time() - started)
                seconds.setdefault(name, []).append(min(taken[1:]))
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            report.write(dataset, Path(folder))
            seconds["report"] = [time.process_time() - started]
    return seconds


def turn(python: str, checkout: Path, data: Path, environments: list[str]) -> dict[str, list[float]]:
    """Measure a checkout in a process of its own, by its own Python."""
    command = [python, str(Path(__file__).resolve()), *environments, "--data", str(data.resolve()), "--turn"]
    path = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    done = subprocess.run(command, cwd=checkout, env=path, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--data", type=Path, default=ROOT / "datasets" / "sample")
    parser.add_argument("--baseline", metavar="PYTHON", help="the Python of another checkout")
    parser.add_argument("--baseline-checkout", type=Path, metavar="FOLDER", help="that checkout")
    parser.add_argument("--turn", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if (arguments.baseline is None) != (arguments.baseline_checkout is None):
        parser.error("--baseline and --baseline-checkout go together")
    if arguments.turn:
        print(json.dumps(measure(arguments.data, arguments.environments)))
        return
    sides = {"this": (sys.executable, ROOT)}
    if arguments.baseline:
        sides["baseline"] = (arguments.baseline, arguments.baseline_checkout)
    rounds: dict[str, list[dict[str, list[float]]]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, (python, checkout) in sides.items():
            rounds[side].append(turn(python, checkout, arguments.data, arguments.environments))
    print(f"{'ms of CPU':<12}{''.join(f'{side:>10}' for side in sides)}" + f"{'ratio':>8}" * (len(sides) - 1))
    for name in rounds["this"][0]:
        medians = [1e3 * statistics.median(t for one in rounds[side] for t in one[name]) for side in sides]
        ratio = f"{medians[-1] / medians[0]:8.2f}" if len(sides) > 1 else ""
        print(f"{name:<12}{''.join(f'{median:10.0f}' for median in medians)}{ratio}")


if __name__ == "__main__":
    main()
