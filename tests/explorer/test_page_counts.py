"""What the page counts, and over which steps, on rows that are made here."""

from pathlib import Path

import numpy as np
import pytest
import synthetic
from driven_page import NEEDS, built, node
from explored import no_robot, served

pytestmark = NEEDS

STEPS, LIMITS, PAIRS = 6, 30, 20


def switching(first: int) -> np.ndarray:
    """Matrices of one entry that is on from a step on, (STEPS, 2, 2)."""
    j_state = np.ones((STEPS, 2, 2))
    j_state[:first, 0, 1] = 0.0
    return j_state


@pytest.fixture
def rows(tmp_path) -> Path:
    """An entry on from step 1, in another episode from 4; by another method; with a gap; much that holds."""
    root, action = tmp_path / "data", np.ones((STEPS, 2, 1))
    episodes = [synthetic.episode(number, switching(first), action) for number, first in enumerate((1, 4))]
    synthetic.dataset(root, "E", episodes)
    synthetic.dataset(root, "E", [synthetic.episode(0, switching(2), action)], "run-b", method="autodiff")
    broken = np.arange(4.0 * STEPS).reshape(STEPS, 2, 2) + 1
    broken[2] = np.nan
    synthetic.dataset(root, "Broken", [synthetic.episode(0, broken, action)])
    touching = [[f"geom{i}" for i in range(PAIRS) if not step] for step in range(STEPS)]
    limits = [[f"joint_limit:joint{i}" for i in range(LIMITS)]] * STEPS
    synthetic.dataset(root, "Many", [synthetic.episode(0, switching(3), action, touching=touching, active=limits)])
    return root


def test_the_page_counts_what_it_says(rows, tmp_path):
    expected = {
        # of steps 3 to 5: the entry is on in all three of episode 0, and in two of episode 1
        "condition": {"where": "step >= 3", "here": 0.0, "there": 1 / 3, "steps": 3},
        "many": {"said": "40 of 50 constraints, those of most steps", "limits": LIMITS, "contacts": 40 - LIMITS},
        "stretches": 2,
        "runs": ["noise, seed 0, implicit (run-a)", "noise, seed 0, autodiff (run-b)"],
    }
    with served(rows, built(), no_robot) as server:
        node("counts.test.mjs", server.address, expected, tmp_path)
