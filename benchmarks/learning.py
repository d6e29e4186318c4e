"""Time training steps with SAE(J) against the same loop written plainly.

    jacdb ingest --env CheetahRun --episodes 20 --steps 1000 --data DIR
    python benchmarks/learning.py --data DIR [--env E] [--loss L] [--batch-size N] [--turns N] [--out FILE.json]

The plain loop is what one writes first: rows in memory as arrays of NumPy, a minibatch taken by a permutation,
`jax.jit` of one step, `jax.vmap(jax.jacfwd(model))` for the Jacobians. Both have the same model, rows, optimizer and
loss; that their loss and its gradient agree is checked before they are timed. They take turns in one process. Printed
are steps per second of each (medians), their ratio, and which share of jacdb's time goes to choosing minibatches.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jacdb
from jacdb.learning.loss_names import Loss, loss_of
from jacdb.learning.losses import MinibatchLoss, device_rows
from jacdb.learning.models.mlp import MLP
from jacdb.learning.problem import LearningProblem
from jacdb.learning.training import Training, initial_params
from jacdb.learning.training_settings import TrainingSettings

STEPS = 20  # of a turn


class PlainLoop:
    """A training of the same model, as one writes it first."""

    def __init__(self, problem: LearningProblem, loss: Loss, batch_size: int, learning_rate: float) -> None:
        rows = problem.parts["train"]
        self._inputs = np.concatenate([rows.state, rows.action], axis=1)
        self._targets, self._jacobians, self._zeros = rows.target, problem.jacobian(rows), problem.zero(rows)
        self._order, self._batch_size = np.random.default_rng(0).permutation(len(rows)), batch_size
        self.params = initial_params(MLP(), problem, 0)
        optimizer = optax.adam(learning_rate)
        self._moments = optimizer.init(self.params)

        def model(params: Any, x: jax.Array) -> jax.Array:
            for layer in params[:-1]:
                x = jax.nn.elu(x @ layer["weight"] + layer["bias"])
            return x @ params[-1]["weight"] + params[-1]["bias"]

        def value(params: Any, x: jax.Array, y: jax.Array, j: jax.Array, zero: jax.Array) -> jax.Array:
            found = jax.vmap(model, (None, 0))(params, x)
            jacobian = jax.vmap(jax.jacfwd(model, 1), (None, 0))(params, x)
            of_jacobian = {
                "msej": lambda: ((jacobian - j) ** 2).mean(),
                "maej": lambda: jnp.abs(jacobian - j).mean(),
                "l1": lambda: jnp.abs(jacobian).mean(),
                "sae": lambda: (jnp.abs(jacobian) * zero).sum() / zero.sum(),
            }[loss.jacobian]()
            return ((found - y) ** 2).mean() + loss.weight * of_jacobian

        @jax.jit
        def step(params: Any, moments: Any, *minibatch: Any) -> tuple[Any, Any]:
            gradient = jax.grad(value)(params, *minibatch)
            updates, moments = optimizer.update(gradient, moments)
            return optax.apply_updates(params, updates), moments

        self.value, self._step = value, step

    def minibatch(self, at: int) -> tuple[np.ndarray, ...]:
        """Return the rows of a step."""
        first = at * self._batch_size % (len(self._order) - self._batch_size)
        places = self._order[first : first + self._batch_size]
        return self._inputs[places], self._targets[places], self._jacobians[places], self._zeros[places]

    def run(self, steps: int) -> None:
        """Take steps, and wait for the last."""
        for at in range(steps):
            self.params, self._moments = self._step(self.params, self._moments, *self.minibatch(at))
        jax.block_until_ready(self.params)


def check_same(problem: LearningProblem, loss: Loss, plain: PlainLoop) -> None:
    """Refuse to compare two losses that are not the same.

    Raises:
        ValueError: they or their gradients differ.
    """
    params, rows = initial_params(MLP(), problem, 0), problem.parts["train"]
    chosen = rows.where(np.arange(64))
    ours = MinibatchLoss(MLP(), problem, loss)
    data = device_rows(problem, chosen, loss)
    mine = jax.value_and_grad(lambda p: ours(p, data, ours.whole(64)))(params)
    inputs = np.concatenate([chosen.state, chosen.action], axis=1)
    theirs = jax.value_and_grad(plain.value)(
        params, inputs, chosen.target, problem.jacobian(chosen), problem.zero(chosen)
    )
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        if not np.allclose(a, b, rtol=1e-3, atol=1e-6):
            raise ValueError(f"not the same loss: they differ by {np.abs(a - b).max():.1e}")


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / STEPS


def compare(problem: LearningProblem, loss: Loss, batch_size: int, turns: int) -> dict[str, float]:
    """Return steps per second both ways, their ratio, and the share of jacdb's time that feeding takes."""
    settings = TrainingSettings(steps=10**9, batch_size=batch_size, validate_every=STEPS)
    plain = PlainLoop(problem, loss, batch_size, settings.learning_rate)
    check_same(problem, loss, plain)
    ours = Training(MLP(), problem, loss, settings, 0)
    taken: dict[str, list[float]] = {"plain": [], "jacdb": []}
    for turn in range(turns + 1):
        both = seconds(lambda: plain.run(STEPS)), seconds(lambda: ours.take(STEPS))
        if turn:  # the first compiles
            for name, one in zip(taken, both, strict=True):
                taken[name].append(one)
        else:
            ours.progress.feeding = 0.0
    median = {name: statistics.median(of) for name, of in taken.items()}
    return {
        "plain_steps_per_s": 1 / median["plain"],
        "jacdb_steps_per_s": 1 / median["jacdb"],
        "ratio": statistics.median(a / b for a, b in zip(taken["plain"], taken["jacdb"], strict=True)),
        "feeding_share": ours.progress.feeding / (STEPS * sum(taken["jacdb"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--env", default="CheetahRun")
    parser.add_argument("--loss", nargs="+", default=["mse+sae"])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with jacdb.open(arguments.data) as dataset:
        problem = LearningProblem.of(dataset, arguments.env)
    rows, width = len(problem.parts["train"]), MLP().width
    print(f"{arguments.env}, {rows:,} rows, minibatches of {arguments.batch_size}, two layers of {width}")
    found = {name: compare(problem, loss_of(name), arguments.batch_size, arguments.turns) for name in arguments.loss}
    for name, of in found.items():
        print(
            f"{name:<10} plain {of['plain_steps_per_s']:7.2f} steps/s, jacdb {of['jacdb_steps_per_s']:7.2f},"
            f" ratio {of['ratio']:.2f}; choosing minibatches {of['feeding_share']:.2%} of its time"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps({"command": " ".join(sys.argv), "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
