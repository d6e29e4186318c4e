"""Ingest every environment, and compare its Jacobians with autodiff and finite differences.

    python benchmarks/environments.py [ENV …] [--times] [--out environments.json]

Each environment in a process of its own: two episodes of 50 steps go through `jacdb ingest`; of the steps taken, some
with a contact and some without, the Jacobian is compared with autodiff and with MuJoCo's C engine (centred finite
differences). Results are printed, and kept by environment in the JSON file. --times measures compilation and steps
alone, and leaves the rest as it was kept.

Where MJX's own step departs from the C engine's (it may stop after few solver iterations, and clips forces
otherwise), so do the derivatives: such steps are told apart by comparing the steps themselves first.
"""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jacdb.ingest import pipeline, run_plan, runtime
from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.types import CtrlJacobian, PhysicsInput, PhysicsJacobian
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import registry
from jacdb.ingest.environments.loading import System
from jacdb.ingest.program_store import ProgramStore
from jacdb.ingest.recording.chunk_program import Batch, StepChunk
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.step_records import ChunkRecord, StepRecord
from jacdb.progress import Event
from jacdb.schemas import ZERO_THRESHOLD

EPISODES, STEPS = 2, 50
COMPARED = 12  # steps with a contact, and as many without
BATCH = 8
SAME_STEP = 1e-7  # relative: MJX and C took the same step
AGREES = 1e-5  # relative, of Jacobians: finite differences are no better where forces are stiff


def measure(name: str, times: bool = False) -> dict[str, Any]:
    """Ingest an environment, and return its line: what was recorded, what it cost, and how its Jacobians compare."""
    records: list[StepRecord] = []
    compiling: list[float] = []  # this process's time alone, whatever else the machine does
    chunks: list[float] = []

    class Recorded(Programs):
        """Programs that time their compilation and every chunk, and keep the records."""

        def step_chunk(self, chunk: int) -> StepChunk:
            started = time.process_time()
            step_chunk = super().step_chunk(chunk)
            compiling.append(time.process_time() - started)

            def timed(batch: Batch, noise: Array | np.ndarray) -> tuple[Batch, ChunkRecord]:
                started = time.process_time()
                stepped = jax.block_until_ready(step_chunk(batch, noise))
                record = jax.tree.map(np.asarray, stepped[1].steps)
                turns = np.count_nonzero(record.in_episode.any(axis=1))  # it ends with the last episode
                chunks.append((time.process_time() - started) / (turns * record.in_episode.shape[1]))
                records.append(record)
                return stepped

            return timed

    def programs(settings: RolloutSettings, report: Callable[[Event], None]) -> Programs:
        # no step is recomputed: the method's own Jacobians are what is compared
        return Recorded(dataclasses.replace(settings, tolerance=np.inf), report, ProgramStore(Path(cache)))

    # all is compiled anew
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as cache:
        request = run_plan.Request(name, episodes=EPISODES, steps=STEPS, dtype="float64")
        result = pipeline.ingest(request, root, programs=programs)
    spent = {"compile_s": compiling[0], "steps_per_s": 1 / min(chunks)}
    if times:
        return spent
    rows = [jax.tree.map(lambda leaf, record=record: leaf[record.in_episode], record) for record in records]
    flat = jax.tree.map(lambda *parts: np.concatenate(parts), *rows)

    zero_state, zero_action = (np.abs(j) < ZERO_THRESHOLD for j in flat.jacobian[:2])
    method = registry.find(name).method
    converged = flat.residual <= RESIDUAL_TOLERANCE
    kept = flat.valid & (converged | (method == "unrolled"))
    return {
        "env": name,
        "method": method,
        "rows": result.n_rows,
        "not_finite": result.n_excluded,
        **spent,
        "unconverged": float((~converged).mean()),
        "recomputed": float((~kept).mean()),
        "contact_share": float(_touching(flat).mean()),
        "zero_state": float(zero_state.all(axis=0).mean()),
        "zero_state_per_step": float(zero_state.mean()),
        "zero_action_per_step": float(zero_action.mean()),
        **compare(System.load(name), flat, kept),
    }


def _touching(flat: StepRecord) -> np.ndarray:
    touching: np.ndarray = np.asarray(flat.observed.touching).reshape(len(flat.done), -1).any(axis=1)
    return touching


