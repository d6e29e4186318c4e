"""Measure how a Jacobian's cost grows with batch, dimensions and contacts, and how much memory ingest takes.

    python benchmarks/scaling.py [--out docs/scaling.png] [--draw]

The engine against `jit(vmap(jacfwd(step)))`, side by side, timed as in benchmarks/jacobians.py. State: chains of
hinges. Contacts: one free body with more and more feet on the floor. Memory: `jacdb ingest` of the same episodes under
different --memory. The figures are kept beside the picture, as JSON; --draw draws it from them again.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import matplotlib.pyplot as plt
import mujoco
import numpy as np
from jacobians import CALLS, TURNS, compiled, naive_jacfwd, visits  # the script beside this one
from mujoco import mjx

from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments import registry
from jacdb.ingest.environments.loading import System

BATCHES = (8, 72, 264, 1032)
DOFS, FEET, BATCH = (1, 4, 16, 32), (1, 4, 16, 32), 136
NAIVE_DOFS = 16  # above, a single call of jacfwd takes minutes
MEMORY = (0.125, 0.5)  # GiB
INGEST = ("--env", "CheetahRun", "--episodes", "144", "--steps", "1500", "--dtype", "float64")  # 0.7 GiB of matrices


def model_of(body: str, joint: str) -> System:
    xml = f"""<mujoco><option iterations="4" ls_iterations="8"><flag eulerdamp="disable"/></option>
    <worldbody><geom type="plane" size="9 9 1" contype="2" conaffinity="2"/>{body}</worldbody>
    <actuator><motor joint="{joint}"/></actuator></mujoco>"""
    mj = mujoco.MjModel.from_xml_string(xml)
    env = SimpleNamespace(mj_model=mj, mjx_model=mjx.put_model(mj, impl="jax"), n_substeps=1)
    return System(dataclasses.replace(registry.find("CheetahRun"), nq=mj.nq, nv=mj.nv, nu=mj.nu), env)


def chain(dofs: int) -> System:
    body = ""
    for link in reversed(range(dofs)):
        body = f'<body pos="0 0 -.2"><joint name="j{link}" axis="{link % 2} {(link + 1) % 2} 0" damping=".1"/>' + (
            f'<geom type="capsule" fromto="0 0 0 0 0 -.2" size=".03" contype="0" conaffinity="0"/>{body}</body>'
        )
    return model_of(body, "j0")


def feet(count: int) -> System:
    spheres = "".join(
        f'<geom type="sphere" size=".05" pos="{foot % 8 * 0.1} {foot // 8 * 0.1} 0" contype="2" conaffinity="2"/>'
        for foot in range(count)
    )
    return model_of(f'<body pos="0 0 .04"><freejoint name="free"/>{spheres}</body>', "free")


def start(system: System, batch: int) -> PhysicsInput:
    data, rng = mujoco.MjData(system.mj_model), np.random.default_rng(0)
    one = jax.tree.map(np.copy, PhysicsInput.read(data))
    many = jax.tree.map(lambda leaf: np.tile(leaf, (batch, *[1] * leaf.ndim)), one)
    return many._replace(qvel=0.1 * rng.normal(size=many.qvel.shape))


def best(calls: dict[str, Callable[[], None]], batch: int) -> dict[str, float]:
    """Return us per control step. Ways take turns, and the first call of a turn warms caches."""
    times = dict.fromkeys(calls, np.inf)
    for way, call in [*calls.items()] * TURNS:
        call()
        for _ in range(CALLS):
            started = time.perf_counter()
            call()
            times[way] = min(times[way], 1e6 * (time.perf_counter() - started) / batch)
    return times


def both(system: System, inputs: PhysicsInput) -> dict[str, float]:
    calls = {"engine": compiled(control_step.physics_jacobian(system, "implicit"), inputs, spread=True)[0]}
    if system.spec.nv <= NAIVE_DOFS:
        calls["jacfwd"] = compiled(naive_jacfwd(system), inputs)[0]
    return best(calls, len(inputs.qpos))


def peak_memory(memory: float) -> float:
    """Return the peak memory of an ingesting process, in GiB."""
    script = "import resource, runpy, sys; sys.argv[0] = 'jacdb'\ntry: runpy.run_module('jacdb', run_name='__main__')\n"
    script += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    with tempfile.TemporaryDirectory() as root:
        words = ("ingest", *INGEST, "--memory", str(memory), "--data", root)
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 2**20


def measure() -> dict[str, Any]:
    # First: what its parent has had counts as a child's peak
    memory = {gib: {"peak": peak_memory(gib)} for gib in MEMORY}
    cheetah = System.load("CheetahRun")
    states = visits(cheetah)
    return {
        "batch": {n: both(cheetah, states(n)) for n in BATCHES},
        "d_state": {2 * n: both(chain(n), start(chain(n), BATCH)) for n in DOFS},
        "contacts": {n: both(feet(n), start(feet(n), BATCH)) for n in FEET},
        "memory": memory,
        "device": jax.devices()[0].device_kind,
        "cores": len(jax.devices()),
        "jax": jax.__version__,
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.5), layout="constrained")
    panels = {
        "batch": "batch size (CheetahRun)",
        "d_state": "d_state (chains of hinges)",
        "contacts": "contacts (feet on a floor)",
        "memory": "--memory (GiB)",
    }
    for axis, (panel, label) in zip(axes, panels.items(), strict=True):
        rows = {float(x): values for x, values in figures[panel].items()}
        for way, colour in {"engine": "#0072B2", "jacfwd": "#D55E00", "peak": "#009E73"}.items():
            points = [(x, values[way]) for x, values in rows.items() if way in values]
            if points:
                axis.plot(*zip(*points, strict=True), "o-", ms=3, lw=1, color=colour, label=way)
        axis.set_xlabel(label)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        if panel == "memory":
            axis.set_ylim(0, 1.1 * max(values["peak"] for values in rows.values()))
            axis.set_ylabel("peak of the process (GiB)")
        else:
            axis.set_yscale("log")
            axis.set_ylabel("µs per control step")
            axis.legend(frameon=False)
    figure.savefig(path, dpi=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/scaling.png"))
    parser.add_argument("--draw", action="store_true", help="draw the picture again from the kept figures")
    arguments = parser.parse_args()
    kept = arguments.out.with_suffix(".json")
    if not arguments.draw:
        kept.write_text(json.dumps(measure(), indent=1) + "\n")
    draw(json.loads(kept.read_text()), arguments.out)


if __name__ == "__main__":
    main()
