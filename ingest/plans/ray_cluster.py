"""Carry out many runs on a Ray cluster, a task each; a task that is lost with its worker or node is begun anew.

A task does what the command does with ``--shard``, into a folder that all nodes see, and nothing else: begun anew, it
goes on from the episodes that are there. How far tasks are stands in that folder, too. Where nodes share no folder,
shards travel through a store (:mod:`jacdb.ingest.plans.transfers`), and a task begun anew begins its shard anew.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacdb import interruption
from jacdb._version import __version__
from jacdb.dataset.layout import PROGRESS, Run
from jacdb.dataset.shard import SHARDS
from jacdb.errors import UsageError, first_line
from jacdb.ingest.plans import transfers
from jacdb.ingest.plans.object_store import ObjectStore
from jacdb.ingest.plans.planned_command import Task
from jacdb.ingest.plans.planned_runs import Outcome, outcome
from jacdb.ingest.plans.transfers import Inventory, Sent
from jacdb.ingest.requested_run import Report, RequestedRun
from jacdb.progress import Event

RETRIES = 5  # of a task whose worker or node is lost
POLL = 2.0  # seconds between looks at how far tasks are
ANSWER = 5.0  # seconds that an address has to answer: Ray itself asks for minutes
DOING = "making shards on Ray"
FRESH = 60.0  # seconds: who noted no progress for so long is not at work


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and what a task takes of it.

    Attributes:
        address: ``local`` for one of this machine alone; ``auto`` for the one that this machine is of, or RAY_ADDRESS
            names; or HOST:PORT.
        cpus: of a task; None for all of a node's, or one where tasks have a GPU.
        gpus: of a task; None for one where the cluster has GPUs.
    """

    address: str
    cpus: float | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("task-cpus", self.cpus), ("task-gpus", self.gpus)):
            if value is not None and not 0 <= value <= 4096:
                raise UsageError(f"--{name} {value}: give a number from 0 to 4096")

    def connected(self) -> Any:
        """Return Ray, connected to the cluster, whose address has been checked.

        Raises:
            UsageError: Ray is not installed, or no cluster answers.
        """
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
            from ray import init  # a folder of the name, such as Ray's own in /tmp, can be imported, too
        except ImportError as error:
            raise UsageError(f"--ray needs Ray ({error.name} is missing): pip install 'jacdb[cluster]'") from error
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address == "local":
            init(address="local", include_dashboard=False, **options)
            return ray
        try:
            init(address=self.address, **options)
        except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
            raise UsageError(f"--ray {self.address}: no cluster answers ({first_line(error)})") from error
        return ray

    def check_address(self) -> None:
        """Refuse an address that does not answer: Ray asks again for two minutes, and ends the process.

        Raises:
            UsageError: it does not.
        """
        host, _, port = self.address.removeprefix("ray://").rpartition(":")
        if self.address in ("auto", "local"):
            return
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--ray {self.address}: give local, auto, or HOST:PORT")
        try:
            socket.create_connection((host, int(port)), ANSWER).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"--ray {self.address}: no cluster answers ({reason}): see `ray status` there") from error

    def resources(self, nodes: Sequence[dict[str, Any]]) -> tuple[float, float, int]:
        """Return CPUs and GPUs of a task, and how many cores it may use.

        Args:
            nodes: as Ray describes them.

        Raises:
            UsageError: no node has as many.
        """
        has = [
            (node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in nodes if node["Alive"]
        ]
        with_gpu = [each for each in has if each[1]]
        gpus = self.gpus if self.gpus is not None else float(bool(with_gpu))
        fitting = [each for each in has if each[0] and each[1] >= gpus]
        if not fitting:
            raise UsageError(f"--task-gpus {gpus:g}: no node of the cluster has as many")
        cpus = self.cpus if self.cpus is not None else 1.0 if gpus else min(cpu for cpu, _ in fitting)
        if cpus > max(cpu for cpu, _ in fitting):
            raise UsageError(f"--task-cpus {cpus:g}: no node of the cluster has as many")
        share = min(cpu / gpu for cpu, gpu in with_gpu) * gpus if gpus else cpus
        return cpus, gpus, max(1, int(max(cpus, share)))


def carry_out(
    runs: Sequence[Task], data: Path, cluster: Cluster, report: Report, store: ObjectStore | None = None
) -> Iterator[Outcome]:
    """Yield the outcome of each run as it ends.

    Args:
        runs: runs, or shards of runs; those that are there already are left as they are.
        data: the dataset's folder, which all nodes see under this path, unless there is a store.
        cluster: where.
        report: called with progress.
        store: where nodes leave shards, to be fetched from there; None where they write into ``data``.

    Raises:
        UsageError: no cluster answers, or none of its nodes is large enough.
    """
    report(Event("connecting to Ray"))
    ray = cluster.connected()
    with interruption.at_stop(ray.shutdown):
        try:
            cpus, gpus, cores = cluster.resources(ray.nodes())
            task = ray.remote(_task).options(
                num_cpus=cpus,
                num_gpus=gpus,
                max_retries=RETRIES,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": {"JACDB_CORES": str(cores)}},
            )
            where = (store.url, Inventory.of(data)) if store else str(data.resolve())
            there = ray.put(where)
            begun = {task.remote(run, there, __version__): run for run in runs}
            progress = _Progress(data, len(runs), report)
            while begun:
                done, _ = ray.wait([*begun], timeout=POLL)
                for one in done:
                    ended = _outcome(ray, one, begun.pop(one))
                    yield transfers.receive(ended, data, progress.beside) if isinstance(ended, Sent) else ended
                progress.note(len(runs) - len(begun))
        finally:
            ray.shutdown()


def _task(run: Task, where: str | tuple[str, Inventory], version: str) -> Outcome | Sent:
    """Carry out a run on a node, and return what became of it.

    Args:
        where: the dataset's folder; or a store's address, and what is in the folder, which the node does not see.
        version: of who asks.
    """
    if version != __version__:
        return Outcome(f"{run.words}: {socket.gethostname()} has jacdb {__version__}, not {version}", failed=True)
    if isinstance(where, str):
        return outcome(run, Path(where), lambda event: None)
    if not isinstance(run, RequestedRun):
        raise TypeError(f"{run.words} can't travel")  # transfers.check refuses it
    return transfers.send(run, ObjectStore(where[0]), where[1])


def _outcome(ray: Any, begun: Any, run: Task) -> Outcome | Sent:
    try:
        returned: Outcome | Sent = ray.get(begun)
        return returned
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return Outcome(f"{run.words}: its worker was lost or failed ({first_line(cause)})", failed=True)


class _Progress:
    """Tells how far all tasks are, and how fast each node is, as their journals say."""

    def __init__(self, data: Path, total: int, report: Report) -> None:
        self._data, self._total, self._report = data, total, report
        self._speeds, self._due, self._done = "", 0.0, 0

    def beside(self, event: Event) -> None:
        """Report what is done beside, in the same line."""
        self._report(Event(DOING, self._done, self._total, "shards", event.doing))

    def note(self, done: int) -> None:
        """Report how many are done."""
        self._done, begun = done, time.monotonic()
        if begun >= self._due:
            self._speeds = ", ".join(f"{node} {speed:,.0f} steps/s" for node, speed in sorted(self._by_node().items()))
            took = time.monotonic() - begun
            self._due = begun + max(POLL, 20 * took)  # a folder of many shards on a shared disk takes its time
        self._report(Event(DOING, done, self._total, "shards", self._speeds))

    def _by_node(self) -> dict[str, float]:
        journals = Run("*", "*").journal
        speeds: dict[str, float] = {}
        for pattern in (f"{SHARDS}/*/{journals}/{PROGRESS}", f"{journals}/{PROGRESS}"):
            for path in self._data.glob(pattern):
                try:
                    said = json.loads(path.read_text("utf-8"))
                    elapsed = said["updated"] - said["started"]
                    if said["done"] and elapsed > 0 and time.time() - said["updated"] < FRESH:
                        speeds[said["node"]] = speeds.get(said["node"], 0.0) + said["done"] / elapsed
                except (OSError, ValueError, TypeError, KeyError):
                    pass  # it is finished, or of another version
        return speeds
