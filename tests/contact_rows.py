"""Rows whose zero pattern is decided by contacts, and by one thing that no constraint tells."""

from pathlib import Path

import numpy as np
from synthetic import dataset, episode

ENV, SHAPE = "Touching", (3, 4)
EPISODES, STEPS = 12, 40


def contact_episode(number: int, run: int = 0):
    """An episode of three state numbers and an action: tip opens entry (0, 1), toe (1, 0), and odd steps (2, 3).

    Entry (2, 0) is never on, the diagonal always. Every seventh step, a roundoff stands in (2, 1).
    """
    random = np.random.default_rng([run, number])
    # 0 nothing, 1 tip, 2 toe, 3 both; each episode has all, for several steps
    phases = np.repeat(np.concatenate([random.permutation(4), random.permutation(4)]), STEPS // 8)
    tip, toe, step = (phases & 1) > 0, (phases & 2) > 0, np.arange(STEPS)
    j = np.zeros((STEPS, *SHAPE))
    j[:, [0, 1, 2], [0, 1, 2]] = 1.0
    j[:, 0, 1], j[:, 1, 0], j[:, 2, 3] = 0.5 * tip, 2.0 * toe, 0.1 * (step % 2)
    j[::7, 2, 1] = 1e-10
    states = random.normal(size=(STEPS + 1, 3))
    return episode(
        number, j[..., :3], j[..., 3:], state=states[:-1], active=[[]] * STEPS,
        touching=[["tip"] * bool(t) + ["toe"] * bool(u) for t, u in zip(tip, toe, strict=True)],
        columns={"action": random.normal(size=(STEPS, 1)), "next_state": states[1:]},
    )  # fmt: skip


def contact_dataset(root: Path, runs: int = 1) -> Path:
    """Write them as a finished run, or as several with the same numbers of episodes."""
    for run in range(runs):
        dataset(root, ENV, [contact_episode(number, run) for number in range(EPISODES)], f"run-{run}", seed=run)
    return root
