"""Draw figures of a dataset, for papers: each asks one view and draws its answer. FIGURES lists them.

Every function returns a matplotlib Figure (``.savefig("name.pdf")``), drawn at the size at which it is read: one
column of a two-column paper, or both. Colours are Okabe and Ito's, which colour-blind readers can tell apart; in grey
they differ in brightness.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from jacdb import out_path, queries
from jacdb.atomic_file import write_file
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError, suggestion
from jacdb.figures.constraints import constraint
from jacdb.figures.embedding import embedding
from jacdb.figures.entries import heatmap
from jacdb.figures.episodes import durations, timeline
from jacdb.figures.learned_entries import learned_entries
from jacdb.figures.learning import learning
from jacdb.figures.lyapunov import lyapunov
from jacdb.figures.pixels import pixels
from jacdb.figures.sparsity import histogram, threshold
from jacdb.figures.style import BLUE, COLUMN, GREY, JACOBIANS, LEGIBLE, ORANGE, PAGE, POINTS, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE", "COLUMN", "FIGURES", "FORMATS", "GREY", "JACOBIANS", "LEGIBLE", "ORANGE", "PAGE", "POINTS", "NamedFigure",
    "check", "constraint", "draw", "durations", "embedding", "heatmap", "histogram", "learned_entries", "learning",
    "lyapunov", "png", "save", "styled", "threshold", "timeline",
]  # fmt: skip


class NamedFigure(NamedTuple):
    """A figure that can be asked for by name.

    Attributes:
        draw: draws it, given a dataset, an environment and options.
        caption: what it shows, in a sentence.
    """

    draw: Callable[..., "Figure"]
    caption: str


# To add a figure, write a function and add its entry; the command line and the report then have it.
FIGURES = {
    "heatmap": NamedFigure(heatmap, "In which share of the steps each entry is zero (the paper's Figure 3)."),
    "embedding": NamedFigure(
        embedding, "Steps by state, action and next state (t-SNE), coloured by sparsity (Figure 4)."
    ),
    "histogram": NamedFigure(histogram, "How sparse single steps are (Figure 5)."),
    "timeline": NamedFigure(timeline, "Sparsity along one episode, and what held meanwhile (Figure 6)."),
    "durations": NamedFigure(
        durations, "For how many consecutive steps entries stay zero, and stay non-zero (Figure 7)."
    ),
    "constraint": NamedFigure(constraint, "How sparse J_s is while each constraint holds, and while it does not."),
    "threshold": NamedFigure(threshold, "How many zeros there are by what counts as zero."),
    "lyapunov": NamedFigure(
        lyapunov,
        "Finite-time Lyapunov exponents: the spectrum of whole episodes, and the largest exponent of windows of steps.",
    ),
    "learning": NamedFigure(
        learning,
        "What models predict, how sparse they are (the paper's Figure 8), and whether they know when entries are zero."
        " Marks are means over seeds, lines reach from the least to the largest.",
    ),
    "learned_entries": NamedFigure(
        learned_entries, "Which entries the best model finds (AUROC), and how often each is truly zero."
    ),
}
OF_RESULTS = ("learning", "learned_entries")  # of what models learned; most datasets have nothing of it
SEVERAL = ("learning",)  # may show several environments together
TAKES = {"timeline": ("run_id", "episode"), "lyapunov": ("window",)}  # options that are a figure's own
FORMATS = (".png", ".pdf", ".svg")
DPI = 300  # of a PNG: a column's width on paper, sharp
# Of zlib's nine: half the time of its usual six, and files are no larger than with transparency and six
COMPRESSION = 3


def check(name: str, env: str | Sequence[str] = "", **options: Any) -> dict[str, Any]:
    """Return the options that are given, if there is such a figure and it takes them.

    Raises:
        UsageError: there is none (the error lists them), another figure takes them, or it shows one environment only.
    """
    if name not in FIGURES:
        raise UsageError(f"no figure {name!r}: {suggestion(name, FIGURES)}")
    if not isinstance(env, str) and name not in SEVERAL:
        raise UsageError(f"{name} shows one environment, not {len(env)}: {' and '.join(SEVERAL)} shows several")
    given = {key: value for key, value in options.items() if value is not None}
    for option in given:
        if option not in TAKES.get(name, ()):
            takes = next((figure for figure, own in TAKES.items() if option in own), "no figure")
            raise UsageError(f"{option}: only {takes} takes it, not {name}")
    if name in queries.WINDOWED:
        queries.check_window(name, given.get("window"))
    return given


def draw(dataset: Dataset, name: str, env: str | Sequence[str], **options: object) -> "Figure":
    """Draw a figure by its name.

    Raises:
        UsageError: there is no such figure (the error lists them), environment, or episode; or it shows one
            environment only, and there are several.
    """
    given = check(name, env, **options)
    return FIGURES[name].draw(dataset, env, **given)


def save(figure: "Figure", out: Path | str | BinaryIO, dpi: int = DPI) -> None:
    """Write a figure to a file, as PNG unless its suffix says PDF or SVG.

    The style is needed here, too: here matplotlib decides whether text stays text. Of a character that its font has not
    it draws a box, which is seen.

    Raises:
        UsageError: it is a folder, lies in none, or may not be written.
        FailureError: the file can't be written.
    """
    path = Path(out) if isinstance(out, str | Path) else None
    if path is not None:
        out_path.check_file(path)
    picture = io.BytesIO()  # on a full disk matplotlib's PDF ends in an error that hides the disk's
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        if path is not None and path.suffix.lower() in (".pdf", ".svg"):
            figure.savefig(picture, dpi=dpi, format=path.suffix.lower()[1:])
        else:
            pixels(figure, dpi).save(picture, "png", dpi=(dpi, dpi), compress_level=COMPRESSION)
    if path is not None:
        write_file(path, picture.getvalue())
    elif not isinstance(out, str | Path):
        out.write(picture.getvalue())


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG, at a resolution for pages."""
    picture = io.BytesIO()
    save(figure, picture, dpi=150)
    return picture.getvalue()
