"""The environments of MuJoCo Playground 0.2: what each is, and what it needs.

The facts stand in ``environments.csv``, a row an environment; a new environment is a new row. Importing this
module needs no simulator (``jacdb envs`` reads the table alone); :mod:`~jacdb.ingest.environments.loading` does.
"""

import csv
import difflib
import functools
import importlib.resources
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jacdb.errors import UsageError
from jacdb.methods import Method

ActionMap = Literal["direct", "offset", "qpos", "integrated", "delayed"]


class Memory(NamedTuple):
    """State that an environment keeps in ``State.info``: the first ``size`` numbers of an entry, in ``unit``."""

    entry: str
    size: int
    unit: str


@dataclass(frozen=True)
class EnvSpec:
    """The facts of one environment, known before it is loaded.

    Attributes:
        name: Playground's name of the environment.
        suite: ``dm_control``, ``locomotion`` or ``manipulation``.
        robots: folders of MuJoCo Menagerie that its model is built from.
        nq, nv, nu: MuJoCo's sizes of position, velocity and control.
        d_action: dimensions of the action that a policy gives.
        n_substeps: physics steps in one control step.
        action_map: how the environment makes ctrl of the action. ``direct``: ctrl = action. ``offset``: a
            constant pose plus scaled action. ``qpos``: current joint positions plus scaled action.
            ``integrated``: previous ctrl plus scaled action (in PandaPickCubeCartesian by way of inverse
            kinematics), which makes ctrl part of the state. ``delayed``: scaled action of an earlier step.
        memory: what else of the environment is state: it follows from earlier state and actions, and the next step
            depends on it. In PandaPickCubeCartesian the target that actions move, in PandaRobotiqPushCube the last
            two actions, of which a draw applies one: an action itself moves nothing in its own step.
        held: what the step reads beyond state and action, held constant in the derivative.
        method: how its Jacobians are computed unless one asks otherwise: ``implicit``, or ``unrolled`` where MJX's
            constraint solver stops before it has converged in so many steps that both cost more (docs/jacobians.md).
    """

    name: str
    suite: str
    robots: tuple[str, ...]
    nq: int
    nv: int
    nu: int
    d_action: int
    n_substeps: int
    action_map: ActionMap
    memory: tuple[Memory, ...]
    held: tuple[str, ...]
    method: Method

    @property
    def ctrl_is_state(self) -> bool:
        """Return whether the next ctrl depends on the present one, so that ctrl belongs to the state."""
        return self.action_map == "integrated"

    @property
    def d_carried(self) -> int:
        """Dimensions of the state beyond positions and velocities: ctrl where it is state, and memory."""
        return (self.nu if self.ctrl_is_state else 0) + sum(memory.size for memory in self.memory)

    @property
    def d_state(self) -> int:
        """Tangent dimensions of the state: 2 nv and what is carried (no environment has na > 0)."""
        return 2 * self.nv + self.d_carried


@functools.cache
def all_specs() -> dict[str, EnvSpec]:
    """Return every environment of Playground 0.2 by name, in the order of suite and name."""
    text = importlib.resources.files(__package__).joinpath("environments.csv").read_text("utf-8")
    return {row["name"]: spec_of_row(row) for row in csv.DictReader(text.splitlines())}


def spec_of_row(row: dict[str, str]) -> EnvSpec:
    """Return the facts that a row of ``environments.csv`` states."""
    memory = [entry.split(":") for entry in row["memory"].split()]
    sizes = {key: int(row[key]) for key in ("nq", "nv", "nu", "d_action", "n_substeps")}
    return EnvSpec(
        name=row["name"],
        suite=row["suite"],
        robots=tuple(row["robots"].split()),
        action_map=row["action_map"],  # type: ignore[arg-type]
        memory=tuple(Memory(entry, int(size), unit) for entry, size, unit in memory),
        held=tuple(row["held"].split()),
        method=row["method"],  # type: ignore[arg-type]
        **sizes,
    )


def find(name: str) -> EnvSpec:
    """Return the facts of one environment.

    Raises:
        UsageError: Playground has no environment of that name (the nearest names are given).
    """
    specs = all_specs()
    if name not in specs:
        folded = {known.lower(): known for known in specs}
        near = [folded[low] for low in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(near)}?" if near else "`jacdb envs` lists them all"
        raise UsageError(f"unknown environment {name!r}: {hint}")
    return specs[name]
