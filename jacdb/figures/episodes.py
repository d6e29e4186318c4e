"""Figures of time: one episode step by step, and how long entries stay as they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError
from jacdb.figures.style import BLUE, GREY, JACOBIANS, LINES, ORANGE, PAGE, answer, new, plain_log_ticks, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANE = 0.13  # inches: a line of type

type Held = tuple[str, str, list[tuple[float, float]]]  # kind, name, spans


def timeline(dataset: Dataset, env: str, *, run_id: str | None = None, episode: int | None = None) -> "Figure":
    """Draw Figure 6 of the paper: sparsity along one episode, and what held meanwhile, by kind.

    Of many constraints those are drawn that held in most steps.

    Args:
        run_id: the run; None for the first.
        episode: the episode; None for the run's first.

    Raises:
        UsageError: there is no such episode.
    """
    steps = answer(dataset, "sparsity_timeline", env)
    run_id = steps["run_id"][0] if run_id is None else run_id
    of_run = steps.filter(run_id=run_id)
    if of_run.is_empty():
        raise UsageError(f"no run {run_id!r} of {env}: there are {', '.join(steps['run_id'].unique().sort())}")
    episode = of_run["episode"][0] if episode is None else episode
    shown = of_run.filter(episode=episode).sort("step")
    if shown.is_empty():
        raise UsageError(f"no episode {episode} in run {run_id}: there are {of_run['episode'].n_unique()}, from 0")
    found = list(_held(shown))
    held = _longest(found)
    few = f" ({len(held)} of {len(found)} constraints, those of most steps)" if len(held) < len(found) else ""
    with styled():
        lanes = max(len(held), 1)
        figure = new(PAGE, 1.6 + LANE * lanes)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.9, LANE * lanes))
        for jacobian, (label, colour) in JACOBIANS.items():
            above.step(shown["step"], shown[f"sparsity_{jacobian}"], where="mid", color=colour, label=label)
        above.set(ylabel="share of zeros", xlim=(shown["step"][0] - 0.5, shown["step"][-1] + 0.5))
        above.margins(y=0.08)
        above.set_title(f"{env}, episode {episode} of {run_id}", loc="left")
        above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        for row, (_, _, spans) in enumerate(held):
            below.broken_barh(spans, (row - 0.35, 0.7), color=GREY)
        _name_kinds(below, [kind for kind, _, _ in held])
        below.set(ylim=(lanes - 0.5, -0.5), xlabel=f"step{few}")
        below.set_yticks(range(len(held)), [name for _, name, _ in held])
        below.tick_params(axis="y", length=0)
    return figure


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
    with styled():
        figure = new(PAGE, 2.1)
        figure.suptitle(env, fontsize="medium")  # beside a panel's legend a long name has no room
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (jacobian, (label, _)) in zip(panels, JACOBIANS.items(), strict=True):
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
