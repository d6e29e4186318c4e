"""Check episodes: their rows are complete, in order and joined to each other, and agree with their row in `episodes`.

A part is read batch by batch; the sums of an episode's rows are carried from one batch to the next.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jacdb import schemas
from jacdb.schemas.trajectory_ids import RecordedStates
from jacdb.verification.findings import Check
from jacdb.verification.rows import Dimensions, RowBatch

REWARD_ROUNDING = 1e-12  # relative to the sum of absolute rewards: sums of 10^4 terms in another order differ by less

ROUNDING = 2e-15  # of ctrl and memory, in units of the larger of 1 and the value


@dataclass
class Sums:
    """The sums of an episode's rows.

    Attributes:
        rows: how many rows there are.
        reward, absolute_reward: the sums of the rewards, and of their sizes.
        contacts: rows in contact.
        excluded: rows that are not finite.
        counted: rows that count in the statistics of j_state and j_action.
        largest: the largest size of each entry, of j_state and of j_action.
        below: for j_state and for j_action, the least and the most entries that were below each threshold of the sweep;
            stored entries are rounded, so that only bounds can be given.
        done, truncated: what the last row says.
    """

    rows: int
    reward: float
    absolute_reward: float
    contacts: int
    excluded: int
    counted: int
    largest: tuple[np.ndarray, np.ndarray]
    below: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    done: bool
    truncated: bool

    def joined(self, later: "Sums") -> "Sums":
        """Return the sums of these rows and of later ones of the same episode."""
        return Sums(
            self.rows + later.rows,
            self.reward + later.reward,
            self.absolute_reward + later.absolute_reward,
            self.contacts + later.contacts,
            self.excluded + later.excluded,
            self.counted + later.counted,
            (np.maximum(self.largest[0], later.largest[0]), np.maximum(self.largest[1], later.largest[1])),
            (_added(self.below[0], later.below[0]), _added(self.below[1], later.below[1])),
            later.done,
            later.truncated,
        )


def _added(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return a[0] + b[0], a[1] + b[1]


@dataclass
class _LastRow:
    """The last row seen, and the sums of its episode so far."""

    row: int
    episode: int
    step: int
    sums: Sums | None  # None once a row had to be left out
    over: bool = False
    next_state: np.ndarray | None = None
    states: RecordedStates | None = None


@dataclass
class EpisodeChecks:
    """The checks of a run's episodes. Call ``begin``, then the object with each batch, then ``end``, for every part.

    Attributes:
        order: checks that each row of an episode is there once, in order, and that only its last row ends it.
        joined: checks that each state is the next state of the row before.
        summaries: checks the rows of `episodes`.
        longest: the length at which episodes are cut; None if it is not known.
        dimensions: the run's dimensions.
        recorded: returns the hash of a recorded episode, of no row yet; None where ids are not made of states.
        seen: the episodes of all parts so far.
    """

    order: Check
    joined: Check
    summaries: Check
    longest: int | None
    dimensions: Dimensions
    recorded: Callable[[], RecordedStates] | None = None
    seen: set[int] = field(default_factory=set, init=False)
    _summaries: dict[int, dict[str, Any]] = field(default_factory=dict, init=False)
    _last: _LastRow | None = field(default=None, init=False)

    def begin(self, path: str, summaries: dict[int, dict[str, Any]]) -> None:
        """Begin a part of `steps`.

        Args:
            path: the part of `episodes` that sums it up.
            summaries: the rows of that part by episode, each with its number in the file as ``row``.
        """
        self._path = path
        self._summaries = summaries
        self._last = None

    def __call__(self, path: str, rows: np.ndarray, keys: np.ndarray, kept: np.ndarray, batch: RowBatch) -> None:
        """Check some rows of a part.

        Args:
            path: the part of `steps`.
            rows: the numbers of the rows in the file.
            keys: (rows, 2), episode and step.
            kept: (rows,), whether a row is in ``batch``; the others have wrong shapes.
            batch: the rows that are kept.
        """
        episode, step = keys.T
        before = np.concatenate([[[-1, -1]] if self._last is None else [[self._last.episode, self._last.step]], keys])
        continues = (episode == before[:-1, 0]) & (step == before[:-1, 1] + 1)
        starts = np.flatnonzero(~continues)
        bounds = [*starts.tolist(), len(rows)]
        self.order.checked += len(rows)
        self._check_joints(path, rows, continues, kept, batch)
        self._check_ends(path, rows, continues, kept, batch)
        place = np.cumsum(kept) - kept  # where a row stands in the batch
        if bounds[0] and self._last is not None:  # the last episode continues
            whole = bool(kept[: bounds[0]].all())
            self._last.sums = self._last.sums.joined(_sums(batch, 0, bounds[0])) if self._last.sums and whole else None
            self._last.row, self._last.step = int(rows[bounds[0] - 1]), int(step[bounds[0] - 1])
            _add_states(self._last, batch, 0, bounds[0])
        for start, end in itertools.pairwise(bounds):
            self._finish(path)
            self._check_start(path, int(rows[start]), keys[start], before[start])
            whole = bool(kept[start:end].all()) and step[start] == 0
            sums = _sums(batch, place[start], place[start] + end - start) if whole else None
            self._last = _LastRow(int(rows[end - 1]), int(episode[start]), int(step[end - 1]), sums)
            self._last.states = self.recorded() if self.recorded else None
            _add_states(self._last, batch, place[start], place[start] + end - start)
        if self._last is not None:
            self._last.over = bool(kept[-1] and _over(batch)[-1])
            self._last.next_state = batch.values["next_state"][-1] if kept[-1] else None

    def end(self, path: str) -> None:
        """End a part; an episode of `episodes` without steps is a finding."""
        self._finish(path)
        self._last = None
        for number in sorted(self._summaries.keys() - self.seen):
            self.summaries.fail(self._path, f"episode {number} has no steps in {path}", self._summaries[number]["row"])

    def _check_joints(
        self, path: str, rows: np.ndarray, continues: np.ndarray, kept: np.ndarray, batch: RowBatch
    ) -> None:
        """Compare each state with the next state of the row before.

        Positions and velocities agree bit for bit: both columns store the same array. The environment computes ctrl and
        memory itself, and XLA may compile that twice, once with fused multiply-adds: these agree to a rounding.
        """
        state, after = batch.values["state"], batch.values["next_state"]
        if self._last is not None and self._last.next_state is not None and continues[0] and kept[0]:
            after = np.concatenate([self._last.next_state[None], after[:-1]])
        else:
            after = np.concatenate([state[:1], after[:-1]])
        # a row that follows one of wrong shape can't be checked
        linked = (continues & np.concatenate([[True], kept[:-1]]))[kept]
        self.joined.checked += int(linked.sum())
        differs = state.view(np.uint64) != after.view(np.uint64)
        with np.errstate(invalid="ignore"):
            distance = np.where(differs, np.abs(state - after), 0)
            rounded = distance <= ROUNDING * np.maximum(1, np.abs(after))
            differs[:, self.dimensions.n_moving :] &= ~rounded[:, self.dimensions.n_moving :]
        wrong = linked & differs.any(axis=1)
        self.joined.saw(path, rows[kept][linked], distance[linked].max(axis=1, initial=0))
        self.joined.fail_rows(
            path, rows[kept], wrong,
            lambda i: f"state[{np.argmax(differs[i])}] is not what next_state of the row before says",
        )  # fmt: skip

    def _check_ends(
        self, path: str, rows: np.ndarray, continues: np.ndarray, kept: np.ndarray, batch: RowBatch
    ) -> None:
        """Check that no row follows the end of its episode."""
        over = np.zeros(len(rows), bool)
        over[kept] = _over(batch)
        before = np.concatenate([[self._last is not None and self._last.over], over[:-1]])
        self.order.fail_rows(path, rows, continues & before, lambda i: "the episode ended in the row before")
        both = batch.scalars["done"] & batch.scalars["truncated"]
        self.order.fail_rows(path, rows[kept], both, lambda i: "done and truncated exclude each other")

    def _check_start(self, path: str, row: int, key: np.ndarray, before: np.ndarray) -> None:
        """Check the first row of an episode: it is step 0, of an episode not seen yet."""
        episode, step = map(int, key)
        if step != 0:
            after = f"row {row - 1} is step {before[1]} of episode {before[0]}" if row else "it is the first row"
            self.order.fail(path, f"it is step {step} of episode {episode}, and {after}", row)
        elif episode in self.seen:
            self.order.fail(path, f"episode {episode} begins a second time", row)
        self.seen.add(episode)

    def _finish(self, path: str) -> None:
        """Compare the sums of the episode that ends with the last row seen with its row in `episodes`."""
        last = self._last
        if last is None:
            return
        self.summaries.checked += 1
        if last.episode not in self._summaries:
            self.summaries.fail(path, f"episode {last.episode} has no row in {self._path}", last.row)
            return
        summary = self._summaries[last.episode]
        place = summary["row"]
        if last.step + 1 != summary["n_steps"]:
            wrong = f"episode {last.episode} ends here with {last.step + 1} steps, `episodes` says {summary['n_steps']}"
            self.order.fail(path, wrong, last.row)
        elif last.sums is not None:
            if not (last.sums.done or last.sums.truncated):
                self.order.fail(
                    path, f"episode {last.episode} ends here, and its last row is neither done nor truncated", last.row
                )
            cut = last.step + 1 == self.longest and not last.sums.done
            if self.longest is not None and last.sums.truncated != cut:
                wrong = f"truncated is {last.sums.truncated} after {last.step + 1} steps; episodes have {self.longest}"
                self.order.fail(path, wrong, last.row)
            for wrong in [*_differences(last.sums, summary), *_other_id(last, summary)]:
                self.summaries.fail(self._path, f"episode {last.episode}: {wrong}", place)
            off = abs(last.sums.reward - _total_reward(summary))
            if np.isfinite(off):
                self.summaries.saw(self._path, [place], np.array([off / max(1.0, last.sums.absolute_reward)]))


def _add_states(last: _LastRow, batch: RowBatch, first: int, end: int) -> None:
    """Take rows [first, end) of a batch into the hash of their episode."""
    if last.states is not None and last.sums is not None:
        last.states.add(*(batch.values[name][first:end] for name in ("state", "action", "next_state")))


def _other_id(last: _LastRow, summary: dict[str, Any]) -> list[str]:
    """Return how an episode's id differs from that of its states, where it is one of these."""
    stated = summary.get("trajectory_id")
    if last.states is None or stated in (None, ident := last.states.trajectory_id()):
        return []
    return [f"trajectory_id is {stated}, by its states and actions it is {ident}"]


