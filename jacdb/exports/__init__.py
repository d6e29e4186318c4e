"""Export an environment's steps to formats of other libraries. FORMATS lists them."""

from collections.abc import Callable
from pathlib import Path

from jacdb import out_path
from jacdb.atomic_file import draft_of, remove_abandoned
from jacdb.counted import counted
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError, telling_writes
from jacdb.exports import lerobot, minari, npz
from jacdb.exports.trajectories import Source

FORMATS: dict[str, Callable[[Source, Path, Path], str]] = {
    "minari": minari.write,
    "lerobot": lerobot.write,
    "npz": npz.write,
}
SUFFIXES = {"npz": ".npz"}  # of formats that write a file; the others write a folder


def export(dataset: Dataset, form: str, env: str, out: Path) -> str:
    """Write the finite steps of an environment that meet the dataset's condition.

    Exported episodes have no gaps: an episode in which steps are left out becomes several. Of the same trajectory in
    several runs (by another method, say) one is exported: an exact one if there is one, then the one of most rows.

    Args:
        dataset: what to export from.
        form: one of FORMATS: a folder for minari and lerobot, a file for npz.
        env: the environment.
        out: where to write; it must not exist.

    Returns:
        One line for people: what was written.

    Raises:
        UsageError: there is no such format or environment, ``out`` exists, has the wrong suffix or may not be written,
            or a library is missing.
        FailureError: a file can't be read, or not be written.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}: give {', '.join(FORMATS)}")
    if out.exists():
        raise UsageError(f"--out {out} exists: give another name, or remove it first")
    if form in SUFFIXES:
        out_path.check_suffix(out, (SUFFIXES[form],))
    out_path.check_folder(out)  # it is none yet, but lies in one
    source = Source.of(dataset, env)
    # Hidden, so that who lists the folder meanwhile, as Minari does, takes it for no dataset.
    hidden = out.with_name(f".{out.name}")
    with telling_writes(out, "nothing of it is left; repeat the command"):
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(hidden)
        with draft_of(hidden) as draft:
            note = FORMATS[form](source, draft, out)
            draft.rename(out)
    return f"{counted(source.n_rows, 'step')} of {env} in {counted(source.n_episodes, 'episode')}: {out}{note}"
