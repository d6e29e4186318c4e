"""The rows of one environment as a learning problem: split by trajectory, normalized, with their true zeros.

Two problems with the same ``version`` have the same rows in the same parts. So scores compare.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np

from jacdb.counted import counted
from jacdb.dataset.batch_columns import ZeroMasks, normalization, tangent_space
from jacdb.dataset.segments import Segments, segments
from jacdb.dataset.split import three_parts
from jacdb.dataset.sql_text import literal
from jacdb.dataset.step_rows import StepRows
from jacdb.dataset.views import Views
from jacdb.errors import UsageError, suggestion
from jacdb.learning.bodies import Bodies
from jacdb.learning.coordinates import Coordinates, check_target, mean_state
from jacdb.methods import EXACT

PARTS = ("train", "validation", "test", "other_policy")
VALIDATION, TEST = 0.1, 0.2  # shares of the trajectories
UNDECIDED = 1e-8  # a non-zero entry below it may be a roundoff: graph scores leave it out
RULES = 1  # raise it when the same rows would be split, or their zeros decided, in another way
_COLUMNS = ("episode", "step", "state", "action", "next_state", "j_state", "j_action", "pattern_id", "in_contact")


@dataclass(frozen=True)
class ProblemRows:
    """The rows of one part, by trajectory and step.

    Attributes:
        trajectory: the id of each row's trajectory, (n,).
        run_id: its run, (n,).
        episode, step: its place in the run, (n,).
        in_contact: whether any two geoms touch, (n,).
        constraints: the place of its set of active constraints in ``LearningProblem.constraint_sets``, (n,).
        state, next_state: normalized, float32, (n, n_state).
        action: likewise, (n, n_action).
        target: what a model is to predict, normalized, float32, (n, n_tangent).
        raw_jacobian: the Jacobian by tangent and action, as stored, (n, n_tangent, n_tangent + n_action).
        pattern: the place of its zeros in ``LearningProblem.patterns``, (n,).
    """

    trajectory: np.ndarray
    run_id: np.ndarray
    episode: np.ndarray
    step: np.ndarray
    in_contact: np.ndarray
    constraints: np.ndarray
    state: np.ndarray
    next_state: np.ndarray
    action: np.ndarray
    target: np.ndarray
    raw_jacobian: np.ndarray
    pattern: np.ndarray

    def __len__(self) -> int:
        return len(self.step)

    def where(self, chosen: np.ndarray) -> Self:
        """Return the rows chosen by a mask or by places."""
        return type(self)(*(values[chosen] for values in vars(self).values()))

    @property
    def follows(self) -> np.ndarray:
        """Return whether each row is the step after the row before it, (n,)."""
        follows = np.zeros(len(self), bool)
        follows[1:] = (self.trajectory[1:] == self.trajectory[:-1]) & (np.diff(self.step.astype(np.int64)) == 1)
        return follows

    @property
    def stretch(self) -> np.ndarray:
        """Return the number of each row's unbroken stretch of steps, (n,)."""
        return np.cumsum(~self.follows)

    def windows(self, length: int) -> np.ndarray:
        """Return the places of rows from which ``length`` consecutive steps start, (windows,)."""
        stretch = self.stretch
        last = np.arange(len(self)) + length - 1
        inside = last < len(self)
        return np.flatnonzero(inside & (stretch == stretch[np.minimum(last, len(self) - 1)]))


