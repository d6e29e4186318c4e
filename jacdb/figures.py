"""Draw figures of a dataset, for papers: each asks one view and draws its answer. FIGURES lists them.

Every function returns a matplotlib Figure (``.savefig("name.pdf")``), drawn at the size at which it is read: one
column of a two-column paper, or both. Colours are Okabe and Ito's, which colour-blind readers can tell apart; in grey
they differ in brightness.
"""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.sql_text import literal
from jacdb.errors import UsageError, suggestion

COLUMN, PAGE = 3.3, 6.9  # inches: one column of a two-column paper, and both
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
JACOBIANS = {"state": ("$J_s$", BLUE), "action": ("$J_a$", ORANGE)}
EMBEDDED_EPISODES, EMBEDDED_STEPS = 10, 2000  # t-SNE takes seconds for so many, and no picture holds more
LEGIBLE = 4.0  # points: the smallest name on an axis that still can be read
STYLE: Any = {  # matplotlib types its keys
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 0.8,
    "lines.markersize": 3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
}


def _answer(dataset: Dataset, view: str, env: str, otherwise: str = "it has no row") -> pl.DataFrame:
    """Return a view's rows of an environment.

    Args:
        otherwise: why there may be none although steps count.

    Raises:
        UsageError: there are none.
    """
    frame = dataset.fetch(dataset.view(view, env))
    if frame.is_empty():
        samples = dataset.fetch(dataset.view("samples", env))["samples"].sum()
        why = f"of its {samples:,} steps, {otherwise}" if samples else "no step of it counts"
        raise UsageError(f"{view} has nothing to draw of {env}: {why}")
    return frame


def heatmap(dataset: Dataset, env: str) -> Figure:
    """Draw Figure 3 of the paper: in which share of the steps each entry of J_s and J_a is zero."""
    entries = _answer(dataset, "entry_zero_fraction", env)
    blocks = {}
    for jacobian in JACOBIANS:
        part = entries.filter(jacobian=jacobian).sort("row", "col")
        rows, cols = (part.unique(axis, maintain_order=True)[f"{axis}_name"].to_list() for axis in ("row", "col"))
        blocks[jacobian] = part["zero_fraction"].to_numpy().reshape(len(rows), len(cols)), rows, cols
    d_state, d_action = blocks["state"][0].shape[0], blocks["action"][0].shape[1]
    # a cell is as large as its name needs, if the page is wide enough
    cell = min(0.17, (PAGE - 1.6) / (d_state + d_action))
    names = 72 * cell * 0.85
    with matplotlib.rc_context(STYLE):
        width, height = cell * (d_state + d_action) + 1.6, cell * d_state + 1.1
        figure = Figure((max(width, COLUMN), height), layout="constrained")
        panels = figure.subplots(1, 2, width_ratios=(d_state, d_action), sharey=True)
        for panel, (jacobian, (values, rows, cols)) in zip(panels, blocks.items(), strict=True):
            image = panel.imshow(values, vmin=0, vmax=1, cmap="cividis", interpolation="none", aspect="equal")
            panel.set_title(f"{env}, {JACOBIANS[jacobian][0]}" if jacobian == "state" else JACOBIANS[jacobian][0])
            _name(panel.set_xticks, cols, names, rotation=90)
            _name(panel.set_yticks, rows, names)
            panel.tick_params(length=0, pad=1)
            panel.spines[:].set_visible(False)
        panels[0].set_ylabel("next state")
        bar = figure.colorbar(image, ax=panels, shrink=min(1.0, 1.2 / height), aspect=12, pad=0.01)
        bar.set_label("share of steps in which zero")
        bar.outline.set_visible(False)
    return figure


def _name(set_ticks: Callable[..., object], names: list[str], points: float, **how: float) -> None:
    """Label every axis while names can be read, else every few."""
    every = max(1, math.ceil(LEGIBLE / points))
    set_ticks(range(0, len(names), every), names[::every], fontsize=min(6.0, max(points, LEGIBLE)), **how)


