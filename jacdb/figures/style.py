"""Style every figure alike: widths, colours, type, and how one asks its view.

matplotlib is slow to import. The modules of figures do so when they draw: what is typed wrong is told before.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl

from jacdb.dataset import empty_answers
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.3, 6.9  # inches: one column of a two-column paper, and both; no figure has another width
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
JACOBIANS = {"state": ("$J_s$", BLUE), "action": ("$J_a$", ORANGE)}
LINES = 55  # of names, one below the other: more do not fit on a page
POINTS = 7.0  # the size of all type in print
LONGEST = 32  # characters of a name beside a matrix or a lane; no axis of a suite's environment has a longer one
LEGIBLE = 5.0  # points: the smallest name on an axis, where a matrix is too large for POINTS
STYLE: Any = {  # matplotlib types its keys
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "axes.titley": 1.0,  # no ticks are above: there is nothing to move a title out of the way of
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


def answer(dataset: Dataset, view: str, env: str, *, window: int | None = None) -> pl.DataFrame:
    """Return a view's rows of an environment.

    Args:
        window: steps in a window, for views that have windows.

    Raises:
        UsageError: there are none.
    """
    frame = dataset.fetch(dataset.view(view, env, window=window))
    if frame.is_empty():
        raise nothing(dataset, view, env)
    return frame


def nothing(dataset: Dataset, view: str, env: str) -> UsageError:
    """Return the refusal of a figure whose view has no value of an environment."""
    return UsageError(f"{view} has nothing to draw of {env}: {empty_answers.reason(dataset, view, env)}")


def with_entries(frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the Jacobians of which an answer has rows, as JACOBIANS: a model without actuators has no J_a."""
    return {jacobian: drawn for jacobian, drawn in JACOBIANS.items() if jacobian in frame["jacobian"]}


def new(width: float, height: float) -> "Figure":
    """Return an empty figure of COLUMN or PAGE, and of a height in inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def verbatim(text: str) -> str:
    """Return text that matplotlib draws as it stands: between two dollars it would set mathematics."""
    return text.replace("$", r"\$")


def shortened(names: Iterable[str]) -> list[str]:
    """Return names that fit beside a matrix or a lane; they are drawn ``verbatim``.

    A long one is cut in the middle, for its end tells a velocity from a position. Of different names that are cut alike
    the later ones have a number.
    """
    found, whole = [], dict[str, str]()
    for name in names:
        short, number = _cut(name, LONGEST), 1
        while whole.setdefault(short, name) != name:
            number += 1
            short = f"{_cut(name, LONGEST - 1 - len(str(number)))}#{number}"
        found.append(short)
    return found


def _cut(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    kept = longest - 1
    return f"{name[: kept - kept // 2]}\N{HORIZONTAL ELLIPSIS}{name[-(kept // 2) :]}"


def label_inches(names: list[str]) -> float:
    """Return how wide the longest of these names is in print, roughly."""
    return max((len(name) for name in names), default=0) * POINTS * 0.56 / 72


def plain_log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Tick a logarithmic axis in plain numbers: at every decade, and at 2 and 5 where it spans few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    factors = (1, 2, 5) if high < 150 * low else (1,)
    ticks = [factor * 10.0**decade for decade in range(-20, 20) for factor in factors]
    inside = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(inside or sorted({low, high})))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_minor_locator(NullLocator())


def styled() -> Any:
    """Return a context in which matplotlib draws in this style."""
    import matplotlib

    return matplotlib.rc_context(STYLE)
