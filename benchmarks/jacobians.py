"""Jacobians of one control step: this engine against today's ways, side by side in one process per environment.

    python benchmarks/jacobians.py [ENV …] [--batch N …] [--out FILE.json]

Ways, each µs per control step at the best of the batch sizes, the step itself included:
- implicit: jacdb's own, on all devices (a CPU core is one); steps whose solver stopped early not yet recomputed;
- engine: the same with those steps recomputed by autodiff, at the share that the visited states have;
- autodiff: jacdb's other method;
- jacfwd: `jit(vmap(jacfwd(step)))` on MJX's step, as one would write it in a minute;
- fd: MuJoCo's C engine, centred `mjd_transitionFD`, on as many threads as there are cores.
Then the step alone (MJX's, without a derivative), seconds to compile the implicit method with an empty and with a
warm cache, and the process's peak memory.

Machines are noisy: read the ratios. Ways take turns, five times, and the best time of each counts.
"""

import argparse
import concurrent.futures
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from mujoco import mjx

from jacdb.ingest import dynamics, jacobians, oracle, runtime
from jacdb.ingest.dynamics import System
from jacdb.ingest.jacobians import RESIDUAL_TOLERANCE, PhysicsInput

ENVIRONMENTS = (
    "BallInCup", "CartpoleBalance", "CheetahRun", "FingerSpin", "PandaPickCube", "ReacherHard", "SwimmerSwimmer6",
    "WalkerRun",
)  # fmt: skip
WAYS = ("implicit", "autodiff", "jacfwd", "fd", "step")
COLUMNS = ("step", "implicit", "engine", "autodiff", "jacfwd", "fd")
TURNS = 5
WARM_UP = 30  # control steps of random actions before states are taken


def visited(system: System, batch: int) -> PhysicsInput:
    """States as a random policy meets them."""
    step = jax.vmap(jacobians.control_step(system, "implicit"))
    actions = np.random.default_rng(0).uniform(-1, 1, (WARM_UP, batch, system.spec.d_action))

    def one(state, action):
        done = step(state, action)
        return done.state, done.physics_input

    start = jax.jit(jax.vmap(system.env.reset))(jax.random.split(jax.random.key(0), batch))
    _, inputs = jax.jit(lambda state: jax.lax.scan(one, state, jnp.asarray(actions)))(start)
    return jax.tree.map(lambda leaf: leaf[-1], inputs)


def step_alone(system: System) -> Callable[[PhysicsInput], tuple]:
    """MJX's own step, the floor of everything that differentiates it."""
    template = mjx.make_data(system.mj_model, impl="jax")

    def step(start: PhysicsInput) -> tuple:
        def one(now, _):
            return dynamics.typed_like(mjx.step(system.mjx_model, now), now), None

        data, _ = jax.lax.scan(one, template.replace(**start._asdict()), None, system.env.n_substeps)
        return data.qpos, data.qvel

    return step


def naive_jacfwd(system: System) -> Callable[[PhysicsInput], tuple]:
    """What one writes without jacdb: qpos, qvel and ctrl in, qpos and qvel out."""
    step = step_alone(system)

    def jacobian(start: PhysicsInput) -> tuple:
        def next_state(qpos, qvel, ctrl):
            return step(start._replace(qpos=qpos, qvel=qvel, ctrl=ctrl))

        return jax.jacfwd(next_state, (0, 1, 2))(start.qpos, start.qvel, start.ctrl)

    return jacobian


def finite_differences(system: System, inputs: PhysicsInput) -> Callable[[], None]:
    singles = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), inputs) for i in range(len(inputs.qpos))]
    threads = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    scratch = [mujoco.MjData(system.mj_model) for _ in range(threads)]

    def share(thread: int) -> None:
        for single in singles[thread::threads]:
            oracle.finite_difference(system, single, data=scratch[thread])

    return lambda: list(pool.map(share, range(threads)))


