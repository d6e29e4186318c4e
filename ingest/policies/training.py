"""Experts: Brax's PPO with Playground's tuned settings, in legs that a killed training goes on from.

Brax keeps environments and random numbers to itself, so a training is a row of short ones: each leg begins with the
networks, observation statistics and optimizer of the one before, new environments, and a seed of its own number. Legs
are the same whether the process that runs them ran the ones before or not. The first begins with new networks, or with
the network and the observation statistics of a policy file; value network and optimizer are new then.
"""

import contextlib
import functools
import importlib.metadata
import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import flax.traverse_util
import jax
import numpy as np
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo
from mujoco_playground import wrapper
from mujoco_playground.config import dm_control_suite_params, locomotion_params, manipulation_params

from jacdb import interruption
from jacdb._version import __version__
from jacdb.errors import FailureError, UsageError, telling_writes
from jacdb.ingest.compat import brax
from jacdb.ingest.compat.brax import State
from jacdb.ingest.environments import loading, registry
from jacdb.ingest.policies.choice import check_training, steps_of
from jacdb.ingest.policies.expert import ExpertPolicy
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.policy_file import SUFFIX, read_tensors, write_tensors
from jacdb.ingest.policies.rating import rate

PARAMS = {
    "dm_control": dm_control_suite_params,
    "locomotion": locomotion_params,
    "manipulation": manipulation_params,
}
# What differs from Playground's settings, and why: at Playground's learning rate, 1e-3, updates went too far (a
# divergence of 2.4) and lost it again: 586, then 207
TUNED: dict[str, dict[str, Any]] = {
    "FingerSpin": {"num_updates_per_batch": 8, "learning_rate": 3e-4, "max_grad_norm": 1.0},
}
# What differs further on a GPU, where a training is not small. What PPO reached here went with the number of its
# iterations, not of steps: with a quarter of Playground's million steps an iteration CheetahRun had 771 after 40, with
# all 781; FingerSpin 375 after 16, and 378 after 20. Smaller batches from more environments take an eighth of the
# physics' steps in a row, which are what a GPU waits for. Half the passes over a batch reach more: WalkerRun had 601
# after 120 iterations of 8, 331 after 112 of 16. Resets are counted a leg: an environment runs for 600 steps between.
OFTEN = {"batch_size": 256, "num_envs": 4096, "num_updates_per_batch": 8}
TUNED_LARGE: dict[str, dict[str, Any]] = {
    "FingerSpin": {"batch_size": 512, "num_envs": 8192, "num_resets_per_eval": 5},
    "SwimmerSwimmer6": {**OFTEN, "num_resets_per_eval": 2},
    "WalkerRun": {**OFTEN, "num_resets_per_eval": 3},
}
# What differs further where a training goes on from a policy. By Playground's discounting, 0.95, FingerSpin stays at
# 752: its horizon of 0.4 s is the time between two strokes, and a stroke that costs steps pays in the turns after it.
# By these it has 773 after 20 million steps, and no more after 30.
TUNED_ON: dict[str, dict[str, Any]] = {
    "FingerSpin": {"discounting": 0.985, "reward_scaling": 1.0, "entropy_cost": 1e-3},
}
EVALUATED = 128  # episodes
VERSIONS = ("jax", "mujoco", "mujoco-mjx", "playground", "brax", "numpy")


class LegResult(NamedTuple):
    """The result of one leg of training: steps so far, return and its deviation over episodes, seconds so far."""

    steps: int
    mean: float
    std: float
    seconds: float


