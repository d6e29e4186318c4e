"""The checks of a run's steps that need the simulator: steps and Jacobians, held against what it does now."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jacdb.dataset.manifest import Run
from jacdb.errors import JacdbError
from jacdb.ingest import provenance
from jacdb.ingest.environments.loading import System
from jacdb.ingest.replay import replay
from jacdb.progress import Event
from jacdb.verification import rows, samples
from jacdb.verification.findings import Check
from jacdb.verification.rows import Dimensions

DECIDING = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "playground")  # packages that decide what a step does
SAME_RESET = 1e-9  # relative
SAME_JACOBIAN = 1e-5  # relative: difference quotients are no better where forces are stiff


def take_again(
    root: Path,
    run: Run,
    paths: list[str],
    count: int,
    sizes: Dimensions,
    fact: dict[str, Any],
    check: Callable[[str, str], Check],
    report: Callable[[Event], None],
) -> None:
    """Replay some steps of a run whose rows are whole and in order.

    Args:
        root: the dataset's folder.
        paths: the run's parts of `steps`.
        count: how many steps to look at closely.
        fact: the run's row in `runs`.
        check: gives the run's check of a name, that counts something.
        report: called with progress.
    """
    replayed = check("replay", "steps")
    try:
        report(Event(f"compiling {run.env}, to take steps again"))
        system = System.load(run.env)
        if (system.spec.d_state, system.spec.d_action) != (sizes.d_state, sizes.d_action):
            replayed.note = f"not replayed: {run.env} has other dimensions here"
            return
        beginnings = samples.draw(root, paths, count, sizes)
        again = replay.Replay(system, fact["seed"])
    except (JacdbError, *rows.UNREADABLE) as error:
        replayed.note = f"not replayed: {str(error).splitlines()[0]}"
        return
    others = _other(system, fact)
    reset, in_c, jacobians = check("reset", "episodes"), check("C engine", "steps"), check("jacobians", "steps")
    found = _Findings(others)
    total, done = sum(len(one.state) for one in beginnings), 0
    for item in again(beginnings):
        one = item.beginning
        match item:
            case replay.Reset():
                reset.checked += 1
                reset.saw(one.path, [one.first], np.array([item.deviation]))
                if not item.deviation <= SAME_RESET:
                    wrong = f"state is {item.deviation:.1e} (relative) from where seed {fact['seed']} begins episode"
                    found.fail(reset, one.path, f"{wrong} {one.number}", one.first)
            case replay.StepReplay():
                done += 1
                replayed.checked += 1
                row = one.first + item.step
                replayed.saw(one.path, [row], np.array([item.deviation]))
                if item.explained is None:
                    wrong = f"next_state is {item.deviation:.1e} (relative) from where the environment's step leads"
                    found.fail(replayed, one.path, wrong, row)
                elif item.explained:
                    found.explained[item.explained] += 1
                report(Event(f"taking steps of {run.env} again", done, total))
            case replay.JacobianCheck():
                row = one.first + item.step
                in_c.checked += 1
                in_c.saw(one.path, [row], np.array([item.c_deviation]))
                if not item.c_deviation <= replay.SAME_IN_C:
                    if item.confirmed:
                        found.departs += 1
                    else:
                        wrong = f"next_state is {item.c_deviation:.1e} (relative) from where MuJoCo's C engine leads"
                        found.fail(in_c, one.path, f"{wrong}, and not where MJX does", row)
                jacobians.checked += 1
                jacobians.saw(one.path, [row], np.array([item.error]))
                found.jumps += item.jumps
                if not item.error <= SAME_JACOBIAN:
                    wrong = f"j_state and j_action are {item.error:.1e} (relative) from the step's difference quotients"
                    found.fail(jacobians, one.path, wrong, row)
    reset.note, replayed.note, in_c.note, jacobians.note = found.notes()


class _Findings:
    """What is a failure, and what is noted alone: of another simulator's data nothing is said to be wrong."""

    def __init__(self, others: str) -> None:
        self.explained: Counter[str] = Counter()
        self.departs = self.jumps = 0
        self._others = others
        self._noted: Counter[str] = Counter()

    def fail(self, check: Check, path: str, wrong: str, row: int) -> None:
        if self._others:
            self._noted[check.name] += 1
        else:
            check.fail(path, wrong, row)

    def notes(self) -> list[str]:
        """Of the checks reset, replay, C engine and jacobians."""
        own = {
            "reset": "",
            "replay": ", ".join(f"{count:,} deviate: {why}" for why, count in sorted(self.explained.items())),
            "C engine": f"{self.departs} where MJX itself is elsewhere" if self.departs else "",
            "jacobians": f"{self.jumps} columns left out, along which there is no derivative" if self.jumps else "",
        }
        for name, note in own.items():
            if self._noted[name]:
                own[name] = f"{note}; " * bool(note) + f"{self._noted[name]:,} deviate, of data {self._others}"
        return list(own.values())


def _other(system: System, fact: dict[str, Any]) -> str:
    """How the simulator that made a run differs from this one; empty if it does not."""
    try:
        made = dict(json.loads(fact["versions"]))
    except (ValueError, TypeError):
        return "of unknown versions"
    here = provenance.versions()
    apart = [f"{name} {str(made.get(name))[:20]}" for name in DECIDING if made.get(name) != here[name]]
    if fact["model"] != provenance.model_hash(system):
        apart.append("another model")
    return f"made with {', '.join(apart)}" if apart else ""
