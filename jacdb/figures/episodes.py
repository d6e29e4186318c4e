"""Figures of time: one episode step by step, and how long entries stay as they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.sql_text import literal
from jacdb.errors import UsageError
from jacdb.figures.style import (
    BLUE,
    COLUMN,
    GREY,
    JACOBIANS,
    LINES,
    ORANGE,
    PAGE,
    answer,
    new,
    nothing,
    plain_log_ticks,
    shortened,
    styled,
    verbatim,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANE = 0.13  # inches: a line of type
SPANS = 8  # of numbers that a message lists

type Held = tuple[str, str, list[tuple[float, float]]]  # kind, name, spans


def timeline(dataset: Dataset, env: str, *, run_id: str | None = None, episode: int | None = None) -> "Figure":
    """Draw Figure 6 of the paper: sparsity along one episode, and what held meanwhile, by kind.

    Of many constraints those are drawn that held in most steps.

    Args:
        run_id: the run; None for the first with a step that counts.
        episode: the episode; None for the run's first with a step that counts.

    Raises:
        UsageError: there is no such episode, or no step of it counts.
    """
    from matplotlib.ticker import MaxNLocator

    steps = answer(dataset, "sparsity_timeline", env)
    counting = steps.drop_nulls("sparsity_state")
    if counting.is_empty():
        raise nothing(dataset, "sparsity_timeline", env)
    run_id = counting["run_id"][0] if run_id is None else run_id
    of_run = steps.filter(run_id=run_id)
    if of_run.is_empty():
        raise UsageError(f"no run {run_id!r} of {env}: there are {', '.join(steps['run_id'].unique().sort())}")
    if episode is None:
        episode = [*counting.filter(run_id=run_id)["episode"], of_run["episode"][0]][0]
    shown = of_run.filter(episode=episode).sort("step")
    if shown.is_empty():
        raise UsageError(f"no episode {episode} in run {run_id}: give {_choice(of_run['episode'])}")
    if not shown["sparsity_state"].count():
        raise UsageError(f"nothing to draw of episode {episode} of {run_id}: no step of it counts")
    found = list(_held(shown))
    held = _longest(found)
    few = f" ({len(held)} of {len(found)} constraints, those of most steps)" if len(held) < len(found) else ""
    with styled():
        lanes = max(len(held), 1)
        figure = new(PAGE, 1.75 + LANE * lanes)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.9, LANE * lanes))
        for jacobian, (label, colour) in JACOBIANS.items():
            if shown[f"sparsity_{jacobian}"].count():  # a model without actuators has no J_a
                _draw_steps(above, shown["step"], shown[f"sparsity_{jacobian}"], color=colour, label=label)
        above.set(ylabel="share of zeros", xlim=(shown["step"][0] - 0.5, shown["step"][-1] + 0.5))
        above.margins(y=0.08)
        above.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        # beside the panel's legend a long name has no room
        figure.suptitle(f"{env}, episode {episode} of {run_id}", fontsize="medium")
        above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        for row, (_, _, spans) in enumerate(held):
            below.broken_barh(spans, (row - 0.35, 0.7), color=GREY)
        _name_kinds(below, [kind for kind, _, _ in held])
        below.set(ylim=(lanes - 0.5, -0.5), xlabel=f"step{few}")
        below.set_yticks(range(len(held)), map(verbatim, shortened(name for _, name, _ in held)))
        below.tick_params(axis="y", length=0)
    return figure


def _choice(episodes: pl.Series) -> str:
    """Return the numbers that one may give: "2", "one of 0 to 7", "one of 0 to 2, 5"."""
    numbers = episodes.unique().sort().to_numpy()
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    spans = [(int(span[0]), int(span[-1])) for span in np.split(numbers, breaks)]
    said = [f"{first}" if first == last else f"{first} to {last}" for first, last in spans]
    if len(said) > SPANS:
        said = [*said[:SPANS], f"others up to {numbers[-1]}"]
    return f"{'one of ' if len(numbers) > 1 else ''}{', '.join(said)}"


def _draw_steps(panel: "Axes", at: pl.Series, values: pl.Series, color: str, label: str) -> None:
    """Draw values as levels, each as wide as its step: broken where steps are missing or have none.

    A step between two breaks has a dot, too: in a long episode its level is narrower than the line is thick.
    """
    first, last = int(at[0]), int(at[-1])
    levels = np.full(last - first + 3, np.nan)  # a step without a value at both ends gives the others their full width
    levels[at.to_numpy() - first + 1] = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    places, missing = np.arange(first - 1, last + 2), np.isnan(levels)
    panel.step(places, levels, where="mid", color=color, label=label)
    alone = np.flatnonzero(~missing[1:-1] & missing[:-2] & missing[2:]) + 1
    panel.plot(places[alone], levels[alone], "o", ms=2.4, mew=0, color=color)


def _longest(held: list[Held]) -> list[Held]:
    """Return as many as fit on a page, in their order: those that held in most steps."""
    steps = [sum(length for _, length in spans) for _, _, spans in held]
    chosen = sorted(range(len(held)), key=lambda place: -steps[place])[:LINES]
    return [held[place] for place in sorted(chosen)]


def _held(shown: pl.DataFrame) -> Iterator[Held]:
    """Yield each constraint's kind, its name, and the spans (start, length) of steps in which it holds."""
    contacts = pl.col("contacts").list.eval(pl.concat_str(pl.lit("contact:"), pl.element()))
    events = shown.select("step", held=pl.concat_list(contacts, "active")).explode("held").drop_nulls()
    for name in events["held"].unique().sort():
        at = events.filter(held=name)["step"].unique().sort().to_numpy()
        starts = at[np.diff(at, prepend=at[0] - 2) > 1]
        stops = at[np.diff(at, append=at[-1] + 2) > 1]
        kind, _, which = name.partition(":")
        yield kind, which, list(zip(starts - 0.5, stops - starts + 1.0, strict=True))


