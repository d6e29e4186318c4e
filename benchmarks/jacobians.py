"""Time Jacobians of one control step: this engine against other ways, side by side in one process per environment.

    python benchmarks/jacobians.py [ENV …] [--batch N …] [--out FILE.json]

Ways, each µs per control step at its best batch, the step itself included:
- own: the environment's own method (`ingest/environments.csv`), on all devices, on a CPU by a thread for each core;
- engine: the same with steps whose solver stopped early computed again, at the share that the visited states have;
- jacfwd: `jit(vmap(jacfwd(step)))` on MJX's step, as one would write it in a minute;
- fd: MuJoCo's C engine, centred `mjd_transitionFD`, on as many threads as there are cores, an MjData each.
- pin: Pinocchio's derivatives of the articulated-body algorithm, once a substep, on one thread: the same bodies and
  joints without contacts, limits, actuators, or a step. Where it is installed: `pip install 'jacdb[peers]'`.
The batch of each grows to four times the last for as long as it gains by that, then twice the best is tried
(--batch: these and no others).
Then the step alone (MJX's, without a derivative), seconds to compile the own method with an empty and with a warm
cache, and the process's peak memory.

Machines are noisy: read the ratios. Ways take turns, three times and for a minute at least: a small environment's
would all be over within one slow second of the machine. A turn is a call that warms caches and memory, then three that
are timed. The median of all calls of a way counts, at its better batch; below it the quartiles are printed.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pinocchio_derivatives
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array
from mujoco import mjx
from mujoco_playground import State
from mujoco_playground import step as playground_step

from jacdb.errors import UsageError
from jacdb.ingest import runtime
from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.types import OnDevice, PhysicsInput
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import registry, transition
from jacdb.ingest.environments.loading import System
from jacdb.ingest.recording.recomputation import FALLBACK_METHODS, RECOMPUTE_BATCH

ENVIRONMENTS = (
    "BallInCup", "CartpoleBalance", "CheetahRun", "FingerSpin", "FingerTurnEasy", "ReacherHard", "SwimmerSwimmer6",
    "WalkerRun", "PandaPickCube",
)  # fmt: skip
COLUMNS = ("step", "own", "engine", "jacfwd", "fd", "pin")
TURNS, CALLS = 3, 3
TURNS_S = 60.0
SIDE_BY_SIDE = 136  # powers of two are slow (docs/performance.md)
BATCHES = tuple(SIDE_BY_SIDE * 4**k for k in range(5))
GAIN = 0.03
WARM_UP = 30  # control steps of random actions, the last of which are taken

type Ways = dict[str, dict[int, Callable[[], None]]]  # by its name and the batch: a call that waits for its results


def visits(system: System) -> Callable[[int], PhysicsInput]:
    """Return the function that gives so many physics inputs as a random policy meets them.

    It is compiled once, for SIDE_BY_SIDE of them.
    """

    def step(state: State, action: Array) -> tuple[State, PhysicsInput]:
        started: list[PhysicsInput] = []

        def physics(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            started.append(PhysicsInput.read(data)._replace(ctrl=ctrl))
            return playground_step(model, data, ctrl, n_substeps)

        return transition.cast_like(transition.env_step(system.env, state, action, physics), state), started[0]

    def last_step(key: Array) -> PhysicsInput:
        of_reset, of_actions = jax.random.split(key)
        start = jax.vmap(system.env.reset)(jax.random.split(of_reset, SIDE_BY_SIDE))
        shape = WARM_UP, SIDE_BY_SIDE, system.spec.d_action
        actions = jax.random.uniform(of_actions, shape, minval=-1.0)
        _, inputs = jax.lax.scan(jax.vmap(step), start, actions)
        return jax.tree.map(lambda leaf: leaf[-1], inputs)

    walk = jax.jit(last_step)

    def states(batch: int) -> PhysicsInput:
        walks = [walk(jax.random.key(seed)) for seed in range(-(-batch // SIDE_BY_SIDE))]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:batch], *walks)

    return states


def naive_jacfwd(system: System) -> Callable[[PhysicsInput], tuple[tuple[Array, ...], ...]]:
    """Return what one writes without jacdb: ``jacfwd`` of qpos and qvel by qpos, qvel and ctrl."""
    step = finite_differences.mjx_step(system)

    def jacobian(start: PhysicsInput) -> tuple[tuple[Array, ...], ...]:
        def next_state(qpos: Array, qvel: Array, ctrl: Array) -> tuple[Array, Array]:
            return step(start._replace(qpos=qpos, qvel=qvel, ctrl=ctrl))

        return jax.jacfwd(next_state, (0, 1, 2))(start.qpos, start.qvel, start.ctrl)

    return jacobian


def c_engine(system: System, inputs: PhysicsInput) -> Callable[[], None]:
    """Return a call that differentiates all samples by finite differences of the C engine, on all cores."""
    singles = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), inputs) for i in range(len(inputs.qpos))]
    threads = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    scratch = [mujoco.MjData(system.mj_model) for _ in range(threads)]

    def share(thread: int) -> None:
        for single in singles[thread::threads]:
            finite_differences.finite_difference(system, single, data=scratch[thread])

    def call() -> None:
        for _ in pool.map(share, range(threads)):
            pass

    return call


def placed(batch: int) -> NamedSharding:
    """Return the sharding that spreads samples over the devices."""
    mesh = runtime.mesh(batch)
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def shared(inputs: PhysicsInput) -> list[PhysicsInput]:
    """Return equal shares of samples, one for each lane, on all devices; as many as their number can be split into."""
    samples = len(inputs.qpos)
    count = max(n for n in range(1, runtime.lanes() + 1) if samples % n == 0)
    shares = np.split(np.arange(samples), count)
    return [jax.device_put(jax.tree.map(lambda leaf, i=i: leaf[i], inputs), placed(len(i))) for i in shares]


def compiled(
    function: Callable[[PhysicsInput], Any], inputs: PhysicsInput, *, spread: bool = False
) -> tuple[Callable[..., Any], float]:
    """Return a call that waits for its results, of these inputs unless given other shares, and seconds to compile.

    Args:
        spread: whether lanes and devices share the samples, as in ingest.
    """
    batched = jax.vmap(function)
    shares = [inputs]
    if spread:
        shares = shared(inputs)
        placement = placed(len(shares[0].qpos))
        batched = jax.shard_map(
            batched, mesh=placement.mesh, in_specs=placement.spec, out_specs=placement.spec, check_vma=False
        )
    started = time.perf_counter()
    ready = jax.jit(batched).lower(shares[0]).compile()
    seconds = time.perf_counter() - started
    lanes = concurrent.futures.ThreadPoolExecutor(len(shares))

    def call(others: list[PhysicsInput] = shares) -> list[Any]:
        return list(lanes.map(lambda share: jax.block_until_ready(ready(share)), others))

    return call, seconds


def us_per_step(batch: int, call: Callable[[], None], calls: int) -> list[float]:
    """Return µs per control step of each of so many calls, after one that warms caches and memory."""
    call()
    us = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        us.append(1e6 * (time.perf_counter() - started) / batch)
    return us


def quartiles(us: list[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return np.quantile(us, [0.25, 0.5, 0.75]).tolist()


def seek(compile_for: Callable[[int], Callable[[], None]]) -> dict[int, Callable[[], None]]:
    """Return calls by their batch: four times the last for as long as that gains, then twice the best."""
    calls: dict[int, Callable[[], None]] = {}
    us: dict[int, float] = {}

    def gains(batch: int) -> bool:
        call, so_far = compile_for(batch), min(us.values(), default=np.inf)
        [us[batch]] = us_per_step(batch, call, 1)
        calls[batch] = call
        return us[batch] < (1 - GAIN) * so_far

    try:
        for batch in BATCHES:
            if not gains(batch):
                break
        best = min(us, key=us.__getitem__)
        if best != BATCHES[0]:
            gains(2 * best)
    except jax.errors.JaxRuntimeError:  # it does not fit into the device's memory
        if not calls:
            raise
    return calls


def in_turns(ways: Ways) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Return the best batch of each way, and its quartiles of µs per step; all ways take turns."""
    taken: dict[str, dict[int, list[float]]] = {way: {batch: [] for batch in calls} for way, calls in ways.items()}
    turns, started = 0, time.perf_counter()
    while turns < TURNS or time.perf_counter() - started < TURNS_S:
        for way, calls in ways.items():
            for batch, call in calls.items():
                taken[way][batch] += us_per_step(batch, call, CALLS)
        turns += 1
    medians = {way: {batch: float(np.median(us)) for batch, us in of.items()} for way, of in taken.items()}
    best = {way: min(of, key=of.__getitem__) for way, of in medians.items()}
    return best, {way: quartiles(taken[way][best[way]]) for way in ways}


