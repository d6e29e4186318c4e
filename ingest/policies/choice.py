"""The policy that a person names, found or refused without JAX: what is typed wrong is told at once."""

import importlib.resources
import math
import os
from pathlib import Path

from jacdb.errors import UsageError
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.policies.policy_file import MAX_BYTES, SUFFIX, PolicyFile

HUB = "hf://"
MAX_TRAINING_SEED = 2**53  # each leg's is a thousand times as large, and JAX's have 64 bits
BETA, SCALE = 0.5, 1.0  # of coloured noise, where none is given


def check(
    name: str,
    spec: EnvSpec,
    *,
    beta: float | None = None,
    scale: float | None = None,
    deterministic: bool = False,
) -> None:
    """Refuse what :func:`jacdb.ingest.policies.resolve.make` would, except for what only the Hub can tell.

    Raises:
        UsageError: there is no such policy, it is not for the environment, or an option does not suit it.
    """
    check_options(name, beta, scale, deterministic)
    check_noise(*noise_of(beta, scale))
    if name not in ("noise", "zero") and (path := local_path(name, spec)):
        load(path, spec, PolicyFile)


def check_options(name: str, beta: float | None, scale: float | None, deterministic: bool) -> None:
    """Refuse the name of no policy, and an option that goes with another.

    Args:
        beta, scale: of noise; None where they are not given.

    Raises:
        UsageError: it is one.
    """
    if name not in ("noise", "zero", "expert") and not name.startswith(HUB) and not name.endswith(SUFFIX):
        raise UsageError(f"unknown policy {name!r}: give noise, zero, expert, or a file (*{SUFFIX})")
    if name in ("noise", "zero") and deterministic:
        raise UsageError(f"deterministic goes with a trained policy, not with {name}: leave it out")
    if name == "zero":
        refuse_noise(name, beta=beta, scale=scale)
    elif name != "noise":
        refuse_noise(name, scale=scale)
    check_beta(beta, deterministic)


def refuse_noise(name: str, **given: float | None) -> None:
    """Refuse settings of noise that are given for a policy without it; None is what is not given.

    Raises:
        UsageError: one is given.
    """
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option}={value} goes with noise, not with {name}: leave it out")


def check_beta(beta: float | None, deterministic: bool) -> None:
    """Refuse an exponent of noise that is given for a policy without: its episodes would be the same, by other ids.

    Raises:
        UsageError: it is given.
    """
    if deterministic and beta is not None:
        raise UsageError(f"beta={beta} is of noise, and a deterministic policy acts without: leave one of them out")


def noise_of(beta: float | None, scale: float | None) -> tuple[float, float]:
    """Return exponent and deviation of noise: the defaults where they are not given."""
    return BETA if beta is None else beta, SCALE if scale is None else scale


def check_noise(beta: float, scale: float = SCALE) -> None:
    """Refuse an exponent or a deviation that no noise has.

    Raises:
        UsageError: the exponent is not from 0 to 4, or the deviation is negative or no number.
    """
    if not (math.isfinite(beta) and 0 <= beta <= 4):
        raise UsageError(f"noise exponent beta={beta}: give one from 0 (white) to 4")
    if not (math.isfinite(scale) and scale >= 0):
        raise UsageError(f"noise scale={scale}: give a finite number, 0 or more")


def check_training(*, num_timesteps: int | None, seed: int, legs: int) -> None:
    """Refuse numbers that are no training's (:class:`jacdb.ingest.policies.training.Training`).

    Raises:
        UsageError: one is out of its range.
    """
    for name, value in (("num_timesteps", num_timesteps), ("legs", legs)):
        if value is not None and value < 1:
            raise UsageError(f"{name}={value}: give a whole number from 1")
    if abs(seed) >= MAX_TRAINING_SEED:
        raise UsageError(f"seed={seed}: give a whole number below 2^53")


def check_start(name: str, spec: EnvSpec) -> None:
    """Refuse what no training can go on from, except for what only the Hub can tell.

    Raises:
        UsageError: there is no such trained policy, it is not for the environment, or it does not say its steps.
    """
    if name in ("noise", "zero"):
        raise UsageError(f"{name} is no trained policy to go on from: give expert, or a file (*{SUFFIX})")
    check_options(name, None, None, deterministic=False)
    if path := local_path(name, spec):
        steps_of(load(path, spec, PolicyFile), name)


def steps_of(policy: PolicyFile, name: str) -> int:
    """Return the environment steps that a policy was trained for, which are what its statistics are of.

    Raises:
        UsageError: its file does not say.
    """
    steps = policy.about.get("num_timesteps")
    if not isinstance(steps, int) or steps < 1:
        raise UsageError(
            f"{name} says num_timesteps={steps!r}, and no training goes on from there: give another policy"
        )
    return steps


def local_path(name: str, spec: EnvSpec) -> Path | None:
    """Return the file of a trained policy; None if it has to come from the Hub.

    Raises:
        UsageError: ``expert`` is asked for, and there is none.
    """
    if name.startswith(HUB):
        return None
    if name != "expert":
        return Path(name)
    path = Path(str(importlib.resources.files("jacdb.experts").joinpath(spec.name + SUFFIX)))
    if path.is_file():
        return path
    if os.environ.get("JACDB_HUB"):
        return None
    shipped = ", ".join(available()) or "none"
    raise UsageError(
        f"no expert for {spec.name} comes with jacdb (there are: {shipped}): train one with"
        f" `jacdb train --env {spec.name} --out {spec.name}{SUFFIX}` and give that file as --policy, or set"
        " JACDB_HUB=OWNER/NAME to a dataset that has it"
    )


def path_of(name: str, spec: EnvSpec) -> Path:
    """Return the file of a trained policy, after fetching it if it is on the Hub.

    Raises:
        UsageError: there is none.
        FailureError: the Hub can't be reached.
    """
    if path := local_path(name, spec):
        return path
    from jacdb import hub, hub_names  # they take 0.3 s to import, and most policies are local

    url = name if name.startswith(HUB) else f"{HUB}datasets/{os.environ['JACDB_HUB']}"
    return hub.policy(*hub_names.parse_url(url), spec.name, MAX_BYTES)


def load[Loaded: PolicyFile](path: Path, spec: EnvSpec, kind: type[Loaded]) -> Loaded:
    """Return a policy file's contents, as ``kind``, if it is for the environment.

    Raises:
        UsageError: it is missing, broken, or another environment's.
    """
    policy = kind.load(path)
    if policy.about["env"] != spec.name:
        raise UsageError(f"{path} is a policy for {policy.about['env']}, not for {spec.name}")
    if policy.d_action != spec.d_action:
        raise UsageError(f"{path} gives {policy.d_action} actions, {spec.name} takes {spec.d_action}: it is broken")
    return policy


def available() -> list[str]:
    """Return the environments whose experts come with jacdb."""
    folder = importlib.resources.files("jacdb.experts")
    return sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX))
