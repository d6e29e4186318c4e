"""Compare the links that FullCI, PCMCI and PCMCI+ find in rollouts with the true ones, without and with process noise.

    python benchmarks/causal_discovery.py [ENV …] [--episodes N] [--steps N] [--seeds N] [--noise SIZE …]

A rollout takes exact steps under random actions. After each step, independent Gaussian noise is added to the state:
its deviation is a share of the state's own, measured without noise. The true links are the entries that jacdb's
Jacobians have on in any step of the rollout. For each share and method it prints, as Markdown, mean and deviation
over seeds of precision, recall and F1 of the links at p <= 0.01; how many of the states' links to themselves are
found; how many links are found or lost when the same numbers are rounded to float32; and for how many of the links
that are true for all seeds the sign of the strength is not the same for all.
"""

import argparse
import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from mujoco_playground import State

from jacdb.ingest.differentiation import control_step
from jacdb.ingest.environments import transition
from jacdb.ingest.environments.loading import System
from jacdb.ingest.policies.noise import NoisePolicy
from jacdb.learning.causal_discovery import METHODS, DiscoverySettings, discover
from jacdb.learning.graph_scores import LocalGraphs
from jacdb.learning.problem import UNDECIDED
from jacdb.schemas import ZERO_THRESHOLD

ENVIRONMENTS = ("CartpoleBalance", "ReacherHard")  # states without quaternions: noise is added to their numbers
NOISE = (0.0, 0.01, 0.1)

# From first states, actions (steps, episodes, d_action) and noise (steps, episodes, d_state) to states and Jacobians
type Roll = Callable[[State, np.ndarray, np.ndarray], tuple[Array, Array]]


@dataclass(frozen=True)
class Found:
    """How well one method does for one seed."""

    precision: float
    recall: float
    f1: float
    own: int  # how many links of states to themselves are found
    rounded: int  # how many links come or go when states and actions are rounded to float32
    sign: np.ndarray  # of the strength, where the link is true, else NaN


def rolling(system: System) -> Roll:
    """Return the function that rolls out episodes with noise, and differentiates their steps."""
    step = control_step.control_step(system, "implicit")

    def one(state: State, given: tuple[Array, Array]) -> tuple[State, tuple[Array, Array]]:
        action, noise = given
        done = step(state, action)
        jacobian = jnp.concatenate(control_step.compose(system, done.physics, done.ctrl), axis=1)
        after = transition.state_vector(system, done.state) + noise
        return (
            transition.cast_like(transition.restored(system, done.state, after), state),
            (transition.state_vector(system, state), jacobian),
        )

    def roll(start: State, actions: np.ndarray, noise: np.ndarray) -> tuple[Array, Array]:
        _, rows = jax.lax.scan(jax.vmap(one), start, (jnp.asarray(actions), jnp.asarray(noise)))
        return rows

    return jax.jit(roll)


def rollout(
    system: System, roll: Roll, seed: int, episodes: int, steps: int, share: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the series of states and actions of each episode, (steps, d_state + d_action), and all Jacobians."""
    drawn = [NoisePolicy().noise(seed, episode, steps, system.spec.d_action) for episode in range(episodes)]
    actions = np.stack(drawn, axis=1)
    numbers = jnp.arange(episodes)
    start = jax.jit(jax.vmap(functools.partial(transition.episode_start(system), seed)))(numbers)
    still = np.zeros((steps, episodes, 2 * system.spec.nv))
    states, jacobians = (np.asarray(values) for values in roll(start, actions, still))
    if share:
        noise = np.random.default_rng(seed).normal(size=still.shape) * (share * states.std((0, 1)))
        states, jacobians = (np.asarray(values) for values in roll(start, actions, noise))
    series = np.concatenate([states, actions], axis=2)
    return list(series.swapaxes(0, 1)), jacobians.reshape(-1, *jacobians.shape[2:])


def true_links(jacobians: np.ndarray) -> LocalGraphs:
    """Return the global graph: the entries that are on in any step."""
    size = np.abs(jacobians)
    return LocalGraphs.of(size < ZERO_THRESHOLD, (size >= ZERO_THRESHOLD) & (size < UNDECIDED)).ever()


def score(series: list[np.ndarray], jacobians: np.ndarray, method: str) -> Found:
    """Return how well a method finds the links of a rollout; undecided entries are left out."""
    truth, settings = true_links(jacobians), DiscoverySettings()
    links = discover(series, len(truth.on[0]), method, settings)
    called = links.p_value <= settings.alpha
    rounded = discover([one.astype(np.float32).astype(np.float64) for one in series], len(called), method, settings)
    hit, on = int((called & truth.on[0]).sum()), int(truth.on.sum())
    n_called = int((called & truth.decided[0]).sum())
    return Found(
        precision=hit / n_called if n_called else np.nan,
        recall=hit / on,
        f1=2 * hit / (n_called + on),
        own=int(np.trace(called[:, : len(called)])),
        rounded=int(((rounded.p_value <= settings.alpha) != called).sum()),
        sign=np.where(truth.on[0], np.sign(links.strength), np.nan),
    )


def line(share: float, method: str, n_on: list[int], found: list[Found]) -> str:
    """Return a row of the table."""

    def over_seeds(name: str) -> str:
        values = [getattr(one, name) for one in found]
        return f"{np.nanmean(values):.2f} ± {np.nanstd(values):.2f}"

    signs = np.stack([one.sign for one in found])
    always = ~np.isnan(signs).any(0)
    unsteady = int((signs != signs[0]).any(0)[always].sum())
    of_seeds = " to ".join(dict.fromkeys(str(n) for n in (min(n_on), max(n_on))))
    cells = [f"{share:g}", method, of_seeds, *map(over_seeds, ("precision", "recall", "f1"))]
    own = f"{np.mean([one.own for one in found]):.1f} of {len(signs[0])}"
    rounded = f"{np.mean([one.rounded for one in found]):.1f}"
    return f"| {' | '.join([*cells, own, rounded, f'{unsteady} of {always.sum()}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", default=ENVIRONMENTS, metavar="ENV")
    parser.add_argument("--episodes", type=int, default=80)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, nargs="+", default=NOISE)
    arguments = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("tigramite", "numpy", "scipy")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for env in arguments.envs:
        system = System.load(env)
        if system.spec.nq != system.spec.nv or system.spec.d_carried:
            parser.error(f"{env}: its states are more than positions and velocities of hinges and slides; leave it out")
        roll = rolling(system)
        print(f"\n{env}, {arguments.seeds} seeds of {arguments.episodes} episodes of {arguments.steps} steps\n")
        print("| noise | method | true links | precision | recall | F1 | own links | by float32 | signs that differ |")
        print("|---|---|---|---|---|---|---|---|---|")
        for share in arguments.noise:
            rows = [
                rollout(system, roll, seed, arguments.episodes, arguments.steps, share)
                for seed in range(arguments.seeds)
            ]
            n_on = [int(true_links(jacobians).on.sum()) for _, jacobians in rows]
            for method in METHODS:
                print(line(share, method, n_on, [score(*one, method) for one in rows]), flush=True)


if __name__ == "__main__":
    main()
