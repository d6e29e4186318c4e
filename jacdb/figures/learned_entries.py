"""A figure of single entries: which of those that switch the best model finds, and how often each is truly zero."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError
from jacdb.figures.entries import BAR, CELL, frame, share_bar, shares
from jacdb.figures.learning_results import results
from jacdb.figures.style import BLUE, ORANGE, PAGE, label_inches, new, shortened, styled, verbatim

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

NO_SCORE = "0.85"  # the grey of entries that never switch


def learned_entries(dataset: Dataset, env: str) -> "Figure":
    """Draw the AUROC of each entry that switches, by the model with the best, beside the true share of zeros.

    Both are of the test part; the AUROC is the mean over seeds. The model is a trained one, if any is: baselines are
    drawn where there are only they. Where the dataset has no rows of the environment, axes have numbers for names.

    Raises:
        UsageError: nothing was learned of the environment, or none of its entries switches.
    """
    best = _best(results(dataset, [env])[env], env)
    rows, cols = _names(dataset, env, best)
    auroc, zero = (_matrix(best, metric, (len(rows), len(cols)), other) for metric, other in
                   (("auroc_entry", np.nan), ("zero_share_entry", 0.0)))  # fmt: skip
    cell = min(CELL, (PAGE - label_inches(rows) - 2 * BAR - 0.6) / (2 * len(cols)))
    colours, scale = shares()
    with styled():
        figure = new(PAGE, max(cell * len(rows), 1) + label_inches(cols) + 0.7)
        panels = figure.subplots(1, 2, sharey=True)
        figure.suptitle(f"{env}: {verbatim(best['label'][0])}", fontsize="medium")
        left = panels[0].imshow(auroc, vmin=0, vmax=1, cmap=_around_chance(), interpolation="none", aspect="equal")
        right = panels[1].imshow(zero, norm=scale, cmap=colours, interpolation="none", aspect="equal")
        panels[0].set_title(f"AUROC, mean {np.nanmean(auroc):.2f}")
        panels[1].set_title("true share of zeros")
        for panel in panels:
            panel.set_xlabel("present state, then action")
            frame(panel, rows, cols, cell)
            if len(cols) > len(rows):  # part the columns of the state from those of actions
                panel.axvline(len(rows) - 0.5, color="black", linewidth=0.6)
        panels[0].set_ylabel("next state")
        shrink = min(1.0, 1.2 / max(cell * len(rows), 0.1))
        bar = figure.colorbar(left, ax=panels[0], shrink=shrink, aspect=12, pad=0.02, ticks=[0, 0.5, 1])
        bar.set_label("AUROC (grey: never switches)" if shrink < 1 else "AUROC")
        bar.outline.set_linewidth(0.4)
        share_bar(figure, right, panels[1], cell * len(rows))
    return figure


def _best(found: pl.DataFrame, env: str) -> pl.DataFrame:
    """Return the scores of the model with the best mean AUROC, of the trained ones if there are any.

    Raises:
        UsageError: none has an AUROC.
    """
    means = (
        found.filter(part="test", rows="all", metric="auroc")
        .group_by("label", "kind")
        .agg(pl.col("value").mean())
        .filter(pl.col("value").is_not_nan())
        .sort(pl.col("kind") == "baseline", -pl.col("value"), "label")
    )
    if means.is_empty():
        raise UsageError(f"learned_entries has nothing to draw of {env}: no entry of the test part switches")
    return found.filter(label=means["label"][0])


def _names(dataset: Dataset, env: str, scores: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Return the names of rows and columns; their numbers where the dataset has no names of the environment's axes."""
    axes = dataset.fetch(dataset.view("axes")).filter(env=env).sort("index")
    rows, actions = (axes.filter(space=space)["name"].to_list() for space in ("tangent", "action"))
    if rows:
        return shortened(rows), shortened([*rows, *actions])
    n_rows, n_cols = (int(scores[axis].max()) + 1 for axis in ("row", "col"))  # type: ignore[arg-type]
    return [str(row) for row in range(n_rows)], [str(col) for col in range(n_cols)]


def _matrix(scores: pl.DataFrame, metric: str, shape: tuple[int, int], otherwise: float) -> np.ndarray:
    """Return the scores of entries, means over seeds; those without one have ``otherwise``."""
    values = np.full(shape, otherwise)
    of_entries = (
        scores.filter(part="test", rows="all", metric=metric).group_by("row", "col").agg(pl.col("value").mean())
    )
    for row, col, value in of_entries.iter_rows():
        values[row, col] = value
    return values


def _around_chance() -> "Colormap":
    """Return colours that are white at 0.5, blue where a model is right, and orange where it is wrong."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("chance", [ORANGE, "white", BLUE]).with_extremes(bad=NO_SCORE)
