"""Any model's trajectories become rows: rolled out or recorded, replayed, differentiated, written, verified."""

import functools
import re
import resource
import shutil
import time
from pathlib import Path

import mujoco
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jacdb
from jacdb import verification
from jacdb.checksum import sha256_of
from jacdb.dataset import manifest, run_status
from jacdb.dataset.layout import Run
from jacdb.errors import UsageError
from jacdb.ingest import run_failures, source_pipeline
from jacdb.ingest.linearization.linearizer import Linearizer
from jacdb.ingest.models import loading
from jacdb.ingest.replay import source_replay
from jacdb.ingest.replay.checks import replay_run
from jacdb.ingest.source_pipeline import Annotation, annotate
from jacdb.ingest.sources import host_policies, recordings
from jacdb.ingest.sources.host_policies import HostNoise
from jacdb.ingest.sources.model import ModelSource
from jacdb.ingest.sources.rollouts import Rollouts
from jacdb.ingest.storage.run_writer import RunWriter

CART = """<mujoco model="cart"><option timestep="{timestep}" integrator="RK4"/><worldbody><body>
<joint name="x" type="slide" axis="1 0 0" range="-.3 .3" damping=".1"/><geom size=".1"/>
<body><joint name="pole" axis="0 1 0"/><geom type="capsule" size=".03" fromto="0 0 0 0 0 -.25"/></body>
</body></worldbody>
<actuator><motor name="push" joint="x" ctrlrange="-9 9"/>
<general name="lag" joint="pole" dyntype="filter" dynprm=".1" ctrlrange="-1 1"/></actuator></mujoco>"""
EPISODES, STEPS = 2, 60


def cart(folder: Path, timestep: float = 0.01) -> loading.LoadedModel:
    path = folder / "cart.xml"
    path.write_text(CART.format(timestep=timestep))
    return loading.load(str(path))


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any_model")
    rollouts = Rollouts(HostNoise(), EPISODES, STEPS, seed=3)
    source = ModelSource(cart(folder), 2, rollouts)
    asked = Annotation(source, "noise", rollouts.settings(), seed=3, dtype="float64")
    return folder / "data", asked, annotate(asked, folder / "data")


def test_a_recording_is_not_called_like_an_environment_of_playground(tmp_path):
    model = mujoco.MjModel.from_xml_string(CART.format(timestep=0.01).replace('model="cart"', 'model="CheetahRun"'))
    np.savez(
        tmp_path / "walk.npz", qpos=np.zeros((4, 2)), qvel=np.zeros((4, 2)), act=np.zeros((4, 1)), ctrl=np.zeros((3, 2))
    )
    with pytest.raises(UsageError, match=r"CheetahRun is an environment of Playground.* give the model another name"):
        Annotation(recordings.open(tmp_path / "walk.npz", model=model))


@pytest.mark.slow
def test_a_model_of_ones_own_has_rows_axes_and_zeros(rolled_out):
    root, _, result = rolled_out
    assert (result.n_rows, result.n_excluded, result.n_differences) == (EPISODES * STEPS, 0, 0)
    with jacdb.open(root) as dataset:
        axes = dataset.sql("select name, quantity from axes where space = 'tangent' order by index").pl()
        assert axes["name"].to_list() == ["x", "pole", "x.vel", "pole.vel", "lag.act"]
        assert axes["quantity"].to_list()[-1] == "activation"
        # an activation follows itself and its own ctrl alone; where the cart is matters at its end stop
        zero = dataset.entry_zero_fraction("cart")
        by_name = {(row["row_name"], row["col_name"]): row["zero_fraction"] for row in zero.iter_rows(named=True)}
        assert by_name["lag.act", "x"] == by_name["lag.act", "pole.vel"] == by_name["lag.act", "push.action"] == 1.0
        assert by_name["lag.act", "lag.act"] == by_name["lag.act", "lag.action"] == 0.0
        assert 0 < by_name["x.vel", "x"] < 1, "the end stop was reached, and not always"
        assert dataset.sql("select distinct a from (select unnest(active) as a from steps)").pl()["a"].to_list() != []
        [facts] = dataset.sql("select suite, source, ctrl_dt from runs").pl().iter_rows()
        assert facts == ("model", "cart.xml", pytest.approx(0.02))
        told = dataset.sql("select max(replay_error), count(reward) from steps").pl().row(0)
        assert told == (0.0, 0)
        assert dataset.episodes()["total_reward"].to_list() == [None] * EPISODES


