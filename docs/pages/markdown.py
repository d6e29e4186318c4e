"""What every page is made of: where things are, tables, and numbers that a benchmark kept."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent
NOTE = "<!-- written by docs/generate.py; change the code, not this page -->\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    head, *body = (f"| {' | '.join(row)} |" for row in (header, *rows))
    return "\n".join([head, "|" + "---|" * len(header), *body, ""])


def of_benchmark(name: str) -> dict[str, Any]:
    """Return what a benchmark kept."""
    kept: dict[str, Any] = json.loads((ROOT / f"benchmarks/{name}.json").read_text())
    return kept