def compiled(function: Callable, inputs: PhysicsInput, *, spread: bool = False) -> tuple[Callable[[], None], float]:
    """A call that waits for its result, and the seconds that it took to compile."""
    batched = jax.vmap(function)
    if spread:
        mesh = runtime.mesh(len(inputs.qpos))
        slots = PartitionSpec(mesh.axis_names)
        batched = jax.shard_map(batched, mesh=mesh, in_specs=slots, out_specs=slots, check_vma=False)
        inputs = jax.device_put(inputs, NamedSharding(mesh, slots))
    started = time.perf_counter()
    ready = jax.jit(batched).lower(inputs).compile()
    seconds = time.perf_counter() - started
    return lambda: jax.block_until_ready(ready(inputs)), seconds


def measure(name: str, batches: list[int]) -> dict:
    system = System.load(name)
    implicit = jacobians.physics_jacobian(system, "implicit")
    autodiff = jacobians.physics_jacobian(system, "autodiff")
    ways: dict[str, list[tuple[int, Callable[[], None]]]] = {way: [] for way in WAYS}
    compile_s = {}
    for batch in batches:
        inputs = visited(system, batch)
        ways["fd"].append((batch, finite_differences(system, inputs)))
        for way, function in {
            "implicit": implicit,
            "autodiff": autodiff,
            "jacfwd": naive_jacfwd(system),
            "step": step_alone(system),
        }.items():
            call, compile_s[way] = compiled(function, inputs, spread=way == "implicit")
            ways[way].append((batch, call))
    residual = jax.jit(jax.vmap(implicit))(inputs).residual
    unconverged = float((residual > RESIDUAL_TOLERANCE).mean())

    best = {way: (np.inf, 0) for way in ways}
    for turn in range(TURNS + 1):
        for way, calls in ways.items():
            for batch, call in calls:
                started = time.perf_counter()
                call()
                if turn:  # the first warms caches
                    best[way] = min(best[way], (1e6 * (time.perf_counter() - started) / batch, batch))
    us = {way: time_ for way, (time_, _) in best.items()}
    us["engine"] = us["implicit"] + unconverged * us["autodiff"]
    jax.clear_caches()
    _, warm = compiled(implicit, inputs, spread=True)
    return {
        "env": name,
        "us_per_step": us,
        "batch": {way: batch for way, (_, batch) in best.items()},
        "unconverged": unconverged,
        "compile_cold_s": compile_s,
        "compile_warm_s": warm,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--batch", type=int, nargs="+", default=[72, 264])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        with tempfile.TemporaryDirectory() as cache:
            jax.config.update("jax_compilation_cache_dir", cache)
            print(json.dumps(measure(arguments.envs[0], arguments.batch)))
        return
    results = []
    print(
        f"{'env':<18}" + "".join(f"{way:>10}" for way in COLUMNS) + "  jacfwd/engine  fd/engine  unconverged  compile s"
    )
    for name in arguments.envs:
        batch = [str(size) for size in arguments.batch]
        command = [sys.executable, __file__, name, "--batch", *batch, "--here"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(done.stdout.strip().splitlines()[-1])
        us = result["us_per_step"]
        print(
            f"{name:<18}" + "".join(f"{us[way]:>10.1f}" for way in COLUMNS) + f"{us['jacfwd'] / us['engine']:>14.1f}x"
            f"{us['fd'] / us['engine']:>10.1f}x{100 * result['unconverged']:>12.1f}%"
            f"{result['compile_cold_s']['implicit']:>7.0f} {result['compile_warm_s']:.0f}",
            flush=True,
        )
        results.append(result)
    ratios = [r["us_per_step"]["jacfwd"] / r["us_per_step"]["engine"] for r in results]
    print(f"median jacfwd/engine {np.median(ratios):.1f}x")
    if arguments.out:
        device = jax.devices()[0].device_kind
        where = {"device": device, "cores": os.cpu_count(), "jax": jax.__version__, "command": " ".join(sys.argv)}
        arguments.out.write_text(json.dumps({**where, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
