"""What docs/training.md shows: its code runs, in so many lines, and learns."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGE, _ = (
    (ROOT / "docs" / "training.md").read_text().split("\n## PyTorch\n")
)  # tests/dataset/test_torch_dataset.py runs it
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
[NETWORK] = [block for block in BLOCKS if "tanh" in block]


@pytest.fixture(scope="module")
def run():
    """All blocks, run in order: the names of the last, and the errors that the network printed."""
    scope: dict[str, Any] = {}
    printed: list[Any] = []
    scope["print"] = lambda *words: printed.append(words[0] if len(words) == 1 else words)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for block in BLOCKS:
            exec(block, scope)
    return scope, printed


@pytest.mark.slow
def test_users_16_a_network_with_a_jacobian_loss_fits_in_thirty_lines_and_learns(run):
    assert len([line for line in NETWORK.splitlines() if line.strip()]) < 30
    [error, error_of_jacobian] = run[1][1]
    assert error < 0.3 and error_of_jacobian < 0.1  # in deviations, of an episode that it has not seen


@pytest.mark.slow
def test_users_16_the_gradients_of_the_page_are_those_of_its_losses(run):
    scope, _ = run
    [batch, *_] = scope["dataset"].batches(scope["env"], scope["columns"], 4, split="train")

    def loss():
        e, p, _ = scope["losses"](*batch.values())
        return (e**2).sum() / 2 + (p**2).sum() / 2 / 38

    random = np.random.default_rng(0)
    for w, gradient in zip(scope["weights"], scope["losses"](*batch.values())[2], strict=True):
        at = tuple(random.integers(size) for size in w.shape)
        kept, values = w[at], []
        for shift in (1e-5, -1e-5):
            w[at] = kept + shift
            values.append(loss())
        w[at] = kept
        assert gradient[at] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_users_15_what_the_page_says_of_shapes_is_so(run):
    _, printed = run
    wide = {"x": (32, 39), "action": (32, 8), "dx": (32, 38), "j_state": (32, 38, 38), "zero_state": (32, 38, 38)}
    assert printed[0] == wide and printed[6:] == [(16, [8, 8])]


def test_users_17_what_the_page_says_of_windows_is_so(run):
    _, printed = run
    n_windows, n_batches, begin = printed[3]
    assert printed[2] == ((8, 20, 18), (8, 20, 18, 18)) and (n_windows, n_batches) == (15, 2)
    assert len(begin) == 7 and (begin % 20 == 0).all()


def test_users_17_what_the_page_says_of_several_environments_is_so(run):
    _, printed = run
    shapes = {
        "CartpoleBalance": (19, ((40, 4), (40, 4))),
        "CheetahRun": (8, ((40, 18), (40, 18))),
        "PandaPickCube": (3, ((40, 39), (40, 38))),
    }
    assert printed[4:6] == [(30, shapes), ((18,), 120)]