def compare(system: System, flat: StepRecord, kept: np.ndarray) -> dict[str, Any]:
    """Compare the Jacobians of some steps with those of autodiff and of finite differences.

    Both start from the recorded physics input, under the recorded ctrl map.

    Args:
        kept: which steps' own Jacobians are valid.
    """
    touching, rng = _touching(flat), np.random.default_rng(0)
    kinds = [rng.permutation(np.flatnonzero(kept & kind)) for kind in (touching, ~touching)]
    chosen = np.sort(np.concatenate([kind[:COMPARED] for kind in kinds]))
    if not len(chosen):
        return {"compared": 0}
    some = jax.tree.map(lambda leaf: leaf[chosen], flat)
    physics = _autodiff(system, some.physics_input)
    same, differences = _by_c_engine(system, some, physics)

    def composed(jacobian: PhysicsJacobian, ctrl: CtrlJacobian) -> np.ndarray:
        both = jax.vmap(lambda j, ctrl: control_step.compose(system, j, ctrl))(jacobian, ctrl)
        return np.concatenate([np.asarray(matrix) for matrix in both], axis=-1)

    ours = np.concatenate([some.jacobian.j_state, some.jacobian.j_action], axis=-1)
    autodiff = composed(physics, some.ctrl)
    to_autodiff = _relative(ours, autodiff)
    to_fd = _relative(ours, composed(differences, some.ctrl))
    # who is right where autodiff and we differ: MJX's own step, differenced
    differs = np.flatnonzero(to_autodiff >= AGREES)
    asked = jax.tree.map(lambda leaf: leaf[differs], some)
    disputed: list[dict[str, float]] = []
    if len(differs):
        by_width = finite_differences.step_differences(system, asked.physics_input, (1e-6, 2e-7))
        wide, narrow = (composed(physics, asked.ctrl) for physics in by_width)
        errors = (
            _relative(ours[differs], wide),
            _relative(autodiff[differs], wide),
            _relative(narrow, wide),
        )
        names = ("ours", "autodiff", "narrower_difference")  # the last is large where there is a kink: no derivative
        disputed = [dict(zip(names, map(float, row), strict=True)) for row in zip(*errors, strict=True)]
    zeros = [np.abs(matrices) < ZERO_THRESHOLD for matrices in (ours, autodiff)]
    return {
        "compared": len(chosen),
        "compared_in_contact": int(touching[chosen].sum()),
        "same_step": int(same.sum()),
        "autodiff_error": _summary(to_autodiff),
        "fd_error": _summary(to_fd[same]),
        "same_pattern": float((zeros[0] == zeros[1]).all(axis=(1, 2)).mean()),
        "autodiff_differs": len(differs),
        "disputed": disputed,
        "fd_differs": int((to_fd[same] >= AGREES).sum()),
    }


def _by_c_engine(system: System, some: StepRecord, physics: PhysicsJacobian) -> tuple[np.ndarray, PhysicsJacobian]:
    """Return in which steps the C engine goes where the stored ones go, and its finite differences of all."""
    same_step, differences = [], []
    for row in range(len(some.next_state)):
        start = some.physics_input.sample(row)
        qvel = some.next_state[row][system.mj_model.nq :][: system.mj_model.nv]
        c_qvel = finite_differences.replay(system, start)[1]
        same_step.append(np.linalg.norm(c_qvel - qvel) <= SAME_STEP * max(1.0, float(np.linalg.norm(qvel))))
        fd = finite_differences.finite_difference(system, start)
        # where ctrl lies on its bound its two sides differ, and each method has its own convention
        bounds = system.mj_model.actuator_ctrlrange
        on_bound = (np.abs(start.ctrl[:, None] - bounds) < 1e-5).any(axis=1) | (start.ctrl < bounds[:, 0])
        on_bound |= start.ctrl > bounds[:, 1]
        on_bound &= system.mj_model.actuator_ctrllimited.astype(bool)
        differences.append(fd._replace(by_ctrl=np.where(on_bound, physics.by_ctrl[row], fd.by_ctrl)))
    return np.array(same_step), jax.tree.map(lambda *parts: np.stack(parts), *differences)


def _autodiff(system: System, inputs: PhysicsInput) -> PhysicsJacobian:
    """Differentiate recorded steps by autodiff, a batch at a time."""
    count = len(inputs.qpos)
    padded = jax.tree.map(lambda leaf: leaf[np.resize(np.arange(count), -(-count // BATCH) * BATCH)], inputs)
    batches = [jax.tree.map(lambda leaf, i=i: leaf[i : i + BATCH], padded) for i in range(0, len(padded.qpos), BATCH)]
    call = runtime.compiled_quickly(jax.vmap(control_step.physics_jacobian(system, "autodiff")), batches[0])
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *map(call, batches))


def _relative(matrices: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how far each matrix is from the true one, norm over norm."""
    return np.asarray(finite_differences.relative(matrices, truth))


def _summary(errors: np.ndarray) -> list[float] | None:
    return [float(np.median(errors)), float(errors.max())] if len(errors) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", metavar="ENV")
    parser.add_argument("--out", type=Path, default=Path("environments.json"))
    parser.add_argument("--times", action="store_true", help="only how long compilation and steps take")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        json.dump(measure(arguments.envs[0], arguments.times), sys.stdout)
        return
    for name in arguments.envs or registry.all_specs():
        command = [sys.executable, __file__, "--here", name, *(["--times"] if arguments.times else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if re.match(r"\S+(Error|Exception)\b", line)]
            result = {"env": name, "failed": (said or [done.stderr])[-1]}
        else:
            result = json.loads(done.stdout.strip().splitlines()[-1])
        print(json.dumps(result), flush=True)
        kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        whole = {**kept.get(name, {}), **result} if arguments.times else result
        arguments.out.write_text(json.dumps({**kept, name: whole}, indent=1) + "\n")


if __name__ == "__main__":
    main()
