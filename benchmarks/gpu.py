"""All that a GPU is to show, in one command: rates, the start, and that its rows are a CPU's.

    python benchmarks/gpu.py [--rows 2000000] [--steps 500] [--before PYTHON] [--platform cuda] [--out FILE.json]

- engine: benchmarks/jacobians.py for its nine environments, this engine against naive differentiation;
- start: seconds from the command to the first rows, nothing cached, then once more; with --before also of another
  jacdb, named by its Python;
- ingest: rows a second of whole ingests at the default number of environments, compiled before;
- verify: what `jacdb verify` on the CPU says of these rows;
- patterns: 500 steps of each of the nine, once on the GPU and once on the CPU: how many have the same zeros.

Each part is printed as it ends, so that what is cut short has shown something. With --platform cpu and few rows it can
be tried without a GPU.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jacobians import ENVIRONMENTS  # the script beside this one

import jacdb

RATES = ("CheetahRun", "PandaPickCube")
HERE = Path(__file__).parent


@contextlib.contextmanager
def empty_cache() -> Iterator[dict[str, str]]:
    """Yield the variables of a user who has never run jacdb, but for robot models that are there."""
    with tempfile.TemporaryDirectory() as cache:
        yield {"XDG_CACHE_HOME": cache}


def command(
    *arguments: str, platform: str, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run jacdb on a platform; its output is shown where it fails."""
    environ = {**os.environ, "JAX_PLATFORMS": platform, **variables}
    ran = subprocess.run([python, "-m", "jacdb", *arguments], capture_output=True, text=True, env=environ)
    if ran.returncode:
        print(" ".join(arguments), ran.stdout[-2000:], ran.stderr[-2000:], file=sys.stderr)
    return ran


def ingest(env: str, episodes: int, steps: int, data: Path, **where: Any) -> dict[str, float]:
    """Ingest; return seconds to the first rows and of the rest, and rows a second from the first chunk on."""
    asked = ("--env", env, "--episodes", str(episodes), "--steps", str(steps), "--data", str(data))
    started = time.perf_counter()
    with subprocess.Popen(
        [where.pop("python", sys.executable), "-m", "jacdb", "ingest", *asked],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": where.pop("platform"), **where},
    ) as process:
        assert process.stderr
        rolling = first = np.nan
        for line in process.stderr:
            if at := re.match(r"rolling out \S+ (\d[\d,]*) of", line):
                now, rows = time.perf_counter() - started, int(at[1].replace(",", ""))
                rolling = now if np.isnan(rolling) else rolling
                first = now if rows and np.isnan(first) else first
    whole = time.perf_counter() - started
    return {"to_first_rows": first, "whole": whole, "rows_per_second": episodes * steps / (whole - rolling)}


def same_patterns(env: str, steps: int, platform: str, folder: Path) -> dict[str, float]:
    """Ingest the same episodes on a platform and on the CPU; count steps of equal zeros, and how far states are off."""
    found = []
    for number, where in enumerate((platform, "cpu")):
        data = folder / f"{env}{number}"
        ingest(env, 1, steps, data, platform=where)
        rows = jacdb.open(data).sql("select step, state, j_state, j_action from steps order by step").pl()
        found.append({name: np.array(rows[name].to_list()) for name in rows.columns})
    one, other = found
    count = min(len(one["step"]), len(other["step"]))
    equal = np.ones(count, bool)
    for name in ("j_state", "j_action"):
        equal &= ((one[name][:count] == 0) == (other[name][:count] == 0)).reshape(count, -1).all(1)
    off = np.abs(one["state"][:count] - other["state"][:count]).max()
    return {"steps": count, "equal": int(equal.sum()), "states_off": float(off)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=list(ENVIRONMENTS), metavar="ENV")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of each ingest that is timed")
    parser.add_argument("--steps", type=int, default=500, help="of each environment whose patterns are compared")
    parser.add_argument("--before", help="the Python of another jacdb, whose start is timed, too")
    parser.add_argument("--platform", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--without-engine", action="store_true", help="leave benchmarks/jacobians.py out")
    arguments = parser.parse_args()
    platform, found = arguments.platform, {}

    def show(part: str, what: Any) -> None:
        found[part] = what
        print(part, json.dumps(what), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for env in [env for env in RATES if env in arguments.envs]:
            with empty_cache() as cache:
                pythons = {"now": sys.executable, **({"before": arguments.before} if arguments.before else {})}
                for which, python in pythons.items():
                    for turn in ("cold", "warm"):
                        where = {"platform": platform, "python": python, **cache}
                        show(f"start {env} {which} {turn}", ingest(env, 4, 40, folder / f"{env}{which}{turn}", **where))
            data, steps = folder / f"{env}-rows", 1000 if env == "CheetahRun" else 150
            ingest(env, -(-arguments.rows // steps), steps, folder / f"{env}-before", platform=platform)  # compiles
            show(f"ingest {env}", ingest(env, -(-arguments.rows // steps), steps, data, platform=platform))
            ran = command("verify", "--data", str(data), "--format", "csv", platform="cpu")
            show(f"verify {env}", {"rc": ran.returncode, "checks": ran.stdout.splitlines()})
        for env in arguments.envs:
            show(f"patterns {env}", same_patterns(env, arguments.steps, platform, folder))
    if not arguments.without_engine:
        out = [] if not arguments.out else ["--out", str(arguments.out.with_suffix(".engine.json"))]
        subprocess.run([sys.executable, str(HERE / "jacobians.py"), *arguments.envs, *out], check=False)


if __name__ == "__main__":
    main()
