"""Trained policies: the file, what it acts like, and a training that is killed and goes on."""

import dataclasses
import errno
import functools
import itertools
import json
import os
import pickle
import resource
import subprocess
import sys
from types import SimpleNamespace

import filelock
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from brax.training.acme.running_statistics import NestedMeanStd, normalize
from brax.training.agents.ppo import networks as ppo_networks
from conftest import call_jacdb
from safetensors.numpy import save_file

from jacdb.errors import FailureError, UsageError
from jacdb.ingest import runtime
from jacdb.ingest.environments import registry
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.policies import choice, resolve
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.rating import best_known, rate
from jacdb.ingest.run_plan import Request

pytestmark = pytest.mark.slow

CARTPOLE = registry.find("CartpoleBalance")
SIZES = (5, 8, 8, 2)  # Cartpole's observation has five numbers


@pytest.fixture
def network() -> Network:
    rng = np.random.default_rng(0)
    layers = tuple(
        (rng.normal(size=(m, n), scale=0.5).astype(np.float32), rng.normal(size=n).astype(np.float32))
        for m, n in itertools.pairwise(SIZES)
    )
    about = {"version": 1, "env": "CartpoleBalance", "obs_key": "state", "status": "partial",
             "return": {"mean": 1.0, "std": 0.5, "episodes": 2}}  # fmt: skip
    return Network(rng.normal(size=5).astype(np.float32), rng.random(5).astype(np.float32) + 0.5, layers, about)


def test_it_acts_as_brax_does(network):
    made = ppo_networks.make_ppo_networks(5, 1, normalize, policy_hidden_layer_sizes=(8, 8))
    policy = {"params": {f"hidden_{i}": {"kernel": k, "bias": b} for i, (k, b) in enumerate(network.layers)}}
    params = NestedMeanStd(network.mean, network.std), policy, None
    obs = np.random.default_rng(1).normal(size=(20, 5))
    mean, _ = ppo_networks.make_inference_fn(made)(params, deterministic=True)(jnp.asarray(obs), jax.random.key(0))
    ours = jax.vmap(functools.partial(ExpertPolicy(network).act, noise=jnp.zeros(1)))(obs)
    np.testing.assert_allclose(ours, mean, rtol=1e-5)
    logits = made.policy_network.apply(params[0], policy, jnp.asarray(obs))
    scale = made.parametric_action_distribution.create_dist(logits).scale
    np.testing.assert_allclose(jax.vmap(network.distribution)(obs)[1], scale, rtol=1e-5)


def test_policies_are_rated_by_the_best_known():
    names = choice.available()
    assert len(names) == 9
    for spec in map(registry.find, names):
        about = resolve.find("expert", spec, beta=1.0).network.about
        assert about["status"] == rate(spec.name, spec.suite, about["return"]["mean"]), spec.name
    for env, best in (("CheetahRun", 896), ("SwimmerSwimmer6", 1000), ("PandaPickCube", None)):
        assert best_known(env, registry.find(env).suite) == best
    assert (rate("WalkerRun", "dm_control", 702.0), rate("WalkerRun", "dm_control", 701.0)) == ("expert", "partial")


def test_a_policy_for_other_observations_is_refused_before_work(network, tmp_path):
    policy = ExpertPolicy(dataclasses.replace(network, mean=np.zeros(7), std=np.ones(7)))
    with pytest.raises(UsageError, match=r"'state' of shape \(7,\), CartpoleBalance shows 'state' of shape \(5,\)"):
        ingest(Request("CartpoleBalance", policy, episodes=1, steps=2), tmp_path / "data")
    assert not (tmp_path / "data").exists()
    other = dataclasses.replace(network, about={**network.about, "obs_key": "pixels"})
    other.check_obs(np.zeros(5))  # an environment that shows one thing shows it under no name
    with pytest.raises(UsageError, match="'pixels'"):
        other.check_obs({"state": np.zeros(5), "privileged_state": np.zeros(9)})


def test_a_file_comes_back_as_it_was(network, tmp_path):
    network.save(tmp_path / "it.safetensors")
    found = resolve.find(str(tmp_path / "it.safetensors"), CARTPOLE, beta=1.0)
    assert found.network.about == network.about and found.name == "it"
    for ours, theirs in zip(jax.tree.leaves(network.layers), jax.tree.leaves(found.network.layers), strict=True):
        assert np.array_equal(ours, theirs)
    assert found.settings()["network"] == ExpertPolicy(network).settings()["network"]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_its_noise_has_the_spectrum_asked_for(beta, network):
    """The slope of the log power spectrum is -beta within three standard errors, themselves small."""
    policy = ExpertPolicy(network, beta)
    signals = np.concatenate([policy.noise(0, episode, 1024, 10) for episode in range(40)], axis=1)
    power = (np.abs(np.fft.rfft(signals, axis=0)) ** 2).mean(axis=1)[1:-1]
    fit, covariance = np.polyfit(np.log(np.fft.rfftfreq(1024)[1:-1]), np.log(power), 1, cov=True)
    error = np.sqrt(covariance[0, 0])
    assert error < 0.005 and abs(fit[0] + beta) < 3 * error
    assert signals.std() == pytest.approx(1, abs=0.05)
    assert not ExpertPolicy(network, deterministic=True).noise(0, 0, 10, 2).any()


