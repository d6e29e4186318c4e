"""Returns: of which episodes they are, by policy and noise, and in how many the task was done."""

import numpy as np
import pyarrow as pa
import pytest
from synthetic import dataset, episode

import jacdb


@pytest.mark.slow
def test_returns_are_of_a_policy_with_a_noise_and_success_is_the_last_step_s(tmp_path):
    configs = {
        "run-a": '{"beta": 0.0, "deterministic": false}',
        "run-b": '{"beta": 0.5, "deterministic": true}',
        "run-c": '{"beta": 0.5}',
        "run-d": "{}",
        "run-e": '{"beta": 0.5, "scale": 1.0}',
        "run-f": '{"beta": 0.5, "scale": 1e-07}',
        "run-g": '{"beta": 0.0, "scale": 0.0}',
    }
    last = {"run-a": [11.0, 10.9], "run-b": [12.5, 12.5], "run-c": [3.0, 3.0], "run-d": [0.0, np.nan]}
    last |= {run: [3.0, 3.0] for run in ("run-e", "run-f", "run-g")}
    for env in ("PandaPickCube", "CheetahRun"):
        for seed, (run, config) in enumerate(configs.items()):
            episodes = [
                episode(number, np.ones((3, 2, 2)), np.ones((3, 2, 1)), columns={"reward": np.array([12.0, 12.0, end])})
                for number, end in enumerate(last[run])
            ]
            dataset(tmp_path, env, episodes, run, policy_config=config, seed=seed)
    with jacdb.open(tmp_path) as opened:
        found = {(row["env"], row["noise"]): row for row in opened.returns().to_dicts()}
        counted = "select env, noise, episodes, success from returns"
        assert opened.where("step < 2").sql(counted).pl().equals(opened.sql(counted).pl()), "it filters steps alone"
    shares = {"white": 0.5, "none": 0.5, "beta = 0.5": 0.0, "beta = 0.5, scale 1e-07": 0.0, "-": 0.0}
    assert found.keys() == {(env, noise) for env in ("PandaPickCube", "CheetahRun") for noise in shares}
    counts = {"white": 2, "none": 4, "beta = 0.5": 4, "beta = 0.5, scale 1e-07": 2, "-": 2}
    assert all(row["episodes"] == counts[noise] for (_, noise), row in found.items())
    assert all(found["PandaPickCube", noise]["success"] == share for noise, share in shares.items())
    assert all(found["CheetahRun", noise]["success"] is None for noise in shares)
    white = found["CheetahRun", "white"]
    assert (white["policy"], white["episodes"], white["steps"]) == ("noise", 2, 3)
    assert (white["mean"], white["std"]) == pytest.approx((34.95, np.std([35.0, 34.9], ddof=1)))


@pytest.mark.slow
def test_returns_are_of_episodes_that_have_one_and_of_one_run_for_each_trajectory(tmp_path):
    """A run by another method, and one that ended sooner, have the same trajectories."""

    def episodes(returns, steps=3):
        rewards = [pa.array([end] * steps, pa.float64()) for end in returns]
        return [
            episode(number, np.ones((steps, 2, 2)), np.ones((steps, 2, 1)), columns={"reward": reward})
            for number, reward in enumerate(rewards)
        ]

    dataset(tmp_path, "E", episodes([1.0, None, 2.0]), "run-c")
    dataset(tmp_path, "E", episodes([1.0, None], steps=2), "run-b")
    dataset(tmp_path, "E", episodes([5.0, 5.0, 5.0], steps=4), "run-a", method="fd")
    dataset(tmp_path, "F", episodes([None]))
    with jacdb.open(tmp_path) as opened:
        one, other = opened.returns().to_dicts()
    assert (one["episodes"], one["steps"], one["mean"]) == (2, 3, 4.5)
    assert (other["episodes"], other["steps"], other["mean"]) == (0, None, None)


@pytest.mark.slow
def test_returns_tell_networks_of_one_name_apart(tmp_path):
    configs = {
        "run-a": '{"name": "expert", "network": "43521b314529bf7f", "return": {"mean": 3.0}}',
        "run-b": '{"name": "expert", "network": "43521b314529bf7f", "num_timesteps": 5}',
        "run-c": '{"name": "expert", "network": "0123456789abcdef"}',
        "run-d": '{"policy": {"name": "expert", "sha256": "ffeeddccbbaa"}, "source": {"sha256 of a.xml": "00000000"}}',
        "run-e": '{"policy": {"name": "noise"}, "source": {"sha256 of a.xml": "00000000"}}',
    }
    for seed, (run, config) in enumerate(configs.items()):
        one = episode(0, np.ones((2, 2, 2)), np.ones((2, 2, 1)), columns={"reward": np.ones(2)})
        dataset(tmp_path, "E", [one], run, policy_config=config, seed=seed)
    with jacdb.open(tmp_path) as opened:
        found = {row["version"]: row["episodes"] for row in opened.returns().to_dicts()}
    assert found == {None: 1, "01234567": 1, "43521b31": 2, "ffeeddcc": 1}
