"""From the name of a policy, as a person gives it, to the policy."""

import importlib.resources
import os
import re
from pathlib import Path
from typing import Any

from jacdb.errors import UsageError
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.policies.network import MAX_BYTES, SUFFIX, Network
from jacdb.ingest.policies.noise import NoisePolicy, ZeroPolicy

HUB = "hf://"


def make(name: str, spec: EnvSpec, *, beta: float = 0.5, scale: float = 1.0, deterministic: bool = False) -> Policy:
    """Return the policy of that name for an environment.

    Args:
        name: ``noise``, ``zero``, ``expert``, the path of a policy file, or a dataset on the Hub that has policies.
        beta: of the noise, of its own or on top of a trained policy.
        scale: of ``noise``.
        deterministic: of a trained policy: no noise.

    Raises:
        UsageError: there is none, or it is no policy for the environment.
    """
    if name in ("noise", "zero") and deterministic:
        raise UsageError(f"deterministic goes with a trained policy, not with {name}")
    if name == "noise":
        return NoisePolicy(beta, scale)
    if name == "zero":
        return ZeroPolicy()
    if name != "expert" and not name.startswith(HUB) and not name.endswith(SUFFIX):
        raise UsageError(f"unknown policy {name!r}: give noise, zero, expert, or a file (*{SUFFIX})")
    return find(name, spec, beta=beta, deterministic=deterministic)


def find(name: str, spec: EnvSpec, **options: Any) -> ExpertPolicy:
    """Return the trained policy for an environment.

    Args:
        name: ``expert``, the one that comes with jacdb, or else is in the dataset on the Hub that JACDB_HUB names; or a
            file's path; or ``hf://datasets/OWNER/NAME[@REVISION]``, a dataset that has policies.

    Raises:
        UsageError: there is none, it is broken, or it is another environment's.
        FailureError: the Hub can't be reached.
    """
    path = _expert(spec) if name == "expert" else _on_hub(name, spec) if name.startswith(HUB) else Path(name)
    network = Network.load(path)
    if network.about["env"] != spec.name:
        raise UsageError(f"{path} is a policy for {network.about['env']}, not for {spec.name}")
    if network.d_action != spec.d_action:
        raise UsageError(f"{path} gives {network.d_action} actions, {spec.name} takes {spec.d_action}: it is broken")
    called = re.sub(r"[^A-Za-z0-9_.]", "_", path.stem)[:64]  # it names folders
    is_expert = name == "expert" or name.startswith(HUB)
    return ExpertPolicy(network, name="expert" if is_expert else called, **options)


def _expert(spec: EnvSpec) -> Path:
    path = Path(str(importlib.resources.files("jacdb.experts").joinpath(spec.name + SUFFIX)))
    if path.is_file():
        return path
    if repository := os.environ.get("JACDB_HUB"):
        return _on_hub(f"{HUB}datasets/{repository}", spec)
    shipped = ", ".join(available()) or "none"
    raise UsageError(
        f"no expert for {spec.name} comes with jacdb (there are: {shipped}): train one with"
        f" `jacdb train --env {spec.name} --out {spec.name}{SUFFIX}` and give that file as --policy, or set"
        " JACDB_HUB=OWNER/NAME to a dataset that has it"
    )


def _on_hub(url: str, spec: EnvSpec) -> Path:
    from jacdb import hub  # it takes 0.3 s to import, and most policies are local

    return hub.policy(*hub.parse_url(url), spec.name, MAX_BYTES)


def available() -> list[str]:
    """Return the environments whose experts come with jacdb."""
    folder = importlib.resources.files("jacdb.experts")
    return sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX))
