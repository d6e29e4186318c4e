"""Figures show what the views say; what can't be drawn is refused in one line."""

import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from learned_results import learned
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from synthetic import dataset, episode
from thoroughness import one_in_five

import jacdb
from jacdb import UsageError, figures
from jacdb.dataset.sandbox import fetch
from jacdb.figures.style import LINES, plain_log_ticks
from jacdb.schemas import ZERO_THRESHOLD

RNG = np.random.default_rng(3)
FOOT = np.array([0, 1, 1, 0, 0, 1, 0, 1, 1, 1])


@pytest.fixture(scope="module")
def stepping(tmp_path_factory):
    """Two episodes: a foot comes down three times, and the matrices are dense meanwhile. And an environment of NaN."""
    root = tmp_path_factory.mktemp("stepping")
    j = np.where((RNG.random((10, 4, 6)) < 0.5) & (FOOT == 0)[:, None, None], 0.0, 1.0)
    touching = [["foot"] * down for down in FOOT]
    episodes = [
        episode(
            number,
            j[..., :4],
            j[..., 4:],
            touching=touching,
            active=[["joint_limit:knee"]] + [[]] * 9,
            state=RNG.normal(size=(10, 4)),
        )
        for number in range(2)
    ]
    dataset(root, "Walk", episodes)
    dataset(root, "Broken", [episode(0, np.full((3, 2, 2), np.nan), np.ones((3, 2, 1)))])
    learned(root, "Walk")
    with jacdb.open(root) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("name", one_in_five(figures.FIGURES))
@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_every_figure_in_every_format(name, suffix, begins, stepping, tmp_path):
    figures.draw(stepping, name, "Walk").savefig(tmp_path / f"it{suffix}")
    assert (tmp_path / f"it{suffix}").read_bytes().startswith(begins)
    assert not plt.get_fignums()  # nothing is left open behind the caller's back


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in figures.FIGURES if name != "embedding"])
def test_users_20_a_picture_is_drawn_once_and_looks_like_matplotlib_s_own(name, stepping, monkeypatch):
    figure = figures.draw(stepping, name, "Walk")
    own, plain, draws = io.BytesIO(), io.BytesIO(), []
    before = figure.canvas, figure.get_dpi(), figure.get_layout_engine()
    with monkeypatch.context() as watched:
        watched.setattr(Figure, "draw", lambda self, to, draw=Figure.draw: [draws.append(to), draw(self, to)])
        figures.save(figure, own, dpi=150)
    assert len(draws) == 1
    assert (figure.canvas, figure.get_dpi(), figure.get_layout_engine()) == before
    again = figures.draw(stepping, name, "Walk")
    with figures.styled():
        again.savefig(plain, dpi=150)
    for ours, theirs in zip(figure.axes, again.axes, strict=True):
        np.testing.assert_allclose(ours.get_position().extents, theirs.get_position().extents, atol=0.005)
    ours, theirs = (np.asarray(Image.open(picture).convert("L"), float) for picture in (own, plain))
    assert ours.shape == theirs.shape
    assert (255 - ours).sum() == pytest.approx((255 - theirs).sum(), rel=0.02)  # as much ink


def test_the_heatmap_is_the_share_of_zeros(stepping):
    panels = figures.heatmap(stepping, "Walk").axes[:2]
    entries = stepping.entry_zero_fraction("Walk")
    for panel, jacobian, d in zip(panels, ("state", "action"), (4, 2), strict=True):
        expected = entries.filter(jacobian=jacobian).sort("row", "col")["zero_fraction"].to_numpy().reshape(4, d)
        np.testing.assert_array_equal(panel.images[0].get_array(), expected)
    assert [label.get_text() for label in panels[1].get_xticklabels()] == ["action0", "action1"]


