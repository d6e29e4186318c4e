"""Stored steps and Jacobians, taken again in the simulator: what was tampered with, checksums and all, is found."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jacdb import schemas, verification
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest, partials
from jacdb.ingest.environments.loading import System
from jacdb.ingest.replay import checks
from jacdb.ingest.replay.programs import SLOTS, StepPrograms
from jacdb.ingest.replay.replay import JacobianCheck, Replayer, StepReplay
from jacdb.verification import samples
from jacdb.verification.rows import Dimensions

pytestmark = pytest.mark.slow

SAMPLE = 6
SIZES = Dimensions(n_state=4, n_moving=4, d_state=4, d_action=1)


@pytest.fixture
def copy(cartpole, tmp_path):
    return shutil.copytree(cartpole, tmp_path / "copy")


def rows(root: Path, table: str) -> list[dict[str, object]]:
    [run] = manifest.finished(root)
    return pq.read_table(root / run.folder(table) / "part-00000.parquet", partitioning=None).to_pylist()


def edit(root: Path, table: str, column: str, changes: dict[int, object]) -> None:
    """Other values in some rows; functions are given the old ones. The checksums are made to fit."""
    [run] = manifest.finished(root)
    path = f"{run.folder(table)}/part-00000.parquet"
    rows = pq.read_table(root / path, partitioning=None)
    values = rows[column].to_pylist()
    for row, value in changes.items():
        values[row] = value(values[row]) if callable(value) else value
    field = rows.schema.field(column)
    changed = rows.set_column(rows.schema.names.index(column), field, pa.array(values, field.type))
    pq.write_table(changed, root / path)
    sums = manifest.read(root, run)
    (root / run.manifest).write_text(manifest.encode({name: sha256_of(root / name) for name in sums}))


def drawn(root: Path) -> list[int]:
    """The rows that are looked at closely."""
    paths = [path for path in manifest.parts(root) if path.startswith("steps/")]
    return [one.first + step for one in samples.draw(root, paths, SAMPLE, SIZES) for step in one.drawn]


def test_a_run_is_what_the_simulator_says(cartpole):
    verified = verification.verify(cartpole, sample=SAMPLE, replayer=checks.replay_run)
    found = {check.name: check for check in verified.checks}
    assert verified.ok, list(verified.lines())
    assert found["jacobians"].checked == found["C engine"].checked == SAMPLE
    assert found["replay"].checked > 40 and found["reset"].checked == 3
    assert found["replay"].worst < 1e-14 and found["C engine"].worst < 1e-14 and found["jacobians"].worst < 1e-6
    assert not any(check.note for check in verified.checks)


def test_a_step_and_a_jacobian_that_are_not_the_simulators_are_found(copy):
    rows = drawn(copy)
    moved, wrong = rows[0], rows[-1]
    push = lambda x: [x[0], x[1] + 1e-6, *x[2:]]  # noqa: E731
    edit(copy, "steps", "next_state", {moved: push})
    edit(copy, "steps", "state", {moved + 1: push})  # joined as before
    edit(copy, "steps", "j_state", {wrong: lambda j: [j[0], [j[1][0], 1.0001 * j[1][1], *j[1][2:]], *j[2:]]})
    verified = verification.verify(copy, sample=SAMPLE, replayer=checks.replay_run)
    found = {(check.name, finding.row) for check in verified.checks for finding in check.findings}
    assert {("replay", moved), ("C engine", moved), ("jacobians", wrong)} <= found
    assert {name for name, _ in found} <= {"replay", "C engine", "jacobians", "summaries"}


@pytest.mark.parametrize("draws", [1, 3])
def test_a_step_that_another_program_of_mjx_takes_is_right_and_the_replay_goes_on_from_it(draws, cartpole, monkeypatch):
    """As if roundings of the quick program chose another of two equal contacts, and C's collisions were others."""
    quick, thorough, asked = StepPrograms.quick, StepPrograms.thorough, []

    def elsewhere(self, before, vectors, actions):
        taken = quick(self, before, vectors, actions)
        return taken._replace(vector=taken.vector + 0.01)

    def seldom(self, before, vectors, actions):
        """Every third draw, say, chooses as the stored step did."""
        asked.append(vectors)
        return (elsewhere if len(asked) % draws else thorough)(self, before, vectors, actions)

    [run], [fact] = manifest.finished(cartpole), rows(cartpole, "runs")
    prefixes = samples.draw(cartpole, [run.folder("steps") + "/part-00000.parquet"], 1, SIZES)
    replayer = Replayer(System.load("CartpoleBalance"), fact["seed"])
    monkeypatch.setattr(StepPrograms, "quick", elsewhere)
    monkeypatch.setattr(StepPrograms, "thorough", seldom)
    monkeypatch.setattr(Replayer, "_c_deviation", lambda *_: 1.0)
    found = list(replayer.replay(prefixes))
    steps = [one for one in found if isinstance(one, StepReplay)]
    assert len(steps) > 5 and all(one.deviation > 1e-3 for one in steps)
    assert {one.explanation for one in steps} == {"MJX takes it, with other roundings"}
    [jacobian] = [one for one in found if isinstance(one, JacobianCheck)]
    assert jacobian.confirmed and jacobian.error < 1e-6


