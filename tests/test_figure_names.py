"""Names in figures: whole where there is room, told apart where not, and written as they are."""

import io
import itertools

import numpy as np
import pytest
from conftest import ROOT
from learned_results import learned
from synthetic import dataset, episode

import jacdb
from jacdb import figures

RNG = np.random.default_rng(3)


@pytest.mark.slow
def test_a_large_matrix_has_names_that_can_be_read(tmp_path):
    dataset(tmp_path, "Large", [episode(0, np.ones((1, 120, 120)), np.ones((1, 120, 30)))])
    with jacdb.open(tmp_path) as opened:
        figure = figures.heatmap(opened, "Large")
    assert figure.get_figwidth() == figures.PAGE
    labels = figure.axes[0].get_yticklabels()
    assert 1 < len(labels) < 120 and labels[0].get_fontsize() >= figures.LEGIBLE


@pytest.mark.slow
@pytest.mark.parametrize("env", ["CartpoleBalance", "CheetahRun", "PandaPickCube", "SwimmerSwimmer6"])
def test_users_21_no_title_of_a_heatmap_is_cut_off(env):
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        figure = figures.heatmap(opened, env)
    figures.png(figure)
    inside = figure.get_tightbbox()
    assert inside.y0 >= 0 and inside.y1 <= figure.get_figheight()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heatmap", "embedding", "histogram", "lyapunov"])
def test_the_title_of_a_long_name_is_whole_and_over_no_other(name, tmp_path):
    env = "BerkeleyHumanoidJoystickRoughTerrain"
    dataset(
        tmp_path, env, [episode(0, RNG.normal(size=(20, 4, 4)), np.ones((20, 4, 2)), state=RNG.normal(size=(20, 4)))]
    )
    with jacdb.open(tmp_path) as opened:
        figure = figures.draw(opened, name, env)
    figure.draw_without_rendering()
    titles = [title for axes in figure.axes for title in (axes.title, axes._left_title)]
    boxes = [title.get_window_extent() for title in (figure._suptitle, *titles) if title and title.get_text()]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.slow
def test_a_small_matrix_names_each_axis_and_a_long_name_keeps_its_end(tmp_path):
    long = "a joint with a name that goes on and on until nobody can read it any more"
    dataset(
        tmp_path, "E", [episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)))], names={"tangent": [long, f"{long}.vel"]}
    )
    with jacdb.open(tmp_path) as opened:
        panel = figures.heatmap(opened, "E").axes[0]
    position, velocity = (label.get_text() for label in panel.get_yticklabels())
    assert position.startswith("a joint with") and position.endswith("any more") and len(position) == 32
    assert velocity.endswith("any more.vel") and velocity != position


@pytest.mark.slow
def test_names_are_drawn_as_they_are_written(tmp_path, recwarn):
    odd = [r"$x_1$ and $\frac{a}{b$", "$pole", "Gelenk \u5173\u8282"]
    active = [[f"joint_limit:{name}" for name in odd]] * 3
    matrices = np.ones((3, 3, 3)), np.ones((3, 3, 1))
    dataset(tmp_path, "E", [episode(0, *matrices, active=active)], names={"tangent": odd, "action": ["_$a$"]})
    learned(tmp_path, "E")
    with jacdb.open(tmp_path) as opened:
        for name, shown in (
            ("heatmap", odd),
            ("timeline", odd),
            ("constraint", odd),
            ("learned_entries", [*odd, "_$a$"]),
        ):
            for suffix in (".png", ".svg"):
                figures.save(figures.draw(opened, name, "E"), tmp_path / f"it{suffix}")
            drawn = (tmp_path / "it.svg").read_text()
            assert all(one in drawn for one in shown), name
    assert not [str(one.message) for one in recwarn if "Glyph" in str(one.message)]


@pytest.mark.slow
def test_a_dollar_in_a_name_takes_the_room_of_a_letter(tmp_path):
    for env, letter in (("E", "$"), ("F", "x")):
        names = {"tangent": [letter * 20, "b"], "action": [letter * 30]}
        dataset(tmp_path, env, [episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)))], names=names)
    with jacdb.open(tmp_path) as opened:
        sizes = [figures.draw(opened, "heatmap", env).get_size_inches().tolist() for env in "EF"]
    assert sizes[0] == sizes[1]


@pytest.mark.slow
def test_long_names_of_lanes_are_told_apart_and_leave_room(tmp_path):
    long = [f"a_very_long_joint_name_of_{which}_exactly_sixty_characters_0123456789" for which in "abc"]
    active = [[f"joint_limit:{name}" for name in long]] * 3
    env = "BerkeleyHumanoidJoystickRoughTerrain"
    dataset(tmp_path, env, [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)), active=active)], f"expert-{'9' * 30}")
    with jacdb.open(tmp_path) as opened:
        timeline, constraint = (figures.draw(opened, name, env) for name in ("timeline", "constraint"))
    for figure, axis in ((timeline, timeline.axes[1]), (constraint, constraint.axes[0])):
        figures.save(figure, io.BytesIO())
        names = [label.get_text() for label in axis.get_yticklabels()]
        assert len({name.partition("  ")[0] for name in names}) == len(names)
        assert sum(name.count("\N{HORIZONTAL ELLIPSIS}") for name in names) == 3
        assert all(len(name.partition("  ")[0].removeprefix("joint_limit:")) <= 32 for name in names)
    with figures.styled():
        timeline.draw_without_rendering()
    legend = timeline.axes[0].get_legend()
    assert not timeline._suptitle.get_window_extent().overlaps(legend.get_window_extent())
