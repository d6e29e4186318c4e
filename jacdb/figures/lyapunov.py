"""A figure of finite-time Lyapunov spectra: of episodes, and the largest exponent over time."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb import queries
from jacdb.counted import counted
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.lyapunov import kaplan_yorke_dimension
from jacdb.dataset.sql_text import literal
from jacdb.figures.style import BLUE, COLUMN, GREY, ORANGE, PAGE, answer, new, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINEAR = 1.0  # 1/s: exponents between this and its negative stand on a linear scale, others on a logarithmic one
SHORT = 10.0  # 1/s: where no exponent is beyond, all of the scale is linear


def lyapunov(dataset: Dataset, env: str, *, window: int | None = None) -> "Figure":
    """Draw the Lyapunov spectrum of episodes, and the largest exponent of their windows, with and without contact.

    Of runs with the same episodes one is drawn, and of an episode that excluded steps part the mean over all its spans.
    The title says Kaplan and Yorke's dimension, the least and the largest.

    Args:
        window: steps in a window; None for the usual.
    """
    spans = _of_trajectories(dataset, env, answer(dataset, "lyapunov", env, window=window))
    whole, windows = (spans.filter(span=span) for span in ("whole", "window"))
    with styled():
        if windows.is_empty():
            figure = new(COLUMN, 2.2)
            _spectrum(figure.subplots(), whole)
        else:
            figure = new(PAGE, 2.2)
            left, right = figure.subplots(1, 2)
            _spectrum(left, whole)
            _over_time(right, windows)
            right.set_title(f"windows of {window or queries.WINDOW} steps", loc="left")
        figure.suptitle(env, fontsize="medium")
    return figure


def _of_trajectories(dataset: Dataset, env: str, spans: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of one run for each trajectory, with its id: runs may be parted by excluded steps otherwise."""
    ids = dataset.fetch(dataset.sql(f"select run_id, episode, trajectory_id from episodes where env = {literal(env)}"))
    named = spans.join(ids, on=["run_id", "episode"], maintain_order="left")
    return named.filter(pl.col("run_id") == pl.col("run_id").first().over("trajectory_id"))


def _of_episodes(whole: pl.DataFrame) -> np.ndarray:
    """Return the exponents of each episode, (episodes, d): means over its steps, where they are several spans."""
    spans = whole.partition_by("trajectory_id", maintain_order=True)
    return np.array([np.average(one["exponents"].to_list(), axis=0, weights=one["seconds"]) for one in spans])


def _spectrum(panel: "Axes", whole: pl.DataFrame) -> None:
    """Draw the exponents of whole episodes: from the least to the largest of each place, and the median."""
    from matplotlib.ticker import MaxNLocator

    exponents = _of_episodes(whole)
    place = np.arange(1, exponents.shape[1] + 1)
    floor = 2 * exponents[np.isfinite(exponents)].min(initial=-LINEAR)  # where -inf stands
    shown = np.maximum(exponents, floor)
    panel.axhline(0, color="0.6", lw=0.5, zorder=0)
    panel.vlines(place, shown.min(axis=0), shown.max(axis=0), color=GREY, lw=1.6, label="least to largest")
    median = f"median of {counted(len(exponents), 'episode')}"
    panel.plot(place, np.median(shown, axis=0), "o", color=BLUE, ms=2.4, label=median)
    is_infinite = not np.isfinite(exponents).all()
    if is_infinite or np.abs(shown).max() > SHORT:  # -inf has no place on a linear scale
        panel.set_yscale("symlog", linthresh=LINEAR)
        _tick(panel, float(shown.min()), float(shown.max()), floor if is_infinite else None)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set(xlabel="place in the spectrum", ylabel="exponent (1/s)")
    found = kaplan_yorke_dimension(exponents)
    dimensions = sorted({f"{end:.1f}" for end in (found.min(), found.max())}, key=float)
    panel.set_title(f"dimension {' to '.join(dimensions)}", loc="left")
    panel.legend(loc="upper right")


def _tick(panel: "Axes", low: float, high: float, floor: float | None) -> None:
    """Tick a scale that is logarithmic both ways: at 0, at powers of ten, and where -inf is drawn, if it is."""
    powers = [10.0**power for power in range(20)]
    above = low if floor is None else 0.5 * floor
    ticks = {tick: f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in (0.0, *powers, *(-power for power in powers))
             if above <= tick <= max(high, 0.0)}  # fmt: skip
    if floor is not None:
        ticks[floor] = "\N{MINUS SIGN}\N{INFINITY}"
    panel.set_yticks(list(ticks), list(ticks.values()))
    panel.minorticks_off()


def _over_time(panel: "Axes", windows: pl.DataFrame) -> None:
    """Draw the largest exponent of each window, coloured by contact, and the median of each time."""
    middle = (windows["first_step"] + windows["last_step"] + 1) / 2
    seconds = windows["seconds"] / (windows["last_step"] - windows["first_step"] + 1)
    windows = windows.with_columns(time=middle * seconds)
    for name, colour, marker, touching in (("no contact", BLUE, "s", False), ("some contact", ORANGE, "o", True)):
        part = windows.filter((pl.col("contact_share") > 0) == touching)
        if not part.is_empty():
            panel.plot(part["time"], part["largest"], marker, ms=2.2, mew=0, alpha=0.8, color=colour, label=name,
                       rasterized=len(part) > 2_000)  # fmt: skip
    medians = windows.group_by("time").agg(pl.col("largest").median()).sort("time")
    panel.plot(medians["time"], medians["largest"], color="black", label="median")
    panel.axhline(0, color="0.6", lw=0.5, zorder=0)
    panel.set(xlabel="middle of the window (s)", ylabel="largest exponent (1/s)")
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0, columnspacing=1,
                 handletextpad=0.3)  # fmt: skip
