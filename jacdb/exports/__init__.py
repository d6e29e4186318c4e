"""An environment's steps in formats that other libraries load; a few episodes at a time are in memory."""

from collections.abc import Callable
from pathlib import Path

from jacdb.dataset.dataset import Dataset
from jacdb.draft import draft_of
from jacdb.errors import UsageError
from jacdb.exports import lerobot, minari, npz
from jacdb.exports.trajectories import Source

FORMATS: dict[str, Callable[[Source, Path, Path], str]] = {
    "minari": minari.write,
    "lerobot": lerobot.write,
    "npz": npz.write,
}


def export(dataset: Dataset, form: str, env: str, out: Path) -> str:
    """Write the finite steps of an environment that meet the dataset's condition.

    Steps are exported in stretches without a gap: an episode in which steps are left out becomes several.

    Args:
        dataset: what to export from.
        form: one of FORMATS: a folder for minari and lerobot, a file for npz.
        env: the environment.
        out: where to write; there must be nothing.

    Returns:
        What was written, in words.

    Raises:
        UsageError: a word can't be right, there is something at ``out``, or a library is missing.
        FailureError: a file can't be read.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}: give {', '.join(FORMATS)}")
    if out.exists():
        raise UsageError(f"--out {out} exists: give another name, or remove it first")
    source = Source.of(dataset, env)
    out.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(out) as draft:
        told = FORMATS[form](source, draft, out)
        draft.rename(out)
    return f"{source.n_rows} steps of {env} in {source.n_episodes} episodes: {out}{told}"