@dataclass(frozen=True)
class Training:
    """A training, by everything that determines its end.

    Attributes:
        env: Playground's name of the environment.
        num_timesteps: environment steps, in whole iterations of each leg; None for what Playground's configuration
            says.
        seed: of networks, environments and exploration.
        legs: in how many parts, after each of which there is a checkpoint and an evaluation.
        small: fewer environments, smaller batches and a smaller value network than Playground's, which suit a GPU: on
            a CPU its value network costs ten times the physics.
        start: the trained policy to go on from; None for new networks.
        start_name: as a person named it: ``expert``, or a file.
    """

    env: str
    num_timesteps: int | None = None
    seed: int = 0
    legs: int = 4
    small: bool = False
    start: ExpertPolicy | None = None
    start_name: str = ""

    def __post_init__(self) -> None:
        check_training(num_timesteps=self.num_timesteps, seed=self.seed, legs=self.legs)

    @property
    def command(self) -> str:
        """The command line that trains the same."""
        steps = f" --num-timesteps {self.num_timesteps}" if self.num_timesteps else ""
        size = "--small" if self.small else "--no-small"
        start = f" --from {shlex.quote(self.start_name)}" if self.start else ""
        return f"jacdb train --env {self.env}{start}{steps} --seed {self.seed} --legs {self.legs} {size}"

    @property
    def determining(self) -> str:
        """All that determines the end, as JSON."""
        numbers = {name: getattr(self, name) for name in ("env", "num_timesteps", "seed", "legs", "small")}
        start = {"start": self.start.act_settings()} if self.start else {}
        return json.dumps({**numbers, **start, "settings": self.settings()}, sort_keys=True)

    @property
    def total_steps(self) -> int:
        """The environment steps of all legs: those that are asked for, in whole iterations."""
        return self.legs * _steps_of_leg(self.settings(), self.legs)[0]

    def settings(self) -> dict[str, Any]:
        """Arguments of Brax's PPO: Playground's for the environment, and what is otherwise."""
        config = PARAMS[registry.find(self.env).suite].brax_ppo_config(self.env).to_dict()
        networks = config.pop("network_factory", {})
        config |= TUNED.get(self.env, {})
        config |= {"num_envs": 256, "batch_size": 256} if self.small else TUNED_LARGE.get(self.env, {})
        if self.small:
            networks |= {"value_hidden_layer_sizes": [64, 64, 64]}
        if self.num_timesteps is not None:
            config["num_timesteps"] = self.num_timesteps
        if self.start:
            config |= TUNED_ON.get(self.env, {})
            networks["policy_hidden_layer_sizes"] = [bias.size for _, bias in self.start.network.layers[:-1]]
        return {**config, "network_factory": networks}