def histogram(dataset: Dataset, env: str) -> Figure:
    """Draw Figure 5 of the paper: how sparse the Jacobians of single steps are, with the means."""
    bins = _answer(dataset, "sparsity_histogram", env)
    with matplotlib.rc_context(STYLE):
        figure = Figure((COLUMN, 1.7), layout="constrained")
        axis = figure.subplots()
        for offset, (jacobian, (label, colour)) in zip((0.005, 0.05), JACOBIANS.items(), strict=True):
            part = bins.filter(jacobian=jacobian)
            mean = part["mean_sparsity"][0]
            axis.bar(
                part["bin_low"] + offset,
                part["share"],
                0.045,
                align="edge",
                color=colour,
                label=f"{label}, mean {mean:.2f}",
            )
            axis.axvline(mean, color=colour, linestyle=":")
        axis.set(xlim=(0, 1), ylim=(0, None), xlabel="share of entries that are zero", ylabel="share of steps")
        axis.set_title(env)
        axis.set_xticks(np.arange(11) / 10)
        figure.legend(loc="outside upper center", ncols=2)  # bars may be anywhere
    return figure


def timeline(dataset: Dataset, env: str, *, run_id: str | None = None, episode: int | None = None) -> Figure:
    """Draw Figure 6 of the paper: sparsity along one episode, and what held meanwhile.

    Args:
        run_id: the run; None for the first.
        episode: the episode; None for the run's first.

    Raises:
        UsageError: there is no such episode.
    """
    steps = _answer(dataset, "sparsity_timeline", env)
    run_id = steps["run_id"][0] if run_id is None else run_id
    of_run = steps.filter(run_id=run_id)
    if of_run.is_empty():
        raise UsageError(f"no run {run_id!r} of {env}: there are {', '.join(steps['run_id'].unique().sort())}")
    episode = of_run["episode"][0] if episode is None else episode
    shown = of_run.filter(episode=episode).sort("step")
    if shown.is_empty():
        raise UsageError(f"no episode {episode} in run {run_id}: there are {of_run['episode'].n_unique()}, from 0")
    events = shown.select("step", held=pl.concat_list("contacts", "active")).explode("held").drop_nulls()
    names = events["held"].unique().sort().to_list()
    with matplotlib.rc_context(STYLE):
        lanes = 0.12 * max(len(names), 1)
        figure = Figure((PAGE, 1.6 + lanes), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.9, lanes))
        for jacobian, (label, colour) in JACOBIANS.items():
            above.step(shown["step"], shown[f"sparsity_{jacobian}"], where="mid", color=colour, label=label)
        above.set(ylim=(-0.03, 1.03), ylabel="share of zeros")
        above.set_title(f"{env}, episode {episode} of {run_id}", loc="left")
        above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        for row, name in enumerate(names):
            at = events.filter(held=name)["step"].to_numpy()
            starts = at[np.diff(at, prepend=-2) > 1]
            stops = at[np.diff(at, append=at[-1] + 2) > 1]
            below.broken_barh(list(zip(starts - 0.5, stops - starts + 1, strict=True)), (row - 0.35, 0.7), color=GREY)
        below.set(ylim=(len(names) - 0.5, -0.5), xlabel="step")
        below.set_yticks(range(len(names)), names, fontsize=5.5)
        below.tick_params(axis="y", length=0)
    return figure


