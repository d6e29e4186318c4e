"""Returns of episodes by policy and noise, and how many episodes did their task."""

import json
from typing import Any

import polars as pl

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.sql_text import literal

# An episode has done its task if its last step earns so much. PandaPickCube: of at most 12.55 (`default_config` in
# Playground 0.2's pick.py) 4.55 are for other things than where the cube is. So 11 leaves the cube no more than 4.4 cm
# from its target: 8 (1 - tanh(5 * 0.9 * 0.044)) = 6.45.
SUCCESS_FROM = {"PandaPickCube": 11.0}


def rows(dataset: Dataset, env: str) -> list[dict[str, Any]]:
    """Return the returns under each policy with each noise: policy, noise, episodes, steps, mean, std, did_task.

    ``steps`` and ``mean`` are means of episodes, ``std`` is their standard deviation, ``did_task`` the share
    that did the task; None where no rule says so.
    """
    configs = dict(dataset.runs().filter(env=env).select("run_id", "policy_config").iter_rows())
    noises = pl.DataFrame(
        {"run_id": [*configs], "noise": [noise_of(config) for config in configs.values()]},
        schema={"run_id": pl.String, "noise": pl.String},
    )
    episodes = dataset.episodes(env).join(noises, on="run_id", how="left")
    if env in SUCCESS_FROM:
        ends = f"max_by(reward, step) >= {SUCCESS_FROM[env]}"
        ended = dataset.sql(
            f"select run_id, episode, {ends} as did_task from steps where env = {literal(env)} group by run_id, episode"
        ).pl()
        episodes = episodes.join(ended, on=["run_id", "episode"], how="left")
    else:
        episodes = episodes.with_columns(pl.lit(None, pl.Boolean).alias("did_task"))
    return (
        episodes.group_by("policy", "noise")
        .agg(
            pl.len().alias("episodes"),
            pl.col("n_steps").mean().alias("steps"),
            pl.col("total_reward").mean().alias("mean"),
            pl.col("total_reward").std().alias("std"),
            pl.col("did_task").mean(),
        )
        .sort("policy", "noise", nulls_last=True)
        .to_dicts()
    )


def noise_of(policy_config: str) -> str:
    """Return the noise of a run's policy in words: its colour, none, or - where nothing says."""
    said = json.loads(policy_config)
    if said.get("deterministic"):
        return "none"
    if "beta" not in said:
        return "-"
    return {0: "white", 1: "pink"}.get(said["beta"], f"β = {said['beta']:g}")