@pytest.mark.slow
def test_another_run_of_the_same_model_is_not_traced_anew(rolled_out, tmp_path, monkeypatch):
    _, asked, result = rolled_out
    monkeypatch.setattr(Linearizer, "_differentiate", lambda *_: pytest.fail("traced anew"))
    assert annotate(asked, tmp_path).n_rows == result.n_rows


@pytest.mark.slow
def test_its_rows_pass_verification_with_replay_and_differences(rolled_out):
    root, _, _ = rolled_out
    checks = {check.name: check for check in verification.verify(root, sample=8, replayer=replay_run).checks}
    assert not [name for name, check in checks.items() if check.failed]
    assert checks["replay"].checked > 8 and checks["jacobians"].checked == 8
    assert checks["jacobians"].worst < 1e-7


@pytest.mark.slow
def test_its_model_is_one_of_its_files_and_another_mujoco_only_replays_nothing(rolled_out, tmp_path, monkeypatch):
    root, _, _ = rolled_out
    copy = shutil.copytree(root, tmp_path / "copy")
    [run] = manifest.finished(copy)
    assert run.model in manifest.read(copy, run)
    with monkeypatch.context() as patch:
        patch.setattr(source_replay.mujoco, "__version__", "3.0.0")
        checks = verification.verify(copy, sample=1, replayer=replay_run)
        [note] = [check.note for check in checks.checks if check.name == "replay"]
        assert checks.ok and re.search(r"^not replayed: .*model.mjb is MuJoCo .*'s, and 3.0.0 is installed", note)
    (copy / run.model).write_bytes(b"another")
    [finding] = verification.verify(copy, sample=1, replayer=replay_run).findings
    assert finding.path == run.model and "it has changed" in finding.wrong


@pytest.mark.slow
def test_a_row_that_counts_was_replayed_within_the_tolerance(rolled_out, tmp_path):
    root, _, _ = rolled_out
    copy = shutil.copytree(root, tmp_path / "copy")
    [path] = copy.glob("steps/*/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    error = table["replay_error"].to_numpy().copy()
    error[3] = 1e-3
    at = table.column_names.index("replay_error")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(error)), path)
    [run] = manifest.finished(copy)
    name = path.relative_to(copy).as_posix()
    (copy / run.manifest).write_text(manifest.encode(manifest.read(copy, run) | {name: sha256_of(path)}))
    found = [finding for finding in verification.verify(copy).findings if "replay_error" in finding.wrong]
    assert [(finding.row, finding.wrong) for finding in found] == [
        (3, "finite is true, replay_error is 0.001; the run's tolerance is 1e-06")
    ]


@pytest.mark.slow
def test_the_same_run_again_is_there_already(rolled_out):
    root, asked, result = rolled_out
    again = annotate(asked, root)
    assert again.was_there and again.run_id == result.run_id