def durations(dataset: Dataset, env: str) -> Figure:
    """Draw Figure 7 of the paper: for how many consecutive steps entries stay zero, and non-zero; and the means."""
    none = "no entry becomes zero or ceases to be within an episode; longer episodes may visit more"
    runs = _answer(dataset, "zero_durations", env, none)
    with matplotlib.rc_context(STYLE):
        figure = Figure((PAGE, 1.9), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (jacobian, (label, _)) in zip(panels, JACOBIANS.items(), strict=True):
            for zero, name, colour, marker in ((True, "zero", BLUE, "o"), (False, "non-zero", ORANGE, "s")):
                part = runs.filter(jacobian=jacobian, zero=zero)
                if not part.is_empty():
                    mean = part["mean_duration"][0]
                    panel.plot(part["duration"], part["runs"], marker, ms=2.2, mew=0, alpha=0.8, color=colour,
                               label=f"{name}, mean {mean:.3g}")  # fmt: skip
                    panel.axvline(mean, color=colour, linestyle=":")
            panel.set(xscale="log", yscale="log", xlabel="consecutive steps", title=f"{env}, {label}")
            _legend_or(panel, "no entry ever switches")
        panels[0].set_ylabel("runs, over all entries")
    return figure


def constraint(dataset: Dataset, env: str) -> Figure:
    """Draw how sparse J_s is while each constraint holds and while it does not.

    Percents and widths of lines say in how many steps it holds.
    """
    rows = _answer(dataset, "sparsity_by_constraint", env)
    labels = [f"{_constraint_name(row['kind'], row['name'])}  {_percent(row['share'])}" for row in rows.to_dicts()]
    with matplotlib.rc_context(STYLE):
        figure = Figure((COLUMN, 0.7 + 0.13 * len(rows)), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(rows))
        for place, row in zip(places, rows.to_dicts(), strict=True):
            if row["sparsity_state_else"] is not None:
                ends = row["sparsity_state"], row["sparsity_state_else"]
                axis.plot(ends, (place, place), color=GREY, lw=0.4 + 3 * row["share"], solid_capstyle="butt", zorder=1)
        axis.scatter(rows["sparsity_state"], places, 9, ORANGE, marker="o", label="holds", zorder=2)
        axis.scatter(rows["sparsity_state_else"], places, 9, BLUE, marker="s", label="does not", zorder=2)
        axis.set_yticks(places, labels)
        axis.set(ylim=(len(rows) - 0.5, -0.5), xlabel=f"mean share of zeros in {JACOBIANS['state'][0]}", title=env)
        axis.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def threshold(dataset: Dataset, env: str) -> Figure:
    """Draw how many zeros there are by what counts as zero: in an average step, and in every step."""
    sweep = _answer(dataset, "threshold_sweep", env)
    with matplotlib.rc_context(STYLE):
        figure = Figure((COLUMN, 1.8), layout="constrained")
        axis = figure.subplots()
        for jacobian, (label, colour) in JACOBIANS.items():
            part = sweep.filter(jacobian=jacobian)
            axis.plot(part["threshold"], part["mean_sparsity"], "o-", color=colour, label=f"{label}, average step")
            axis.plot(part["threshold"], part["zero_pct"] / 100, "s--", color=colour, label=f"{label}, every step")
        axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel="zero below", ylabel="share of zeros", title=env)
        axis.legend()
    return figure


