"""The file that the page reads first: which environments and runs there are, and the SQL of the views."""

import hashlib
from collections.abc import Mapping
from typing import Any

from jacdb import queries, schemas
from jacdb._version import __version__
from jacdb.dataset.layout import Run
from jacdb.explorer.subject import Subject
from jacdb.schemas.trajectory_ids import settings_of

FORMAT = 1  # of the files that the page reads; it refuses another
# What needs the matrices, or states: the page has them of one episode at a time, and SQL on them not at all
NOT_IN_A_BROWSER = {
    "method_comparison": "it compares the matrices of runs by SQL",
    "sampled_steps": "it reads the states of some steps",
    "axis_statistics": "it reads the states of all steps",
    "lyapunov": "it multiplies the matrices of whole episodes",
    "leaderboard": "it reads JSON, for which the DuckDB of browsers loads functions from the network",
}
_REMAINING = {name: name.removeprefix("remaining_") for name in queries.REMAINING}


def index(subject: Subject, parts: str, scenes: Mapping[Run, str | None], missing: Mapping[Run, str]) -> dict[str, Any]:
    """Return what stands in ``data/index.json``.

    Args:
        subject: what is explored.
        parts: the address of the dataset's folder, from the page's.
        scenes: the address of each run's scene, from the page's.
        missing: why a run has none.
    """
    layout = subject.dataset.location.layout
    episodes = {Run(row["env"], row["run_id"], layout): row for row in _episodes(subject)}
    listed = [
        _run(run, subject.facts.get(run), episodes.get(run, {}))
        | {"scene": scenes.get(run), "scene_missing": missing.get(run)}
        for run in subject.runs
    ]
    return {
        "format": FORMAT,
        "jacdb": __version__,
        "name": _name(subject),
        "parts": parts,
        "views": _views(),
        "thresholds": list(schemas.SWEEP),
        "environments": _environments(subject),
        "runs": listed,
    }


def file_name(run: Run, ending: str) -> str:
    """Return the address of a run's file from the page's, not percent-encoded."""
    return f"data/runs/{run.env}/{run.run_id}{ending}"


def scene_key(run: Run, fact: dict[str, Any]) -> str:
    """Return what the scene of a run is called: runs of one model share it, if they begin at one keyframe."""
    keyframe = settings_of(fact["policy_config"]).get("keyframe")  # it says where mocap bodies rest
    made_of = [fact["suite"], run.env, fact["source"], fact["model"], *([keyframe] if keyframe else [])]
    text = "\n".join(map(str, made_of))
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _name(subject: Subject) -> str:
    """Return what the dataset is called: of a folder its own name alone, for where it lies is nobody else's."""
    location = subject.dataset.location
    return location.name.removeprefix("hf://datasets/") if location.name.startswith("hf:") else location.path.name


def _views() -> dict[str, Any]:
    order = [name for name in queries.REGISTERED if name not in NOT_IN_A_BROWSER]
    return {
        "order": order,
        "texts": {name: queries.sql(name) for name in order},
        "macros": queries.MACROS | queries.INTERNAL_MACROS,
        "partials": list(queries.PARTIALS),
        "remaining": _REMAINING,
        "questions": {name: queries.header(name) for name in queries.VIEWS},
        "unavailable": NOT_IN_A_BROWSER,
    }


def _episodes(subject: Subject) -> list[dict[str, Any]]:
    return subject.rows(
        "select env, run_id, any_value(policy) as policy, count(*) as n_episodes, sum(n_steps)::bigint as n_steps"
        f" from stored_episodes where {subject.condition} group by all"
    )


def _run(run: Run, fact: dict[str, Any] | None, counted: dict[str, Any]) -> dict[str, Any]:
    """Return a run; of one that is not finished, method, seed and dtype are not known yet."""
    known = fact or {}
    return {
        "env": run.env,
        "run_id": run.run_id,
        "policy": known.get("policy", counted.get("policy")),
        "method": known.get("method"),
        "seed": known.get("seed"),
        "n_episodes": counted.get("n_episodes", 0),
        "n_steps": counted.get("n_steps", 0),
        "dtype": known.get("dtype"),
        "ctrl_dt": known.get("ctrl_dt"),
        "finished": fact is not None,
        "file": file_name(run, ".json"),
    }


def _environments(subject: Subject) -> list[dict[str, Any]]:
    """Return the environments, each with the names of its axes."""
    axes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in subject.rows(f"from axes where {subject.condition}"):
        shown = {key: row[key] for key in ("name", "joint", "body", "quantity", "unit")}
        axes.setdefault((row["env"], row["space"]), []).append(shown)
    suites = {run.env: fact["suite"] for run, fact in subject.facts.items()}
    return [
        {
            "name": env,
            "suite": suites.get(env),
            "d_state": len(axes.get((env, "tangent"), [])),
            "d_action": len(axes.get((env, "action"), [])),
            "axes": {space: axes.get((env, space), []) for space in ("tangent", "state", "action")},
        }
        for env in subject.envs
    ]