@pytest.mark.thorough
def test_another_model_of_its_file_name_is_refused_if_axes_differ(rolled_out, tmp_path, monkeypatch):
    root, _, result = rolled_out
    (tmp_path / "cart.xml").write_text(CART.format(timestep=0.01).replace('name="push"', 'name="pull"'))
    source = ModelSource(loading.load(str(tmp_path / "cart.xml")), 2, Rollouts(HostNoise(), 1, 5))
    before, told = sorted(root.rglob("*")), rf"cart: action axis 0 is pull.action \(1\), .* {result.run_id} in"
    with monkeypatch.context() as patch, pytest.raises(jacdb.UsageError, match=told):
        patch.setattr(ModelSource, "trajectories", lambda *_: pytest.fail("it was rolled out"))
        annotate(Annotation(source, "noise", dtype="float64"), root)
    assert sorted(root.rglob("*")) == before
    heavier = ModelSource(cart(tmp_path, 0.02), 2, Rollouts(HostNoise(), 1, 5))
    assert annotate(Annotation(heavier, "noise", dtype="float64"), shutil.copytree(root, tmp_path / "data")).n_rows == 5


def recording_of(dataset: jacdb.Dataset, path: Path) -> Path:
    """The stored trajectories as a file that anyone could have."""
    rows = dataset.sql("select episode, state, action from steps order by episode, step").pl()
    state, action = np.array(rows["state"].to_list()), np.array(rows["action"].to_list())
    np.savez(
        path, qpos=state[:, :2], qvel=state[:, 2:4], act=state[:, 4:], ctrl=action, episode=rows["episode"].to_numpy()
    )
    return path


@pytest.mark.slow
def test_a_recording_of_it_is_annotated_with_the_same_jacobians(rolled_out, tmp_path):
    root, asked, _ = rolled_out
    with jacdb.open(root) as dataset:
        path = recording_of(dataset, tmp_path / "cart.npz")
        stored = dataset.sql("select j_state from steps where step < 59 order by episode, step").pl()["j_state"]
    recording = recordings.open(path, model=asked.source.model, n_substeps=2)
    result = annotate(Annotation(recording, dtype="float64"), tmp_path / "annotated")
    assert (result.n_rows, result.n_excluded, result.reason) == (EPISODES * (STEPS - 1), 0, "")
    with jacdb.open(tmp_path / "annotated") as dataset:
        annotated = dataset.sql("select j_state from steps order by episode, step").pl()["j_state"]
        assert dataset.sql("select distinct policy from runs").pl()["policy"].to_list() == ["recorded"]
    np.testing.assert_allclose(np.array(annotated.to_list()), np.array(stored.to_list()), rtol=1e-9, atol=1e-12)


@pytest.mark.thorough
def test_a_recording_of_another_timestep_is_excluded_whole_and_the_reason_is_said(rolled_out, tmp_path):
    root, _, _ = rolled_out
    with jacdb.open(root) as dataset:
        path = recording_of(dataset, tmp_path / "cart.npz")
    slower = cart(tmp_path, timestep=0.005)
    result = annotate(Annotation(recordings.open(path, model=slower.model, n_substeps=2)), tmp_path / "annotated")
    assert result.n_excluded == result.n_rows == EPISODES * (STEPS - 1)
    told = result.describe("cart", "data")
    assert "0.01" in result.reason and "\nexcluded because" in told
    assert f"{result.n_rows} excluded ({result.n_rows} not repeated by the engine), largest replay error 0." in told
    [row] = run_status.status(tmp_path / "annotated").to_dicts()
    assert (row["excluded"], row["replay_error"]) == (result.n_rows, result.largest_error)
    with jacdb.open(tmp_path / "annotated") as dataset:
        [row] = dataset.global_sparsity().iter_rows(named=True)
        assert row["excluded"] == result.n_rows and row["samples"] == 0
    checks = verification.verify(tmp_path / "annotated").checks
    assert not [check.name for check in checks if check.failed]


