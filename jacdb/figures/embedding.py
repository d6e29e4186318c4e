"""The figure of the state space: steps laid out by t-SNE, coloured by sparsity."""

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.sql_text import literal
from jacdb.errors import UsageError
from jacdb.figures.style import COLUMN, JACOBIANS, ORANGE, new, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THUMBNAILS = 6  # so many patterns in a row can be read in a column
PERPLEXITY = 50  # as in the paper


def embedding(dataset: Dataset, env: str) -> "Figure":
    """Draw Figure 4 of the paper: t-SNE of (s, a, s') over ten episodes, coloured by sparsity; and zero patterns.

    Points are a thousand steps at most, evenly spaced, standardised. Below, different patterns of J_s and J_a (zeros
    dark) in the episode that shows most of them, among them those with most and fewest zeros; their points carry the
    step.

    Raises:
        UsageError: scikit-learn is not installed, or there are too few steps, or they are all alike.
    """
    from matplotlib.patheffects import withStroke

    dataset.view("steps", env)  # refuses an unknown environment
    steps = dataset.fetch(dataset.sql(f"from sampled_steps where env = {literal(env)} order by place"))
    place = _placed(steps, env)
    sparsity = steps["sparsity"].to_numpy()
    with styled():
        figure = new(COLUMN, 3.4)
        grid = figure.add_gridspec(2, THUMBNAILS, height_ratios=(4, 1))
        above = figure.add_subplot(grid[0, :])
        dots = above.scatter(place[:, 0], place[:, 1], c=sparsity, s=3, cmap="cividis", linewidths=0, rasterized=True)
        above.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
        rows = _different_patterns(steps)
        figure.suptitle(env, fontsize="medium")
        title = f"{len(steps):,} steps"
        if np.ptp(sparsity):
            bar = figure.colorbar(dots, ax=above, aspect=18, pad=0.01)
            bar.set_label("share of zeros, $J_s$ and $J_a$")
            bar.outline.set_visible(False)
        else:  # a scale would make up a range
            title += f", each with a share of zeros of {sparsity[0]:.3f}"
        above.set_title(f"{title}\nbelow: patterns of episode {steps['episode'][rows[0]]}")
        for column, row in enumerate(rows):
            step = steps["step"][row]
            above.plot(*place[row], "o", markersize=5, markerfacecolor="none", markeredgecolor=ORANGE)
            above.annotate(
                str(step), place[row], (3, 3), textcoords="offset points", color=ORANGE,
                path_effects=[withStroke(linewidth=1.5, foreground="white")],
            )  # fmt: skip
            _thumbnail(figure.add_subplot(grid[1, column]), steps, row)
    return figure


def _placed(steps: pl.DataFrame, env: str) -> np.ndarray:
    """Return the places of steps in the plane, (steps, 2)."""
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise UsageError("the embedding needs scikit-learn: pip install 'jacdb[embedding]'") from None
    if len(steps) < 10:
        raise UsageError(f"an embedding of {env} needs 10 finite steps at least: there are {len(steps)}")
    points = np.hstack([np.array(steps[column].to_list()) for column in ("state", "action", "next_state")])
    points = points[:, points.std(0) > 0]
    if not points.size:
        raise UsageError(f"nothing to embed: all steps of {env} have the same state and action")
    points = (points - points.mean(0)) / points.std(0)
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):  # threads of OpenMP wait for each other after every iteration, by spinning
        placed: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
    return placed


def _different_patterns(steps: pl.DataFrame) -> list[int]:
    """Return rows of one episode whose patterns differ: the sparsest, the densest, then the most frequent."""
    varied = steps.group_by("run_id", "episode", maintain_order=True).agg(pl.col("pattern_id").n_unique())
    run_id, episode, _ = varied.row(varied["pattern_id"].arg_max() or 0)
    one = steps.with_row_index().filter(run_id=run_id, episode=episode)
    kinds = one.group_by("pattern_id").agg(pl.col("index").min(), pl.col("sparsity").first(), pl.len().alias("steps"))
    kinds = kinds.sort("steps", "index", descending=[True, False])
    by_zeros = kinds.sort("sparsity", maintain_order=True)["pattern_id"]
    extremes = [by_zeros[0], by_zeros[-1]]
    chosen = list(dict.fromkeys([*extremes, *kinds["pattern_id"]]))[:THUMBNAILS]
    return sorted(kinds.filter(pl.col("pattern_id").is_in(chosen))["index"].to_list())


def _thumbnail(panel: "Axes", steps: pl.DataFrame, row: int) -> None:
    """Draw the patterns of a step's J_s and J_a side by side, zeros dark."""
    bits = [np.array(list(steps[f"zero_{jacobian}"][row] or ""), int) for jacobian in JACOBIANS]
    d_state = math.isqrt(len(bits[0]))
    panel.imshow(np.hstack([b.reshape(d_state, -1) for b in bits]), cmap="Greys", vmin=0, vmax=1.4)
    panel.set(xticks=[], yticks=[], xlabel=f"step {steps['step'][row]}\n{steps['sparsity'][row]:.2f}")
    panel.spines[:].set_visible(True)
