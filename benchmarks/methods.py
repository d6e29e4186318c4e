"""Compare the methods of differentiation, on states visited under random actions.

    python benchmarks/methods.py [ENV …] [--episodes N] [--steps N]

Per environment: share of steps whose constraint solver converged; relative differences implicit - autodiff,
implicit - C finite differences and autodiff - C finite differences (median and 90th percentile, on a sample); and,
per zero threshold, the share of converged steps in which implicit and autodiff find the same zero pattern.
docs/jacobians.md quotes it.
"""

import argparse
import functools
import itertools

import jax
import numpy as np
from jaxtyping import Array
from mujoco_playground import State

from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.finite_differences import relative
from jacdb.ingest.differentiation.types import PhysicsInput, PhysicsJacobian
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments.loading import System

ENVIRONMENTS = (
    "BallInCup", "CartpoleBalance", "CheetahRun", "ReacherHard", "FingerSpin", "FingerTurnEasy", "WalkerRun",
    "SwimmerSwimmer6", "PandaPickCube",
)  # fmt: skip
THRESHOLDS = (1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15)
SAMPLE = 200
RESIDUALS = (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, np.inf)


def quantiles(values: np.ndarray) -> str:
    """Return the median and the 90th percentile, to be printed."""
    return "{:.0e} {:.0e}".format(*np.quantile(values, [0.5, 0.9])) if len(values) else "      -"


def compare(name: str, episodes: int, steps: int) -> None:
    """Print how far the methods agree on one environment."""
    system = System.load(name)
    step = jax.vmap(control_step.control_step(system, "implicit"))

    def one(state: State, action: Array) -> tuple[State, tuple[PhysicsJacobian, PhysicsInput]]:
        done = step(state, action)
        return done.state, (done.physics, done.physics_input)

    rng = np.random.default_rng(0)
    # short of the clip: at it, finite differences take one side and JAX the mean of both
    actions = np.clip(rng.normal(size=(steps, episodes, system.spec.d_action)), -0.999, 0.999)
    start = jax.jit(jax.vmap(system.env.reset))(jax.random.split(jax.random.key(0), episodes))
    _, records = jax.jit(functools.partial(jax.lax.scan, one))(start, actions)
    physics, inputs = jax.tree.map(lambda leaf: np.concatenate(np.asarray(leaf)), records)
    autodiff = jax.jit(
        lambda batches: jax.lax.map(control_step.physics_jacobian(system, "autodiff"), batches, batch_size=64)
    )
    implicit, auto = physics.matrix, autodiff(inputs).matrix
    converged = physics.residual < RESIDUAL_TOLERANCE
    some = rng.choice(len(implicit), min(SAMPLE, len(implicit)), replace=False)
    fd = np.stack(
        [finite_differences.finite_difference(system, jax.tree.map(lambda x, i=i: x[i], inputs)).matrix for i in some]
    )
    print(f"\n{name}: {len(implicit)} steps, {converged.mean():.1%} converged; relative differences, median and 90%")
    print(f"  {'residual':<18}{'steps':>6}  {'implicit-autodiff':<18}{'implicit-fd':<18}autodiff-fd")
    for low, high in itertools.pairwise(RESIDUALS):
        inside = (physics.residual >= low) & (physics.residual < high)
        picked = inside[some]
        if inside.any():
            print(
                f"  {f'{low:g} to {high:g}':<18}{inside.sum():>6}  {quantiles(relative(implicit, auto)[inside]):<18}"
                f"{quantiles(relative(implicit[some], fd)[picked]):<18}{quantiles(relative(auto[some], fd)[picked])}"
            )
    for threshold in THRESHOLDS:
        zeros = [np.abs(j[converged]) < threshold for j in (implicit, auto)]
        same = (zeros[0] == zeros[1]).all(axis=(1, 2)).mean()
        kinds = [len(np.unique(z.reshape(len(z), -1), axis=0)) for z in zeros]
        print(
            f"  threshold {threshold:.0e}: same pattern {same:7.2%}; patterns {kinds[0]} implicit, {kinds[1]} autodiff"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    for name in arguments.envs:
        compare(name, arguments.episodes, arguments.steps)


if __name__ == "__main__":
    main()