@pytest.mark.slow
def test_a_policy_that_raises_is_told_before_anything_is_written(tmp_path):
    (tmp_path / "mine.py").write_text("def act(obs, rng):\n    raise ValueError('oops')\n")
    policy = host_policies.make(f"{tmp_path / 'mine.py'}:act")
    source = ModelSource(cart(tmp_path), 1, Rollouts(policy, 1, 5))
    with pytest.raises(jacdb.UsageError, match=r"mine.py:act raised ValueError.*: oops"):
        annotate(Annotation(source), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_feature_that_is_not_covered_is_refused_before_anything_is_written(tmp_path):
    text = CART.format(timestep=0.01).replace('<motor name="push"', '<motor name="push" damping="2"')
    (tmp_path / "cart.xml").write_text(text)
    source = ModelSource(loading.load(str(tmp_path / "cart.xml")), 1, Rollouts(HostNoise(), 1, 5))
    with pytest.raises(jacdb.UsageError, match=r"cart has what cannot be differentiated: actuator damping \(1\)"):
        annotate(Annotation(source), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_model_in_which_nothing_moves_is_refused_before_anything_is_written(tmp_path):
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><body><geom size=".1"/></body></worldbody></mujoco>')
    np.savez(tmp_path / "still.npz", qpos=np.zeros((3, 0)), qvel=np.zeros((3, 0)))
    with pytest.raises(jacdb.UsageError, match=r"^nothing moves in MuJoCo-Model: give a model with joints$"):
        annotate(Annotation(recordings.open(tmp_path / "still.npz", model=model)), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_another_mapping_is_another_run(tmp_path):
    model = cart(tmp_path).model
    rows = {"qpos": np.zeros((5, 2)), "qvel": np.zeros((5, 2)), "act": np.zeros((5, 1)), "ctrl": np.ones((5, 2))}
    np.savez(tmp_path / "cart.npz", **rows)
    runs = []

    def begin(run: Run):
        runs.append(run.run_id)
        raise InterruptedError

    for text in ("", "ctrl = {column = 'ctrl', scale = 2}", "[ctrl]\nscale = 2.0\ncolumn = 'ctrl'", "ctrl = 'qpos'"):
        (tmp_path / "map.toml").write_text(text)
        recording = recordings.open(tmp_path / "cart.npz", model=model, mapping=tmp_path / "map.toml")
        with pytest.raises(InterruptedError):
            annotate(Annotation(recording), tmp_path / "data", begin=begin)
    plain, doubled, again, other = runs
    assert doubled == again and len({plain, doubled, other}) == 3


@pytest.mark.slow
def test_steps_of_infinite_reward_count_in_no_statistic_and_unknown_rewards_are_null(rolled_out, tmp_path):
    root, asked, _ = rolled_out
    with jacdb.open(root) as dataset:
        path = recording_of(dataset, tmp_path / "cart.npz")
    with np.load(path) as archive:
        columns = dict(archive)
    reward = np.ones(len(columns["episode"]))
    reward[[3, STEPS + 4]], reward[STEPS + 5] = np.inf, np.nan
    np.savez(path, **columns, reward=reward)
    recording = recordings.open(path, model=asked.source.model, n_substeps=2)
    assert annotate(Annotation(recording), tmp_path / "annotated").n_excluded == 2
    with jacdb.open(tmp_path / "annotated") as dataset:
        told = dataset.sql("select reward, finite from steps where step in (3, 4, 5) order by episode, step").pl()
        assert told["reward"].to_list() == [np.inf, 1.0, 1.0, 1.0, np.inf, None]
        assert told["finite"].to_list() == [False, True, True, True, False, True]
        assert dataset.episodes()["total_reward"].to_list() == [np.inf, None]
        assert dataset.returns().select("episodes", "mean").rows() == [(1, np.inf)]
    assert not verification.verify(tmp_path / "annotated", sample=2, replayer=replay_run).findings


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line_and_the_same_command_goes_on(rolled_out, tmp_path, monkeypatch):
    """Files may not grow beyond a size that the second part does not fit into; then they may."""
    _, asked, whole = rolled_out
    # an episode a part, and each differentiated for itself
    monkeypatch.setattr(source_pipeline, "RunWriter", functools.partial(RunWriter, part_bytes=1))
    monkeypatch.setattr(source_pipeline, "ROWS_AT_ONCE", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event):
        if event.doing.endswith(f" {STEPS} steps"):
            while not list(tmp_path.glob("episodes/*/*/part-00000.parquet")):  # parts are written in the background
                time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))

    try:
        with pytest.raises(jacdb.FailureError, match=r"could not write to .*: .*; finished parts are kept, and the "):
            annotate(asked, tmp_path, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run_status.status(tmp_path)["status"].to_list() == ["stopped"]
    assert run_status.status(tmp_path)["steps"].to_list() == [STEPS]
    assert annotate(asked, tmp_path).n_rows == whole.n_rows
    assert run_status.status(tmp_path).select("status", "steps").row(0) == ("finished", whole.n_rows)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), r"^stopped: out of memory; finished episodes are kept; .* from them, or give fewer"),
        (FileNotFoundError(2, "No such file", "/gone/walks.npz"), r"^stopped at /gone/walks.npz: .*; finished parts"),
    ],
)
def test_what_stopped_a_run_is_told_with_how_to_go_on(error, told, tmp_path):
    with pytest.raises(jacdb.FailureError, match=told), run_failures.told(tmp_path, "give fewer"):
        raise error


