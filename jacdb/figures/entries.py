"""Figures of single entries: in which share of the steps each is zero."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jacdb.dataset.dataset import Dataset
from jacdb.figures.style import (
    COLUMN,
    LEGIBLE,
    PAGE,
    POINTS,
    answer,
    label_inches,
    new,
    nothing,
    shortened,
    styled,
    verbatim,
    with_entries,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

NEARLY = 1e-6  # of a million steps, no share but 0 and 1 themselves is closer to them
CELL = 0.2  # inches: no cell is larger
BAR = 0.8  # inches that the scale takes, with its label


def shares() -> "tuple[Colormap, Normalize]":
    """Return the colours of a share: white for never, black for always, and between them none as light or as dark."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    between = matplotlib.colormaps["cividis_r"](np.linspace(0, 0.8, 256))
    colours = LinearSegmentedColormap.from_list("shares", list(between))
    return colours.with_extremes(under="white", over="black"), Normalize(NEARLY, 1 - NEARLY)


def heatmap(dataset: Dataset, env: str) -> "Figure":
    """Draw Figure 3 of the paper: in which share of the steps each entry of J_s and J_a is zero."""
    entries = answer(dataset, "entry_zero_fraction", env)
    if not entries["zero_fraction"].count():  # the entries are there, of axes, where no step counts
        raise nothing(dataset, "entry_zero_fraction", env)
    blocks, shown = {}, with_entries(entries)
    for jacobian in shown:
        part = entries.filter(jacobian=jacobian).sort("row", "col")
        rows, cols = (shortened(part.unique(axis, maintain_order=True)[f"{axis}_name"]) for axis in ("row", "col"))
        blocks[jacobian] = part["zero_fraction"].to_numpy().reshape(len(rows), len(cols)), rows, cols
    d_state, widths = len(blocks["state"][0]), [values.shape[1] for values, _, _ in blocks.values()]
    beside = label_inches(blocks["state"][1]) + BAR + 0.35
    # titles stand above and below; constrained layout is rough where cells are square, and cut some off with less
    below = label_inches([name for _, _, cols in blocks.values() for name in cols]) + 1.03
    fits = [width for width in (COLUMN, PAGE) if 72 * (width - beside) / sum(widths) >= POINTS / 0.85]
    width = fits[0] if fits else PAGE
    cell = min(CELL, (width - beside) / sum(widths))
    colours, scale = shares()
    with styled():
        figure = new(width, max(cell * d_state, 1) + below)
        figure.suptitle(env, fontsize="medium")
        panels = figure.subplots(1, len(blocks), width_ratios=widths, sharey=True, squeeze=False)[0]
        for panel, (jacobian, (values, rows, cols)) in zip(panels, blocks.items(), strict=True):
            image = panel.imshow(values, norm=scale, cmap=colours, interpolation="none", aspect="equal")
            label = shown[jacobian][0]
            panel.set_title(label)
            panel.set_xlabel("present state" if jacobian == "state" else "action")
            frame(panel, rows, cols, cell)
        panels[0].set_ylabel("next state")
        share_bar(figure, image, panels, cell * d_state)
        figure.align_xlabels(panels)
    return figure


def share_bar(figure: "Figure", image: "AxesImage", panels: "Axes | Sequence[Axes]", height: float) -> None:
    """Draw the scale of shares at the right of panels; matrices are so many inches high."""
    bar = figure.colorbar(image, ax=panels, shrink=min(1.0, 1.0 / max(height, 0.1)), aspect=10, pad=0.02,
                          extend="both", extendrect=True, extendfrac=0.12, ticks=[0.25, 0.5, 0.75])  # fmt: skip
    bar.set_label("share of steps")
    bar.ax.text(0, 1.17, "always zero", transform=bar.ax.transAxes)
    bar.ax.text(0, -0.17, "never zero", transform=bar.ax.transAxes, va="top")
    bar.outline.set_linewidth(0.4)


def frame(panel: "Axes", rows: list[str], cols: list[str], cell: float) -> None:
    """Name the rows and columns of a matrix, whose cells are so many inches wide, and draw a line around it."""
    _name(panel.set_xticks, cols, 72 * cell, rotation=90)
    _name(panel.set_yticks, rows, 72 * cell)
    panel.tick_params(length=0, pad=1)
    panel.spines[:].set(visible=True, linewidth=0.4, color="0.6")


def _name(set_ticks: Callable[..., object], names: list[str], cell: float, **how: float) -> None:
    """Label every axis while names can be read, else every few; a cell is so many points wide."""
    size = 0.85 * cell
    every = max(1, math.ceil(LEGIBLE / size))
    drawn = [verbatim(name) for name in names[::every]]
    set_ticks(range(0, len(names), every), drawn, fontsize=min(POINTS, max(size, LEGIBLE)), **how)
