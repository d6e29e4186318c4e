"""Whether the rows of an episode are all there, in order, joined to each other, and what their row in `episodes` says.

A part is read batch by batch; what an episode's rows add up to is carried from one batch to the next.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jacdb import schemas
from jacdb.verification.findings import Check
from jacdb.verification.rows import Batch, Dimensions

REWARD_ROUNDING = 1e-12  # of the sum of absolute rewards: sums of 10^4 terms in another order differ by less

ROUNDING = 2e-15  # of ctrl and memory, in units of the larger of 1 and the value


@dataclass
class Sums:
    """What rows of an episode add up to. ``below`` are bounds: of stored, rounded entries no more can be told."""

    rows: int
    reward: float
    absolute_reward: float
    contacts: int
    excluded: int
    counted: int
    largest: tuple[np.ndarray, np.ndarray]
    below: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # of each matrix (least, most)
    done: bool
    truncated: bool

    def joined(self, later: "Sums") -> "Sums":
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
class _Last:
    """The row before, and what its episode's rows add up to so far."""

    row: int
    episode: int
    step: int
    sums: Sums | None  # None once a row was left out
    over: bool = False
    next_state: np.ndarray | None = None


@dataclass
class EpisodeChecks:
    """The checks of a run's episodes.

    Attributes:
        order: rows: each of an episode's once, in order, and its end at its end.
        joined: rows: a state is the next state of the row before.
        summaries: episodes: their rows in `episodes`.
        longest: the length at which episodes are cut; None if it is not known.
        sizes: the run's dimensions.
    """

    order: Check
    joined: Check
    summaries: Check
    longest: int | None
    sizes: Dimensions
    seen: set[int] = field(default_factory=set, init=False)  # episodes of all parts
    _there: dict[int, dict[str, Any]] = field(default_factory=dict, init=False)
    _last: _Last | None = field(default=None, init=False)

    def begin(self, path: str, summaries: dict[int, dict[str, Any]]) -> None:
        """A part of `steps`, and the rows of `episodes` that are about it.

        Args:
            path: of the part of `episodes`.
            summaries: its rows by episode, with their place in the file as ``row``.
        """
        self._path = path
        self._there = summaries
        self._last = None

    def __call__(self, path: str, rows: np.ndarray, keys: np.ndarray, kept: np.ndarray, batch: Batch) -> None:
        """Take up some rows.

        Args:
            path: of the part of `steps`.
            rows: their numbers in the file.
            keys: (rows, 2), episode and step.
            kept: which rows are in ``batch``; others have wrong shapes.
        """
        episode, step = keys.T
        before = np.concatenate([[[-1, -1]] if self._last is None else [[self._last.episode, self._last.step]], keys])
        goes_on = (episode == before[:-1, 0]) & (step == before[:-1, 1] + 1)
        starts = np.flatnonzero(~goes_on)
        bounds = [*starts.tolist(), len(rows)]
        self.order.checked += len(rows)
        self._check_joints(path, rows, goes_on, kept, batch)
        self._check_ends(path, rows, goes_on, kept, batch)
        place = np.cumsum(kept) - kept  # of each row in the batch
        if bounds[0] and self._last is not None:  # the episode before goes on
            whole = bool(kept[: bounds[0]].all())
            self._last.sums = self._last.sums.joined(_sums(batch, 0, bounds[0])) if self._last.sums and whole else None
            self._last.row, self._last.step = int(rows[bounds[0] - 1]), int(step[bounds[0] - 1])
        for start, end in itertools.pairwise(bounds):
            self._finish(path)
            self._check_start(path, int(rows[start]), keys[start], before[start])
            whole = bool(kept[start:end].all()) and step[start] == 0
            sums = _sums(batch, place[start], place[start] + end - start) if whole else None
            self._last = _Last(int(rows[end - 1]), int(episode[start]), int(step[end - 1]), sums)
        if self._last is not None:
            self._last.over = bool(kept[-1] and _over(batch)[-1])
            self._last.next_state = batch.values["next_state"][-1] if kept[-1] else None

    def end(self, path: str) -> None:
        """The part has no more rows."""
        self._finish(path)
        self._last = None
        for number in sorted(self._there.keys() - self.seen):
            self.summaries.fail(self._path, f"episode {number} has no steps in {path}", self._there[number]["row"])

    def _check_joints(self, path: str, rows: np.ndarray, goes_on: np.ndarray, kept: np.ndarray, batch: Batch) -> None:
        """Positions and velocities bit for bit: both are the one array that the environment went on from.

        What the environment computes itself, ctrl and memory, XLA may compile twice, once with fused multiply-adds:
        these agree to a rounding.
        """
        state, after = batch.values["state"], batch.values["next_state"]
        if self._last is not None and self._last.next_state is not None and goes_on[0] and kept[0]:
            after = np.concatenate([self._last.next_state[None], after[:-1]])
        else:
            after = np.concatenate([state[:1], after[:-1]])
        # a row that goes on from one of wrong shape can't be told
        linked = (goes_on & np.concatenate([[True], kept[:-1]]))[kept]
        self.joined.checked += int(linked.sum())
        apart = state.view(np.uint64) != after.view(np.uint64)
        with np.errstate(invalid="ignore"):
            distance = np.where(apart, np.abs(state - after), 0)
            rounded = distance <= ROUNDING * np.maximum(1, np.abs(after))
            apart[:, self.sizes.n_moving :] &= ~rounded[:, self.sizes.n_moving :]
        off = linked & apart.any(axis=1)
        self.joined.saw(path, rows[kept][linked], distance[linked].max(axis=1, initial=0))
        self.joined.fail_rows(
            path, rows[kept], off,
            lambda i: f"state[{np.argmax(apart[i])}] is not what next_state of the row before says",
        )  # fmt: skip

    def _check_ends(self, path: str, rows: np.ndarray, goes_on: np.ndarray, kept: np.ndarray, batch: Batch) -> None:
        """No row follows the end of its episode."""
        over = np.zeros(len(rows), bool)
        over[kept] = _over(batch)
        before = np.concatenate([[self._last is not None and self._last.over], over[:-1]])
        self.order.fail_rows(path, rows, goes_on & before, lambda i: "the row before says that its episode is over")
        both = batch.scalars["done"] & batch.scalars["truncated"]
        self.order.fail_rows(path, rows[kept], both, lambda i: "done and truncated exclude each other")

    def _check_start(self, path: str, row: int, key: np.ndarray, before: np.ndarray) -> None:
        episode, step = map(int, key)
        if step != 0:
            after = f"row {row - 1} is step {before[1]} of episode {before[0]}" if row else "it is the first row"
            self.order.fail(path, f"it is step {step} of episode {episode}, and {after}", row)
        elif episode in self.seen:
            self.order.fail(path, f"episode {episode} begins once more", row)
        self.seen.add(episode)

    def _finish(self, path: str) -> None:
        """An episode's last row was the last one seen: hold its sums against its row in `episodes`."""
        last = self._last
        if last is None:
            return
        self.summaries.checked += 1
        if last.episode not in self._there:
            self.summaries.fail(path, f"episode {last.episode} has no row in {self._path}", last.row)
            return
        summary = self._there[last.episode]
        place = summary["row"]
        if last.step + 1 != summary["n_steps"]:
            wrong = f"episode {last.episode} ends here with {last.step + 1} steps, `episodes` says {summary['n_steps']}"
            self.order.fail(path, wrong, last.row)
        elif last.sums is not None:
            if not (last.sums.done or last.sums.truncated):
                self.order.fail(path, f"episode {last.episode} has no more rows, and is neither done nor cut", last.row)
            cut = last.step + 1 == self.longest and not last.sums.done
            if self.longest is not None and last.sums.truncated != cut:
                wrong = f"truncated is {last.sums.truncated} after {last.step + 1} steps; episodes have {self.longest}"
                self.order.fail(path, wrong, last.row)
            for wrong in _differences(last.sums, summary):
                self.summaries.fail(self._path, f"episode {last.episode}: {wrong}", place)
            off = abs(last.sums.reward - summary["total_reward"])
            if np.isfinite(off):
                self.summaries.saw(self._path, [place], np.array([off / max(1.0, last.sums.absolute_reward)]))