@pytest.mark.slow
def test_an_unstable_simulation_is_told_as_one_and_no_recording_is_blamed(tmp_path):
    path = tmp_path / "stiff.xml"
    path.write_text(
        '<mujoco><option timestep=".1"/><worldbody><body><joint name="h" type="slide" stiffness="1e5"/>'
        '<geom size=".1"/></body></worldbody>'
        '<actuator><motor joint="h" ctrlrange="-1e10 1e10"/></actuator></mujoco>'
    )
    rollouts = Rollouts(HostNoise(), 2, 30)
    result = annotate(Annotation(ModelSource(loading.load(str(path)), 2, rollouts), "noise"), tmp_path / "data")
    told = result.describe("stiff", "data")
    assert "\nexcluded because MuJoCo found the simulation unstable and reset it: 2 of 2 episodes ended there" in told
    assert "a smaller timestep" in told and "recording" not in told and "of a doubtful state because" not in told


def test_what_makes_states_doubtful_is_told():
    result = source_pipeline.Annotated("run", 9, 3, 0, 1.0, n_doubtful=3, doubts=("velocity clipped",))
    told = result.describe("Hopper", "data")
    assert "3 excluded (3 of a doubtful state)" in told
    assert told.endswith("\nof a doubtful state because of this: velocity clipped")


def test_why_rows_are_differences_is_told():
    told = [
        source_pipeline.Annotated("run", 9, 0, 5, 1.0, why_differences=why).describe("E", "data")
        for why in ((("early", 5),), (("otherwise", 5),), (("edge", 4), ("early", 1)), ())
    ]
    assert "(the solver stopped early: a smaller option/tolerance or more option/iterations" in told[0]
    assert "its solver is not why" in told[1] and "stopped early" not in told[1]
    assert "(4: a contact is on an edge" in told[2] and "; 1: the solver stopped early" in told[2]
    assert told[3].endswith("5 by finite differences")


@pytest.mark.slow
def test_a_model_without_actuators_is_rolled_out_and_verified(tmp_path):
    path = tmp_path / "passive.xml"
    path.write_text('<mujoco><worldbody><body><joint/><geom size=".1" pos=".3 0 0"/></body></worldbody></mujoco>')
    rollouts = Rollouts(HostNoise(), 2, 10)
    asked = Annotation(ModelSource(loading.load(str(path)), 1, rollouts), "noise", rollouts.settings())
    assert annotate(asked, tmp_path / "data").n_rows == 20
    assert not verification.verify(tmp_path / "data", sample=5, replayer=replay_run).findings
    table = pq.read_table(next((tmp_path / "data").glob("steps/*/*/*.parquet")), partitioning=None)
    assert table["action"].to_pylist() == [[]] * 20 and table["j_action"].to_pylist() == [[[], []]] * 20
