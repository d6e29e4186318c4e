"""Checkpoints of a training: a file of arrays that exists whole or not at all. Nothing here imports JAX."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from jacdb import atomic_file
from jacdb.errors import FailureError, first_line, telling_writes


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: minibatches taken.
        best_step: after how many the validation loss was least.
        best_loss: that loss.
        since_best: validations since then.
        seconds: spent training, in all commands that it took.
        feeding: seconds of these in which the next minibatches were chosen.
        finished: whether it has ended.
        history: step and validation loss of each validation.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    since_best: int = 0
    seconds: float = 0.0
    feeding: float = 0.0
    finished: bool = False
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Checkpoint:
    """A training's progress and arrays.

    Attributes:
        progress: how far it is.
        best: the parameters of the least validation loss, as a list of leaves.
        state: parameters and optimizer now, likewise; empty once the training has ended.
    """

    progress: Progress
    best: Sequence[Any]
    state: Sequence[Any]

    def write(self, path: Path) -> None:
        """Write it; a file that is there is replaced in one move.

        Raises:
            FailureError: it can't be written.
        """
        arrays = {
            f"{kind}{i}": np.asarray(leaf) for kind in ("best", "state") for i, leaf in enumerate(getattr(self, kind))
        }
        atomic_file.remove_abandoned(path)
        with telling_writes(path, "the same command goes on"), atomic_file.draft_of(path) as draft:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as stream:
                np.savez(stream, allow_pickle=False, progress=np.array(json.dumps(asdict(self.progress))), **arrays)
            draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the checkpoint in a file; None if there is none.

        Raises:
            FailureError: the file is damaged.
        """
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                progress = Progress(**json.loads(str(stored["progress"])))
                lists = {
                    kind: [stored[f"{kind}{i}"] for i in range(sum(name.startswith(kind) for name in stored.files))]
                    for kind in ("best", "state")
                }
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise FailureError(f"{path} is damaged: {first_line(error)}; delete it to begin anew") from error
        progress.history = [(int(step), float(loss)) for step, loss in progress.history]
        return cls(progress, lists["best"], lists["state"])
