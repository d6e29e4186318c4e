"""Equal episodes have equal ids, and others have others: an id is made of what determines the states, or of these."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import schemas, verification
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest
from jacdb.ingest import pipeline
from jacdb.ingest.models import loading
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.policies.noise import NoisePolicy, ZeroPolicy
from jacdb.ingest.run_plan import Request, RunPlan
from jacdb.ingest.source_pipeline import Annotation, _AnnotationRun
from jacdb.ingest.sources import host_policies, recordings
from jacdb.ingest.sources.gymnasium import GymnasiumSource
from jacdb.ingest.sources.model import InitialStates, ModelSource
from jacdb.ingest.sources.rollouts import Rollouts
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.schemas.trajectory_ids import RecordedStates

CART = """<mujoco model="cart"><worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size=".1"/></body>
</worldbody><actuator><motor joint="x" ctrlrange="-1 1"/></actuator></mujoco>"""


def ids_of(source, tmp_path: Path, policy: str = "recorded", settings: dict | None = None) -> list[int]:
    run = _AnnotationRun(Annotation(source, policy, settings or {}), tmp_path / "data")
    return [run._trajectory_id(number, one) for number, one in enumerate(source.trajectories())]


def ids_in(root: Path) -> list[int]:
    with jacdb.open(root) as opened:
        return opened.sql("select trajectory_id from episodes order by run_id, episode").pl()["trajectory_id"].to_list()


def give_ids(root: Path, ids: list[int]) -> None:
    """Other ids to the episodes of a run of one part, and its checksum made to fit."""
    [path] = [path.relative_to(root).as_posix() for path in root.glob("episodes/*/*/*.parquet")]
    table = pq.read_table(root / path, partitioning=None)
    at = table.column_names.index("trajectory_id")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(ids)), root / path)
    [run] = manifest.finished(root)
    sums = manifest.read(root, run) | {path: sha256_of(root / path)}
    (root / run.manifest).write_text(manifest.encode(sums))


def rolled(tmp_path: Path, text: str = "noise", episodes=2, steps=5, substeps=2, keyframe="", note="") -> list[int]:
    (tmp_path / "cart.xml").write_text(CART + note)
    (tmp_path / "mine.py").write_text("def act(obs, rng):\n    return rng.uniform(-1, 1, 1)\n")
    policy = host_policies.make(text.replace("mine.py", str(tmp_path / "mine.py")))
    rollouts = Rollouts(policy, episodes, steps)
    source = ModelSource(loading.load(str(tmp_path / "cart.xml")), substeps, rollouts, InitialStates(keyframe))
    return ids_of(source, tmp_path, policy.name, rollouts.settings() | {"keyframe": keyframe})


@pytest.mark.parametrize("policy", ["noise", "zero", "mine.py:act"])
def test_a_rollouts_episode_has_the_id_of_what_determines_it(tmp_path, policy):
    ids = rolled(tmp_path, policy)
    assert len({*ids}) == 2 and rolled(tmp_path, policy, episodes=3)[:2] == ids
    assert rolled(tmp_path, policy, note="<!-- the same model -->") == ids
    assert not {*rolled(tmp_path, policy, substeps=3)} & {*ids}
    # noise is drawn for its whole length at once: of other lengths it is another
    assert (rolled(tmp_path, policy, steps=4) == ids) == (policy != "noise")


def test_an_environments_episode_has_an_id_whatever_is_rolled_out_beside_it(tmp_path):
    pytest.importorskip("gymnasium")
    every = []
    for episodes in (1, 2):
        asked = Rollouts(host_policies.make("zero"), episodes, 3)
        source = GymnasiumSource.load("InvertedPendulum-v5", asked)
        every.append(ids_of(source, tmp_path, "zero", asked.settings()))
    assert every[0] == every[1][:1] != every[1][1:]


def test_a_recorded_episode_has_the_id_of_its_states_and_actions(tmp_path):
    (tmp_path / "cart.xml").write_text(CART)
    model = loading.load(str(tmp_path / "cart.xml")).model
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=(9, 1)) for name in ("qpos", "qvel", "ctrl")} | {"episode": np.arange(9) // 3}
    of = {}
    for name, rows in {"all": slice(0, 9), "fewer": slice(0, 6), "later": slice(3, 9)}.items():
        np.savez(tmp_path / f"{name}.npz", **{key: values[rows] for key, values in columns.items()})
        of[name] = ids_of(recordings.open(tmp_path / f"{name}.npz", model=model), tmp_path)
    assert len({*of["all"]}) == 3 and of["fewer"] == of["all"][:2] and of["later"] == of["all"][1:]
    twice = recordings.open(tmp_path / "all.npz", model=model, n_substeps=2)
    assert not {*ids_of(twice, tmp_path)} & {*of["all"]}
    columns["ctrl"][1] += 1
    np.savez(tmp_path / "other.npz", **columns)
    changed = ids_of(recordings.open(tmp_path / "other.npz", model=model), tmp_path)
    assert changed[0] != of["all"][0] and changed[1:] == of["all"][1:]


@pytest.mark.slow
def test_an_episode_of_playgrounds_names_its_length_where_its_noise_is_planned_for_it():
    def ids(policy: Policy, steps: int | None) -> list[int]:
        plan = RunPlan.resolve(Request("CartpoleBalance", policy, episodes=2, steps=steps))
        assert steps or plan.trajectory_id(0) == plan.former_trajectory_id(0)
        return [plan.trajectory_id(number) for number in range(2)]

    noise = [ids(NoisePolicy(), steps) for steps in (None, 1000, 30, 50, 1001)]
    assert noise[0] == noise[1] and len({ident for of_length in noise for ident in of_length}) == 8
    assert ids(ZeroPolicy(), 30) == ids(ZeroPolicy(), 1001) == ids(ZeroPolicy(), None)
    assert ids(NoisePolicy(scale=0.0), 30) == ids(NoisePolicy(scale=0.0), None)


def test_verify_takes_ids_with_and_without_the_length_of_the_noise(cartpole, tmp_path):
    """Three episodes of 40 steps: their ids name the length, as they did not before 1.0."""
    assert verification.verify(cartpole, sample=0).ok
    plan = RunPlan.resolve(Request("CartpoleBalance", episodes=3, steps=40))
    former, named = ([of(n) for n in range(3)] for of in (plan.former_trajectory_id, plan.trajectory_id))
    assert ids_in(cartpole) == named
    root = shutil.copytree(cartpole, tmp_path / "data")
    for ids, ok in ((former, True), ([1, 2, 3], False)):
        give_ids(root, ids)
        failed = {check.name for check in verification.verify(root, sample=0).checks if check.failed}
        assert ("summaries" not in failed) == ok


@pytest.mark.slow
@pytest.mark.parametrize("by", ["former_trajectory_id", "trajectory_id"])
def test_a_run_that_stopped_is_completed_by_the_rule_that_it_was_begun_by(tmp_path, monkeypatch, by):
    request, stops = Request("CartpoleBalance", episodes=3, steps=5), [True, False]
    plan = RunPlan.resolve(request)
    expected = [getattr(plan, by)(number) for number in range(3)]

    def roll_out(programs: object, missing: list[int], writer: RunWriter) -> None:
        stop = stops.pop(0)
        for number in missing[:1] if stop else missing:
            writer.add(episode(number, np.ones((5, 4, 4)), np.ones((5, 4, 1))))
        writer.flush()
        if stop:
            raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "_roll_out", roll_out)
    with monkeypatch.context() as begun, pytest.raises(ZeroDivisionError):
        begun.setattr(RunPlan, "trajectory_id", getattr(RunPlan, by))
        pipeline.ingest(request, tmp_path, programs=lambda *given: None)
    pipeline.ingest(request, tmp_path, programs=lambda *given: None)
    assert not stops and ids_in(tmp_path) == expected


@pytest.mark.parametrize("of", ["states", "the run's row", "nothing"])
def test_verify_takes_a_recordings_ids_by_its_states_or_by_the_former_rule(tmp_path, of):
    dataset(tmp_path, "E", [episode(0, np.ones((8, 3, 3)), np.ones((8, 3, 2)))], suite="file")
    [row] = pq.read_table(next(tmp_path.glob("runs/**/*.parquet")), partitioning=None).to_pylist()
    states = RecordedStates("E", row["model"], round(row["ctrl_dt"] / row["sim_dt"]))
    for part in (3, 5):
        states.add(np.zeros((part, 3)), np.zeros((part, 2)), -np.zeros((part, 3)))
    former = schemas.trajectory_id("E", row["policy"], row["policy_config"], row["seed"], row["model"], 0)
    ident = {"states": states.trajectory_id(), "the run's row": former, "nothing": 7}[of]
    give_ids(tmp_path, [ident])
    checks = {check.name: check for check in verification.verify(tmp_path, sample=0).checks}
    found = [one.wrong for one in checks["summaries"].findings]
    told = f"episode 0: trajectory_id is 7, by its states and actions it is {states.trajectory_id()}"
    assert found == ([told] if of == "nothing" else [])