def _over(batch: RowBatch) -> np.ndarray:
    """Return which rows end their episode."""
    return batch.scalars["done"] | batch.scalars["truncated"]


def _sums(batch: RowBatch, first: int, end: int) -> Sums:
    """Return the sums of rows [first, end) of a batch, which are of one episode."""
    of_episode = slice(int(first), int(end))
    scalars = {
        name: batch.scalars[name][of_episode] for name in ("reward", "in_contact", "finite", "done", "truncated")
    }
    counts = scalars["finite"] & (batch.scalars["method"][of_episode] != "fd")
    magnitudes = [np.abs(batch.values[matrix][of_episode][counts]) for matrix in ("j_state", "j_action")]
    with np.errstate(invalid="ignore", over="ignore"):
        rewards = np.ma.filled(scalars["reward"], np.nan)  # null where the source has none
        reward, absolute = float(rewards.sum()), float(np.abs(rewards).sum())
    return Sums(
        rows=len(counts),
        reward=reward,
        absolute_reward=absolute,
        contacts=int(scalars["in_contact"].sum()),
        excluded=int((~scalars["finite"]).sum()),
        counted=int(counts.sum()),
        largest=(magnitudes[0].max(axis=0, initial=0), magnitudes[1].max(axis=0, initial=0)),
        below=(_below(magnitudes[0]), _below(magnitudes[1])),
        done=bool(scalars["done"][-1]),
        truncated=bool(scalars["truncated"][-1]),
    )


