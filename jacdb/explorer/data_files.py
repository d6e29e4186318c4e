"""The files that the page reads below ``data/``, made in a folder when they are first asked for."""

import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jacdb.dataset.layout import Run
from jacdb.explorer import json_file
from jacdb.explorer.index import file_name, index
from jacdb.explorer.run_file import run_file
from jacdb.explorer.scenes import SceneMaker, Scenes
from jacdb.explorer.subject import Subject
from jacdb.explorer.tables import write_steps, write_tables

INDEX, TABLES = "data/index.json", "data/tables.duckdb"
_SCENES = "data/scenes/"
PARTS = "data/"  # the address of the dataset's folder, from the page's


class DataFiles:
    """The files that are made for the page, by their addresses from the page's.

    Attributes:
        addresses: all of them but the scenes' meshes, which come with their scenes.
        scenes: the robots.
    """

    def __init__(self, subject: Subject, folder: Path, maker: SceneMaker | None, parts: str = PARTS) -> None:
        """
        Args:
            subject: what is explored.
            folder: where the files are made.
            maker: makes scenes; None where there is no simulator.
            parts: the address of the dataset's folder, from the page's.
        """
        self._subject, self._folder, self._parts = subject, folder, parts
        self.scenes = Scenes(subject, maker)
        self._reading = threading.Lock()  # DuckDB answers one question at a time on a connection
        self._loading = threading.Lock()  # a simulator loads for seconds: other files are given meanwhile
        self._makers: dict[str, Callable[[Path], object]] = {TABLES: partial(write_tables, subject)}
        for run in subject.runs:
            self._makers[file_name(run, ".json")] = partial(self._write_run, run)
            self._makers[file_name(run, ".duckdb")] = partial(self._write_steps, run)
        for key in dict.fromkeys(self.scenes.keys.values()):
            for ending in (".json", ".bin"):
                self._makers[f"{_SCENES}{key}{ending}"] = partial(self._write_scene, key)
        self._makers[INDEX] = self._write_index  # last: by then it is known which scenes can't be made
        self.addresses = list(self._makers)

    def path(self, address: str) -> Path | None:
        """Return the file at an address, made if need be; None if there is none at it.

        Raises:
            UsageError: a robot can't be shown; the message is a sentence for people.
            GoneError: what it is made of is there no longer.
            FailureError: the dataset can't be read.
        """
        make = self._makers.get(address)
        if make is None:
            return None
        path = self._folder / address
        reading = self._loading if address.startswith(_SCENES) else self._reading
        with reading:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self._folder, prefix="draft-") as work:
                    make(draft := Path(work) / "file")
                    if draft.exists():
                        draft.replace(path)
        return path if path.exists() else None

    def _write_index(self, path: Path) -> None:
        scenes = self.scenes
        path.write_bytes(json_file.encode(index(self._subject, self._parts, scenes.addresses(), scenes.missing)))

    def _write_steps(self, run: Run, path: Path) -> None:
        self._subject.check_present([run])  # what is read without its parts would be a run of no step
        write_steps(self._subject, run, path)

    def _write_run(self, run: Run, path: Path) -> None:
        self._subject.check_present([run])
        path.write_bytes(json_file.encode(run_file(self._subject, run)))

    def _write_scene(self, key: str, _: Path) -> None:
        """Write a scene and its meshes, under their own names: whoever asks for one will ask for the other."""
        scene, meshes = self.scenes.make(key, self._reading)
        folder = self._folder / _SCENES
        if meshes:
            (folder / f"{key}.bin").write_bytes(meshes)
        (folder / f"{key}.json").write_bytes(json_file.encode(scene))
