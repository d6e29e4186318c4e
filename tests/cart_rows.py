"""Two carts that touch or do not: the local graph of their speeds switches with the gap between them."""

from pathlib import Path

import numpy as np
from synthetic import dataset, episode

ENV = "Carts"
EPISODES, STEPS = 12, 250
X1, X2, V1, V2, PUSH = range(5)
SWITCHING = {(V1, X1), (V1, X2), (V1, V2), (V2, X1), (V2, X2), (V2, V1)}


def cart_episode(number: int, steps: int = STEPS):
    """An episode whose steps each begin anew, so that half of them touch; the first cart is pushed."""
    random = np.random.default_rng(number)
    x1, x2 = random.uniform(-1, 1, steps), random.uniform(0, 2, steps)
    v1, v2, push = random.normal(size=(3, steps))
    touching = (x2 - x1 < 1).astype(float)
    force = touching * (2 * (1 - x2 + x1) + 0.5 * (v1 - v2))
    j = np.zeros((steps, 4, 5))
    j[:, [X1, X2], [X1, X2]], j[:, [X1, X2], [V1, V2]] = 1.0, 0.2
    j[:, [V1, V2], [V1, V2]], j[:, V1, PUSH] = 0.9, 0.5
    by_force = touching[:, None] * np.array([2.0, -2.0, 0.5, -0.5])
    j[:, V1, :4] -= by_force
    j[:, V2, :4] += by_force
    states = np.stack([x1, x2, v1, v2], axis=1)
    after = [x1 + 0.2 * v1, x2 + 0.2 * v2, 0.9 * v1 - force + 0.5 * push, 0.9 * v2 + force]
    return episode(
        number, j[..., :4], j[..., 4:], state=states, active=[[]] * steps,
        touching=[["cart"] if touch else [] for touch in touching],
        columns={"action": push[:, None], "next_state": np.stack(after, axis=1)},
    )  # fmt: skip


def cart_dataset(root: Path) -> Path:
    """Write them as a finished run."""
    dataset(root, ENV, [cart_episode(number) for number in range(EPISODES)])
    return root