def train(training: Training, out: Path, report: Callable[[LegResult, int], None] = lambda leg, total: None) -> Network:
    """Train, from the last checkpoint if there is one, and write the policy file.

    Args:
        out: the file, ``.safetensors``; ``out`` with ``.checkpoint`` added is kept until it is done.
        report: called after each leg with what it reached, and the steps of all.

    Raises:
        UsageError: the training can't be so, the file or checkpoint is of another one, or another training writes it.
        FailureError: the file or checkpoint can't be written, or the file system has no locks.
    """
    if out.suffix.lower() != SUFFIX:
        raise UsageError(f"{out}: give a file name that ends in {SUFFIX}")
    with telling_writes(out, "repeat the command"):
        out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        return _trained(training, out, report)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a policy file against any other training: of two that write one, the last to end would be kept.

    Raises:
        UsageError: another is at work.
        FailureError: the file system has no locks, or its folder may not be written.
    """
    lock = out.with_name(out.name + ".lock")
    try:
        held = filelock.FileLock(lock, timeout=0, fallback_to_soft=False).acquire()
    except filelock.Timeout:
        raise UsageError(f"another training writes {out}: give another --out, or let it finish") from None
    except OSError as error:
        raise FailureError(f"{lock} can't be locked ({error.strerror}): give an --out in another folder") from error
    remove = functools.partial(lock.unlink, missing_ok=True)
    with held, interruption.at_stop(remove):
        try:
            yield
        finally:
            remove()


def _trained(training: Training, out: Path, report: Callable[[LegResult, int], None]) -> Network:
    """Train, and write the policy file; or return what it holds, if it is of this training."""
    settings = training.settings()
    determining = training.determining
    if out.exists():
        done = Network.load(out)
        if done.about.get("determining") == determining:
            return done
        raise UsageError(f"{out} is there already, trained otherwise: give another --out, or remove it")
    checkpoint = out.with_name(out.name + ".checkpoint")
    env = loading.load_env(training.env)
    if checkpoint.exists():
        state, legs = _resume(checkpoint, determining)
    else:
        state, legs = _first_state(env, training), []
    for number in range(len(legs), training.legs):
        started = time.perf_counter()
        state, steps, metrics = _leg(env, settings, training, number, state)
        before = legs[-1] if legs else LegResult(0, 0.0, 0.0, 0.0)
        seconds = before.seconds + time.perf_counter() - started
        reached = float(metrics["eval/episode_reward"]), float(metrics["eval/episode_reward_std"])
        legs.append(LegResult(before.steps + steps, *reached, seconds))
        write_tensors(checkpoint, state, {"determining": determining, "legs": json.dumps(legs)})
        report(legs[-1], training.legs * steps)
        jax.clear_caches()  # a leg's programs are its own; a process has room for the memory maps of some six legs'
    network = _network(training, settings, determining, state, legs)
    network.save(out)
    checkpoint.unlink()
    return network


def _first_state(env: Any, training: Training) -> State:
    """Return what the first leg begins with: the parts of Brax's state that a policy file has; the others are new.

    Raises:
        UsageError: the environment shows its value network more than the policy's statistics are of, or the file does
            not say of how many steps these are.
    """
    if training.start is None:
        return {}
    network, shown = training.start.network, env.observation_size
    network.check_obs(jax.eval_shape(env.reset, jax.random.key(0)).obs)
    if isinstance(shown, dict):
        raise UsageError(
            f"{network.about['env']} shows {len(shown)} observations ({', '.join(shown)}), and a policy file has the"
            f" statistics of {network.about['obs_key']!r} alone: train it without --from"
        )
    steps = steps_of(network, training.start_name)  # an observation of these weighs as one to come
    state: State = {
        "normalizer_params/mean": network.mean,
        "normalizer_params/std": network.std,
        "normalizer_params/summed_variance": network.std**2 * np.float32(steps),
        "normalizer_params/count/hi": np.asarray(steps >> 32, np.uint32),
        "normalizer_params/count/lo": np.asarray(steps & 0xFFFFFFFF, np.uint32),
    }
    for i, (kernel, bias) in enumerate(network.layers):
        layer = f"params/policy/params/hidden_{i}"
        state |= {f"{layer}/kernel": kernel, f"{layer}/bias": bias}
    return state


def _leg(
    env: Any, settings: dict[str, Any], training: Training, number: int, state: State
) -> tuple[State, int, dict[str, Any]]:
    """Train one leg from a state, whole after the first; return the state after it, its steps, and its evaluation."""
    options = dict(settings)
    factory = functools.partial(ppo_networks.make_ppo_networks, **options.pop("network_factory"))
    steps, resets = _steps_of_leg(settings, training.legs)
    for name in ("num_timesteps", "num_resets_per_eval", "num_evals"):
        options.pop(name)
    with brax.state_carried(state, is_part=number == 0) as after:
        _, _, metrics = ppo.train(
            env,
            **options,
            num_timesteps=steps,
            num_resets_per_eval=resets,
            num_evals=1,
            num_eval_envs=EVALUATED,
            network_factory=factory,
            seed=training.seed * 1000 + number,
            wrap_env_fn=wrapper.wrap_for_brax_training,
        )
    return after, steps, metrics


def _steps_of_leg(settings: dict[str, Any], legs: int) -> tuple[int, int]:
    """Return the environment steps of a leg, whole iterations of PPO, and how often environments are reset in it."""
    of_iteration = math.prod(
        settings[name] for name in ("batch_size", "unroll_length", "num_minibatches", "action_repeat")
    )
    wanted = max(1, round(settings["num_timesteps"] / legs / of_iteration))
    resets = max(1, min(settings["num_resets_per_eval"], wanted))
    return of_iteration * resets * -(-wanted // resets), resets


def _resume(path: Path, determining: str) -> tuple[State, list[LegResult]]:
    """Read a training as a leg left it.

    Raises:
        UsageError: the checkpoint is broken, or another training's.
        OSError: the system does not let it be read: hours of work may be in it.
    """
    try:
        state, about = read_tensors(path)
        legs = [LegResult(*leg) for leg in json.loads(about["legs"])]
        if not any(name.startswith("optimizer_state/") for name in state):
            raise ValueError("no optimizer in it")
    except OSError:
        raise
    except Exception as error:
        raise UsageError(f"{path} is broken ({error}): remove it to begin anew") from error
    if about["determining"] != determining:
        raise UsageError(f"{path} is of another training: give another --out, or remove it")
    return state, legs


# --- the policy file --------------------------------------------------------------------------------------------


def _network(
    training: Training, settings: dict[str, Any], determining: str, state: State, legs: list[LegResult]
) -> Network:
    tree = flax.traverse_util.unflatten_dict(state, sep="/")
    key = settings["network_factory"].get("policy_obs_key", "state")
    seen = tree["normalizer_params"]
    mean, std = (part[key] if isinstance(part, dict) else part for part in (seen["mean"], seen["std"]))
    layers = tree["params"]["policy"]["params"]
    last = legs[-1]
    about = {
        "env": training.env,
        "obs_key": key,
        "status": rate(training.env, registry.find(training.env).suite, last.mean),
        "return": {"mean": last.mean, "std": last.std, "episodes": EVALUATED},
        "num_timesteps": last.steps,
        "seconds": last.seconds,
        "curve": [[leg.steps, leg.mean, leg.std] for leg in legs],
        "command": training.command,
        "settings": settings,
        "seed": training.seed,
        "versions": {"jacdb": __version__, **{name: importlib.metadata.version(name) for name in VERSIONS}},
        "device": f"{len(jax.local_devices())} x {jax.devices()[0].device_kind}",
        "determining": determining,
        **({"start": {**training.start.act_settings(), **training.start.network.about}} if training.start else {}),
    }
    ordered = sorted(layers, key=lambda name: int(name.removeprefix("hidden_")))
    return Network(mean, std, tuple((layers[name]["kernel"], layers[name]["bias"]) for name in ordered), about)
