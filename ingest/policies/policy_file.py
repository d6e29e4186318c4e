"""The file that carries a trained policy, read and written without JAX.

A file is safetensors: numbers and a text header, nothing that runs. Tensors: ``mean`` and ``std`` of observations, then
``kernel_i`` and ``bias_i`` of each layer. The header's ``jacdb`` is JSON: how it was trained, and what it reached.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from jacdb.atomic_file import write_file
from jacdb.errors import UsageError

MAX_BYTES = 64 * 2**20  # a few hundred KB are usual
VERSION = 1
SUFFIX = ".safetensors"


def write_tensors(path: Path, tensors: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        FailureError: it can't be written.
    """
    write_file(path, save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, about))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return tensors and header of a safetensors file; raise whatever a broken one makes of its reader.

    Raises:
        OSError: the system does not let it be read; what is in it is another matter.
    """
    with path.open("rb"):  # of one that may not be opened safetensors says that there is none
        pass
    with safetensors.safe_open(path, "numpy") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        return tensors, opened.metadata() or {}


@dataclass(frozen=True)
class PolicyFile:
    """The contents of a policy file, whole and consistent.

    Attributes:
        mean, std: of observations, (d_observation,).
        layers: (kernel, bias) of each layer; the last gives mean and scale of each action.
        about: the header: ``env``, ``obs_key``, ``return``, ``status``, and how it was trained.
    """

    mean: np.ndarray
    std: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    about: dict[str, Any]

    @property
    def d_action(self) -> int:
        return self.layers[-1][1].size // 2

    def save(self, path: Path) -> None:
        tensors = {"mean": self.mean, "std": self.std}
        for i, (kernel, bias) in enumerate(self.layers):
            tensors |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
        header = {"version": VERSION, **self.about}
        write_tensors(path, tensors, {"jacdb": json.dumps(header)})

    @classmethod
    def load[Loaded: "PolicyFile"](cls: type[Loaded], path: Path) -> Loaded:
        """Read a policy file.

        Raises:
            UsageError: it is not there, is no policy of jacdb's, is broken, or not of one piece.
            OSError: the system does not let it be read.
        """
        if not path.is_file():
            command = f"jacdb train --env … --out {shlex.quote(str(path))}"
            raise UsageError(f"no policy file {path}: train one with `{command}`")
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} has {path.stat().st_size:,} bytes, a policy {MAX_BYTES:,} at most: it is none")
        try:
            tensors, header = read_tensors(path)
            about = json.loads(header["jacdb"])
            if about["version"] > VERSION:
                raise UsageError(f"{path} is of policy version {about['version']}: upgrade with `pip install -U jacdb`")
            count = len(tensors) // 2 - 1
            layers = tuple((tensors[f"kernel_{i}"], tensors[f"bias_{i}"]) for i in range(count))
            policy = cls(tensors["mean"], tensors["std"], layers, about)
            policy._check()
        except (UsageError, OSError):
            raise
        except Exception as error:  # whatever a stranger's file makes of its reader
            said = str(error).strip().splitlines()
            reason = f"{type(error).__name__}: {said[0] if said else ''}"
            raise UsageError(f"{path} is no policy of jacdb's, or broken ({reason}): train one anew") from error
        return policy

    def _check(self) -> None:
        """Check that sizes fit each other and numbers are numbers."""
        if not isinstance(self.about["env"], str) or not isinstance(self.about["obs_key"], str):
            raise ValueError("env and obs_key must be text")
        width = self.mean.size
        for kernel, bias in self.layers:
            if kernel.shape != (width, bias.size):
                raise ValueError(f"layers {kernel.shape} after {width} do not fit")
            width = bias.size
        if not self.layers or width % 2 or not self.std.shape == self.mean.shape == (self.mean.size,):
            raise ValueError("sizes do not fit")
        numbers = [self.mean, self.std, *(part for layer in self.layers for part in layer)]
        if not all(part.dtype.kind == "f" and np.isfinite(part).all() for part in numbers) or (self.std <= 0).any():
            raise ValueError("numbers are not finite, or a standard deviation is not above 0")
