"""Write a report on a dataset: collect facts on the paper's questions, and make a page from them."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jacdb import figures, out_path
from jacdb.atomic_file import write_file
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError, telling_writes
from jacdb.report.answers import facts
from jacdb.report.page import Picture, Pictures, html, markdown
from jacdb.report.paper import PAPER, compared, missing, score, summary, verdict

_FACTS = "facts.json"
_OWN = ("index.html", "report.md", _FACTS, "figures")

__all__ = [
    "PAPER",
    "Picture",
    "Pictures",
    "compared",
    "facts",
    "html",
    "markdown",
    "missing",
    "score",
    "summary",
    "verdict",
    "write",
]


def write(
    dataset: Dataset,
    folder: Path,
    report: Callable[[str], None] = lambda env: None,
    *,
    environments: Sequence[str] | None = None,
    embedding: bool = True,
) -> dict[str, Any]:
    """Write index.html (self-contained), report.md with its figures/, and facts.json; return the facts.

    Args:
        report: called with each environment before its figures are drawn; drawing takes most of the time.
        environments: only these; None for all.
        embedding: False leaves out the embedding, which takes most of the time of drawing.

    Raises:
        UsageError: the dataset has no steps yet, or none of an environment that is asked for; or the folder holds
            anything but a report of before.
        FailureError: a file can't be written.
    """
    out_path.check_own_folder(folder, _OWN, _FACTS, "report")
    if not dataset.environments:
        raise UsageError(f"nothing to report of {dataset.location.name}: it has no steps yet")
    collected = facts(dataset, environments)
    left_out = [*(() if embedding else ("embedding",)), *(() if dataset.learned_environments else figures.OF_RESULTS)]
    names = [name for name in figures.FIGURES if name not in left_out]
    with telling_writes(folder, "repeat the command"):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    # first: a report that is stopped may be repeated
    write_file(folder / _FACTS, (json.dumps(collected, indent=1) + "\n").encode())
    linked: Pictures = {}
    embedded: Pictures = {}
    for env in collected["environments"]:
        report(env)
        linked[env], embedded[env] = {}, {}
        for name in names:
            try:
                picture = figures.png(figures.draw(dataset, name, env))
            except UsageError as error:
                linked[env][name] = embedded[env][name] = Picture(None, str(error))
                continue
            link = f"figures/{re.sub(r'[^A-Za-z0-9]', '_', env)}-{name}.png"  # any name may stand in a dataset
            write_file(folder / link, picture)
            linked[env][name] = Picture(link)
            embedded[env][name] = Picture(f"data:image/png;base64,{base64.b64encode(picture).decode()}")
    write_file(folder / "index.html", html(collected, embedded).encode())
    write_file(folder / "report.md", markdown(collected, linked).encode())
    return collected