@dataclass(frozen=True)
class LearningProblem:
    """The rows of one environment in three disjoint parts, in normalized coordinates.

    Attributes:
        env: the environment.
        policy: the policy whose rows are split; None for all.
        coordinates: what a model gets and predicts; means and deviations are of the training part.
        parts: the rows of each part, by name: train, validation, test, and other_policy, which may be empty.
        patterns: where the Jacobian is zero, (patterns, n_tangent, n_tangent + n_action): below 1e-12, in float64.
        constraint_sets: the names of constraints that are active together.
        bodies: what the rows and columns of Jacobians belong to.
        version: a hash of the rows, their split and the rules; those of other policies play no part.
        other_version: a hash of the part other_policy, and the rules; None if it is empty.
    """

    env: str
    policy: str | None
    coordinates: Coordinates
    parts: dict[str, ProblemRows]
    patterns: np.ndarray
    constraint_sets: list[tuple[str, ...]]
    bodies: Bodies
    version: str
    other_version: str | None

    @classmethod
    def of(
        cls,
        dataset: Views,
        env: str,
        *,
        target: str = "next",
        policy: str | None = None,
        validation: float = VALIDATION,
        test: float = TEST,
    ) -> Self:
        """Return the learning problem of an environment's finite rows by exact methods, one run for each trajectory.

        Args:
            dataset: what to read.
            env: the environment.
            target: 'next' or 'delta'; see ``Coordinates``.
            policy: split the rows of this policy, and keep those of others as the part other_policy. None splits all.
            validation, test: the expected shares of trajectories in these parts.

        Raises:
            UsageError: there is no such environment or policy, a share is not valid, there are fewer than three
                trajectories, or they are of several models or control steps.
            FailureError: a file can't be read.
        """
        check_target(target)
        check_shares(validation, test)
        kept = segments(dataset, env, EXACT)
        _check_physics(dataset, env, set(kept.run_id))
        of_policy, others = _by_policy(dataset, env, kept, policy)
        ids = np.unique(of_policy.trajectory_id)
        if len(ids) < 3:
            said = f" of policy {policy}" if policy else ""
            raise UsageError(
                f"{env} has {counted(len(ids), 'episode')}{said}: a training, a validation and a test part need three"
                " at least; ingest more"
            )
        split = {**three_parts(of_policy, validation, test, ids), "other_policy": others}
        space = tangent_space(dataset, env)
        made = normalization(dataset, env, split["train"])
        reader = _Reader(dataset, env)
        raw = {name: reader.read(of_part) for name, of_part in split.items()}
        coordinates = Coordinates(space, made, target, mean_state(raw["train"]["state"], space))
        return cls(
            env=env,
            policy=policy,
            coordinates=coordinates,
            parts={name: _rows(columns, coordinates) for name, columns in raw.items()},
            patterns=reader.patterns,
            constraint_sets=reader.constraint_sets,
            bodies=Bodies.of(dataset, env),
            version=_version(env, {name: raw[name] for name in PARTS[:3]}),
            other_version=_version(env, {"other_policy": raw["other_policy"]}) if len(others) else None,
        )

    @property
    def run_ids(self) -> set[str]:
        """The runs that rows are of."""
        return {run for rows in self.parts.values() for run in rows.run_id.tolist()}

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of a Jacobian, (n_tangent, n_tangent + n_action)."""
        return self.patterns.shape[1], self.patterns.shape[2]

    def jacobian(self, rows: ProblemRows) -> np.ndarray:
        """Return the true Jacobians of rows, normalized, float32, (n, n_tangent, n_tangent + n_action)."""
        return (rows.raw_jacobian * self.coordinates.jacobian_scale()).astype(np.float32)

    def zero(self, rows: ProblemRows) -> np.ndarray:
        """Return where the true Jacobians of rows are zero, (n, n_tangent, n_tangent + n_action)."""
        return self.patterns[rows.pattern]

    def undecided(self, rows: ProblemRows) -> np.ndarray:
        """Return where they are neither zero nor clearly not: below 1e-8, and not below 1e-12. Shaped as ``zero``."""
        return ~self.zero(rows) & (np.abs(rows.raw_jacobian) < UNDECIDED)


def check_shares(validation: float, test: float) -> None:
    """Refuse shares that can't be.

    Raises:
        UsageError: a share is not above 0, or they leave nothing to train on.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1:
            raise UsageError(f"{name}={share}: give a share of the episodes between 0 and 1")
    if validation + test >= 1:
        raise UsageError(f"validation={validation} and test={test} leave no episode to train on: give less than 1")


def _check_physics(dataset: Views, env: str, kept: set[str]) -> None:
    """Refuse runs of several control steps or models: the same state and action would have several next states.

    A model's hash is of a file that each version of MuJoCo writes in its own way: other versions do not compare.

    Raises:
        UsageError: they are.
    """
    asked = f"select run_id, ctrl_dt, model, versions::json ->> 'mujoco' from runs where env = {literal(env)}"
    first: dict[tuple[Any, ...], str] = {}  # the first run of each
    for run, *physics in sorted(dataset.fetch(dataset.sql(asked)).rows()):
        if run in kept:
            first.setdefault(tuple(physics), run)
    for ((dt, model, mujoco), one), ((other_dt, other_model, other_mujoco), other) in combinations(first.items(), 2):
        if None not in (dt, other_dt) and dt != other_dt:
            said = f"control steps of {dt:g} s and {other_dt:g} s"
        elif None not in (model, other_model) and model != other_model and mujoco == other_mujoco:
            said = f"the models {model} and {other_model}"
        else:
            continue
        raise UsageError(
            f"runs {one} and {other} of {env} have {said}: nothing fits both, so keep each in a dataset of its own"
            " (copy the dataset, `jacdb rm` the other runs), or in Python give dataset.where(\"run_id = '…'\")"
        )


def _by_policy(dataset: Views, env: str, kept: Segments, policy: str | None) -> tuple[Segments, Segments]:
    """Return the segments of a policy, and those of all others."""
    if policy is None:
        return kept, kept.where(np.zeros(len(kept), bool))
    asked = f"select distinct run_id, policy from episodes where env = {literal(env)}"
    of_run = dict(dataset.fetch(dataset.sql(asked)).iter_rows())
    if policy not in of_run.values():
        raise UsageError(f"no rows of policy {policy!r} in {env}: {suggestion(policy, set(of_run.values()))}")
    own = np.array([of_run[run_id] == policy for run_id in kept.run_id])
    return kept.where(own), kept.where(~own)


