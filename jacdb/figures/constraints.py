"""Figures of what contacts, limits, dry friction and clips do to sparsity."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.figures.style import (
    BLUE,
    COLUMN,
    GREY,
    JACOBIANS,
    LINES,
    ORANGE,
    PAGE,
    answer,
    label_inches,
    new,
    shortened,
    styled,
    verbatim,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def constraint(dataset: Dataset, env: str) -> "Figure":
    """Draw how sparse J_s is while each constraint holds and while it does not.

    Percents and widths of lines say in how many steps it holds. Of many constraints those are drawn that hold most
    often, with each kind's own row.
    """
    found = answer(dataset, "sparsity_by_constraint", env)
    kept = _most_frequent(found)
    rows = kept.to_dicts()
    title = env if len(kept) == len(found) else f"{env}: {len(kept)} rows of {len(found)}, what holds most often"
    names = shortened(row["name"] or "" for row in rows)
    labels = [f"{_name(row['kind'], name)}  {_percent(row['share'])}" for row, name in zip(rows, names, strict=True)]
    holds, does_not = (
        np.array([row[name] for row in rows], float) for name in ("sparsity_state", "sparsity_state_else")
    )
    places = np.arange(len(rows))
    with styled():
        figure = new(COLUMN if label_inches(labels) < 0.55 * COLUMN else PAGE, 0.9 + 0.14 * len(rows))
        axis = figure.subplots()
        for place, row in zip(places, rows, strict=True):
            ends, width = (holds[place], does_not[place]), 0.4 + 3 * row["share"]
            axis.plot(ends, (place, place), color=GREY, lw=width, solid_capstyle="butt", zorder=1)
        axis.scatter(holds, places, 9, ORANGE, marker="o", label="holds", zorder=2, clip_on=False)
        squares = axis.scatter(does_not, places, 16, marker="s", label="does not", zorder=3, clip_on=False)
        squares.set(facecolors="none", edgecolors=BLUE, linewidths=0.8)  # where both are equal, both are seen
        axis.set_yticks(places, map(verbatim, labels))
        axis.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, None), xlabel=f"mean share of zeros in {JACOBIANS['state'][0]}")
        axis.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", ncols=2, title=title)
    return figure


def _most_frequent(found: pl.DataFrame) -> pl.DataFrame:
    """Return as many rows as fit on a page, in their order: all that are of a whole kind, then by share."""
    numbered = found.with_row_index("place")
    chosen = numbered.sort(pl.col("name").is_not_null(), -pl.col("share"), "place").head(LINES)
    return chosen.sort("place").drop("place")


def _name(kind: str, name: str) -> str:
    if not name:
        return kind if kind == "nothing" else f"any {kind}"
    return name if kind == "contact" else f"{kind}:{name}"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
