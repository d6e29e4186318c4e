"""Check a run against the simulator: replay its steps, and compare its Jacobians with difference quotients."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jacdb.dataset.layout import Run
from jacdb.errors import JacdbError
from jacdb.ingest import provenance
from jacdb.ingest.environments.loading import System
from jacdb.ingest.replay.replay import SAME_IN_C, JacobianCheck, Replayer, Reset, StepReplay
from jacdb.ingest.replay.source_replay import SourceReplayer
from jacdb.ingest.sources.kept_model import is_of_source
from jacdb.progress import Event
from jacdb.verification import rows, samples
from jacdb.verification.findings import Check
from jacdb.verification.rows import Dimensions

DECIDING = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "playground")  # packages that decide what a step does
SAME_RESET = 1e-9  # relative
SAME_JACOBIAN = 1e-5  # relative: difference quotients are no better where forces are stiff


def replay_run(
    root: Path,
    run: Run,
    paths: list[str],
    count: int,
    dimensions: Dimensions,
    fact: dict[str, Any],
    check: Callable[[str, str], Check],
    report: Callable[[Event], None],
) -> None:
    """Replay some steps of a run whose rows are whole and in order. It is what verification takes as a replayer.

    Args:
        root: the dataset's folder.
        paths: the run's parts of `steps`.
        count: how many steps to check the Jacobians of.
        fact: the run's row in `runs`.
        check: gives the run's check of a name, that counts something.
        report: called with progress.
    """
    replay_check = check("replay", "steps")
    try:
        report(Event(f"compiling {run.env}, to take steps again"))
        replayer: Replayer | SourceReplayer
        if is_of_source(fact):
            replayer = SourceReplayer(root, run, fact)
            here, model = replayer.dimensions, fact["model"]
        else:
            system = System.load(run.env)
            here, model = (system.spec.d_state, system.spec.d_action), provenance.model_hash(system)
        if here != (dimensions.d_state, dimensions.d_action):
            replay_check.note = f"not replayed: {run.env} has other dimensions here"
            return
        prefixes = samples.draw(root, paths, count, dimensions)
        if not is_of_source(fact):
            replayer = Replayer(system, fact["seed"])
    except (JacdbError, *rows.UNREADABLE) as error:
        replay_check.note = f"not replayed: {str(error).splitlines()[0]}"
        return
    checks = _ReplayChecks(check, fact["seed"], _other_simulator(model, fact), has_resets=not is_of_source(fact))
    total, done = sum(len(prefix.state) for prefix in prefixes), 0
    for comparison in replayer.replay(prefixes):
        match comparison:
            case Reset():
                checks.count_reset(comparison)
            case StepReplay():
                checks.count_step(comparison)
                done += 1
                report(Event(f"taking steps of {run.env} again", done, total))
            case JacobianCheck():
                checks.count_jacobian(comparison)
    checks.write_notes()


class _ReplayChecks:
    """Counts comparisons in the checks reset, replay, C engine and jacobians of a run.

    Deviations of data that another simulator made are noted; they are not failures.

    Args:
        check: gives the run's check of a name, that counts something.
        seed: of the run.
        other_simulator: how the simulator that made the run differs from this one; empty if it does not.
        has_resets: whether episodes begin where the seed says.
    """

    def __init__(
        self, check: Callable[[str, str], Check], seed: int, other_simulator: str, *, has_resets: bool
    ) -> None:
        # of a source's run the seed alone does not say where an episode begins
        self._reset = check("reset", "episodes") if has_resets else None
        self._replay = check("replay", "steps")
        self._c_engine, self._jacobians = check("C engine", "steps"), check("jacobians", "steps")
        self._seed, self._other_simulator = seed, other_simulator
        self._explained: Counter[str] = Counter()
        self._noted: Counter[str] = Counter()  # deviations, by check
        self._n_mjx_elsewhere = self._n_jumps = self._n_not_taken = 0

    def count_reset(self, reset: Reset) -> None:
        prefix = reset.prefix
        assert self._reset, "only Playground's environments are reset"
        self._reset.checked += 1
        self._reset.saw(prefix.path, [prefix.first], np.array([reset.deviation]))
        if not reset.deviation <= SAME_RESET:
            wrong = f"state is {reset.deviation:.1e} (relative) from where seed {self._seed} begins episode"
            self._fail(self._reset, prefix.path, f"{wrong} {prefix.number}", prefix.first)

    def count_step(self, replay: StepReplay) -> None:
        path, row = replay.prefix.path, replay.prefix.first + replay.step
        self._replay.checked += 1
        self._replay.saw(path, [row], np.array([replay.deviation]))
        if replay.explanation is None:
            wrong = f"next_state is {replay.deviation:.1e} (relative) from where the environment's step leads"
            self._fail(self._replay, path, wrong, row)
        elif replay.explanation:
            self._explained[replay.explanation] += 1

    def count_jacobian(self, compared: JacobianCheck) -> None:
        path, row = compared.prefix.path, compared.prefix.first + compared.step
        self._c_engine.checked += 1
        self._c_engine.saw(path, [row], np.array([compared.c_deviation]))
        if not compared.c_deviation <= SAME_IN_C:
            if compared.confirmed:
                self._n_mjx_elsewhere += 1
            else:
                wrong = f"next_state is {compared.c_deviation:.1e} (relative) from where MuJoCo's C engine leads"
                self._fail(self._c_engine, path, f"{wrong}, and not where MJX does", row)
        if compared.error is None:
            self._n_not_taken += 1
            return
        self._jacobians.checked += 1
        self._jacobians.saw(path, [row], np.array([compared.error]))
        self._n_jumps += compared.n_jumps
        if not compared.error <= SAME_JACOBIAN:
            wrong = f"j_state and j_action are {compared.error:.1e} (relative) from the step's difference quotients"
            self._fail(self._jacobians, path, wrong, row)

    def write_notes(self) -> None:
        """Write into each check what else there is to know."""
        explained = ", ".join(f"{count:,} deviate: {why}" for why, count in sorted(self._explained.items()))
        elsewhere = f"{self._n_mjx_elsewhere} where MJX itself is elsewhere" if self._n_mjx_elsewhere else ""
        jumps = f"{self._n_jumps} columns left out, along which there is no derivative" if self._n_jumps else ""
        others = f"{self._n_not_taken} steps left out, of which the simulator takes others" if self._n_not_taken else ""
        of_jacobians = ", ".join(filter(None, [jumps, others]))
        notes = [(self._replay, explained), (self._c_engine, elsewhere), (self._jacobians, of_jacobians)]
        if self._reset:
            notes.append((self._reset, ""))
        for check, note in notes:
            noted = self._noted[check.name]
            of_other = f"{noted:,} deviate, of data {self._other_simulator}" if noted else ""
            check.note = "; ".join(filter(None, [note, of_other]))

    def _fail(self, check: Check, path: str, wrong: str, row: int) -> None:
        if self._other_simulator:
            self._noted[check.name] += 1
        else:
            check.fail(path, wrong, row)


def _other_simulator(model: str, fact: dict[str, Any]) -> str:
    """Return how the simulator that made a run differs from this one; empty if it does not."""
    try:
        made_with = dict(json.loads(fact["versions"]))
    except (ValueError, TypeError):
        return "of unknown versions"
    here = provenance.versions()
    differing = [f"{name} {str(made_with.get(name))[:20]}" for name in DECIDING if made_with.get(name) != here[name]]
    if fact["model"] != model:
        differing.append("another model")
    return f"made with {', '.join(differing)}" if differing else ""
