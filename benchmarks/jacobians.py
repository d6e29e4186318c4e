"""Jacobians of one control step: this engine against today's ways, side by side in one process.

    python benchmarks/jacobians.py [ENV …] [--batch N] [--out FILE.json]

Ways, each µs per control step, the primal step included:
- implicit, autodiff: jacdb's own two methods;
- jacfwd: `jit(vmap(jacfwd(step)))` on MJX's step, as one would write it in a minute;
- fd: MuJoCo's C engine, centred `mjd_transitionFD`, on as many threads as there are cores.

Machines are noisy: read the ratios. Each way is timed five times in turns, and the best is taken.
"""

import argparse
import concurrent.futures
import json
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from jacdb.ingest import dynamics, jacobians, oracle
from jacdb.ingest.dynamics import System
from jacdb.ingest.jacobians import PhysicsInput

ENVIRONMENTS = ("CheetahRun", "FingerSpin", "PandaPickCube")
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


def naive_jacfwd(system: System) -> Callable[[PhysicsInput], tuple]:
    """What one writes without jacdb: qpos, qvel and ctrl in, qpos and qvel out."""
    template = mjx.make_data(system.mj_model, impl="jax")

    def jacobian(start: PhysicsInput) -> tuple:
        def step(qpos, qvel, ctrl):
            data = template.replace(**start._asdict()).replace(qpos=qpos, qvel=qvel, ctrl=ctrl)

            def one(now, _):
                after = mjx.step(system.mjx_model, now)
                return dynamics.typed_like(after, now), None

            data, _ = jax.lax.scan(one, data, None, system.env.n_substeps)
            return data.qpos, data.qvel

        return jax.jacfwd(step, (0, 1, 2))(start.qpos, start.qvel, start.ctrl)

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


def compiled(function: Callable, inputs: PhysicsInput) -> tuple[Callable[[], None], float]:
    """A call that waits for its result, and the seconds that it took to compile."""
    started = time.perf_counter()
    ready = jax.jit(jax.vmap(function)).lower(inputs).compile()
    seconds = time.perf_counter() - started
    return lambda: jax.block_until_ready(ready(inputs)), seconds


def measure(name: str, batch: int) -> dict:
    system = System.load(name)
    inputs = visited(system, batch)
    ways: dict[str, Callable[[], None]] = {"fd": finite_differences(system, inputs)}
    compile_s = {}
    for way, function in {
        "implicit": jacobians.physics_jacobian(system, "implicit"),
        "autodiff": jacobians.physics_jacobian(system, "autodiff"),
        "jacfwd": naive_jacfwd(system),
    }.items():
        ways[way], compile_s[way] = compiled(function, inputs)
    best = dict.fromkeys(ways, np.inf)
    for turn in range(TURNS + 1):
        for way, call in ways.items():
            started = time.perf_counter()
            call()
            if turn:  # the first warms caches
                best[way] = min(best[way], 1e6 * (time.perf_counter() - started) / batch)
    return {"env": name, "batch": batch, "us_per_step": best, "compile_s": compile_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=argparse.FileType("w"))
    arguments = parser.parse_args()
    results = []
    print(f"{'env':<18}{'implicit':>10}{'autodiff':>10}{'jacfwd':>10}{'fd':>10}   jacfwd/implicit  fd/implicit")
    for name in arguments.envs:
        result = measure(name, arguments.batch)
        us = result["us_per_step"]
        ways = "".join(f"{us[way]:>10.0f}" for way in ("implicit", "autodiff", "jacfwd", "fd"))
        print(
            f"{name:<18}{ways}{us['jacfwd'] / us['implicit']:>15.1f}x{us['fd'] / us['implicit']:>12.1f}x",
            flush=True,
        )
        results.append(result)
    if arguments.out:
        where = {"device": jax.devices()[0].device_kind, "cores": os.cpu_count(), "jax": jax.__version__}
        json.dump({**where, "results": results}, arguments.out, indent=1)


if __name__ == "__main__":
    main()
