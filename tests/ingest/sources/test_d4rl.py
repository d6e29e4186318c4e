"""D4RL's files, written as its own script writes them (scripts/generation/mujoco/collect_data.py)."""

import mujoco
import numpy as np
import pytest

from jacdb.errors import UsageError
from jacdb.ingest.sources import gymnasium, recordings, suites
from jacdb.ingest.sources.recordings import replay

h5py = pytest.importorskip("h5py")
MODEL = mujoco.MjModel.from_xml_string("""
<mujoco model="swing">
  <worldbody>
    <body><joint name="hip" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.5" size=".05"/></body>
  </worldbody>
  <actuator><motor joint="hip" gear="2"/></actuator>
</mujoco>
""")


def collected(model, n_substeps, lengths, reset, dtype=np.float32):
    """What collect_data.py keeps: a row a step, its state before the action; all floats in float32."""
    rng = np.random.default_rng(0)
    names = ("observations", "actions", "rewards", "terminals", "timeouts", "infos/qpos", "infos/qvel")
    rows = {name: [] for name in names}
    for episode, length in enumerate(lengths):
        data = reset(episode)
        for step in range(length):
            action = rng.uniform(-1, 1, model.nu)
            rows["observations"].append(np.concatenate([data.qpos, data.qvel]))
            rows["infos/qpos"].append(data.qpos.copy())
            rows["infos/qvel"].append(data.qvel.copy())
            rows["actions"].append(action)
            data.ctrl[:] = action.astype(dtype)
            mujoco.mj_step(model, data, nstep=n_substeps)
            rows["rewards"].append(float(step))
            rows["terminals"].append(step == length - 1 and episode % 2 == 1)
            rows["timeouts"].append(step == length - 1 and episode % 2 == 0)
    flags = ("terminals", "timeouts")
    return {name: np.array(values).astype(bool if name in flags else dtype) for name, values in rows.items()}


def written(path, rows):
    with h5py.File(path, "w") as file:
        for name, values in rows.items():
            file.create_dataset(name, data=values, compression="gzip" if np.ndim(values) else None)
        file["metadata/algorithm"] = np.bytes_("SAC")
    return path


def swings(lengths=(30, 20, 10), **how):
    def reset(episode):
        data = mujoco.MjData(MODEL)
        data.qvel[:] = episode + 1
        return data

    return collected(MODEL, 4, lengths, reset, **how)


def test_a_file_of_episodes_of_one_row_is_told_with_the_remedy(tmp_path):
    rows = swings(lengths=(1, 1, 1))
    source = recordings.open(written(tmp_path / "swing.hdf5", rows), model=MODEL, n_substeps=4)
    with pytest.raises(UsageError, match=r"^swing\.hdf5: terminals or timeouts is True in every row: .*alone$"):
        next(source.trajectories())


def test_episodes_end_at_either_flag_and_lack_their_last_state(tmp_path):
    rows = swings()
    source = recordings.open(written(tmp_path / "swing.hdf5", rows), model=MODEL, n_substeps=4)
    runs = list(replay.replays(MODEL, 4, source.trajectories()))
    assert [one.n_steps for one, _ in runs] == [29, 19, 9]
    np.testing.assert_array_equal(runs[1][0].qpos, rows["infos/qpos"][30:50])
    np.testing.assert_array_equal(runs[1][0].reward, np.arange(19))
    assert not any(one.done.any() for one, _ in runs)
    assert source.dtype == np.float32
    assert max(run.error.max() for _, run in runs) < replay.tolerance(source.dtype)
    facts = source.provenance()
    assert (facts["algorithm"], facts["format"], facts["precision"]) == ("SAC", "D4RL", "float32")


@pytest.mark.parametrize("coarse", ["infos/qpos", "infos/qvel"])
def test_a_state_is_as_precise_as_the_coarsest_of_its_columns(tmp_path, coarse):
    rows = swings(dtype=np.float64)
    rows[coarse] = rows[coarse].astype(np.float32)
    source = recordings.open(written(tmp_path / "swing.hdf5", rows), model=MODEL, n_substeps=4)
    assert source.dtype == np.float32


@pytest.mark.skipif(suites.version("gymnasium") is None, reason="needs the gymnasium extra")
def test_gymnasiums_model_is_that_of_a_d4rl_file(tmp_path):
    env = gymnasium.make("HalfCheetah-v5")

    def reset(episode):
        env.reset(seed=episode)
        return env.data

    rows = collected(env.model, env.frame_skip, (40, 40), reset)
    path = written(tmp_path / "halfcheetah_random-v2.hdf5", rows)
    source = recordings.open(path, env="gymnasium:HalfCheetah-v5")
    assert (source.name, source.suite, source.n_substeps) == ("HalfCheetah-v5", "d4rl", 5)
    errors = np.concatenate([run.error for _, run in replay.replays(source.model, 5, source.trajectories())])
    assert len(errors) == 78 and errors.max() < replay.tolerance(source.dtype)


def test_rows_that_no_flag_ends_and_columns_of_one_number_are_read(tmp_path):
    rows = swings((12, 8))
    rows["timeouts"][:] = False
    rows["terminals"] = rows["terminals"][:, None]
    rows["terminals"][-1] = False
    rows["terminals"][11] = True
    rows["rewards"] = rows["rewards"][:, None]
    source = recordings.open(written(tmp_path / "x.hdf5", rows), model=MODEL, n_substeps=4)
    assert [one.n_steps for one in source.trajectories()] == [11, 7]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"infos/qpos": None}, "no infos/qpos, and without it no state"),
        ({"timeouts": None}, "no timeouts"),
        ({"actions": lambda v: v[:-1]}, "different numbers of rows"),
        ({"rewards": lambda v: v[:-1]}, "different numbers of rows"),
        ({"terminals": lambda v: v[0]}, "different numbers of rows"),
        (dict.fromkeys(swings((2,)), lambda v: v[:0]), "has no rows"),
        ({"infos/qpos": lambda v: np.tile(v, 2)}, "qpos has 2 numbers a row, the model 1"),
        ({"infos/qvel": lambda v: v * np.nan}, "episode 0 (rows 0 to 29): qvel is nan"),
    ],
)
def test_a_file_that_lacks_what_a_trajectory_needs_is_told_in_one_line(tmp_path, change, said):
    rows = swings()
    for name, how in change.items():
        values = rows.pop(name)
        if how is not None:
            rows[name] = how(values)
    path = written(tmp_path / "wrong.hdf5", rows)
    with pytest.raises(UsageError) as raised:
        list(recordings.open(path, model=MODEL).trajectories())
    assert said in str(raised.value) and "wrong.hdf5" in str(raised.value)
    assert "\n" not in str(raised.value)
