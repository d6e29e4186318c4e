"""A figure of models side by side: what they predict, how sparse their Jacobians are, and whether they know when."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.figures.learning_results import results
from jacdb.figures.style import BLUE, ORANGE, PAGE, label_inches, new, plain_log_ticks, styled, verbatim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 1e-6  # the smallest relative sparsity on the axis, as in the paper
ZERO = 2e-8  # where 0 stands, for a logarithmic axis has none
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "black", "#56B4E9", "#E69F00")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", "*")
# of environments: a pair for each, more than there are in Playground; neighbours differ in both
MARKERS = [(COLOURS[i], SHAPES[(i + turn) % len(SHAPES)]) for turn in range(len(SHAPES)) for i in range(len(COLOURS))]

type Scores = Mapping[str, str | float]  # which: values of their columns


class _Measure(NamedTuple):
    """A panel: which scores it has, and which it has beside them as hollow marks."""

    title: str
    chosen: Scores
    beside: Scores | None = None
    told: str = ""


_TEST: dict[str, str | float] = {"part": "test", "rows": "all"}
_NEAR: dict[str, str | float] = {"part": "test", "rows": "near_switch"}
_ERROR = _Measure("test error, 1 step", _TEST | {"metric": "prediction_mse", "horizon": 1})
_SPARSITY = _Measure(
    "relative sparsity",
    _TEST | {"metric": "relative_sparsity", "threshold": 1e-6},
    {"part": "untrained", "rows": "all", "metric": "relative_sparsity", "threshold": 1e-6},
    "hollow: untrained",
)
_AUROC = _Measure("AUROC", _TEST | {"metric": "auroc"}, _NEAR | {"metric": "auroc"}, "hollow: near switches")
_F1 = _Measure("F1", _TEST | {"metric": "f1"}, _NEAR | {"metric": "f1"}, "hollow: near switches")
_SWITCH = _Measure("F1 of switch times", _TEST | {"metric": "switch_f1"})
_MEASURES = (_ERROR, _SPARSITY, _AUROC, _F1, _SWITCH)


def learning(dataset: Dataset, env: str | Sequence[str]) -> "Figure":
    """Draw Figure 8 of the paper, of one environment or several: test error and sparsity of each model and loss.

    Three panels more say whether a model knows when an entry is on: over all rows, and close to switches. A mark is the
    mean over seeds, the line through it reaches from the least seed to the largest.

    Raises:
        UsageError: nothing was learned of an environment.
    """
    envs = [env] if isinstance(env, str) else list(dict.fromkeys(env))
    found = results(dataset, envs)
    relative = _relative_errors(found)
    placed = pl.concat(frame.select("place", "label") for frame in found.values()).unique().sort("place")
    labels = placed["label"].unique(maintain_order=True).to_list()
    inches = len(labels) * max(0.15, 0.06 * len(envs) + 0.04)
    with styled():
        figure = new(PAGE, inches + 0.85 + (0.15 * -(-len(envs) // _columns(envs)) if len(envs) > 1 else 0))
        panels = figure.subplots(1, len(_MEASURES), sharey=True)
        for panel, measure in zip(panels, _MEASURES, strict=True):
            for place in range(0, len(labels), 2):
                panel.axhspan(place - 0.5, place + 0.5, color="0.955", linewidth=0)
            for number, frame in enumerate((relative if measure is _ERROR else found).values()):
                _marks(panel, measure, frame, labels, number, len(envs))
            panel.set_title(measure.title)
            panel.tick_params(axis="y", length=0)
        _scales(panels, relative is not found)
        panels[0].set_yticks(range(len(labels)), map(verbatim, labels))
        panels[0].set_ylim(len(labels) - 0.5, -0.5)
        _legend(figure, envs)
    return figure


def _relative_errors(found: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the results with errors by those of the loss mse, the MLP's if there is one; unchanged if one has none."""
    relative = {}
    for env, frame in found.items():
        errors = frame.filter(**_ERROR.chosen, loss="mse")
        errors = own if len(own := errors.filter(model="mlp")) else errors
        errors = errors.filter(pl.col("value").is_finite())
        if errors.is_empty() or not errors["value"].sum():
            return found
        relative[env] = frame.with_columns(pl.col("value") / (errors["value"].sum() / len(errors)))
    return relative