def test_without_noise_it_has_no_beta(network, tmp_path):
    """Its episodes would be the same, and their ids would not."""
    network.save(tmp_path / "it.safetensors")
    made = resolve.make(str(tmp_path / "it.safetensors"), CARTPOLE, deterministic=True)
    assert made.settings()["beta"] == 0.5  # a part of the ids of runs that are there
    for beta in (0.0, 0.5):
        with pytest.raises(UsageError, match=f"beta={beta} is of noise"):
            resolve.make(str(tmp_path / "it.safetensors"), CARTPOLE, deterministic=True, beta=beta)
    with pytest.raises(UsageError, match=r"beta=0\.0 is of noise"):
        ExpertPolicy(network, beta=0.0, deterministic=True)


def broken(network: Network) -> dict[str, bytes | dict]:
    tensors = {"mean": network.mean, "std": network.std}
    for i, (kernel, bias) in enumerate(network.layers):
        tensors |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
    return {
        "a pickle": pickle.dumps(tensors),
        "nothing": b"",
        "a huge header": (2**62).to_bytes(8, "little") + b"{}",
        "a layer short": {name: t for name, t in tensors.items() if name != "kernel_1"},
        "sizes that do not fit": {**tensors, "kernel_1": np.ones((3, 8), np.float32)},
        "no number": {**tensors, "bias_0": np.full(8, np.nan, np.float32)},
        "no deviation": {**tensors, "std": np.zeros(5, np.float32)},
        "one deviation for all": {**tensors, "std": np.ones(1, np.float32)},
        "whole numbers": {**tensors, "mean": np.zeros(5, np.int64)},
    }


def test_a_broken_or_foreign_file_is_one_line(network, tmp_path):
    path = tmp_path / "it.safetensors"
    for content in broken(network).values():
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path, {"jacdb": json.dumps(network.about)})
        with pytest.raises(UsageError, match=r"it\.safetensors is no policy") as told:
            resolve.find(str(path), CARTPOLE)
        assert "\n" not in str(told.value)
    network.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match="is no policy"):
        resolve.find(str(path), CARTPOLE)
    save_file({"mean": network.mean}, path)  # of another project
    with pytest.raises(UsageError, match="is no policy"):
        resolve.find(str(path), CARTPOLE)


