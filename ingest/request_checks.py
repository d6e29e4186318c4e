"""Refuse what no run can be, by its numbers and before JAX is imported, which takes seconds."""

import math
from pathlib import Path
from typing import Protocol

from jacdb import out_path
from jacdb.counted import counted
from jacdb.dataset.shard import Shard
from jacdb.errors import UsageError
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.methods import METHODS

MAX_COUNT = 10_000_000
ENTRY_BYTES = {"float32": 4, "float64": 8}  # of a stored matrix entry, by dtype


class Rollout(Protocol):
    """The numbers and names of a rollout, whoever asks for it (:class:`jacdb.ingest.run_plan.Request` has them)."""

    @property
    def episodes(self) -> int: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def num_envs(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def method(self) -> str | None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def memory(self) -> float: ...
    @property
    def shard(self) -> Shard | None: ...


def check_run(run: Rollout) -> None:
    """Refuse numbers and names that are no run's.

    Raises:
        UsageError: one is out of its range, or unknown.
    """
    for name, value in (("episodes", run.episodes), ("steps", run.steps), ("num_envs", run.num_envs)):
        if value is not None and not 1 <= value <= MAX_COUNT:
            raise UsageError(f"{name}={value}: give a whole number from 1 to {MAX_COUNT:,}")
    if not 0 <= run.seed < 2**63:
        raise UsageError(f"seed={run.seed}: give a whole number from 0 to 2^63 - 1")
    if run.method not in (None, *METHODS):
        raise UsageError(f"unknown method {run.method!r}: give {' or '.join(METHODS)}")
    check_dtype(run.dtype)
    if not (math.isfinite(run.memory) and run.memory > 0):
        raise UsageError(f"memory={run.memory}: give a positive number of GiB")
    if run.shard:
        check_shard(run.shard, run.episodes)


def check_shard(shard: Shard, episodes: int) -> None:
    """Refuse a shard of a run that has fewer episodes than shards.

    Raises:
        UsageError: it is one.
    """
    if shard.count > episodes:
        raise UsageError(
            f"--shard {shard.index}/{shard.count}: a run of {counted(episodes, 'episode')} has no more shards than"
            " that: give a smaller N"
        )


def check_dtype(dtype: str) -> None:
    """Refuse a type that matrix entries are not stored in.

    Raises:
        UsageError: it is one.
    """
    if dtype not in ENTRY_BYTES:
        raise UsageError(f"unknown dtype {dtype!r}: give {' or '.join(ENTRY_BYTES)}")


def step_bytes(spec: EnvSpec, dtype: str) -> int:
    """Return the bytes that the matrices of one step take."""
    return spec.d_state * (spec.d_state + spec.d_action) * ENTRY_BYTES[dtype]


def check_memory(spec: EnvSpec, steps: int, num_envs: int | None, episodes: int, dtype: str, memory: float) -> None:
    """Refuse episodes side by side whose matrices do not fit into ``memory``, in GiB.

    Args:
        steps: the length of an episode.
        num_envs: how many side by side; None for as many as fit, which is one at least.

    Raises:
        UsageError: they do not fit.
    """
    asked = min(num_envs or 1, episodes)
    needed = asked * steps * step_bytes(spec, dtype) / 2**30
    if needed > memory:
        raise UsageError(
            f"{counted(asked, 'episode')} of {steps:,} steps side by side need {needed:.3g} GiB, --memory allows"
            f" {memory:g}: give fewer --num-envs or --steps, or more --memory"
        )


def usable_root(root: Path | str, dtype: str) -> Path:
    """Return the folder of a dataset to write into, which need not exist yet.

    Raises:
        UsageError: it is an address or a file, lies under a file, has a backslash, or may not be written to; or its
            dataset is of another version, or has matrices of another type.
    """
    root = Path(root)
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root}: rows are written into a folder; `jacdb publish` then sends it to the Hub")
    out_path.check_dataset(root)
    if root.is_dir():
        _check_dataset(root, dtype)
    return root


def check_resumable(root: Path, env: str, seed: int, shard: Shard | None = None) -> None:
    """Refuse to resume where no run of an environment has this seed; which of them it is, only its whole plan says.

    Args:
        root: the dataset's folder.
        shard: of the run, if not all of it is asked for.

    Raises:
        UsageError: there is none.
    """
    from jacdb.dataset.layout import Run  # here, for few resume

    places = [root, shard.root(root)] if shard else [root]  # the run of a shard may be whole
    if not any(any(place.glob(Run(env, f"*-seed{seed}-*").folder("axes"))) for place in places):
        raise UsageError(
            f"nothing to resume: {root} has no run of {env} with seed {seed}; leave out --resume to begin one"
        )


def _check_dataset(root: Path, dtype: str) -> None:
    """Refuse a dataset that rows of this type can't be added to."""
    from jacdb.dataset import matrix_type  # Arrow takes 0.3 s, and the folder may be new
    from jacdb.dataset.schema_version import refuse_former

    refuse_former(root, root, "rows are written in version {}", ", or give another folder")
    if of_other := matrix_type.others(root, dtype):
        other = {"float32": "float64", "float64": "float32"}[dtype]
        kinds, remedy = other, f"--dtype {other}"
        if matrix_type.others(root, other):  # mixed already
            kinds, remedy = "float32 and float64", matrix_type.removal(of_other)
        raise UsageError(
            f"--dtype {dtype}: the matrices in {root} are {kinds}, and a dataset has one type: give another --data, or"
            f" {remedy}"
        )
