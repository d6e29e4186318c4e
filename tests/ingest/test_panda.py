"""The main job, end to end: PandaPickCube, from the environment to the answers."""

import json

import mujoco
import numpy as np
import pytest
import reference_rows
from conftest import ROOT, run_jacdb

import jacdb
from jacdb.ingest.differentiation import finite_differences
from jacdb.ingest.differentiation.finite_differences import relative
from jacdb.ingest.differentiation.types import PhysicsInput

pytestmark = pytest.mark.thorough

ARM = [*range(9), *range(15, 24), *range(30, 38)]  # the robot's positions, velocities and ctrl
CUBE = [*range(9, 15), *range(24, 30)]
# make demo's own: in one of these episodes a finger touches the cube
COMMAND = ("ingest", "--env", "PandaPickCube", "--episodes", "16")
TOUCHED = """len(list_filter(contacts, lambda c: 'box' in [c.geom1, c.geom2] and 'floor' not in [c.geom1, c.geom2]
    and c.normal_force > 0)) > 0"""


@pytest.fixture(scope="module")
def panda(tmp_path_factory, menagerie):
    root = tmp_path_factory.mktemp("panda")
    ran = run_jacdb(*COMMAND, "--data", str(root))
    assert ran.returncode == 0 and "2,400 steps of PandaPickCube" in ran.stdout, ran.stderr
    with jacdb.open(root) as dataset:
        yield dataset


def test_it_has_the_matrices_of_its_state_with_ctrl(panda):
    [row] = panda.global_sparsity().to_dicts()
    assert (row["d_state"], row["d_action"], row["samples"], row["excluded"]) == (38, 8, 2400, 0)
    steps = panda.sql("select j_state, j_action, state, n_zero_state from steps").pl()
    assert np.array(steps["j_state"].to_list()).shape == (2400, 38, 38)
    assert np.array(steps["j_action"].to_list()).shape == (2400, 38, 8)
    assert np.array(steps["state"].to_list()).shape == (2400, 16 + 15 + 8)


def test_arm_and_cube_are_apart_until_a_finger_touches(panda):
    """Blocks of 1.0 in entry_zero_fraction without a touch; with one, entries between them, and in no other step.
    Of steps whose solver converged: stopped early, it may couple anything (docs/jacobians.md)."""
    apart = panda.where(f"method = 'implicit' and not ({TOUCHED})").entry_zero_fraction().filter(jacobian="state")
    fraction = np.full((38, 38), np.nan)
    fraction[apart["row"], apart["col"]] = apart["zero_fraction"]
    assert (fraction[np.ix_(ARM, CUBE)] == 1).all() and (fraction[np.ix_(CUBE, ARM)] == 1).all()
    assert fraction[np.ix_(ARM, ARM)].mean() < 0.5

    steps = panda.sql(f"select {TOUCHED} as touched, j_state from steps where method = 'implicit'").pl()
    between = np.abs(np.array(steps["j_state"].to_list()))[:, CUBE][:, :, ARM].max(axis=(1, 2)) > 1e-12
    assert np.array_equal(between, steps["touched"].to_numpy())
    assert between.any()


def test_the_matrices_are_the_c_engines_finite_differences(panda, system):
    """Of steps that the C engine takes as MJX did: where an actuator's force is at its bound they integrate otherwise.
    An episode's first state rests on the very end of a limit, where the step jumps."""
    loaded = system("PandaPickCube")
    model, data = loaded.mj_model, mujoco.MjData(loaded.mj_model)
    low, high = model.actuator_ctrlrange.T
    some = "method = 'implicit' and step > 0 and (episode * 150 + step) % 12 = 0"
    rows = panda.sql(f"select state, next_state, j_state, j_action from steps where {some}").pl()
    errors = []
    for state, after, *stored in zip(*(np.array(rows[name].to_list()) for name in rows.columns), strict=True):
        qpos, qvel, _ = np.split(state, [model.nq, model.nq + model.nv])
        start = PhysicsInput.read(data)._replace(qpos=qpos, qvel=qvel, ctrl=after[-8:])
        start = PhysicsInput(*(np.array(leaf) for leaf in start))
        moved = np.concatenate(finite_differences.replay(loaded, start)) - after[:31]
        if np.abs(moved).max() < 1e-9:
            inside = [True] * 30 + list((low < after[-8:]) & (after[-8:] < high))  # ctrl that is not at its clip
            found = np.concatenate([stored[0][:30, :30], stored[1][:30] / 0.04], axis=1)
            exact = finite_differences.finite_difference(loaded, start).matrix
            errors.append(relative(found[:, inside], exact[:, inside]))
    assert len(errors) > 30
    assert np.median(errors) < 2e-7 and np.quantile(errors, 0.9) < 1e-6, "stored as float32"


def test_what_turns_the_cube_is_not_left_of_rounding(panda):
    """Pressed down, a cube on four corners does not turn: their torques cancel, and leave nothing above 1e-12."""
    up, turns = 11, [27, 28]  # of the axes: box.z; box.angvel_x and box.angvel_y
    steps = panda.sql("select j_state from steps where method = 'implicit'").pl()
    entries = np.abs(np.array(steps["j_state"].to_list()))[:, turns, up]
    assert ((entries >= 1e-12) & (entries < 1e-10)).mean() < 0.005  # a third, about the arm's centre of mass
    assert 0.9 < (entries < 1e-12).mean() < 1


def test_users_02_rows_of_the_panda_are_this_engines(panda, pytestconfig):
    reference_rows.check(panda, "PandaPickCube", pytestconfig.getoption("reference"))


def test_next_ctrl_is_the_clipped_sum(panda, system):
    """ctrl' = clip(ctrl + 0.04 u): its own rows of the Jacobians are 0 or 1, and 0 or 0.04."""
    low, high = system("PandaPickCube").mj_model.actuator_ctrlrange.T
    rows = panda.sql("select state, action, next_state, j_state, j_action from steps").pl()
    state, action, after, j_state, j_action = (np.array(rows[name].to_list()) for name in rows.columns)
    moved = state[:, -8:] + 0.04 * action
    np.testing.assert_allclose(after[:, -8:], np.clip(moved, low, high), atol=1e-12)
    inside = (moved > low) & (moved < high)
    diagonal = np.arange(8)
    np.testing.assert_allclose(j_state[:, 30 + diagonal, 30 + diagonal][inside], 1.0)
    np.testing.assert_allclose(j_action[:, 30 + diagonal, diagonal][inside], 0.04, rtol=1e-6)
    outside = (moved < low) | (moved > high)
    assert not j_action[:, 30 + diagonal, diagonal][outside].any()


def test_the_demos_question_is_answered(panda):
    question = (ROOT / "docs" / "demo.sql").read_text()
    ran = run_jacdb("sql", "--data", str(panda.location.path), "--format", "json", "--", question)
    rows = {row["hand_touches"]: row for row in json.loads(ran.stdout)}
    assert sum(row["steps"] for row in rows.values()) == 2400
    assert rows["the cube"]["pct_zero_state"] < rows["nothing"]["pct_zero_state"]
