"""The environments of other suites, Gymnasium's and dm_control's: what each is, and whether its suite is installed.

The facts stand in ``suites.csv``, a row an environment. Importing this module needs neither a suite nor a simulator.
"""

import csv
import functools
import importlib.metadata
import importlib.resources
import importlib.util
from dataclasses import dataclass

from jacdb.errors import UsageError, suggestion

# The modules that each suite's MuJoCo environments import beyond the `ingest` extra. Gymnasium alone does not bring
# imageio, and imports it with any of them.
MODULES = {"gymnasium": ("gymnasium", "imageio"), "dm_control": ("dm_control",)}


@dataclass(frozen=True)
class SuiteEnv:
    """The facts of one environment, known without its suite.

    Attributes:
        suite: ``gymnasium`` or ``dm_control``.
        name: the suite's name of it; ``typed`` is what a person types.
        nq, nv, na, nu: MuJoCo's sizes of position, velocity, activation and control. The action is ctrl.
        n_substeps: physics steps in one control step.
        steps: control steps at which its suite cuts an episode; 1000 where it never does (lqr).
        refused: why it can't be a source; "" where it can.
    """

    suite: str
    name: str
    nq: int
    nv: int
    na: int
    nu: int
    n_substeps: int
    steps: int
    refused: str

    @property
    def typed(self) -> str:
        return f"{self.suite}:{self.name}"

    @property
    def d_state(self) -> int:
        """Tangent dimensions of the state: 2 nv, and activations."""
        return 2 * self.nv + self.na


@functools.cache
def all_envs() -> dict[str, SuiteEnv]:
    """Return every environment by what a person types, ``gymnasium:HalfCheetah-v5`` say, in the order of the table."""
    text = importlib.resources.files(__package__).joinpath("suites.csv").read_text("utf-8")
    sizes = ("nq", "nv", "na", "nu", "n_substeps", "steps")
    envs = [
        SuiteEnv(row["suite"], row["name"], **{size: int(row[size]) for size in sizes}, refused=row["refused"])
        for row in csv.DictReader(text.splitlines())
    ]
    return {env.typed: env for env in envs}


def find(typed: str) -> SuiteEnv:
    """Return the facts of the environment that a person types as ``SUITE:NAME``.

    Raises:
        UsageError: there is no such suite, the suite has no such environment, or none that can be a source.
    """
    suite, _, name = typed.partition(":")
    if suite not in MODULES:
        raise UsageError(f"unknown suite {suite!r} in {typed!r}: {suggestion(suite, MODULES)}")
    envs = all_envs()
    if typed not in envs:
        names = [env.name for env in envs.values() if env.suite == suite]
        raise UsageError(f"{suite} has no environment {name!r} with a MuJoCo model: {suggestion(name, names)}")
    if envs[typed].refused:
        raise UsageError(f"{typed} can't be a source: {envs[typed].refused}")
    return envs[typed]


def named(name: str) -> list[str]:
    """Return what a person types for the environments that have this name in their suite."""
    return [env.typed for env in all_envs().values() if env.name.lower() == name.lower() and not env.refused]


def version(suite: str) -> str | None:
    """Return the suite's installed version; None where it, or what its MuJoCo environments import, is not installed."""
    if any(importlib.util.find_spec(module) is None for module in MODULES[suite]):
        return None
    return importlib.metadata.version(suite)


def installed_envs() -> list[SuiteEnv]:
    """Return the environments that can be sources, of the suites that are installed."""
    there = {suite for suite in MODULES if version(suite) is not None}
    return [env for env in all_envs().values() if env.suite in there and not env.refused]


def require(suite: str) -> None:
    """Refuse a suite that is not installed.

    Raises:
        UsageError: a module of it is missing; the message says what to install.
    """
    for module in MODULES[suite]:
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"{suite}'s environments need {module}, which is missing: pip install 'jacdb[{suite}]'")