def _below(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the most entries that can have been below each threshold of the sweep before rounding.

    Rounding is monotone (:mod:`jacdb.verification.rows`): an entry stored below round(t) was below t, one stored
    above it was not, and one stored as round(t) may have been either. Entries in float64 are not rounded: both bounds
    are then the count.
    """
    bounds = np.array(schemas.SWEEP, magnitudes.dtype)
    least = np.array([np.count_nonzero(magnitudes < bound) for bound in bounds])
    if magnitudes.dtype == np.float64:
        return least, least
    return least, np.array([np.count_nonzero(magnitudes <= bound) for bound in bounds])


def _differences(sums: Sums, summary: dict[str, Any]) -> list[str]:
    """Return how an episode's row in `episodes` differs from the sums of its steps."""
    facts = {
        "done": sums.done,
        "truncated": sums.truncated,
        "n_contact_steps": sums.contacts,
        "n_excluded": sums.excluded,
    }
    wrong = [
        f"{name} is {summary[name]}, its steps say {fact}" for name, fact in facts.items() if summary[name] != fact
    ]
    total = _total_reward(summary)
    comparable = np.isfinite([sums.reward, total]).any()
    if comparable and not abs(total - sums.reward) <= REWARD_ROUNDING * max(1.0, sums.absolute_reward):
        wrong.append(f"total_reward is {total!r}, its steps add up to {sums.reward!r}")
    for which, matrix in enumerate(("state", "action")):
        wrong += _sweep_differences(sums, summary, which, matrix)
    return wrong


def _total_reward(summary: dict[str, Any]) -> float:
    """Return an episode's return; NaN where its steps have no reward."""
    return float("nan") if summary["total_reward"] is None else float(summary["total_reward"])


def _sweep_differences(sums: Sums, summary: dict[str, Any], which: int, matrix: str) -> list[str]:
    """Return how largest_ and below_ of a matrix differ from the sums; ``which`` is its index in them."""
    stated, below = summary[f"largest_{matrix}"], summary[f"below_{matrix}"]
    if (stated is None) != (not sums.counted) or (below is None) != (not sums.counted):
        return [f"largest_{matrix} and below_{matrix} are null, or not, where {sums.counted} steps count"]
    if stated is None:
        return []
    wrong = []
    largest, (least, most) = sums.largest[which], sums.below[which]
    with np.errstate(over="ignore"):
        rounded = np.asarray(stated).ravel().astype(largest.dtype)  # `episodes` may have more digits than steps
    if rounded.shape != largest.shape or not np.array_equal(rounded, largest):
        at = int(np.argmax(rounded != largest)) if rounded.shape == largest.shape else None
        values = f"[{at}] is {rounded[at]!r}, its steps' is {largest[at]!r}" if at is not None else " has another size"
        wrong.append(f"largest_{matrix}{values}")
    counts = np.asarray(below)
    if counts.shape != least.shape or ((counts < least) | (counts > most)).any():
        wrong.append(f"below_{matrix} is {below}, its steps have from {least.tolist()} to {most.tolist()}")
    return wrong


def malformed(summary: dict[str, Any], dimensions: Dimensions) -> str | None:
    """Return what is wrong with the lists of a row of `episodes`; None if nothing."""
    shapes = {"largest_state": dimensions.shape("j_state"), "largest_action": dimensions.shape("j_action")}
    for name, shape in shapes.items():
        value = summary[name]
        if value is not None and (len(value) != shape[0] or any(row is None or len(row) != shape[1] for row in value)):
            return f"{name} is not {shape[0]} x {shape[1]}"
        if value is not None and any(entry is None for row in value for entry in row):
            return f"{name} holds a null"
    for name in ("below_state", "below_action"):
        if summary[name] is not None and (len(summary[name]) != len(schemas.SWEEP) or None in summary[name]):
            return f"{name} is not {len(schemas.SWEEP)} numbers"
    return None
