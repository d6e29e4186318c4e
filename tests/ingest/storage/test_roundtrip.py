"""Whatever the numbers are, they come back as they were, and masks are right: hypothesis looks for what is not so."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from synthetic import dataset, episode

import jacdb
from jacdb.schemas import ZERO_THRESHOLD

pytestmark = pytest.mark.slow

# NaN, infinities, subnormals, -0.0 and what is next to the threshold are among them, and more often than by chance.
EDGES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e-45, 1e-12, np.nextafter(1e-12, 0), 1e308, 3.5e38]


def numbers(width):
    return some.one_of(some.sampled_from(EDGES), some.floats(width=64)).map(
        lambda x: float(np.float64(np.float32(x))) if width == 32 else x
    )


@some.composite
def matrices(draw, width):
    """Some episodes' matrices: of one size, from one entry up."""
    d, a = draw(some.integers(1, 4)), draw(some.integers(1, 3))
    lengths = draw(some.lists(some.integers(1, 5), min_size=1, max_size=3))
    return [
        tuple(draw(arrays.arrays(np.float64, (steps, d, k), elements=numbers(width))) for k in (d, a))
        for steps in lengths
    ]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    ("dtype", "width"), [pytest.param(np.float64, 64, marks=pytest.mark.thorough), (np.float32, 32)]
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_any_matrices_come_back(data, dtype, width, tmp_path_factory):
    written = data.draw(matrices(width))
    root = tmp_path_factory.mktemp("any")
    jacobian = jacdb.schemas.pa.float32() if dtype == np.float32 else None
    dataset(root, "E", [episode(n, *pair, dtype=dtype) for n, pair in enumerate(written)], jacobian=jacobian)
    with jacdb.open(root) as opened:
        steps = opened.steps().sort("episode", "step")
        patterns = {row["pattern_id"]: row for row in opened.patterns().to_dicts()}
    j_state, j_action = (np.concatenate(of) for of in zip(*written, strict=True))
    finite = np.isfinite(j_state).all((1, 2)) & np.isfinite(j_action).all((1, 2))
    assert steps["finite"].to_list() == finite.tolist()
    for name, j in (("state", j_state), ("action", j_action)):
        found = np.array(steps[f"j_{name}"].to_list(), dtype)
        assert np.array_equal(found, j.astype(dtype), equal_nan=True)
        assert np.array_equal(np.signbit(found), np.signbit(j.astype(dtype)))
        zeros = np.abs(j) < ZERO_THRESHOLD
        for row, pattern, count in zip(range(len(j)), steps["pattern_id"], steps[f"n_zero_{name}"], strict=True):
            if not finite[row]:
                assert pattern is None and count is None
                continue
            assert count == zeros[row].sum()
            bits = patterns[pattern][f"zero_{name}"]
            assert [bit == "1" for bit in bits] == zeros[row].ravel().tolist()
