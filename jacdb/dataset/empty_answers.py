"""Why a view has no row: what does not happen in the steps that it was asked of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jacdb import queries
from jacdb.counted import counted

if TYPE_CHECKING:
    from jacdb.dataset.views import Views

_NEVER = {
    "zero_durations": "no entry becomes zero or ceases to be within an episode; longer episodes may visit more",
    "pattern_switches": "the zero pattern never changes within an episode; longer episodes may visit more",
    "method_comparison": "no episode was differentiated by two methods; ingest the same with another --method",
    "lyapunov": "no run is finished",
    "runs": "no run is finished",
}


def reason(dataset: "Views", view: str, env: str | Sequence[str] | None = None) -> str:
    """Return why a view has no row, in words that follow a colon.

    Args:
        dataset: what was asked; its condition counts.
        view: the view that has no row.
        env: the environments that it was asked of; None for all.

    Raises:
        FailureError: a file can't be read.
    """
    if view in queries.RESULTS:
        return "no model was trained or scored; `jacdb learn` and `jacdb score` do"
    samples = int(dataset.fetch(dataset.view("samples", env))["samples"].sum())
    if samples:
        meeting = "" if dataset.condition is None else f" that meet{'s' if samples == 1 else ''} {dataset.condition}"
        return f"in its {counted(samples, 'step')}{meeting} {_NEVER.get(view, 'there is none')}"
    if dataset.condition is not None:
        return f"no step of it that counts meets the condition {dataset.condition}"
    return "no step of it counts"