def _name_kinds(panel: "Axes", kinds: list[str]) -> None:
    """Write each kind once, right of its lanes, and draw a line between kinds."""
    for kind in dict.fromkeys(kinds):
        first, count = kinds.index(kind), kinds.count(kind)
        panel.text(1.005, first + (count - 1) / 2, kind, transform=panel.get_yaxis_transform(), va="center")
        if first:
            panel.axhline(first - 0.5, color="0.8", lw=0.5)


def durations(dataset: Dataset, env: str) -> "Figure":
    """Draw Figure 7 of the paper: for how many consecutive steps entries stay zero, and non-zero; and the means."""
    spans = answer(dataset, "zero_durations", env)
    actions = dataset.fetch(dataset.sql(f"select 1 from axes where env = {literal(env)} and space = 'action' limit 1"))
    shown = ("state",) if actions.is_empty() else ("state", "action")
    with styled():
        figure = new(COLUMN if actions.is_empty() else PAGE, 2.1)
        figure.suptitle(env, fontsize="medium")  # beside a panel's legend a long name has no room
        panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
        for panel, jacobian in zip(panels, shown, strict=True):
            label, _ = JACOBIANS[jacobian]
            for zero, name, colour, marker in ((True, "zero", BLUE, "o"), (False, "non-zero", ORANGE, "s")):
                part = spans.filter(jacobian=jacobian, zero=zero)
                if not part.is_empty():
                    mean = part["mean_duration"][0]
                    panel.plot(part["duration"], part["runs"], marker, ms=2.2, mew=0, alpha=0.8, color=colour,
                               label=f"{name}, mean {mean:.3g}")  # fmt: skip
                    panel.axvline(mean, color=colour, linestyle=":")
            panel.set(xscale="log", yscale="log", xlabel="consecutive steps")
            panel.set_title(label, loc="left")
            if panel.lines:
                panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, columnspacing=1,
                             handletextpad=0)  # fmt: skip
            else:
                panel.text(0.5, 0.5, "no entry ever switches", transform=panel.transAxes, ha="center", color="0.35")
        for axis, column in ((panels[0].xaxis, "duration"), (panels[0].yaxis, "runs")):
            low, high = (float(spans.select(getattr(pl.col(column), end)()).item()) for end in ("min", "max"))
            plain_log_ticks(axis, low, high)
        panels[0].set(xlim=_around(spans["duration"]), ylim=_around(spans["runs"]))
        panels[0].set_ylabel("spans of that length, all entries")
    return figure


def _around(values: pl.Series) -> tuple[float, float]:
    """Return limits of a logarithmic axis that leave room around positive values."""
    ends = values.to_numpy()
    return float(ends.min()) / 1.3, float(ends.max()) * 1.3