def test_the_step_after_one_that_only_roundings_explain_is_tried_from_where_these_lead(cartpole, monkeypatch):
    """As if what the solver started from, which is not stored, were that of slot 7 in the stored run."""
    [run], [fact] = manifest.finished(cartpole), rows(cartpole, "runs")
    [prefix] = samples.draw(cartpole, [run.folder("steps") + "/part-00000.parquet"], 1, SIZES)
    last = len(prefix.state) - 1
    assert last > 2
    replayer = Replayer(System.load("CartpoleBalance"), fact["seed"])
    spread = np.where(np.arange(SLOTS) == 0, 0.01, 0.02)[:, None]

    def elsewhere(taken, before, vectors):
        if np.allclose(vectors, prefix.state[last - 1], atol=1e-9):
            marked = np.zeros((SLOTS, 2)) + np.arange(SLOTS)[:, None]
            data = taken.state.data.replace(qacc_warmstart=jnp.asarray(marked))
            return taken._replace(vector=taken.vector + spread, state=taken.state.replace(data=data))
        if np.allclose(vectors, prefix.state[last], atol=1e-9):
            return taken._replace(vector=taken.vector + 0.5 * (before.data.qacc_warmstart[:, :1] != 7))
        return taken

    for name in ("quick", "thorough"):
        step = getattr(StepPrograms, name)
        monkeypatch.setattr(StepPrograms, name, lambda self, *at, step=step: elsewhere(step(self, *at), at[0], at[1]))
    monkeypatch.setattr(Replayer, "_c_deviation", lambda *_: 1.0)
    steps = [one for one in replayer.replay([prefix]) if isinstance(one, StepReplay)]
    assert {one.explanation for one in steps[:-2]} == {""}
    assert steps[-2].explanation == "as far as roundings of the state move it"
    assert steps[-1].deviation > 0.1 and steps[-1].explanation == "MJX takes it, with other roundings"


@pytest.mark.thorough
def test_another_seed_is_found_and_another_simulator_is_told(copy):
    edit(copy, "runs", "seed", {0: 1})
    [run] = rows(copy, "runs")
    of_seed = [run[name] for name in ("env", "policy", "policy_config", "seed", "model")]
    ids = [schemas.trajectory_id(*of_seed, row["episode"]) for row in rows(copy, "episodes")]
    edit(copy, "episodes", "trajectory_id", dict(enumerate(ids)))
    verified = verification.verify(copy, sample=1, replayer=checks.replay_run)
    assert {check.name for check in verified.checks if check.failed} == {"reset"}
    edit(copy, "runs", "versions", {0: lambda text: json.dumps(json.loads(text) | {"mujoco": "3.0"})})
    partials.refresh(copy)
    verified = verification.verify(copy, sample=1, replayer=checks.replay_run)
    notes = {check.name: check.note for check in verified.checks}
    assert verified.ok and notes["reset"] == "1 deviate, of data made with mujoco 3.0"
