"""What `make reference` kept: facts of the reference data, and what made them."""

import json
from typing import Any

from jacdb.ingest.environments.registry import all_specs
from pages.markdown import ROOT


def reference(name: str) -> dict[str, Any]:
    """Return what `make reference` kept of a set of runs: noise, experts or all."""
    kept: dict[str, Any] = json.loads((ROOT / f"datasets/reference/{name}.json").read_text())
    return kept


def made_by(facts: dict[str, Any]) -> str:
    """Return what made the runs that facts are of, and when they were asked."""
    made = {(said["engine"], said["jacdb"], said["mujoco-mjx"], said["device"]) for said in _versions(facts)}
    told = " and ".join(
        f"engine {engine} (jacdb {own}, mujoco-mjx {mjx}, {device})" for engine, own, mjx, device in made
    )
    return f"`make reference`, {facts['date']}, {told}."


def so_far(facts: dict[str, Any]) -> str:
    """Return how many environments are there, if some are missing: the command resumes."""
    there, planned = len(facts["environments"]), len(all_specs())
    return "" if there == planned else f"{there} of {planned} environments so far: the command goes on. "


def _versions(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(run["versions"]) for run in facts["runs"]]


def zeros(of: dict[str, Any]) -> list[str]:
    """Return how many entries of each Jacobian of an environment are zero in every step."""
    return [f"{of['table1'][f'zero_{jacobian}']}" for jacobian in ("state", "action")]


def share(share: float | None) -> str:
    """Return a share in per cent; "-" where there is none."""
    return "-" if share is None else f"{100 * share:.1f} %"
