import mujoco
import numpy as np
import pytest

from jacdb.ingest.differentiation.coloring import ContactColoring, color_columns
from jacdb.ingest.differentiation.joint_derivatives import Coupling

pytestmark = pytest.mark.slow


def test_columns_of_one_color_share_no_row():
    pattern = np.random.default_rng(0).random((12, 9)) < 0.25
    colors = color_columns(pattern)
    for number in range(colors.max() + 1):
        assert pattern[:, colors == number].sum(axis=1).max() <= 1
    assert colors.max() + 1 < 9
    assert (color_columns(np.eye(5, dtype=bool)) == 0).all()
    assert color_columns(np.ones((2, 4), dtype=bool)).tolist() == [0, 1, 2, 3]


def test_forces_of_one_joint_couple_nothing_and_tendons_couple_their_joints(system):
    cheetah, fish = (Coupling.of(system(name).mj_model, kicked=False) for name in ("CheetahRun", "FishSwim"))
    assert (cheetah.by_dof == np.eye(9, dtype=bool)).all() and not cheetah.needs_poses
    assert cheetah.by_ctrl.sum() == 6
    assert fish.by_dof.sum() > 13 + 6 * 5  # a fixed tendon's two joints, and the free joint
    assert Coupling.of(system("BallInCup").mj_model, kicked=False).needs_poses  # a spatial tendon


def test_geoms_that_can_meet_have_different_colors(system):
    model = system("CheetahRun").mj_model
    colors = ContactColoring.of(model).geom_color
    floor = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    assert (colors[floor] == 0).all() and (colors[~floor] > 0).all()
