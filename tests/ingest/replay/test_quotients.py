"""A stored Jacobian beside difference quotients: what jumps is left out, and hides nothing that is wrong."""

import mujoco
import numpy as np
import pytest

from jacdb.ingest.replay.quotients import DifferenceQuotient, jacobian_error

MODEL = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><body><joint type='slide'/><geom size='.1'/></body></worldbody></mujoco>"
)
RIGHT = np.array([[1.0, 0.01, 0.4, 2.0], [-0.2, 0.98, 0.1, 3.0]])  # by qpos, qvel, and two actions
JUMP, KINK = np.array([0.3, -0.2]), np.array([0.0, 0.5])


def quotient(width: float, jump: float = 0.0, kink: float = 0.0, behind: bool = True) -> DifferenceQuotient:
    """Of RIGHT, but that the step jumps, on one side or both, or bends, along the last axis."""
    offsets = width * np.concatenate([np.eye(4), -np.eye(4), np.zeros((1, 4))])
    ends = offsets @ RIGHT.T
    ends[3] += jump * JUMP + kink * width * KINK
    ends[7] += behind * jump * JUMP
    return DifferenceQuotient.of(MODEL, ends, width)


def error(stored: np.ndarray, **step: float) -> tuple[float, int]:
    return jacobian_error(stored, quotient(1e-6, **step), quotient(2e-7, **step), one_sided=False)


@pytest.mark.parametrize("behind", [False, True])
def test_an_axis_along_which_the_step_jumps_is_left_out_and_hides_nothing(behind):
    assert error(RIGHT, jump=1.0, behind=behind) == (pytest.approx(0, abs=1e-9), 1)
    wrong = RIGHT.copy()
    wrong[1, 1] *= 1.001  # the quotients of a jump are a million times as large
    assert error(wrong, jump=1.0, behind=behind) == (pytest.approx(7e-4, rel=0.1), 1)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_at_a_kink_an_entry_may_be_all_between_its_sides(share):
    between = RIGHT.copy()
    between[:, 3] += share * KINK
    assert error(between, kink=1.0) == (pytest.approx(0, abs=1e-9), 0)


def test_at_a_kink_what_is_beyond_a_side_or_where_there_is_no_kink_is_wrong():
    for beyond in (RIGHT[:, 3] + 1.1 * KINK, RIGHT[:, 3] - 0.1 * KINK, RIGHT[:, 3] + [0.05, 0.25]):
        wrong = RIGHT.copy()
        wrong[:, 3] = beyond
        assert error(wrong, kink=1.0) == (pytest.approx(0.05 / 3.9, rel=0.1), 0)
    sides = quotient(1e-6, kink=1.0), quotient(2e-7, kink=1.0)
    assert jacobian_error(RIGHT, *sides, one_sided=True) == (pytest.approx(0, abs=1e-9), 1)


def test_a_step_of_nothing_but_jumps_has_no_error():
    ends = np.random.default_rng(0).normal(size=(9, 2))
    assert jacobian_error(RIGHT, *(DifferenceQuotient.of(MODEL, ends, w) for w in (1e-6, 2e-7)), False) == (0.0, 4)
