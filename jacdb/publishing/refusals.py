"""Refuse to mix what can't be in one dataset, before a pull puts anything into a folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from jacdb.dataset import environment_axes, matrix_type, one_disk
from jacdb.dataset.environment_axes import BegunRun
from jacdb.dataset.layout import Run
from jacdb.errors import UsageError


def check_axes(root: Path, name: str, places: Mapping[Run, Path]) -> None:
    """Refuse runs of an environment whose axes are not those of its other runs, fetched or in a folder.

    Args:
        root: the dataset's folder.
        name: OWNER/NAME of the repository.
        places: the runs to add, each with the folder that has its axes.

    Raises:
        UsageError: their axes differ.
        FailureError: a file of axes can't be read.
    """
    added = [BegunRun(Path(name), place, run) for run, place in sorted(places.items())]
    kinds = sorted({(run.env, run.layout) for run in places})
    folder = root.absolute()  # which no repository is called, as `--data alice/dynamics` may be
    there = [one for env, layout in kinds for one in environment_axes.begun(folder, env, layout)]
    if found := environment_axes.conflict([*there, *added], folder):
        remedy = f"ask its owner to publish each in a repository of its own{_other(places, found.run.run.env)}"
        if found.known.dataset == folder:
            remedy = "pull into another --data"
        raise UsageError(f"{found.told}: {remedy}")


def check_disk(root: Path, staging: str, runs: Iterable[Run]) -> None:
    """Refuse to move runs into a folder where a folder of theirs is on another disk than the files that are fetched.

    Args:
        root: the dataset's folder.
        staging: the folder of what is fetched, below it.
        runs: the runs to add.

    Raises:
        UsageError: one is.
    """
    for run in runs:
        one_disk.check(root, run, staging, (*one_disk.OF_A_RUN, run.layout.journal))


def check_type(root: Path, name: str, places: Mapping[Run, Path]) -> None:
    """Refuse matrices of two types, fetched or in a folder: a dataset has one.

    Args:
        root: the dataset's folder.
        name: OWNER/NAME of the repository.
        places: the runs to add, each with the folder that has its row.

    Raises:
        UsageError: there are two.
    """
    kinds: dict[str, Run] = {}
    for run, place in sorted(places.items()):
        kinds.setdefault(matrix_type.of_row(place, run), run)
    if len(kinds) > 1:
        said = " and ".join(f"{kind} in run {run.run_id} of {run.env}" for kind, run in sorted(kinds.items()))
        envs = {run.env for run in kinds.values()}
        remedy = (
            "pull the environments of each into a --data of its own, by --env"
            if len(envs) > 1
            else f"ask its owner to publish each in a repository of its own{_other(places, *envs)}"
        )
        raise UsageError(f"{name}: matrices are {said}, and a dataset has one type: {remedy}")
    for kind in kinds:
        if others := matrix_type.others(root, kind):
            other = matrix_type.of_run(others[0])
            raise UsageError(
                f"the matrices of {others[0].words} are {other}, those in {name} {kind}, and a dataset has one type:"
                f" pull into another --data, or {matrix_type.removal(others)}"
            )


def _other(places: Mapping[Run, Path], *envs: str) -> str:
    """Return the remedy that is left for environments other than these."""
    others = sorted({run.env for run in places} - {*envs})
    return f", or pull without it: --env {others[0]}, say" if others else ""