def embedding(dataset: Dataset, env: str) -> Figure:
    """Draw Figure 4 of the paper: t-SNE of (s, a, s') over ten episodes, coloured by sparsity; zero patterns of one.

    Points are every few steps, standardised; perplexity 50, as in the paper. Below, the pattern of J_s and J_a
    (zeros dark) at steps of one episode, among them those with most and fewest zeros; their points carry the step.

    Raises:
        UsageError: scikit-learn is not installed, or there are too few steps, or they are all alike.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise UsageError("the embedding needs scikit-learn: pip install 'jacdb[embedding]'") from None
    steps = _embedded(dataset, env)
    if len(steps) < 10:
        raise UsageError(f"an embedding of {env} needs 10 finite steps at least: there are {len(steps)}")
    points = np.hstack([np.array(steps[column].to_list()) for column in ("state", "action", "next_state")])
    points = points[:, points.std(0) > 0]
    if not points.size:
        raise UsageError(f"nothing to embed: all steps of {env} have the same state and action")
    points = (points - points.mean(0)) / points.std(0)
    place = TSNE(perplexity=min(50, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(points)
    sparsity = steps["sparsity"].to_numpy()
    of_one = np.flatnonzero((steps["run_id"] == steps["run_id"][0]) & (steps["episode"] == steps["episode"][0]))
    extremes = {int(of_one[sparsity[of_one].argmin()]), int(of_one[sparsity[of_one].argmax()])}
    shown = sorted(extremes | set(of_one[np.linspace(0, len(of_one) - 1, 6 - len(extremes)).astype(int)].tolist()))
    with matplotlib.rc_context(STYLE):
        figure = Figure((COLUMN, 3.4), layout="constrained")
        grid = figure.add_gridspec(2, len(shown), height_ratios=(3.2, 1))
        above = figure.add_subplot(grid[0, :])
        dots = above.scatter(place[:, 0], place[:, 1], c=sparsity, s=3, cmap="cividis", linewidths=0, rasterized=True)
        above.set(title=env, xticks=[], yticks=[])
        bar = figure.colorbar(dots, ax=above, aspect=18, pad=0.01)
        bar.set_label("share of zeros, $J_s$ and $J_a$")
        bar.outline.set_visible(False)
        for column, row in enumerate(shown):
            step = steps["step"][row]
            above.plot(*place[row], "o", markersize=5, markerfacecolor="none", markeredgecolor=ORANGE)
            above.annotate(
                str(step), place[row], (3, 3), textcoords="offset points", color=ORANGE, fontsize=6,
                path_effects=[withStroke(linewidth=1.5, foreground="white")],
            )  # fmt: skip
            panel = figure.add_subplot(grid[1, column])
            bits = [np.array(list(steps[f"zero_{jacobian}"][row]), int) for jacobian in JACOBIANS]
            d_state = math.isqrt(len(bits[0]))
            panel.imshow(np.hstack([b.reshape(d_state, -1) for b in bits]), cmap="Greys", vmin=0, vmax=1.4)
            panel.set(xticks=[], yticks=[], xlabel=f"step {step}\n{sparsity[row]:.2f}")
            panel.spines[:].set_visible(True)
    return figure


def _embedded(dataset: Dataset, env: str) -> pl.DataFrame:
    """Return every few steps of the first episodes of an environment, with their patterns."""
    dataset.view("steps", env)  # refuses an unknown environment
    chosen = f"""with chosen as (
        select run_id, episode, row_number() over (order by run_id, episode) as number
        from episodes where env = {literal(env)} order by all limit {EMBEDDED_EPISODES}
    ), taken as (
        select steps.*, row_number() over (order by number, step) as place, count(*) over () as total
        from (select run_id, episode, step, state, action, next_state, pattern_id, n_zero_state, n_zero_action
              from exact_steps where env = {literal(env)} and finite) as steps
        inner join chosen using (run_id, episode)
    )
    select taken.run_id, episode, step, state, action, next_state, zero_state, zero_action,
        (taken.n_zero_state + taken.n_zero_action) / (d_state * (d_state + d_action)) as sparsity
    from taken inner join patterns using (run_id, pattern_id)
    where patterns.env = {literal(env)} and place % greatest(1, total // {EMBEDDED_STEPS}) = 0
    order by place"""
    return dataset.fetch(dataset.sql(chosen))


def _constraint_name(kind: str, name: str | None) -> str:
    if name is None:
        return kind if kind == "nothing" else f"any {kind}"
    return name if kind == "contact" else f"{kind}:{name}"  # as in the timeline


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _legend_or(panel: Axes, nothing: str) -> None:
    if panel.get_legend_handles_labels()[0]:
        panel.legend()
    else:
        panel.text(0.5, 0.5, nothing, transform=panel.transAxes, ha="center", va="center", color=GREY)


class NamedFigure(NamedTuple):
    """A figure that can be asked for by name.

    Attributes:
        draw: draws it, given a dataset, an environment and options.
        caption: what it shows, in a sentence.
    """

    draw: Callable[..., Figure]
    caption: str


# To add a figure, write a function and add its entry; the command line and the report then have it.
FIGURES = {
    "heatmap": NamedFigure(heatmap, "In which share of the steps each entry is zero (the paper's Figure 3)."),
    "embedding": NamedFigure(
        embedding, "Steps by state, action and next state (t-SNE), coloured by sparsity (Figure 4)."
    ),
    "histogram": NamedFigure(histogram, "How sparse single steps are (Figure 5)."),
    "timeline": NamedFigure(timeline, "Sparsity along one episode, and what held meanwhile (Figure 6)."),
    "durations": NamedFigure(
        durations, "For how many consecutive steps entries stay zero, and stay non-zero (Figure 7)."
    ),
    "constraint": NamedFigure(constraint, "How sparse J_s is while each constraint holds, and while it does not."),
    "threshold": NamedFigure(threshold, "How many zeros there are by what counts as zero."),
}
FORMATS = (".png", ".pdf", ".svg")
DPI = 300  # of a PNG: a column's width on paper, sharp


def check(name: str, **options: object) -> dict[str, object]:
    """Return the options that are given, if there is such a figure and it takes them.

    Raises:
        UsageError: there is none (the error lists them), or another figure takes them.
    """
    if name not in FIGURES:
        raise UsageError(f"no figure {name!r}: {suggestion(name, FIGURES)}")
    given = {key: value for key, value in options.items() if value is not None}
    if given and name != "timeline":
        raise UsageError(f"{', '.join(given)}: only the timeline takes a run or an episode")
    return given


def draw(dataset: Dataset, name: str, env: str, **options: object) -> Figure:
    """Draw a figure by its name.

    Raises:
        UsageError: there is no such figure (the error lists them), environment, or episode.
    """
    given = check(name, **options)
    return FIGURES[name].draw(dataset, env, **given)


def save(figure: Figure, out: Path | BinaryIO, dpi: int = DPI) -> None:
    """Write a figure to a file. The style is needed here, too: here matplotlib decides whether text stays text."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, dpi=dpi)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, at a resolution for pages."""
    picture = io.BytesIO()
    save(figure, picture, dpi=150)
    return picture.getvalue()
