"""From the name of a policy, as a person gives it, to the policy."""

import re
from typing import Any

from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.policies import choice
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.noise import NoisePolicy, ZeroPolicy


def make(
    name: str,
    spec: EnvSpec,
    *,
    beta: float | None = None,
    scale: float | None = None,
    deterministic: bool = False,
) -> Policy:
    """Return the policy of that name for an environment.

    Args:
        name: ``noise``, ``zero``, ``expert``, the path of a policy file, or a dataset on the Hub that has policies.
        beta: of the noise, of its own or on top of a trained policy; None for the policy's default.
        scale: of ``noise``; None for its default.
        deterministic: of a trained policy: no noise.

    Raises:
        UsageError: there is none, it is no policy for the environment, or it has no such option.
    """
    choice.check_options(name, beta, scale, deterministic)
    if name == "noise":
        return NoisePolicy(*choice.noise_of(beta, scale))
    if name == "zero":
        return ZeroPolicy()
    return find(name, spec, beta=choice.BETA if beta is None else beta, deterministic=deterministic)


def find(name: str, spec: EnvSpec, **options: Any) -> ExpertPolicy:
    """Return the trained policy for an environment.

    Args:
        name: ``expert``, the one that comes with jacdb, or else is in the dataset on the Hub that JACDB_HUB names; or a
            file's path; or ``hf://datasets/OWNER/NAME[@REVISION]``, a dataset that has policies.

    Raises:
        UsageError: there is none, it is broken, or it is another environment's.
        FailureError: the Hub can't be reached.
    """
    path = choice.path_of(name, spec)
    network = choice.load(path, spec, Network)
    called = re.sub(r"[^A-Za-z0-9_.]", "_", path.stem)[:64]  # it names folders
    is_expert = name == "expert" or name.startswith(choice.HUB)
    return ExpertPolicy(network, name="expert" if is_expert else called, **options)