def test_a_file_that_the_system_does_not_open_is_not_called_broken(network, tmp_path):
    """Here too many are open. Who is told to train anew loses hours."""
    path = tmp_path / "it.safetensors"
    network.save(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            resolve.find(str(path), CARTPOLE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_checkpoint_that_the_system_does_not_open_is_not_called_broken(tmp_path, monkeypatch):
    """Who is told to remove it loses hours."""
    from jacdb.ingest.policies import training

    monkeypatch.setattr(training.loading, "load_env", lambda name: None)
    (tmp_path / "new.safetensors.checkpoint").mkdir()
    with pytest.raises(IsADirectoryError):
        training.train(training.Training("CartpoleBalance"), tmp_path / "new.safetensors")


def test_a_policy_is_for_one_environment(network, tmp_path):
    network.save(tmp_path / "it.safetensors")
    with pytest.raises(UsageError, match="a policy for CartpoleBalance, not for CheetahRun"):
        resolve.make(str(tmp_path / "it.safetensors"), registry.find("CheetahRun"))
    with pytest.raises(UsageError, match="jacdb train --env AlohaHandOver"):
        resolve.make("expert", registry.find("AlohaHandOver"))
    with pytest.raises(UsageError, match="deterministic"):
        resolve.make("noise", CARTPOLE, deterministic=True)
    with pytest.raises(UsageError, match="unknown policy 'genius'"):
        resolve.make("genius", CARTPOLE)
    with pytest.raises(UsageError, match=r"scale=0\.2 goes with noise, not with expert"):
        resolve.make("expert", CARTPOLE, scale=0.2)
    with pytest.raises(UsageError, match=r"beta=0\.0 goes with noise, not with zero"):
        resolve.make("zero", CARTPOLE, beta=0.0)


def test_a_policy_file_of_another_suffix_is_refused_before_work(tmp_path):
    from jacdb.ingest.policies import training

    with pytest.raises(UsageError, match=r"it\.txt: give a file name that ends in \.safetensors"):
        training.train(training.Training("CartpoleBalance"), tmp_path / "it.txt")
    assert not list(tmp_path.iterdir())


def test_two_trainings_never_write_one_file(network, tmp_path):
    """The one that ends first would be replaced by the other."""
    from jacdb.ingest.policies import training

    out = tmp_path / "new" / "it.safetensors"
    wanted = training.Training("CartpoleBalance")
    out.parent.mkdir()
    refused = pytest.raises(UsageError, match=r"another training writes .*it\.safetensors: give another --out")
    with filelock.FileLock(out.with_name("it.safetensors.lock")), refused:
        training.train(wanted, out)
    dataclasses.replace(network, about={**network.about, "determining": wanted.determining}).save(out)
    assert training.train(wanted, out).about["env"] == "CartpoleBalance"
    assert list(out.parent.iterdir()) == [out]


def test_a_policy_on_a_full_disk_is_told_in_one_line(network, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FailureError, match=r"it\.safetensors: No space left on device: make room; nothing of it"):
        network.save(tmp_path / "it.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_an_expert_that_comes_with_jacdb_balances(tmp_path):
    """Rolled out with Jacobians: it holds the pole up, as its file says that it does."""
    expert = resolve.make("expert", CARTPOLE)
    ingest(Request("CartpoleBalance", expert, episodes=3, steps=200), tmp_path)
    rows = pl.read_parquet(tmp_path / "episodes/**/*.parquet", hive_partitioning=False)
    assert (rows["total_reward"] / rows["n_steps"] > 0.9).all() and rows["policy"].unique().to_list() == ["expert"]
    assert expert.network.about["return"]["mean"] > 900
    runs = pl.read_parquet(tmp_path / "runs/**/*.parquet", hive_partitioning=False)
    assert json.loads(runs["policy_config"][0])["beta"] == 0.5


@pytest.mark.parametrize("name", choice.available())
def test_its_command_trains_with_the_settings_it_was_trained_with(name):
    from jacdb.ingest.policies import training

    about = resolve.find("expert", registry.find(name)).network.about
    words = dict(itertools.pairwise(about["command"].split()))
    wanted = training.Training(
        name, int(words["--num-timesteps"]), int(words["--seed"]), int(words["--legs"]), "--small" in words.values()
    )
    assert (wanted.command, json.loads(json.dumps(wanted.settings()))) == (about["command"], about["settings"])


@pytest.mark.parametrize("name", ["CheetahRun", "FingerSpin", "SwimmerSwimmer6", "WalkerRun"])
def test_a_small_training_has_playground_s_settings_but_for_its_size(name):
    """FingerSpin's learning rate, gradient limit and passes are of any size."""
    from jacdb.ingest.policies import training

    settings = training.Training(name, small=True).settings()
    theirs = training.PARAMS["dm_control"].brax_ppo_config(name).to_dict()
    tuned = {"learning_rate": 3e-4, "max_grad_norm": 1.0, "num_updates_per_batch": 8} if name == "FingerSpin" else {}
    expected = {**theirs, "num_envs": 256, "batch_size": 256, **tuned}
    for each in (settings, expected):
        each.pop("network_factory", None)
    assert settings == expected


def test_a_person_is_told_how_many_steps_are_trained(monkeypatch, tmp_path):
    from jacdb.ingest.policies import training

    about = {"status": "partial", "return": {"mean": 1.0, "std": 0.0}}
    monkeypatch.setattr(training, "train", lambda wanted, out, show: SimpleNamespace(about=about))
    monkeypatch.setattr(runtime, "configure_training", lambda device: False)
    words = ("train", "--env", "CartpoleBalance", "--small", "--legs", "1", "--out", tmp_path / "it.safetensors")
    ran = call_jacdb(*words, "--num-timesteps", "100")
    assert ran.stderr == "245,760 steps, not 100: each part has whole iterations of PPO\n", ran.stderr
    for more in (["100", "--quiet"], ["245000"]):
        assert call_jacdb(*words, "--num-timesteps", *more).stderr == ""
    assert training.Training("CartpoleBalance", 100, legs=4, small=True).total_steps == 4 * 245_760
    ran = call_jacdb("train", "--env", "PandaRobotiqPushCube", "--out", tmp_path / "it.safetensors")
    assert ran.stderr.startswith("each action is taken 4 times, as Playground trains PandaRobotiqPushCube; "), (
        ran.stderr
    )


# A training of one leg that leaves networks as they are; 320 steps more of observations count.
TUNING = """
import sys
from pathlib import Path
from jacdb.ingest import runtime
runtime.configure_training("cpu")
from jacdb.ingest.environments import registry
from jacdb.ingest.policies import resolve, training
training.EVALUATED = 8
whole = training.Training.settings
def still(self):
    less = {"num_envs": 8, "batch_size": 8, "num_minibatches": 2, "unroll_length": 5, "num_updates_per_batch": 2}
    settings = whole(self)
    assert settings["network_factory"]["policy_hidden_layer_sizes"] == [8, 8]
    return {**settings, **less, "episode_length": 20, "num_resets_per_eval": 1, "learning_rate": 0.0}
training.Training.settings = still
start, out = sys.argv[1:]
begun = resolve.find(start, registry.find("CartpoleBalance"))
wanted = training.Training("CartpoleBalance", num_timesteps=320, legs=1, small=True, start=begun, start_name=start)
training.train(wanted, Path(out), lambda leg, total: None)
"""


@pytest.mark.thorough
def test_a_training_goes_on_from_a_policy(network, tmp_path):
    """Its layers come through a training whose steps have no length; statistics are those of old and new steps."""
    network = dataclasses.replace(network, about={**network.about, "num_timesteps": 3200})
    start, out = tmp_path / "start.safetensors", tmp_path / "out.safetensors"
    network.save(start)
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    subprocess.run([sys.executable, "-c", TUNING, start, out], env={**os.environ, **cache}, check=True)
    found = Network.load(out)
    for ours, theirs in zip(jax.tree.leaves(found.layers), jax.tree.leaves(network.layers), strict=True):
        assert np.array_equal(ours, theirs)
    moved = np.abs(found.mean - network.mean) / network.std  # a tenth as many steps as before count a tenth
    assert (moved > 0).all() and moved.max() < 1
    assert found.about["start"]["network"] == ExpertPolicy(network).act_settings()["network"]
    assert f"--from {start}" in found.about["command"]


def test_a_policy_that_does_not_say_its_steps_is_no_start(network, tmp_path):
    network.save(tmp_path / "it.safetensors")
    with pytest.raises(UsageError, match=r"it\.safetensors says num_timesteps=None"):
        choice.check_start(str(tmp_path / "it.safetensors"), CARTPOLE)


# A training of two short legs; the first process leaves behind what it had when the first leg was over.
TRAINING = """
import os, shutil, sys
from pathlib import Path
from jacdb.ingest import runtime
runtime.configure_training("cpu")
from jacdb.ingest.policies import training
training.EVALUATED = 8
whole = training.Training.settings
def tiny(self):
    less = {"num_envs": 8, "batch_size": 8, "num_minibatches": 2, "unroll_length": 5, "num_updates_per_batch": 2}
    networks = {"value_hidden_layer_sizes": [8], "policy_hidden_layer_sizes": [8]}
    return {**whole(self), **less, "episode_length": 20, "num_resets_per_eval": 1, "network_factory": networks}
training.Training.settings = tiny
out, *other = map(Path, sys.argv[1:])
reached, maps = [], []
def told(leg, total):
    reached.append(leg.steps)
    maps.append(Path("/proc/self/maps").read_text().count("\\n") if sys.platform == "linux" else 0)
    assert maps[-1] <= 1.2 * maps[0], maps  # of memory: the programs of the leg before are gone
    state, _ = training.read_tensors(Path(f"{out}.checkpoint"))  # two minibatches twice for each of 80 steps
    assert state["optimizer_state/0/count"] == leg.steps / 80 * 4 and state["normalizer_params/count/lo"] == leg.steps
    if other and leg.steps == total // 2:
        shutil.copy(f"{out}.checkpoint", f"{other[0]}.checkpoint")
wanted = training.Training("CartpoleBalance", num_timesteps=320, legs=2)
training.train(wanted, out, told)
assert reached == ([160, 320] if other else [320]), reached
training.train(wanted, out, told)  # nothing to do
assert reached[-1] == 320 and len(reached) < 3
"""


@pytest.mark.thorough
def test_a_training_that_stopped_ends_at_the_same_place(tmp_path):
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    for words in ((one, other), (other,)):
        subprocess.run([sys.executable, "-c", TRAINING, *words], env={**os.environ, **cache}, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name, other.name]
    found, again = Network.load(one), Network.load(other)
    for ours, theirs in zip(jax.tree.leaves(found.layers), jax.tree.leaves(again.layers), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(found.std, again.std) and found.about["curve"] == again.about["curve"]
    assert found.about["num_timesteps"] == 320 and len(found.about["curve"]) == 2