class _Reader:
    """Reads segments into arrays, sorted by trajectory and step; zeros and constraints become places in lists."""

    def __init__(self, dataset: Views, env: str) -> None:
        self._dataset, self._env = dataset, env
        masks = ZeroMasks.of(dataset, env)
        self._pattern_ids = masks.ids
        self.patterns = np.concatenate([masks.masks["zero_state"], masks.masks["zero_action"]], axis=2)
        self.constraint_sets, self._set_of = _constraint_sets(dataset, env)

    def read(self, kept: Segments) -> dict[str, np.ndarray]:
        """Return the columns of the rows of segments."""
        trajectories = {
            (run, int(episode)): int(of)
            for run, episode, of in zip(kept.run_id, kept.episode, kept.trajectory_id, strict=True)
        }
        pieces: list[dict[str, np.ndarray]] = []
        if len(kept):
            for run_id, piece in StepRows(self._dataset, self._env, _COLUMNS, kept).in_order():
                ids = np.array([trajectories[run_id, int(episode)] for episode in piece["episode"]], np.int64)
                pieces.append({**piece, "run_id": np.full(len(ids), run_id), "trajectory": ids})
        columns = _joined(pieces, self.patterns.shape)
        order = np.lexsort((columns["step"], columns["trajectory"]))
        columns = {name: values[order] for name, values in columns.items()}
        columns["pattern"] = np.searchsorted(self._pattern_ids, columns["pattern_id"]).astype(np.int32)
        keys = zip(columns["run_id"], columns["episode"], columns["step"], strict=True)
        places = [self._set_of[run, int(episode), int(step)] for run, episode, step in keys]
        columns["constraints"] = np.array(places, np.int32)
        return columns


def _joined(pieces: Sequence[dict[str, np.ndarray]], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the columns of all pieces; without any, columns without rows."""
    if pieces:
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    _, d, n_in = shape
    empty: dict[str, np.ndarray] = {name: np.zeros((0, 0)) for name in ("state", "action", "next_state")}
    empty |= {name: np.zeros(0, np.int64) for name in ("episode", "step", "pattern_id", "trajectory")}
    empty |= {"in_contact": np.zeros(0, bool), "run_id": np.zeros(0, np.str_)}
    return empty | {"j_state": np.zeros((0, d, d), np.float32), "j_action": np.zeros((0, d, n_in - d), np.float32)}


def _constraint_sets(dataset: Views, env: str) -> tuple[list[tuple[str, ...]], dict[tuple[str, int, int], int]]:
    """Return the sets of constraints that are active together, and the place of each step's set among them."""
    asked = f"select set::varchar, constraints from constraint_sets where env = {literal(env)}"
    of_number = dict(dataset.fetch(dataset.sql(asked)).iter_rows())
    sets = sorted({tuple(names) for names in of_number.values()})
    place = {names: index for index, names in enumerate(sets)}
    rows = dataset.fetch_table(
        dataset.sql(f"select run_id, episode, step, set::varchar as set from step_sets where env = {literal(env)}")
    )
    of_set = {number: place[tuple(names)] for number, names in of_number.items()}
    keys = zip(rows["run_id"].to_pylist(), rows["episode"].to_pylist(), rows["step"].to_pylist(), strict=True)
    return sets, dict(zip(keys, (of_set[number] for number in rows["set"].to_pylist()), strict=True))


def _rows(columns: dict[str, np.ndarray], coordinates: Coordinates) -> ProblemRows:
    made = coordinates.normalization
    n = len(columns["step"])
    if n:
        target = coordinates.normalized_target(columns["state"], columns["next_state"])
        state, next_state = (made.normalized("state", columns[name]) for name in ("state", "next_state"))
        action = made.normalized("action", columns["action"])
    else:
        state = next_state = np.zeros((0, coordinates.space.n_state))
        target, action = np.zeros((0, coordinates.space.n_tangent)), np.zeros((0, len(made.action.mean)))
    numbers = {"state": state, "next_state": next_state, "action": action, "target": target}
    kept = ("trajectory", "run_id", "episode", "step", "in_contact", "constraints", "pattern")
    return ProblemRows(
        **{name: columns[name] for name in kept},
        **{name: values.astype(np.float32) for name, values in numbers.items()},
        raw_jacobian=np.concatenate([columns["j_state"], columns["j_action"]], axis=2),
    )


def _version(env: str, parts: dict[str, dict[str, np.ndarray]]) -> str:
    """Return a hash of rows and their split; names of runs and files play no part."""
    digest = hashlib.blake2b(f"jacdb learning, rules {RULES}, {env}".encode(), digest_size=8)
    for name, columns in parts.items():
        digest.update(f"{name} {len(columns['step'])}".encode())
        for column in ("trajectory", "step", "state", "action", "next_state", "j_state", "j_action", "pattern_id"):
            digest.update(np.ascontiguousarray(columns[column]))
    return digest.hexdigest()