def _marks(panel: "Axes", measure: _Measure, frame: pl.DataFrame, labels: list[str], number: int, of: int) -> None:
    """Mark the means of an environment's models, and their seeds from the least to the largest."""
    colour, marker = MARKERS[number % len(MARKERS)]
    at = 0.7 * ((number + 0.5) / of - 0.5)
    for chosen, hollow in ((measure.beside, True), (measure.chosen, False)):
        if chosen is None:
            continue
        finite = frame.filter(**chosen).filter(pl.col("value").is_finite())
        for label, values in finite.group_by("label", maintain_order=True).agg("value").iter_rows():
            place = labels.index(label) + at
            mean, *ends = sum(values) / len(values), min(values), max(values)
            if measure is _SPARSITY:
                mean, *ends = (max(value, LEAST) if value else ZERO for value in (mean, *ends))
            shade = "0.45" if hollow and of == 1 else colour
            panel.plot(ends, (place, place), color=shade, linewidth=0.6, alpha=0.6, zorder=2)
            panel.plot(mean, place, marker, color=shade, markerfacecolor="white" if hollow else shade,
                       markeredgewidth=0.6, zorder=3, clip_on=False)  # fmt: skip


def _drawn(panel: "Axes") -> list[float]:
    """Return where all that is drawn in a panel stands on its horizontal axis."""
    return [x for line in panel.lines for x in np.ravel(np.asarray(line.get_xdata(), float)).tolist()]


def _scales(panels: "Sequence[Axes]", normalized: bool) -> None:
    """Set the axes of all panels."""
    error, sparsity, auroc, f1, switches = panels
    low, high = error.get_xlim()
    drawn = _drawn(error)
    if drawn and max(drawn) > 3 * min(drawn) > 0:
        low, high = 0.8 * min(drawn), 1.25 * max(drawn)
        error.set(xscale="log", xlim=(low, high))
        plain_log_ticks(error.xaxis, low, high)
    error.set_xlabel("relative to mse" if normalized else "squared, in deviations")
    if normalized:
        error.axvline(1, color="0.5", linestyle=":")
    largest = max([1.0, *_drawn(sparsity)])
    sparsity.set(xscale="log", xlim=(ZERO / 1.8, 2.5 * largest))
    sparsity.axvline(1, color="0.5", linestyle=":")
    sparsity.axvline((ZERO * LEAST) ** 0.5, color="0.8", linewidth=0.6)
    sparsity.set_xticks([ZERO, 1e-6, 1e-3, 1], ["0", "$10^{-6}$", "$10^{-3}$", "1"])
    sparsity.minorticks_off()
    sparsity.set_xlabel(f"dotted: target\n{_SPARSITY.told}")
    lowest = min([0.5, *_drawn(auroc)])
    auroc.set(xlim=(lowest - 0.04, 1.02), xlabel=f"dotted: chance\n{_AUROC.told}")
    auroc.axvline(0.5, color="0.5", linestyle=":")
    for panel in (f1, switches):
        panel.set(xlim=(-0.03, 1.03))
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    f1.set_xlabel(_F1.told)
    switches.set_xlabel("at most 5 steps off")


def _legend(figure: "Figure", envs: Sequence[str]) -> None:
    """Name the environments: one in the title, several by their marks."""
    if len(envs) == 1:
        figure.suptitle(envs[0], fontsize="medium")
        return
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=env)
        for env, (colour, marker) in zip(envs, MARKERS * (1 + len(envs) // len(MARKERS)), strict=False)
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=_columns(envs), handletextpad=0.2)


def _columns(envs: Sequence[str]) -> int:
    """Return how many environments stand beside each other in the legend."""
    return max(1, min(len(envs), 5, int(PAGE / (label_inches([*envs]) + 0.4))))
