"""Figures of how many zeros there are: in single steps, and by what counts as zero."""

from typing import TYPE_CHECKING

import numpy as np

from jacdb.dataset.dataset import Dataset
from jacdb.figures.style import COLUMN, GREY, answer, new, styled, with_entries
from jacdb.schemas import ZERO_THRESHOLD

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def histogram(dataset: Dataset, env: str) -> "Figure":
    """Draw Figure 5 of the paper: how sparse the Jacobians of single steps are, with the means."""
    bins = answer(dataset, "sparsity_histogram", env)
    with styled():
        figure, shown = new(COLUMN, 2.1), with_entries(bins)
        figure.suptitle(env, fontsize="medium")
        panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for panel, (jacobian, (label, colour)) in zip(panels, shown.items(), strict=True):
            part = bins.filter(jacobian=jacobian)
            mean = part["mean_sparsity"][0]
            widths = part["bin_high"] - part["bin_low"]
            panel.bar(part["bin_low"], part["share"], widths, align="edge", color=colour, edgecolor="white", lw=0.5)
            panel.axvline(mean, color="black", linestyle=":")
            panel.set_title(f"{label}: mean {mean:.2f} (dotted)")
        panels[-1].set(xlim=(0, 1), ylim=(0, None), xlabel="share of entries that are zero")
        panels[-1].set_xticks(np.arange(11) / 10)
        figure.supylabel("share of steps", fontsize="medium")
    return figure


def threshold(dataset: Dataset, env: str) -> "Figure":
    """Draw how many zeros there are by what counts as zero: in an average step, and in every step."""
    sweep = answer(dataset, "threshold_sweep", env)
    with styled():
        figure = new(COLUMN, 2.1)
        axis = figure.subplots()
        axis.axvline(ZERO_THRESHOLD, color=GREY, linestyle=":")
        axis.annotate(f"{ZERO_THRESHOLD:.0e}, as in all views", (ZERO_THRESHOLD, 1), (2, 0), color="0.35",
                      xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom")  # fmt: skip
        for jacobian, (label, colour) in with_entries(sweep).items():
            part = sweep.filter(jacobian=jacobian)
            axis.plot(part["threshold"], part["mean_sparsity"], "o-", color=colour, label=f"{label}, average step")
            axis.plot(part["threshold"], part["zero_pct"] / 100, "s--", color=colour, label=f"{label}, every step")
        axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel="an entry is zero below", ylabel="share of zeros")
        ticks = sorted(sweep["threshold"].unique())[::2]
        axis.set_xticks(ticks, [f"{tick:.0e}" for tick in ticks])
        axis.minorticks_off()
        figure.legend(loc="outside upper center", ncols=2, title=env)
    return figure