def test_the_timeline_marks_the_steps_in_which_something_holds(stepping):
    above, below = figures.timeline(stepping, "Walk", episode=1).axes
    assert [label.get_text() for label in below.get_yticklabels()] == ["floor - foot", "knee"]
    assert [text.get_text() for text in below.texts] == ["contact", "joint_limit"]
    foot = [path.get_extents() for path in below.collections[0].get_paths()]
    marked = np.array([any(box.x0 < step < box.x1 for box in foot) for step in range(10)])
    assert np.array_equal(marked, FOOT == 1) and len(foot) == 3
    timeline = fetch(stepping.view("sparsity_timeline", "Walk")).filter(episode=1)
    np.testing.assert_array_equal(above.lines[0].get_ydata()[1:-1], timeline["sparsity_state"])


def test_the_timeline_breaks_where_steps_are_left_out_and_marks_a_step_alone(stepping):
    above, _ = figures.timeline(stepping.where("step in (2, 5, 6, 9)"), "Walk").axes
    shares = stepping.sparsity_timeline("Walk").filter(episode=0)["sparsity_state"]
    line, dots = above.lines[:2]
    drawn = {step: share for step, share in zip(*line.get_data(), strict=True) if np.isfinite(share)}
    assert drawn == {step: shares[step] for step in (2, 5, 6, 9)}
    assert line.get_drawstyle() == "steps-mid" and line.get_xdata().tolist() == list(range(1, 11))
    assert [*zip(*dots.get_data(), strict=True)] == [(step, shares[step]) for step in (2, 9)]
    assert dots.get_marker() == "o" and dots.get_markersize() > 0


