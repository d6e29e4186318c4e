"""Which features of models are covered: docs/models.md."""

from typing import Any

from jacdb.ingest.models import features
from pages.markdown import DOCS, NOTE, markdown_table, of_benchmark


def models() -> str:
    """Which features of models the engine covers."""
    kept = of_benchmark("features")

    def told(found: dict[str, Any] | None) -> str:
        return f"{found['median']:.0e}, {found['largest']:.0e}" if found else ""

    rows = [
        [
            feature.name,
            f"`{feature.mjcf}`",
            "yes" if feature.covered else f"no: {feature.remedy}",
            "no" if feature.on_mjx == "raises" or feature.refused("mjx") else "yes",
            feature.on_mjx,
            told(kept.get(feature.name)),
            feature.note,
        ]
        for feature in features.table()
    ]
    header = ("feature", "in MJCF", "covered", "by MJX", "MJX's stages", "J to C's differences", "why, or how")
    return "\n".join(
        ["# Which models are covered\n", NOTE, (DOCS / "models.txt").read_text(), markdown_table(header, rows)]
    )
