"""Experts: Brax's PPO with Playground's tuned settings, in legs that a killed training goes on from.

Brax keeps optimizer, environments and random numbers to itself, so a training is a row of short ones: each leg begins
with the networks and observation statistics of the one before, new environments, a new optimizer, and a seed of its own
number. Legs are the same whether the process that runs them ran the ones before or not.
"""

import dataclasses
import functools
import importlib.metadata
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from brax.training.acme import running_statistics, specs
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo
from mujoco_playground import wrapper
from mujoco_playground.config import dm_control_suite_params, locomotion_params, manipulation_params

from jacdb import output
from jacdb._version import __version__
from jacdb.errors import UsageError
from jacdb.ingest.compat import brax
from jacdb.ingest.environments import loading, registry
from jacdb.ingest.policies.network import BEST_RETURN, SUFFIX, Network, read_tensors, write_tensors

PARAMS = {
    "dm_control": dm_control_suite_params,
    "locomotion": locomotion_params,
    "manipulation": manipulation_params,
}
EXPERT = 0.8  # of the best return: below, a policy is partial
EVALUATED = 128  # episodes
VERSIONS = ("jax", "mujoco", "mujoco-mjx", "playground", "brax", "numpy")


class Segment(NamedTuple):
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
        num_timesteps: environment steps; None for what Playground's configuration says.
        seed: of networks, environments and exploration.
        legs: in how many parts, after each of which there is a checkpoint and an evaluation.
        small: fewer environments, smaller batches and a smaller value network than Playground's, which suit a GPU: on
            a CPU its value network costs ten times the physics.
    """

    env: str
    num_timesteps: int | None = None
    seed: int = 0
    legs: int = 4
    small: bool = False

    def __post_init__(self) -> None:
        for name in ("num_timesteps", "legs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value}: give a whole number from 1")

    @property
    def command(self) -> str:
        """The command line that trains the same."""
        steps = f" --num-timesteps {self.num_timesteps}" if self.num_timesteps else ""
        size = "--small" if self.small else "--no-small"
        return f"jacdb train --env {self.env}{steps} --seed {self.seed} --legs {self.legs} {size}"

    def settings(self) -> dict[str, Any]:
        """Arguments of Brax's PPO: Playground's for the environment, and what is otherwise."""
        config = PARAMS[registry.find(self.env).suite].brax_ppo_config(self.env).to_dict()
        networks = config.pop("network_factory", {})
        if self.small:
            config |= {"num_envs": 256, "batch_size": 256}
            networks |= {"value_hidden_layer_sizes": [64, 64, 64]}
        if self.num_timesteps is not None:
            config["num_timesteps"] = self.num_timesteps
        return {**config, "network_factory": networks}


def train(training: Training, out: Path, report: Callable[[Segment, int], None] = lambda leg, total: None) -> Network:
    """Train, from the last checkpoint if there is one, and write the policy file.

    Args:
        out: the file, ``.safetensors``; ``out`` with ``.checkpoint`` added is kept until it is done.
        report: called after each leg with what it reached, and the steps of all.

    Raises:
        UsageError: the training can't be so, or the file or checkpoint is of another one.
    """
    output.check_suffix(out, [SUFFIX])
    settings = training.settings()
    determining = json.dumps({**dataclasses.asdict(training), "settings": settings}, sort_keys=True)
    if out.exists():
        done = Network.load(out)
        if done.about.get("determining") == determining:
            return done
        raise UsageError(f"{out} is there already, trained otherwise: give another --out, or remove it")
    checkpoint = out.with_name(out.name + ".checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    env = loading.load_env(training.env)
    params, legs = _resume(checkpoint, determining, env) if checkpoint.exists() else (None, [])
    for number in range(len(legs), training.legs):
        started = time.perf_counter()
        params, steps, metrics = _leg(env, settings, training, number, params)
        before = legs[-1] if legs else Segment(0, 0.0, 0.0, 0.0)
        seconds = before.seconds + time.perf_counter() - started
        reached = float(metrics["eval/episode_reward"]), float(metrics["eval/episode_reward_std"])
        legs.append(Segment(before.steps + steps, *reached, seconds))
        _keep(checkpoint, determining, params, legs)
        report(legs[-1], training.legs * steps)
    network = _network(training, settings, determining, params, legs)
    network.save(out)
    checkpoint.unlink()
    return network


def _leg(
    env: Any, settings: dict[str, Any], training: Training, number: int, params: Any
) -> tuple[Any, int, dict[str, Any]]:
    """Train one leg; return networks and statistics after it, its steps, and its evaluation."""
    options = dict(settings)
    factory = functools.partial(ppo_networks.make_ppo_networks, **options.pop("network_factory"))
    per_step = options["batch_size"] * options["unroll_length"] * options["num_minibatches"] * options["action_repeat"]
    wanted = max(1, round(options.pop("num_timesteps") / training.legs / per_step))
    resets = max(1, min(options.pop("num_resets_per_eval"), wanted))
    steps = per_step * resets * -(-wanted // resets)
    options.pop("num_evals")
    with brax.jax_as_brax_knows_it():
        _, params, metrics = ppo.train(
            env,
            **options,
            num_timesteps=steps,
            num_resets_per_eval=resets,
            num_evals=1,
            num_eval_envs=EVALUATED,
            network_factory=factory,
            seed=training.seed * 1000 + number,
            wrap_env_fn=wrapper.wrap_for_brax_training,
            restore_params=params,
        )
    return jax.tree.map(np.asarray, params), steps, metrics


# --- checkpoints ------------------------------------------------------------------------------------------------


def _keep(path: Path, determining: str, params: Any, legs: list[Segment]) -> None:
    state = dict(zip(("statistics", "policy", "value"), map(flax.serialization.to_state_dict, params), strict=True))
    flat = flax.traverse_util.flatten_dict(state, sep="/")
    tensors = {name: np.asarray(leaf) for name, leaf in flat.items()}
    write_tensors(path, tensors, {"determining": determining, "legs": json.dumps(legs)})


def _resume(path: Path, determining: str, env: Any) -> tuple[Any, list[Segment]]:
    """Read networks and statistics as a leg left them.

    Raises:
        UsageError: the checkpoint is broken, or another training's.
    """
    try:
        flat, about = read_tensors(path)
        legs = [Segment(*leg) for leg in json.loads(about["legs"])]
        state = flax.traverse_util.unflatten_dict(flat, sep="/")
    except Exception as error:
        raise UsageError(f"{path} is broken ({error}): remove it to begin anew") from error
    if about["determining"] != determining:
        raise UsageError(f"{path} is of another training: give another --out, or remove it")
    sizes = env.observation_size  # a number, or a dictionary of shapes
    like = jax.tree.map(
        lambda size: specs.Array((int(np.prod(size)),), jnp.dtype("float32")),
        sizes,
        is_leaf=lambda size: not isinstance(size, dict),
    )
    statistics = flax.serialization.from_state_dict(running_statistics.init_state(like), state["statistics"])
    return (statistics, state["policy"], state["value"]), legs


# --- the policy file --------------------------------------------------------------------------------------------


def _network(
    training: Training, settings: dict[str, Any], determining: str, params: Any, legs: list[Segment]
) -> Network:
    statistics, policy, _ = params
    key = settings["network_factory"].get("policy_obs_key", "state")
    mean, std = (part[key] if isinstance(part, dict) else part for part in (statistics.mean, statistics.std))
    layers = policy["params"]
    last, best = legs[-1], BEST_RETURN.get(registry.find(training.env).suite)
    status = "unrated" if best is None else "expert" if last.mean >= EXPERT * best else "partial"
    about = {
        "env": training.env,
        "obs_key": key,
        "status": status,
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
    }
    ordered = sorted(layers, key=lambda name: int(name.removeprefix("hidden_")))
    pairs = tuple((np.asarray(layers[name]["kernel"]), np.asarray(layers[name]["bias"])) for name in ordered)
    return Network(np.asarray(mean), np.asarray(std), pairs, about)