def _over(batch: Batch) -> np.ndarray:
    return batch.scalars["done"] | batch.scalars["truncated"]


def _sums(batch: Batch, first: int, end: int) -> Sums:
    """Of a stretch of rows of one episode, by their places in the batch."""
    own = slice(int(first), int(end))
    scalars = {name: batch.scalars[name][own] for name in ("reward", "in_contact", "finite", "done", "truncated")}
    counts = scalars["finite"] & (batch.scalars["method"][own] != "fd")
    sizes = [np.abs(batch.values[matrix][own][counts]) for matrix in ("j_state", "j_action")]
    with np.errstate(invalid="ignore", over="ignore"):
        reward, absolute = float(scalars["reward"].sum()), float(np.abs(scalars["reward"]).sum())
    return Sums(
        rows=len(counts),
        reward=reward,
        absolute_reward=absolute,
        contacts=int(scalars["in_contact"].sum()),
        excluded=int((~scalars["finite"]).sum()),
        counted=int(counts.sum()),
        largest=(sizes[0].max(axis=0, initial=0), sizes[1].max(axis=0, initial=0)),
        below=(_below(sizes[0]), _below(sizes[1])),
        done=bool(scalars["done"][-1]),
        truncated=bool(scalars["truncated"][-1]),
    )


def _below(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most entries that were below each threshold of the sweep, in float64, before rounding.

    Rounding is monotone (:mod:`jacdb.verification.rows`): what is stored below round(t) was below t, what is stored
    above it was not; only what is stored as round(t) itself may have been either. Without rounding both bounds are
    the count.
    """
    bounds = np.array(schemas.SWEEP, size.dtype)
    least = np.array([np.count_nonzero(size < bound) for bound in bounds])
    if size.dtype == np.float64:
        return least, least
    return least, np.array([np.count_nonzero(size <= bound) for bound in bounds])


def _differences(sums: Sums, summary: dict[str, Any]) -> list[str]:
    facts = {
        "done": sums.done,
        "truncated": sums.truncated,
        "n_contact_steps": sums.contacts,
        "n_excluded": sums.excluded,
    }
    wrong = [
        f"{name} is {summary[name]}, its steps say {fact}" for name, fact in facts.items() if summary[name] != fact
    ]
    told, numbers = summary["total_reward"], np.isfinite([sums.reward, summary["total_reward"]]).any()
    if numbers and not abs(told - sums.reward) <= REWARD_ROUNDING * max(1.0, sums.absolute_reward):
        wrong.append(f"total_reward is {told!r}, its steps add up to {sums.reward!r}")
    for which, matrix in enumerate(("state", "action")):
        wrong += _sweep_differences(sums, summary, which, matrix)
    return wrong


def _sweep_differences(sums: Sums, summary: dict[str, Any], which: int, matrix: str) -> list[str]:
    told, below = summary[f"largest_{matrix}"], summary[f"below_{matrix}"]
    if (told is None) != (not sums.counted) or (below is None) != (not sums.counted):
        return [f"largest_{matrix} and below_{matrix} are null, or not, where {sums.counted} steps count"]
    if told is None:
        return []
    wrong = []
    largest, (least, most) = sums.largest[which], sums.below[which]
    with np.errstate(over="ignore"):
        rounded = np.asarray(told).ravel().astype(largest.dtype)  # `episodes` may have more digits than steps
    if rounded.shape != largest.shape or not np.array_equal(rounded, largest):
        at = int(np.argmax(rounded != largest)) if rounded.shape == largest.shape else None
        values = f"[{at}] is {rounded[at]!r}, its steps' is {largest[at]!r}" if at is not None else " has another size"
        wrong.append(f"largest_{matrix}{values}")
    counts = np.asarray(below)
    if counts.shape != least.shape or ((counts < least) | (counts > most)).any():
        wrong.append(f"below_{matrix} is {below}, its steps have from {least.tolist()} to {most.tolist()}")
    return wrong


def malformed(summary: dict[str, Any], sizes: Dimensions) -> str | None:
    """What is wrong with the lists of a row of `episodes`; None if nothing."""
    shapes = {"largest_state": sizes.shape("j_state"), "largest_action": sizes.shape("j_action")}
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
