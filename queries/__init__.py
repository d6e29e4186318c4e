"""The SQL: one view per file. A file opens with its grain, its question and its columns.

``steps``, ``patterns``, ``episodes``, ``axes`` and ``runs`` are the tables as people see them, each over a view
``stored_<table>`` that :mod:`jacdb.dataset.views` lays over the Parquet files. All else builds on these five.
"""

import functools
import importlib.resources

# In the order in which they are registered: each builds on those before.
TABLES = ("steps", "episodes", "axes", "runs", "patterns")
STATISTICS = (
    "samples",
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
)
VIEWS = TABLES + STATISTICS


@functools.cache
def sql(name: str) -> str:
    """Return the text of a view."""
    return importlib.resources.files(__package__).joinpath(f"{name}.sql").read_text()


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