@pytest.mark.slow
def test_the_timeline_of_one_step_shows_its_values(tmp_path):
    dataset(tmp_path, "One", [episode(0, np.eye(2)[None], np.ones((1, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        figure = figures.timeline(opened, "One")
    figure.draw_without_rendering()
    values = [line.get_data() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [(x.tolist(), y.tolist()) for x, y in values] == [([0], [0.5]), ([0], [0.0])]
    assert [tick for tick in figure.axes[1].get_xticks() if -0.5 < tick < 0.5] == [0]


@pytest.mark.slow
def test_the_timeline_is_of_the_first_episode_with_a_step_that_counts(tmp_path):
    j = np.ones((3, 2, 2))
    dataset(tmp_path, "E", [episode(number, j if number else j * np.nan, j[..., :1]) for number in range(2)])
    with jacdb.open(tmp_path) as opened:
        assert figures.timeline(opened, "E").get_suptitle().startswith("E, episode 1 of")
        with pytest.raises(UsageError, match=r"nothing to draw of episode 0 of .*: no step of it counts"):
            figures.timeline(opened, "E", episode=0)


@pytest.mark.slow
def test_an_episode_that_is_not_there_is_told_with_those_that_are(tmp_path):
    j = np.ones((3, 2, 2))
    dataset(tmp_path, "E", [episode(number, j, j[..., :1]) for number in range(20)])
    with jacdb.open(tmp_path) as opened:
        for condition, there in [
            ("true", "one of 0 to 19"),
            ("episode = 2", "2"),
            ("episode in (0, 2, 3, 4)", "one of 0, 2 to 4"),
            ("episode % 2 = 0", "one of 0, 2, 4, 6, 8, 10, 12, 14, others up to 18"),
        ]:
            with pytest.raises(UsageError, match=f"no episode 21 in run .*: give {there}$"):
                figures.timeline(opened.where(condition), "E", episode=21)


def test_durations_and_histogram_show_all_there_is(stepping):
    runs = fetch(stepping.view("zero_durations", "Walk"))
    panels = figures.durations(stepping, "Walk").axes
    drawn = sum(len(line.get_xdata()) for panel in panels for line in panel.lines if line.get_linestyle() == "None")
    assert drawn == len(runs) > 0
    for panel in figures.histogram(stepping, "Walk").axes:
        assert sum(bar.get_height() for bar in panel.patches) == pytest.approx(1)


def test_constraints_are_named_with_their_means(stepping):
    axis = figures.constraint(stepping, "Walk").axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[:2] == ["any contact  60.0 %", "floor - foot  60.0 %"] and names[-1] == "nothing  30.0 %"
    holds = dict(zip(names, axis.collections[0].get_offsets()[:, 0], strict=True))
    assert holds["floor - foot  60.0 %"] == 0 and holds["nothing  30.0 %"] > 0.3


@pytest.mark.slow
def test_users_04_entries_that_never_switch_are_no_durations_and_their_steps_count(tmp_path):
    dataset(tmp_path, "Still", [episode(0, np.ones((12, 2, 2)), np.ones((12, 2, 1)))])
    with jacdb.open(tmp_path) as opened, pytest.raises(UsageError, match="in its 12 steps no entry becomes zero"):
        figures.durations(opened, "Still")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "pie"}, "no figure 'pie': there are constraint"),
        ({"env": "Wlak"}, "did you mean Walk"),
        ({"env": "Broken"}, "no step of it counts"),
        ({"name": "heatmap", "env": "Broken"}, "nothing to draw of Broken: no step of it counts"),
        ({"name": "timeline", "env": "Broken"}, "nothing to draw of Broken: no step of it counts"),
        ({"name": "timeline", "episode": 7}, "no episode 7"),
        ({"name": "timeline", "run_id": "x"}, "no run 'x'"),
        ({"episode": 1}, "only timeline"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong, said, stepping):
    with pytest.raises(UsageError, match=said):
        figures.draw(stepping, **{"name": "histogram", "env": "Walk", **wrong})


def test_the_embedding_shows_the_patterns_of_one_episode(stepping):
    figure = figures.embedding(stepping, "Walk")
    above, *panels, _ = figure.axes[:1] + figure.axes[2:] + figure.axes[1:2]
    dots = above.collections[0]
    steps = stepping.sparsity_timeline("Walk")
    assert len(dots.get_offsets()) == len(steps) == 20 and np.isfinite(dots.get_offsets()).all()
    both = (steps["sparsity_state"] * 16 + steps["sparsity_action"] * 8) / 24
    np.testing.assert_allclose(dots.get_array(), both)
    assert len(panels) == 5  # four random patterns, and the one of all steps in which the foot is down
    for panel in panels:
        step = int(panel.get_xlabel().split()[1])
        assert panel.images[0].get_array().mean() == pytest.approx(both[step])


@pytest.mark.slow
def test_users_21_thumbnails_differ_and_without_a_range_there_is_no_scale(stepping, tmp_path):
    thumbnails = [panel.images[0].get_array() for panel in figures.embedding(stepping, "Walk").axes if panel.images]
    assert len({thumbnail.tobytes() for thumbnail in thumbnails}) == len(thumbnails) > 1
    j = np.ones((12, 2, 2))
    dataset(tmp_path, "Same", [episode(0, j, np.ones((12, 2, 1)), state=RNG.normal(size=(12, 2)))])
    with jacdb.open(tmp_path) as opened:
        above, *rest = figures.embedding(opened, "Same").axes
    assert [len(panel.images) for panel in rest] == [1] and "share of zeros of 0.000" in above.get_title()
    assert (above.get_xlabel(), above.get_ylabel()) == ("t-SNE 1", "t-SNE 2")


@pytest.mark.slow
def test_steps_of_the_embedding_are_spread_evenly_over_ten_episodes(tmp_path):
    j = np.ones((300, 1, 1))
    episodes = [episode(number, j, j, state=RNG.normal(size=(300, 1))) for number in range(11)]
    dataset(tmp_path, "Long", episodes)
    with jacdb.open(tmp_path) as opened:
        taken = fetch(opened.sql("from sampled_steps order by place"))
    assert taken["episode"].unique().sort().to_list() == list(range(10))
    assert len(taken) == 1000 and set(np.diff(taken["place"])) == {3}


@pytest.mark.slow
@pytest.mark.parametrize("name", figures.FIGURES)
def test_users_21_a_figure_has_a_width_of_print_and_type_of_7_points(name, stepping):
    figure = figures.draw(stepping, name, "Walk")
    assert figure.get_figwidth() in (figures.COLUMN, figures.PAGE)
    figure.draw_without_rendering()
    inside = figure.get_tightbbox()
    assert inside.x0 >= -0.02 and inside.x1 <= figure.get_figwidth() + 0.02
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert {text.get_fontsize() for text in shown} == {figures.POINTS}


@pytest.mark.slow
def test_users_21_always_and_never_zero_are_told_from_nearly(tmp_path):
    """In grey, too: white, then every other share, then black, each step at least 8 % of the way."""
    j = np.ones((1000, 2, 2))
    j[:, 0, 0] = j[:950, 0, 1] = j[:1, 1, 0] = 0
    dataset(tmp_path, "E", [episode(0, j, np.ones((1000, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        panels = figures.heatmap(opened, "E").axes
    colours = panels[0].images[0].to_rgba(panels[0].images[0].get_array())[..., :3]
    always, often, once, never = (colours @ [0.299, 0.587, 0.114]).ravel()
    assert always == 0 and often > 0.15 and often < once < 0.92 and never == pytest.approx(1)
    assert [panel.get_xlabel() for panel in panels[:2]] == ["present state", "action"]
    assert [text.get_text() for text in panels[2].texts] == ["always zero", "never zero"]


def test_users_21_bars_stand_where_their_bins_are(stepping):
    bins = stepping.sparsity_histogram("Walk")
    for panel, jacobian in zip(figures.histogram(stepping, "Walk").axes, ("state", "action"), strict=True):
        ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in panel.patches]
        np.testing.assert_allclose(ends, bins.filter(jacobian=jacobian).select("bin_low", "bin_high").to_numpy())


def test_users_21_the_legend_of_thresholds_is_off_the_lines_and_ours_is_marked(stepping):
    figure = figures.threshold(stepping, "Walk")
    figure.draw_without_rendering()
    [axis], [legend] = figure.axes, figure.legends
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [ZERO_THRESHOLD]
    assert axis.texts[0].get_text().startswith("1e-12")


def test_users_21_durations_have_plain_ticks_and_do_not_say_runs(stepping):
    figure = figures.durations(stepping, "Walk")
    figure.draw_without_rendering()
    ticks = [label.get_text() for panel in figure.axes for label in panel.get_xticklabels()]
    assert ticks and all(tick.replace(",", "").isdigit() for tick in ticks)
    assert not any("run" in text.get_text() for text in figure.findobj(Text))


def test_users_21_an_axis_between_round_numbers_has_a_tick():
    axis = Figure().subplots().yaxis
    plain_log_ticks(axis, 60.0, 60.0)
    assert axis.get_major_locator()().tolist() == [60]


@pytest.mark.slow
def test_users_21_three_constraints_have_room_and_zero_is_the_baseline(tmp_path):
    j = np.ones((4, 2, 2))
    j[:2, 0, 0] = 0
    dataset(tmp_path, "E", [episode(0, j, np.ones((4, 2, 1)), active=[["joint_limit:a"]] * 2 + [[]] * 2)])
    with jacdb.open(tmp_path) as opened:
        figure = figures.constraint(opened, "E")
    figure.draw_without_rendering()
    [axis] = figure.axes
    boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
    assert len(boxes) == 3 and not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))
    assert axis.get_xlim()[0] == 0


@pytest.mark.slow
def test_many_constraints_leave_the_figure_on_a_page(tmp_path):
    joints = [f"joint_limit:{number:02}" for number in range(80)]
    active = [joints[: 80 - 10 * step] for step in range(8)]  # the first hold longest
    dataset(tmp_path, "E", [episode(0, np.ones((8, 2, 2)), np.ones((8, 2, 1)), active=active)])
    with jacdb.open(tmp_path) as opened:
        constraint, timeline = (figures.draw(opened, name, "E") for name in ("constraint", "timeline"))
    for figure, axis in ((constraint, constraint.axes[0]), (timeline, timeline.axes[1])):
        figure.draw_without_rendering()
        names = [label.get_text() for label in axis.get_yticklabels()]
        assert figure.get_figheight() < 9 and len(names) == LINES
        assert any("00" in name for name in names) and not any("79" in name for name in names)
    assert constraint.legends[0].get_title().get_text() == "E: 55 rows of 81, what holds most often"
    assert timeline.axes[1].get_xlabel() == "step (55 of 80 constraints, those of most steps)"


def test_users_21_the_timeline_s_axis_fits_the_data(stepping):
    above, below = figures.timeline(stepping, "Walk").axes
    assert above.get_xlim() == below.get_xlim() == (-0.5, 9.5)
    drawn = np.concatenate([line.get_ydata() for line in above.lines])
    low, high = above.get_ylim()
    assert 0 < np.nanmin(drawn) - low < 0.1 and 0 < high - np.nanmax(drawn) < 0.1


@pytest.mark.slow
def test_steps_that_are_all_alike_are_no_embedding(tmp_path):
    dataset(tmp_path, "E", [episode(0, np.ones((12, 2, 2)), np.ones((12, 2, 1)))])
    with jacdb.open(tmp_path) as opened, pytest.raises(UsageError, match="the same state"):
        figures.embedding(opened, "E")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "panels"), [("heatmap", 1), ("histogram", 1), ("threshold", 1), ("timeline", 2)])
def test_without_actuators_the_jacobian_by_actions_has_no_panel(name, panels, tmp_path):
    dataset(tmp_path, "Passive", [episode(0, RNG.normal(size=(10, 2, 2)), np.zeros((10, 2, 0)))])
    with jacdb.open(tmp_path) as opened:
        figure = figures.draw(opened, name, "Passive")
    assert len([axis for axis in figure.axes if axis.get_label() != "<colorbar>"]) == panels
    assert figures.png(figure)


@pytest.mark.slow
def test_without_actuators_no_figure_names_the_jacobian_by_actions(tmp_path):
    j = RNG.normal(size=(10, 2, 2))
    j[3:6, 0, 1] = 0
    dataset(tmp_path, "Passive", [episode(0, j, np.zeros((10, 2, 0)))])
    with jacdb.open(tmp_path) as opened:
        timeline, durations = (figures.draw(opened, name, "Passive") for name in ("timeline", "durations"))
    assert [text.get_text() for text in timeline.axes[0].get_legend().get_texts()] == ["$J_s$"]
    assert [panel.get_title("left") for panel in durations.axes] == ["$J_s$"]


@pytest.mark.slow
def test_an_episode_in_several_spans_is_drawn_once_by_all_its_steps(tmp_path):
    j = np.tile(np.diag([2.0, 0.5]), (9, 1, 1))
    j[:2] = np.eye(2)
    j[2, 0, 0] = np.nan  # spans of 2 and of 6 steps
    dataset(tmp_path, "E", [episode(0, j, np.ones((9, 2, 1)))], ctrl_dt=1.0)
    with jacdb.open(tmp_path) as opened:
        assert len(opened.lyapunov("E").filter(span="whole")) == 2
        panel = figures.lyapunov(opened, "E").axes[0]
        spans = opened.lyapunov("E").filter(span="whole")
    assert [text.get_text() for text in panel.get_legend().get_texts()][-1] == "median of 1 episode"
    expected = np.average(spans["exponents"].to_list(), axis=0, weights=[2, 6])
    np.testing.assert_allclose(next(line for line in panel.lines if line.get_marker() == "o").get_ydata(), expected)


@pytest.mark.slow
def test_one_episode_is_told_in_the_singular(tmp_path):
    dataset(tmp_path, "One", [episode(0, np.eye(2)[None], np.ones((1, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        legend = figures.lyapunov(opened, "One").axes[0].get_legend()
        assert [text.get_text() for text in legend.get_texts()][-1] == "median of 1 episode"
        with pytest.raises(UsageError, match="in its 1 step no entry"):
            figures.durations(opened, "One")
