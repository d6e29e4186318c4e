"""Ids of the episodes that sources gave: rollouts in MuJoCo's C engine, and recordings.

Recordings of equal states and actions have equal ids. A rollout's id is of the words that determine its states, which
may say one thing in two ways: ``--keyframe home`` and ``--keyframe 0`` have different ids for the same states.
Playground's are :func:`jacdb.schemas.trajectory_id`. Without lengths that was the rule for sources too, before 1.0: an
id was then another for another number of episodes, and the same for other physics steps. Datasets keep the ids that
they have.
"""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt


def is_rollout(policy_config: str) -> bool:
    """Return whether a run's settings say what chose its actions; otherwise its trajectories were recorded."""
    return isinstance(settings_of(policy_config).get("policy"), dict)


def of_rollout(env: str, policy_config: str, seed: int, model: str, n_substeps: int, episode: int) -> int:
    """Return the id of a rollout's episode: 63 bits of a hash of all that determines its states.

    How many episodes there are plays no part, nor do a model's files beyond the compiled model.

    Args:
        env, policy_config, seed, model: as in `runs`; see :func:`is_rollout`.
        n_substeps: physics steps in a control step.
        episode: its number in the run.
    """
    settings = settings_of(policy_config)
    settings.pop("episodes", None)
    policy = settings["policy"]
    # Of two lengths the shorter is the beginning of the other, unless the policy plans: noise is drawn for all steps
    # at once. No action does not, nor does a function of one's own, which has a file's checksum.
    if policy == {"name": "zero"} or "sha256" in policy:
        settings.pop("steps", None)
    if isinstance(source := settings.get("source"), dict):
        settings["source"] = {key: said for key, said in source.items() if not key.startswith("sha256 of ")}
    text = json.dumps(["rollout", env, settings, seed, model, n_substeps, episode], sort_keys=True)
    return _bits(hashlib.sha256(text.encode()))


class RecordedStates:
    """The hash of a recorded episode, taken row by row: of the model, its physics steps, and all states and actions."""

    def __init__(self, env: str, model: str, n_substeps: int) -> None:
        self._hash = hashlib.sha256(json.dumps(["recorded", env, model, n_substeps]).encode())

    def add(
        self,
        state: npt.NDArray[np.floating],
        action: npt.NDArray[np.floating],
        next_state: npt.NDArray[np.floating],
    ) -> None:
        """Take further rows of `steps` into it: (steps, n_state), (steps, d_action) and (steps, n_state)."""
        rows = np.concatenate([state, action, next_state], axis=1, dtype="<f8")
        self._hash.update((rows + 0.0).tobytes())  # -0 is 0

    def trajectory_id(self) -> int:
        """Return the episode's id: 63 bits of the hash of the rows so far."""
        return _bits(self._hash)


def settings_of(policy_config: str) -> dict[str, Any]:
    """Return settings as a dictionary; an empty one where the text is none."""
    try:
        settings = json.loads(policy_config)
    except (ValueError, TypeError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _bits(hashed: "hashlib._Hash") -> int:
    return int.from_bytes(hashed.digest()[:8], "big") >> 1
