"""The recorded trajectories of an environment or a model, as a source."""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from jacdb.checksum import sha256_of
from jacdb.ingest.sources.trajectory import Trajectory

_UNNAMED = "MuJoCo Model"  # what MuJoCo calls a model of which the XML says no name


@dataclass(frozen=True)
class Recording:
    """Recorded trajectories of a model: a :class:`~jacdb.ingest.sources.trajectory.Source`.

    Attributes:
        name, suite, model, n_substeps: as every source has them.
        dtype: the type of number in which the states were stored. From float32 a step is not replayed to more than
            seven digits.
        facts: what is known of the recording without reading all of it.
        files: what it was read from; their checksum is taken when someone asks for the provenance.
        read: returns the trajectories, from the first again each time.
        caveat: what the recording says of itself that may be why steps are not the model's; "" if nothing.
    """

    name: str
    suite: str
    model: mujoco.MjModel
    n_substeps: int
    dtype: np.dtype
    facts: Mapping[str, str]
    files: tuple[Path, ...]
    read: Callable[[], Iterator[Trajectory]]
    caveat: str = ""

    def provenance(self) -> dict[str, str]:
        """Return where the rows are from: the recording's own facts, and the SHA-256 of its files.

        The checksum of several files is that of a list of them: a line ``<sha256>  <name>`` each, as ``sha256sum``
        prints it, sorted by name.
        """
        return {**self.facts, "precision": self.dtype.name, "sha256": checksum(self.files)}

    def of_file(self, name: str) -> "Recording":
        """Return the recording by the name of its model's file, where the model has no name of its own."""
        return replace(self, name=name) if _own_name(self.model) == _UNNAMED else self

    def n_episodes(self) -> int:
        """Return how many episodes there are; all are read for it, which takes little beside their derivatives.

        Raises:
            UsageError: as :meth:`trajectories`.
        """
        return sum(1 for _ in self.read())

    def trajectories(self, numbers: range | None = None) -> Iterator[Trajectory]:
        """Yield the episodes in their recorded order.

        Args:
            numbers: consecutive ones, counted from 0; None for all.

        Raises:
            UsageError: the source holds something that is no trajectory of the model; the message names it.
        """
        return self.read() if numbers is None else itertools.islice(self.read(), numbers.start, numbers.stop)


def checksum(files: tuple[Path, ...]) -> str:
    """Return the SHA-256 of a file, or of the list of several with theirs."""
    if len(files) == 1:
        return sha256_of(files[0])
    top = os.path.commonpath([path.parent for path in files])
    lines = sorted((path.relative_to(top).as_posix(), sha256_of(path)) for path in files)
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()


def precision(types: Iterable[np.dtype]) -> np.dtype:
    """Return the shortest type of floating-point number among those of a state's columns; float64 if there is none."""
    floats = (each for each in types if each.kind == "f")
    return min(floats, key=lambda each: each.itemsize, default=np.dtype(np.float64))


def _own_name(model: mujoco.MjModel) -> str:
    return model.names.split(b"\0")[0].decode()


def model_name(model: mujoco.MjModel) -> str:
    """Return the name that an MJCF model gives itself, with ``-`` for what no environment's name may have."""
    return re.sub(r"[^\w.-]+", "-", _own_name(model), flags=re.ASCII).strip("-.") or "model"


@dataclass(frozen=True)
class Origin:
    """An environment or a model that a recording is of.

    Attributes:
        model: MuJoCo's compiled model.
        name: the environment's id, or what the model calls itself.
        n_substeps: physics steps between two states.
        n_substeps_given: someone said so; otherwise a format may know better.
        is_gymnasium: the environment is one of Gymnasium's.
        facts: versions of what steps are replayed with.
    """

    model: mujoco.MjModel
    name: str
    n_substeps: int = 1
    n_substeps_given: bool = False
    is_gymnasium: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_env(cls, env: str, **options: Any) -> "Origin":
        """Return the origin ``gymnasium:NAME``.

        Raises:
            UsageError: Gymnasium is not installed, or has no such MuJoCo environment.
        """
        from jacdb.ingest.sources import gymnasium

        name = env.removeprefix("gymnasium:")
        model, n_substeps, versions = gymnasium.load(name, **options)
        said = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
        return cls(model, name, n_substeps, is_gymnasium=True, facts={"replayed_with": said})

    @classmethod
    def of_model(cls, model: mujoco.MjModel) -> "Origin":
        """Return the origin of a model of one's own."""
        return cls(model, model_name(model), facts={"replayed_with": f"mujoco {mujoco.__version__}"})

    def with_substeps(self, n_substeps: int | None) -> "Origin":
        """Return the origin with physics steps that someone gave; None leaves it as it is."""
        return self if n_substeps is None else replace(self, n_substeps=n_substeps, n_substeps_given=True)

    def recording(
        self, suite: str, dtype: np.dtype, facts: Mapping[str, str], files: tuple[Path, ...],
        read: Callable[[], Iterator[Trajectory]],
    ) -> Recording:  # fmt: skip
        """Return a recording of it."""
        every = {**facts, **self.facts}
        return Recording(self.name, suite, self.model, self.n_substeps, np.dtype(dtype), every, files, read)
