"""Figures show what the views say; what can't be drawn is refused in one line."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, figures
from jacdb.dataset.sandbox import fetch

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
    with jacdb.open(root) as opened:
        yield opened


@pytest.mark.parametrize("name", figures.FIGURES)
@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_every_figure_in_every_format(name, suffix, begins, stepping, tmp_path):
    figures.draw(stepping, name, "Walk").savefig(tmp_path / f"it{suffix}")
    assert (tmp_path / f"it{suffix}").read_bytes().startswith(begins)
    assert not plt.get_fignums()  # nothing is left open behind the caller's back


def test_the_heatmap_is_the_share_of_zeros(stepping):
    panels = figures.heatmap(stepping, "Walk").axes[:2]
    entries = stepping.entry_zero_fraction("Walk")
    for panel, jacobian, d in zip(panels, ("state", "action"), (4, 2), strict=True):
        expected = entries.filter(jacobian=jacobian).sort("row", "col")["zero_fraction"].to_numpy().reshape(4, d)
        np.testing.assert_array_equal(panel.images[0].get_array(), expected)
    assert [label.get_text() for label in panels[1].get_xticklabels()] == ["action0", "action1"]


def test_a_large_matrix_has_names_that_can_be_read(tmp_path):
    dataset(tmp_path, "Large", [episode(0, np.ones((1, 120, 120)), np.ones((1, 120, 30)))])
    with jacdb.open(tmp_path) as opened:
        figure = figures.heatmap(opened, "Large")
    assert figure.get_figwidth() <= figures.PAGE + 0.01
    labels = figure.axes[0].get_yticklabels()
    assert 1 < len(labels) < 120 and labels[0].get_fontsize() >= figures.LEGIBLE


def test_the_timeline_marks_the_steps_in_which_something_holds(stepping):
    above, below = figures.timeline(stepping, "Walk", episode=1).axes
    assert [label.get_text() for label in below.get_yticklabels()] == ["floor - foot", "joint_limit:knee"]
    foot = [path.get_extents() for path in below.collections[0].get_paths()]
    marked = np.array([any(box.x0 < step < box.x1 for box in foot) for step in range(10)])
    assert np.array_equal(marked, FOOT == 1) and len(foot) == 3
    timeline = fetch(stepping.view("sparsity_timeline", "Walk")).filter(episode=1)
    np.testing.assert_array_equal(above.lines[0].get_ydata(), timeline["sparsity_state"])


def test_durations_and_histogram_show_all_there_is(stepping):
    runs = fetch(stepping.view("zero_durations", "Walk"))
    panels = figures.durations(stepping, "Walk").axes
    drawn = sum(len(line.get_xdata()) for panel in panels for line in panel.lines if line.get_linestyle() == "None")
    assert drawn == len(runs) > 0
    bars = figures.histogram(stepping, "Walk").axes[0].patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(2)


def test_constraints_are_named_with_their_means(stepping):
    axis = figures.constraint(stepping, "Walk").axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[:2] == ["any contact  60 %", "floor - foot  60 %"] and names[-1] == "nothing  30 %"
    holds = dict(zip(names, axis.collections[0].get_offsets()[:, 0], strict=True))
    assert holds["floor - foot  60 %"] == 0 and holds["nothing  30 %"] > 0.3


def test_users_04_entries_that_never_switch_are_no_durations_and_their_steps_count(tmp_path):
    dataset(tmp_path, "Still", [episode(0, np.ones((12, 2, 2)), np.ones((12, 2, 1)))])
    with jacdb.open(tmp_path) as opened, pytest.raises(UsageError, match="of its 12 steps, no entry becomes zero"):
        figures.durations(opened, "Still")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "pie"}, "no figure 'pie': there are constraint"),
        ({"env": "Wlak"}, "did you mean Walk"),
        ({"env": "Broken"}, "no step of it counts"),
        ({"name": "timeline", "episode": 7}, "no episode 7"),
        ({"name": "timeline", "run_id": "x"}, "no run 'x'"),
        ({"episode": 1}, "only the timeline"),
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
    for panel in panels:
        step = int(panel.get_xlabel().split()[1])
        assert panel.images[0].get_array().mean() == pytest.approx(both[step])


def test_steps_that_are_all_alike_are_no_embedding(tmp_path):
    dataset(tmp_path, "E", [episode(0, np.ones((12, 2, 2)), np.ones((12, 2, 1)))])
    with jacdb.open(tmp_path) as opened, pytest.raises(UsageError, match="the same state"):
        figures.embedding(opened, "E")
