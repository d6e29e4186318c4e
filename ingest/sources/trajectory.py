"""The one form in which every source hands over what a model did: states, actions, and what each step began with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from jacdb.errors import UsageError

MAX_SUBSTEPS = 100_000  # far below the 2^31 that MuJoCo counts to, and no robot is controlled more rarely


@dataclass(frozen=True)
class Trajectory:
    """An episode of a model: T control steps between T + 1 states. A step is ``n_substeps`` calls of ``mj_step``.

    Attributes:
        qpos, qvel, act: states, MuJoCo's units (m, rad, m/s, rad/s); quaternions have unit length.
        ctrl: what the physics was given in each step; it is the action too.
        reward: of each step; NaN where the source has none.
        done: whether each step ended the episode by the environment's own rules.
        warmstart: the acceleration that the solver started each step from (qacc_warmstart); None where it was not
            recorded, and follows from the steps before.
        mocap_pos, mocap_quat: poses of mocap bodies during each step; None where the model has none, or they rest.
        doubtful: the reason why a step's state is not what the simulation had (``velocity clipped``), or "".
    """

    qpos: Float[np.ndarray, "states nq"]
    qvel: Float[np.ndarray, "states nv"]
    act: Float[np.ndarray, "states na"]
    ctrl: Float[np.ndarray, "steps nu"]
    reward: Float[np.ndarray, " steps"]
    done: Bool[np.ndarray, " steps"]
    warmstart: Float[np.ndarray, "steps nv"] | None = None
    mocap_pos: Float[np.ndarray, "steps nmocap 3"] | None = None
    mocap_quat: Float[np.ndarray, "steps nmocap 4"] | None = None
    doubtful: list[str] = field(default_factory=list)  # empty: no step is

    @property
    def n_steps(self) -> int:
        return len(self.ctrl)

    @property
    def states(self) -> Float[np.ndarray, "states n_state"]:
        """The states as `steps` stores them: qpos, qvel and act."""
        return np.concatenate([self.qpos, self.qvel, self.act], axis=1)


@runtime_checkable
class Source(Protocol):
    """A model, and trajectories of it.

    Attributes:
        name: the environment's name in the dataset's ``env`` columns: letters, digits, ``_``, ``.`` and ``-``.
        suite: ``gymnasium``, ``dm_control``, ``model``, ``minari``, ``d4rl``, ``lerobot`` or ``file``.
        model: MuJoCo's compiled model.
        n_substeps: physics steps in one control step.
    """

    @property
    def name(self) -> str: ...

    @property
    def suite(self) -> str: ...

    @property
    def model(self) -> mujoco.MjModel: ...

    @property
    def n_substeps(self) -> int: ...

    def provenance(self) -> dict[str, str]:
        """Return what the run says of where its rows are from.

        ``source`` (the environment's or dataset's id, or the file's name), ``source_version`` and ``licence``, where
        it has them, become columns of `runs`; all else, checksums above all, stands in its ``policy_config``.
        """
        ...

    def n_episodes(self) -> int:
        """Return how many episodes there are.

        Raises:
            UsageError: they had to be read, and one is no trajectory of the model.
        """
        ...

    def trajectories(self, numbers: range | None = None) -> Iterator[Trajectory]:
        """Yield the episodes, in an order that does not change.

        Args:
            numbers: consecutive ones, counted from 0; None for all.

        Raises:
            UsageError: the source holds something that is no trajectory of the model; the message names it.
        """
        ...


def check_substeps(n_substeps: Any, said: str = "substeps=") -> None:
    """Refuse what can't be the number of physics steps in a control step.

    Args:
        n_substeps: the number.
        said: how it was given, up to the number.

    Raises:
        UsageError: it is no whole number, or out of its range.
    """
    is_whole = isinstance(n_substeps, int | np.integer) and not isinstance(n_substeps, bool)
    if not is_whole or not 1 <= n_substeps <= MAX_SUBSTEPS:
        raise UsageError(f"{said}{n_substeps!r}: give a whole number from 1 to {MAX_SUBSTEPS:,}")