def measure(name: str, batches: list[int] | None) -> dict[str, Any]:
    """Time all ways on one environment, each at these batches or at its best."""
    system = System.load(name)
    method = cast(OnDevice, system.spec.method)  # no environment's own is fd
    own = control_step.physics_jacobian(system, method)
    functions = {"own": own, "jacfwd": naive_jacfwd(system), "step": finite_differences.mjx_step(system)}
    compile_s = {}
    states = visits(system)
    starts: dict[int, PhysicsInput] = {}

    def compile_for(way: str, batch: int) -> Callable[[], None]:
        if batch not in starts:
            starts[batch] = states(batch)
        call, compile_s[way] = compiled(functions[way], starts[batch], spread=way == "own")
        return call

    ways: Ways = {}
    for way in functions:
        compile_way = functools.partial(compile_for, way)
        ways[way] = {batch: compile_way(batch) for batch in batches} if batches else seek(compile_way)
    fewest, inputs = min(starts), starts[max(starts)]
    ways["fd"] = {fewest: c_engine(system, starts[fewest])}  # a thread takes one sample at a time
    if pinocchio_derivatives.version():
        qpos, qvel = np.asarray(starts[fewest].qpos), np.asarray(starts[fewest].qvel)
        ways["pin"] = {fewest: pinocchio_derivatives.derivatives(system.mj_model, system.env.n_substeps, qpos, qvel)}
    found = jax.jit(jax.vmap(own))(inputs)
    stopped_early = np.asarray(found.residual) > RESIDUAL_TOLERANCE
    again = np.flatnonzero(stopped_early if method == "implicit" else ~np.asarray(found.valid))
    if len(again):
        instead = control_step.physics_jacobian(system, FALLBACK_METHODS[method][0])
        some = jax.tree.map(lambda leaf: leaf[np.resize(again, RECOMPUTE_BATCH)], inputs)
        ways["again"] = {RECOMPUTE_BATCH: compiled(instead, some)[0]}

    best, spread = in_turns(ways)
    share = len(again) / len(stopped_early)
    of_again = spread.get("again", [0.0] * 3)
    spread["engine"] = [own + share * instead for own, instead in zip(spread["own"], of_again, strict=True)]
    jax.clear_caches()
    _, warm = compiled(own, starts[max(ways["own"])], spread=True)
    return {
        "env": name,
        "device": jax.devices()[0].device_kind,
        "method": method,
        "us_per_step": {way: median for way, (_, median, _) in spread.items()},
        "quartiles": {way: [low, high] for way, (low, _, high) in spread.items()},
        "batch": best,
        "unconverged": float(stopped_early.mean()),
        "computed_again": share,
        "compile_cold_s": compile_s,
        "compile_warm_s": warm,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def lines(result: dict[str, Any]) -> tuple[str, str]:
    """Return an environment's line of medians and ratios, and the line of quartiles below it."""
    us, spread = result["us_per_step"], result["quartiles"]
    medians = "".join(f"{us[way]:>16.1f}" if way in us else f"{'-':>16}" for way in COLUMNS)
    ranges = "".join(f"{'{:.1f}-{:.1f}'.format(*spread[way]):>16}" if way in us else f"{'':>16}" for way in COLUMNS)
    return (
        f"{result['env']:<18}{medians}{us['jacfwd'] / us['engine']:>14.1f}x{us['fd'] / us['engine']:>10.1f}x"
        f"{100 * result['unconverged']:>12.1f}%{result['compile_cold_s']['own']:>7.0f} {result['compile_warm_s']:.0f}",
        f"{'':<18}{ranges}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--batch", type=int, nargs="+", help="these batches, not the best of each way")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        with tempfile.TemporaryDirectory() as cache:
            jax.config.update("jax_compilation_cache_dir", cache)
            print(json.dumps(measure(arguments.envs[0], arguments.batch)))
        return
    try:
        for name in arguments.envs:
            registry.find(name)
    except UsageError as error:
        parser.error(str(error))
    if min(arguments.batch or [1]) < 1:
        parser.error(f"--batch {min(arguments.batch)}: give whole numbers from 1 up")
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"--out {arguments.out}: there is no folder {arguments.out.parent}; make it first")
    versions = {"jax": jax.__version__, "mujoco": mujoco.__version__, "pinocchio": pinocchio_derivatives.version()}
    if not versions["pinocchio"]:
        print(pinocchio_derivatives.HOW_TO_GET_IT, file=sys.stderr)
    where = {"cores": os.cpu_count(), **versions, "command": " ".join(sys.argv)}
    results = []
    ways = "".join(f"{way:>16}" for way in COLUMNS)
    print(f"{'env':<18}{ways}  jacfwd/engine  fd/engine  unconverged  compile s")
    for name in arguments.envs:
        batch = ["--batch", *map(str, arguments.batch)] if arguments.batch else []
        command = [sys.executable, __file__, name, *batch, "--here"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{name}: its process ended with {done.returncode}, not measured", file=sys.stderr, flush=True)
            continue
        result = json.loads(done.stdout.strip().splitlines()[-1])
        print("\n".join(lines(result)), flush=True)
        results.append(result)
        if arguments.out:  # at once: all of them take an hour
            arguments.out.write_text(json.dumps({**where, "results": results}, indent=1) + "\n")
    ratios = [result["us_per_step"]["jacfwd"] / result["us_per_step"]["engine"] for result in results]
    if ratios:
        print(f"median jacfwd/engine {np.median(ratios):.1f}x")
    if len(results) < len(arguments.envs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
