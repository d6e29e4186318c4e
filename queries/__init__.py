"""The SQL: one view per file. A file opens with its grain, its question and its columns.

``steps``, ``patterns``, ``episodes``, ``axes`` and ``runs`` are the tables as people see them, each over a view
``stored_<table>`` that :mod:`jacdb.dataset.catalog` lays over the Parquet files. The results of learning are shown
likewise. All else builds on the five.
"""

import functools
import hashlib
import importlib.resources
import math
import re
import string

from jacdb import schemas
from jacdb.errors import UsageError, suggestion
from jacdb.methods import METHODS
from jacdb.whole_number import whole_number

# The tables as people see them, and the views that answer questions: what may be asked for by name.
TABLES = ("steps", "episodes", "axes", "runs", "patterns")
STATISTICS = (
    "samples",
    "returns",
    "global_sparsity",
    "threshold_sweep",
    "entry_zero_fraction",
    "sparsity_histogram",
    "sparsity_timeline",
    "zero_durations",
    "step_sets",
    "constraint_sets",
    "step_constraints",
    "sparsity_by_constraint",
    "pattern_switches",
    "switch_explanations",
    "symmetries",
    "causal_graph",
    "method_comparison",
    "axis_statistics",
    "lyapunov",
)
# What models learned from the rows, and how they score
RESULTS = ("learning_runs", "learning_scores", "leaderboard")
VIEWS = TABLES + STATISTICS + RESULTS
# What a run adds up to, and other views add up over runs: each is a column of the table `partials`
PARTIALS = (
    "sample_counts", "axis_names", "pattern_counts", "set_counts", "switch_counts", "duration_counts",
    "threshold_counts",
)  # fmt: skip
# What partials are counted from, where none are read
REMAINING = ("remaining_steps", "remaining_axes", "remaining_patterns", "remaining_episodes")
# All views in the order in which they are registered: each builds on those before. Only others build on those that are
# not among VIEWS; a later version may change them.
REGISTERED = (
    "steps", "episodes", "runs", "exact_steps", *REMAINING, "sample_counts", "axis_names", "axes", "pattern_counts",
    "pattern_totals", "jacobian_patterns", "patterns", "set_counts", "switch_counts", "duration_counts",
    "threshold_counts", "sampled_steps", *STATISTICS, *RESULTS,
)  # fmt: skip
# What partials are made from, in order
MADE_FROM = tuple(name for name in REGISTERED[: REGISTERED.index("sampled_steps")] if name not in ("axes", "runs"))
# The views that `spark/` has in Spark's SQL, in the order in which they are registered
SPARK = (
    "exact_steps", "samples", "axes", "patterns", "jacobian_patterns", "entries", "global_sparsity",
    "entry_zero_fraction", "sparsity_histogram", "sparsity_timeline", "duration_counts", "zero_durations",
    "causal_graph", "threshold_sweep",
)  # fmt: skip
# Conditions on a row of `steps` that have a name: signature -> SQL
MACROS = {
    # of some actuator; exactly at the end of its range the derivative is the mean of both sides, beyond it is 0
    "at_clip(active)": "len(list_filter(active, lambda name: name like 'ctrl_clip:%')) > 0",
}
# What several views say alike, as macros that only they use
INTERNAL_MACROS = {
    # a number that is quick to compare: of the names of what touches, and of the other constraints, as they stand
    "constraint_set(contacts, active)": "hash(list_transform(contacts, lambda c: (c.geom1, c.geom2)), active)",
    # what touches as one list of names with the other constraints, equal for equal sets: rows of before 1.0 may name a
    # joint once for each of its dofs that holds
    "constraint_names(contacts, active)": (
        "list_sort(list_distinct(list_concat("
        "list_transform(contacts, lambda c: 'contact:' || c.geom1 || ' - ' || c.geom2), active)))"
    ),
}
# Views of windows of steps, as macros that take how many: FROM lyapunov_windows(200)
WINDOWED = {"lyapunov": "lyapunov_windows(n_steps)"}
WINDOW = 50  # steps, where none is asked for
# What the text of a view takes from Python, as $name, and does not say again
_SAID_ONCE = {
    "first_exponent": f"({round(math.log10(schemas.SWEEP[0]))})",
    "methods": str(list(METHODS)),
    "n_steps": f"{WINDOW}",
    "steps": "steps",
}


def check(name: str) -> None:
    """Refuse a name that no view has.

    Raises:
        UsageError: there is no such view (the error lists them, and the nearest).
    """
    if name not in VIEWS:
        raise UsageError(f"no view {name!r}: {suggestion(str(name), VIEWS)}")


def check_window(view: str, window: int | None) -> None:
    """Refuse steps of a window that a view does not take.

    Raises:
        UsageError: the view has no windows, or they would have no step.
    """
    if window is None:
        return
    if view not in WINDOWED:
        raise UsageError(f"window={window}: {view} has no windows; {', '.join(WINDOWED)} has")
    if whole_number("window", window) < 1:
        raise UsageError(f"window={window}: give steps of a window, 1 or more")


@functools.cache
def macro(view: str) -> str:
    """Return a view of windows as a macro: its signature and its text, ready for CREATE MACRO."""
    signature = WINDOWED[view]
    argument = signature.partition("(")[2].removesuffix(")")
    return f"{signature} as table {_template(view).substitute(_SAID_ONCE | {'n_steps': argument})}"


@functools.cache
def sql(name: str, **instead: str) -> str:
    """Return the text of a view.

    Args:
        instead: what a name that the text takes from Python stands for here.
    """
    return _template(name).substitute(_SAID_ONCE | instead)


@functools.cache
def spark_sql(name: str) -> str:
    """Return the text of a view in Spark's SQL, over zero patterns as words: one of ``SPARK``."""
    return _template(f"spark/{name}").substitute(_SAID_ONCE)


@functools.cache
def partials_version() -> str:
    """Return a hash of all SQL that partials are made by, without comments: what another text made is stale."""
    made_by = (*PARTIALS, "exact_steps", *REMAINING, "pattern_totals", "jacobian_patterns")
    texts = [re.sub(r"--[^\n]*", "", sql(name)) for name in made_by] + [*INTERNAL_MACROS.values()]
    return hashlib.sha256("\n".join(" ".join(text.split()) for text in texts).encode()).hexdigest()[:16]


def _template(name: str) -> string.Template:
    return string.Template(importlib.resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8"))


def header(name: str) -> dict[str, str]:
    """Return what a view's opening comment says, up to its first empty line: ``grain``, ``question``, ``columns``."""
    parts: dict[str, str] = {}
    key = ""
    for line in sql(name).splitlines():
        if not line.removeprefix("--").strip() or not line.startswith("--"):
            break
        text = line.removeprefix("--").strip()
        label, colon, rest = text.partition(":")
        if colon and label in ("grain", "question", "columns"):
            key, text = label, rest.strip()
        parts[key] = f"{parts.get(key, '')} {text}".strip()
    return parts
