"""Minari's datasets, made with Gymnasium on the spot by Minari's own collector: states, replay, and what is refused."""

import json
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from jacdb.errors import FailureError, UsageError
from jacdb.ingest.source_pipeline import Annotation, _AnnotationRun
from jacdb.ingest.sources import gymnasium, recordings, suites
from jacdb.ingest.sources.recordings import diagnosis, observations, replay

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.skipif(suites.version("gymnasium") is None, reason="needs the gymnasium extra")


class States(minari.StepDataCallback):
    """Keeps the state in infos, as Minari's documentation shows it."""

    def __call__(self, env, **step):
        data = env.unwrapped.data
        return {**super().__call__(env, **step), "info": {"qpos": data.qpos.copy(), "qvel": data.qvel.copy()}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a dataset of an environment, and returns its folder."""
    import gymnasium as gym

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def make(name, n_steps=30, n_episodes=2, timestep=None, push=1.0, options=None, wrap=lambda env: env, **collector):
        with warnings.catch_warnings(action="ignore"):
            env = minari.DataCollector(wrap(gym.make(name, **(options or {}))), **collector)
            if timestep is not None:
                env.unwrapped.model.opt.timestep = timestep
            rng = np.random.default_rng(0)
            for episode in range(n_episodes):
                env.reset(seed=episode)
                for _ in range(n_steps):
                    low, high = env.action_space.low, env.action_space.high
                    ends = env.step(np.float32(push * rng.uniform(low, high)))[2:4]
                    if any(ends):
                        break
            env.create_dataset(f"made/{name}", author="A. Person", algorithm_name="random", requirements=["mujoco==4"])
            env.close()
        return tmp_path / "made" / name

    return make


def replayed(source):
    return list(replay.replays(source.model, source.n_substeps, source.trajectories()))


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "InvertedPendulum-v5", "Ant-v5"])
def test_what_was_made_here_is_replayed_from_observations_to_roundoff(made, name):
    source = recordings.open(made(name))
    assert (source.name, source.suite) == (name, "minari")
    assert source.n_substeps == gymnasium.load(name)[1]
    runs = replayed(source)
    assert len(runs) == 2
    assert max(run.error.max() for _, run in runs) < 1e-10
    assert all(not one.doubtful for one, _ in runs)
    assert source.facts["author"] == "A. Person" and source.facts["requirements"] == "mujoco==4"


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_states_in_infos_are_taken_as_they_are(made, data_format):
    folder = made("Pusher-v5", step_data_callback=States, record_infos=True, data_format=data_format)
    source = recordings.open(folder)
    runs = replayed(source)
    # bit for bit: the warm start follows from step to step, as in the simulation
    assert max(run.error.max() for _, run in runs) == 0
    assert [one.n_steps for one, _ in runs] == [30, 30]
    assert np.isfinite(runs[0][0].reward).all()


def test_a_changed_timestep_fails_in_every_step_and_the_reason_is_said(made):
    folder = made("HalfCheetah-v5", timestep=0.004)
    source = recordings.open(folder)
    limit = replay.tolerance(source.dtype)
    for one, run in replayed(source):
        assert (run.error > limit).all()
        said = diagnosis.reason(source.model, source.n_substeps, one, limit)
        assert "timestep of the data looks like 0.004 s, the model has 0.01 s" in said


def test_frame_skip_is_the_datasets_own(made):
    source = recordings.open(made("InvertedPendulum-v5", options={"frame_skip": 5}))
    assert source.n_substeps == 5
    assert json.loads(source.facts["env_arguments"]) == {"frame_skip": 5}
    assert max(run.error.max() for _, run in replayed(source)) < 1e-10


def test_wrappers_that_the_dataset_names_are_told_where_steps_fail(made, tmp_path):
    import gymnasium as gym

    recorded = {"step_data_callback": States, "record_infos": True}
    plain = recordings.open(made("InvertedPendulum-v5", **recorded))
    assert plain.caveat == ""
    folder = made("Reacher-v5", wrap=lambda env: gym.wrappers.RescaleAction(env, -9, 9), **recorded)
    source = recordings.open(folder)
    run = _AnnotationRun(Annotation(source), tmp_path / "data")
    for one, again in replayed(source):
        assert run._excluded(one, again).all()
    told = "the dataset was collected through wrappers (RescaleAction), and its actions"
    assert run._reason.startswith(told) and "\n" not in run._reason


def test_a_state_is_as_precise_as_the_coarsest_of_its_columns(made):
    class Coarse(States):
        def __call__(self, env, **step):
            kept = super().__call__(env, **step)
            return kept | {"info": kept["info"] | {"qvel": kept["info"]["qvel"].astype(np.float32)}}

    source = recordings.open(made("InvertedPendulum-v5", step_data_callback=Coarse, record_infos=True))
    assert source.dtype == np.float32


def test_hoppers_clipped_velocities_are_marked(made):
    folder = made("Hopper-v5", n_steps=150, options={"terminate_when_unhealthy": False})
    source = recordings.open(folder)
    n_marked = n_steps = 0
    for one, run in replayed(source):
        at_limit = (np.abs(one.qvel) >= 10).any(1)
        marked = np.array([bool(why) for why in one.doubtful or [""] * one.n_steps])
        np.testing.assert_array_equal(marked, at_limit[:-1] | at_limit[1:])
        assert (run.error[~marked] < 1e-10).all()
        n_marked, n_steps = n_marked + marked.sum(), n_steps + one.n_steps
    assert 0 < n_marked < n_steps


def test_provenance_changes_with_the_files(made):
    folder = made("InvertedPendulum-v5")
    before = recordings.open(folder).provenance()
    assert before["source"] == "made/InvertedPendulum-v5" and before["source_version"] == f"minari {minari.__version__}"
    assert "gymnasium" in before["replayed_with"] and "licence" not in before
    metadata = folder / "data" / "metadata.json"
    metadata.write_text(metadata.read_text() + " ")
    assert recordings.open(folder).provenance()["sha256"] != before["sha256"]


def test_a_dataset_on_this_machine_has_an_id(made):
    made("InvertedPendulum-v5")
    assert recordings.open("made/InvertedPendulum-v5").name == "InvertedPendulum-v5"
    assert recordings.open("minari:made/InvertedPendulum-v5").suite == "minari"


def test_pusher_is_refused_without_its_state(made):
    source = recordings.open(made("Pusher-v5"))
    with pytest.raises(UsageError, match="the object's position and not its velocity"):
        list(source.trajectories())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"env_spec": None}, "names no environment"),
        ({"env_spec": "{}"}, "not what Minari writes"),
        ({"env_spec": '{"id": "os:Door-v1"}'}, "another package"),
        ({"env_spec": '{"id": "Door-v1"}'}, "give its model"),
        ({"minari_version": "9.0"}, "9.0"),
        ({"data_format": "tape"}, "tape"),
    ],
)
def test_a_broken_dataset_is_told_in_one_line(made, change, said):
    folder = made("InvertedPendulum-v5", n_steps=3)
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError) as raised:
        recordings.open(folder)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_episode_that_files_lack_is_told_in_one_line(made):
    folder = made("InvertedPendulum-v5", n_steps=3)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1"]
    trajectories = recordings.open(folder).trajectories()
    assert next(trajectories).n_steps == 3
    with pytest.raises(UsageError, match=r"can't read its episode 1 \(.*\): copy or download it again$"):
        next(trajectories)


def test_an_id_that_is_not_here_needs_the_network(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the Hub's client asks again and again, 23 s long
    with pytest.raises(FailureError) as raised:
        recordings.open("mujoco/hopper/no-such-v0")
    assert "minari download mujoco/hopper/no-such-v0" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_id_that_there_is_not_is_told_after_asking(tmp_path, monkeypatch):
    from huggingface_hub import constants

    class NoDatasets(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), NoDatasets) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(UsageError) as raised:
            recordings.open("mujoco/hoper/expert-v0")
        server.shutdown()
    assert "there is no Minari dataset 'mujoco/hoper/expert-v0'" in str(raised.value)
    assert "minari list remote --prefix mujoco" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_episode_of_which_minari_returns_a_part_is_refused(made):
    from minari.data_collector import EpisodeBuffer

    made("InvertedPendulum-v5", n_steps=2, n_episodes=1)
    n_steps = 33_000  # one record batch of Arrow holds 32,768
    ends = [False] * (n_steps - 1) + [True]
    long = EpisodeBuffer(
        observations=np.zeros((n_steps + 1, 4)), actions=np.zeros((n_steps, 1), np.float32), rewards=[0.0] * n_steps,
        terminations=[False] * n_steps, truncations=ends,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        minari.create_dataset_from_buffers("made/long-v0", [long], env="InvertedPendulum-v5", data_format="parquet")
    with pytest.raises(UsageError, match="of its 33000 steps"):
        list(recordings.open("made/long-v0").trajectories())


def test_x_follows_the_engine_where_no_observation_has_it(made):
    source = recordings.open(made("Swimmer-v5", n_episodes=1))
    [(one, _)] = replayed(source)
    assert observations.PREFIXES["Swimmer"] == 2
    assert (one.qpos[0, :2] == 0).all() and (one.qpos[1:, :2] != 0).all()
