"""The robots of runs, as scenes: made by whoever has a simulator, and missing with a sentence where nobody has."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import Any

from jacdb.dataset.layout import Run
from jacdb.errors import JacdbError, UsageError, first_line
from jacdb.explorer.index import scene_key
from jacdb.explorer.subject import Subject

# Takes an environment, the run's row in `runs`, the file of the model that it keeps, and the names of its axes of space
# 'state'; returns the scene, and the bytes of its meshes. It raises a UsageError that says why there is none.
SceneMaker = Callable[[str, dict[str, Any], Path | None, list[str]], tuple[dict[str, Any], bytes]]

NO_SIMULATOR = "the robot is shown where jacdb[ingest] is installed"
NOT_FINISHED = "the run is not finished, and its robot is not known yet"


class Scenes:
    """The scenes of what is explored.

    Attributes:
        keys: what the scene of each run is called, of the runs that may have one.
        missing: why another has none.
    """

    def __init__(self, subject: Subject, maker: SceneMaker | None) -> None:
        self._subject, self._maker = subject, maker
        self._run_of: dict[str, Run] = {}
        self.keys: dict[Run, str] = {}
        self.missing: dict[Run, str] = {}
        for run in subject.runs:
            fact = subject.facts.get(run)
            if maker is None:
                self.missing[run] = NO_SIMULATOR
            elif fact is None:
                self.missing[run] = NOT_FINISHED
            else:
                self.keys[run] = scene_key(run, fact)
                self._run_of.setdefault(self.keys[run], run)

    def addresses(self) -> dict[Run, str | None]:
        """Return the address of each run's scene, from the page's."""
        return {run: f"data/scenes/{key}.json" for run, key in self.keys.items()}

    def give_up(self, key: str, why: str) -> None:
        """Have no run show a scene that could not be made."""
        for run in [run for run, known in self.keys.items() if known == key]:
            del self.keys[run]
            self.missing[run] = why

    def make(self, key: str, reading: AbstractContextManager[object]) -> tuple[dict[str, Any], bytes]:
        """Return a scene with the address of its meshes, and the bytes of these.

        Args:
            key: what the scene is called.
            reading: held while the dataset is read, and not while the simulator loads.

        Raises:
            UsageError: it can't be made; the message is a sentence for people.
        """
        run = self._run_of.get(key)
        if run is None or self._maker is None:
            raise UsageError("there is no such scene")
        subject = self._subject
        try:
            with reading:
                kept = subject.dataset.location.model(run)
                axes = subject.rows(f"select * from ({subject.scan('axes', run)})")
            names = [row["name"] for row in sorted(axes, key=itemgetter("index")) if row["space"] == "state"]
            scene, meshes = self._maker(run.env, subject.facts[run], kept, names)
        except JacdbError as error:
            raise UsageError(f"the robot of {run.env} can't be shown: {first_line(error)}") from error
        except Exception as error:  # whatever simulator, suite or model makes of it: the rest of the page goes on
            said = f"{type(error).__name__}: {first_line(error)}"
            raise UsageError(f"the robot of {run.env} can't be shown ({said})") from error
        file = f"data/scenes/{key}.bin" if meshes else None
        return scene | {"meshes_file": file, "meshes_bytes": len(meshes)}, meshes
