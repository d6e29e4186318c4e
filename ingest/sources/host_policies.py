"""Policies that act in NumPy, one control step at a time: coloured noise, no action, a function of one's own.

Their actions are ctrl. The policies of :mod:`jacdb.ingest.policies` act on the device, in Playground's environments.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import mujoco
import numpy as np
from jaxtyping import Float

from jacdb.errors import UsageError
from jacdb.ingest.models.python_file import PythonFunction, called, named
from jacdb.ingest.policies.choice import BETA, SCALE, check_noise, noise_of, refuse_noise

type Act = Callable[[int, Any], Float[np.ndarray, " nu"]]  # of a step's number and its observation


@runtime_checkable
class HostPolicy(Protocol):
    """A policy: begun anew in each episode, with randomness that depends on (seed, episode) alone."""

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """Return all that determines its actions, besides the seed."""
        ...

    def begin(self, model: mujoco.MjModel, seed: int, episode: int, steps: int) -> Act:
        """Return the episode's actions: a function of the step's number and what is observed before it."""
        ...


def ctrl_range(model: mujoco.MjModel) -> tuple[Float[np.ndarray, " nu"], Float[np.ndarray, " nu"]]:
    """Return the least and the greatest ctrl of each actuator; infinite where it has no ctrlrange."""
    limited = model.actuator_ctrllimited.astype(bool)
    low, high = model.actuator_ctrlrange.T
    return np.where(limited, low, -np.inf), np.where(limited, high, np.inf)


@dataclass(frozen=True)
class HostNoise:
    """Coloured Gaussian noise about the middle of each actuator's ctrlrange, clipped to it.

    Attributes:
        beta: exponent of the power spectral density, 1 / f^beta.
        scale: standard deviation before clipping: in half widths of the ctrlrange; of an actuator that has none, in
            ctrl's own unit, about 0, and not clipped.
    """

    beta: float = BETA
    scale: float = SCALE
    name: str = "noise"

    def __post_init__(self) -> None:
        check_noise(self.beta, self.scale)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def begin(self, model: mujoco.MjModel, seed: int, episode: int, steps: int) -> Act:
        from jacdb.ingest.policies.noise import coloured_noise  # it imports JAX

        low, high = ctrl_range(model)
        limited = np.isfinite(low)
        middle = np.where(limited, (model.actuator_ctrlrange[:, 0] + model.actuator_ctrlrange[:, 1]) / 2, 0.0)
        half = np.where(limited, (model.actuator_ctrlrange[:, 1] - model.actuator_ctrlrange[:, 0]) / 2, 1.0)
        drawn = self.scale * coloured_noise(self.beta, seed, episode, steps, model.nu)
        ctrl = np.clip(middle + half * drawn, low, high)
        return lambda step, obs: ctrl[step]


@dataclass(frozen=True)
class HostZero:
    """Zero ctrl: the dynamics left to themselves, or to servos that hold zero."""

    name: str = "zero"

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def begin(self, model: mujoco.MjModel, seed: int, episode: int, steps: int) -> Act:
        ctrl = np.zeros(model.nu)
        return lambda step, obs: ctrl


class FunctionPolicy:
    """A function of one's own, ``act(obs, rng)``, that returns ctrl, (nu,).

    What it observes is Gymnasium's observation, dm_control's dict of observations, or, of a model, its state: qpos,
    qvel and act, one after the other. ``rng`` is NumPy's generator of the episode. A class in the function's place is
    made anew in each episode, without arguments, and what it makes is called the same way: it may keep time, or a
    filter.
    """

    def __init__(self, text: str) -> None:
        """Import the function that ``FILE.py:FUNCTION`` names.

        Raises:
            UsageError: as :class:`~jacdb.ingest.models.python_file.PythonFunction`.
        """
        self._function = PythonFunction(text)
        self.name = self._function.name

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "sha256": self._function.sha256}

    def begin(self, model: mujoco.MjModel, seed: int, episode: int, steps: int) -> Act:
        function, rng = self._function, np.random.default_rng([seed, episode])
        act = function() if isinstance(function.object, type) else function.object

        def checked(step: int, obs: Any) -> np.ndarray:
            returned = called(function.text, function.path, act, obs, rng)
            where = f"{function.text} returned, in step {step} of episode {episode},"
            try:
                ctrl = np.asarray(returned, np.float64)
            except (TypeError, ValueError):
                raise UsageError(f"{where} a {type(returned).__name__}: return ctrl, shape ({model.nu},)") from None
            if ctrl.shape != (model.nu,):
                raise UsageError(f"{where} ctrl of shape {ctrl.shape}: return shape ({model.nu},)")
            if not np.isfinite(ctrl).all():
                raise UsageError(f"{where} {ctrl[~np.isfinite(ctrl)][0]} in ctrl: return finite numbers")
            return ctrl

        return checked


def check(text: str, *, beta: float | None = None, scale: float | None = None) -> None:
    """Refuse what :func:`make` would, except for what only the import of a person's file can tell.

    Raises:
        UsageError: there is no such policy, no such noise, or the policy has none.
    """
    if text == "noise":
        check_noise(*noise_of(beta, scale))
        return
    if text.partition(":")[0].endswith(".py"):
        named(text)
    elif text != "zero":
        raise UsageError(
            f"unknown policy {text!r}: give noise, zero, or a function of yours as FILE.py:FUNCTION (trained policies"
            " are for Playground's environments)"
        )
    refuse_noise(text, beta=beta, scale=scale)


def make(text: str, *, beta: float | None = None, scale: float | None = None) -> HostPolicy:
    """Return the policy that a person names: ``noise``, ``zero``, or a function as ``FILE.py:FUNCTION``.

    Raises:
        UsageError: as :func:`check`, or the file fails.
    """
    check(text, beta=beta, scale=scale)
    if text == "noise":
        return HostNoise(*noise_of(beta, scale))
    return HostZero() if text == "zero" else FunctionPolicy(text)
