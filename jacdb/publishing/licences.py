"""Say under which licences a dataset's trajectories stand: of each run, and at the head of the card."""

from collections.abc import Sequence
from typing import Any

# Of suites whose environments are rolled out here, the licence of the suite, which is that of its models too
OF_SUITES = {"playground": "apache-2.0", "dm_control": "apache-2.0", "gymnasium": "mit"}
# Licences that the Hub knows by these names; it refuses a card with another
KNOWN = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "odbl", "pddl",
}  # fmt: skip


def of_run(run: dict[str, Any]) -> str | None:
    """Return a run's licence: what its source says of itself, else that of its suite; None where nobody says one."""
    said = " ".join((run["licence"] or OF_SUITES.get(run["suite"]) or "").split())
    named = said.lower().replace(" ", "-")
    return named if named in KNOWN else said or None


def header(runs: Sequence[dict[str, Any]], name: str) -> list[str]:
    """Return the lines of the card's head that say the licence.

    One, or a list, where the Hub knows them all; else ``other``, with a link to the card's table, which says each.

    Args:
        runs: rows of `runs`.
        name: OWNER/NAME of the repository.
    """
    found = {of_run(run) for run in runs}
    known = sorted(licence for licence in found if licence in KNOWN)
    if len(known) < len(found):
        link = f"https://huggingface.co/datasets/{name}#where-the-trajectories-are-from"
        return ["license: other", "license_name: of-each-source", f"license_link: {link}"]
    return [f"license: {known[0]}"] if len(known) == 1 else ["license:", *(f"- {licence}" for licence in known)]
