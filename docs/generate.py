"""Write what is made from the code and from measurements: seven pages, tables of two more, and a picture of imports.

Run it after a change to the command line, the tables, the views or the measurements kept in benchmarks/; a test fails
while a page is stale.
"""

import collections
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import imports
import polars as pl
import typer

from jacdb import queries, report, schemas
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.layout import CURRENT, MANIFEST
from jacdb.ingest.environments.registry import all_specs
from jacdb.ingest.models import features
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.policy_file import SUFFIX
from jacdb.ingest.policies.rating import best_known
from jacdb.report import leaderboard

HERE = Path(__file__).parent
SAME, STEADY = 1e-4, 1e-4  # relative: a difference quotient's own error may come to so much where forces are stiff
# docs/learning.md is written by hand but for what stands between these
BOARD_BEGINS, BOARD_ENDS = "<!-- leaderboard: written by docs/generate.py -->\n", "<!-- end of the leaderboard -->\n"
# docs/scale.md likewise
PLAN_BEGINS, PLAN_ENDS = "<!-- planning: written by docs/generate.py -->\n", "<!-- end of planning -->\n"
PEERS = {
    "mjd_transitionFD": "central differences of MuJoCo's C engine",
    "MJX": "`jax.jacfwd` through `mjx.step`",
    "Pinocchio": "analytic derivatives of forward dynamics (ABA)",
    "Drake": "AutoDiffXd through a discrete plant's update",
    "MuJoCo Warp": "none; Warp's tape runs over its step",
    "jacdb": "`jacdb.linearize`: implicit function theorem at the C engine's solution",
}
NOTE = "<!-- written by docs/generate.py; change the code, not this page -->\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in (header, *rows))
    return "\n".join([head, "|" + "---|" * len(header), *body, ""])


def _reference(name: str) -> dict[str, Any]:
    """What `make reference` kept."""
    kept: dict[str, Any] = json.loads((HERE.parent / f"datasets/reference/{name}.json").read_text())
    return kept


def cli() -> str:
    """The reference of the command line, from its own --help."""
    os.environ["TERMINAL_WIDTH"] = "100"
    from jacdb.cli import app

    command = typer.main.get_command(app)
    parts = ["# Command line\n", NOTE, _help(command, "jacdb")]
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        parts.append(f"## jacdb {name}\n\n{_help(sub, f'jacdb {name}')}")
    return "\n".join(parts)


def _help(command: Any, name: str) -> str:
    context = typer.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def tables() -> str:
    """The reference of tables and views, from schemas and SQL."""
    parts = [
        "# Tables and views\n",
        NOTE,
        f"Schema version {schemas.SCHEMA_VERSION}. Every table is a folder of hive partitions,"
        f" `<table>/{CURRENT.key}=<Env>/run=<run_id>/part-00000.parquet`; every view is one file in `queries/`.\n",
        f"The key `{CURRENT.key}` is no column of the files, which have `env` and `run_id` themselves: a reader may add"
        " it from the folder's name, or not. `run`, the other key, is no column either. A table's folder holds"
        f" parts and nothing else. Beside the tables, `{CURRENT.journal}/{CURRENT.key}=<Env>/run=<run_id>` has what"
        f" else there is of a run: its checksums, `{MANIFEST}` (for `sha256sum -c`), its log and, while it is at work,"
        " its progress, its lock and drafts.\n",
        "Version 1 had the key `env`, which is a column too, and kept checksums and logs in `runs`; `patterns` had"
        " no words, and `episodes` no `trajectory_id`, which the view works out. `jacdb upgrade OLD --out NEW`"
        " rewrites it.\n",
        "A dataset stays readable by every later jacdb. Within a version nothing is added, taken away, renamed or given"
        " another meaning; a new version only adds columns and tables, null or empty where an older file has none, or"
        " brings along what reads the older. A dataset that is newer than jacdb is refused. `tests/frozen` has one of"
        " every version, and what its views say.\n",
    ]
    for table in schemas.ALL_TABLES:
        rows = "\n".join(f"| `{name}` | {kind} | {text} |" for name, kind, text in table.describe())
        parts.append(
            f"## {table.name}\n\nOne row is {table.grain}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n"
        )
    parts.append("# Views\n")
    for name in queries.VIEWS:
        header = queries.header(name)
        parts.append(
            f"## {name} (view)\n\n- question: {header['question']}\n- one row is {header['grain']}\n"
            f"- columns: {header['columns']}\n"
        )
    parts.append("# Views of windows\n")
    windowed = [[f"`from {signature}`", f"`{name}`"] for name, signature in queries.WINDOWED.items()]
    parts.append(_table(("in SQL", f"is, with windows of so many steps instead of {queries.WINDOW}"), windowed))
    parts.append("# Conditions with a name\n")
    parts.append(_table(("in SQL", "means"), [[f"`{name}`", f"`{text}`"] for name, text in queries.MACROS.items()]))
    return "\n".join(parts)


def environments() -> str:
    """What `benchmarks/environments.py` measured of every environment."""
    kept: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/environments.json").read_text())
    rows, missing = [], []
    for name in all_specs():
        if name not in kept:
            missing.append(name)
        elif "failed" in kept[name]:
            rows.append([name, f"failed: {kept[name]['failed']}"])
        else:
            rows.append([name, *_measured(kept[name])])
    header = (
        "environment", "method", "compile (s)", "steps/s", "stopped early", "again", "in contact", "zeros of J_s",
        "zeros of J_a", "same zeros", "to autodiff", "to C", "verdict",
    )  # fmt: skip
    return "\n".join(
        [
            "# Every environment, held against oracles\n",
            NOTE,
            (HERE / "environments.txt").read_text(),
            _table(header, rows),
            *([f"Not measured yet: {', '.join(missing)}.\n"] if missing else []),
            "## dm_control's environments of the same name\n",
            (HERE / "environments-dm-control.txt").read_text(),
            _dm_control(),
            "## Robots and environments by the C engine's step\n",
            (HERE / "environments-robots.txt").read_text(),
            _robots(),
        ]
    )


def _robots() -> str:
    """What `benchmarks/robots.py` found."""
    kept: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/robots.json").read_text())

    def errors(found: dict[str, Any]) -> str:
        return f"{found['median']:.0e}, {found['largest']:.0e}" if found["compared"] else "-"

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}".replace("%", " %")

    rows = []
    for name, found in sorted(kept.items()):
        if "failed" in found:
            rows.append([f"`{name}`", f"failed: {found['failed']}"])
            continue
        compared = [errors(found[kind][oracle]) for oracle in ("to_c", "to_autodiff") for kind in ("air", "contact")]
        stepped = f"{found['integrator']}, {found['cone']}"
        shares = [share(value) for value in (found["in_contact"], found["fd"], *found["zeros"])]
        jumps = sum(found[kind]["to_c"].get("jumps", 0) for kind in ("air", "contact"))
        rows.append([f"`{name}`", str(found["nv"]), stepped, *shares, *compared, str(jumps or "")])
    header = (
        "robot", "nv", "integrator, cone", "in contact", "differences", "zeros of J_s", "zeros of J_a",
        "to C, air", "to C, contact", "to autodiff, air", "to autodiff, contact", "jumps",
    )  # fmt: skip
    return _table(header, rows)


def models() -> str:
    """Which features of models the engine covers."""
    kept: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/features.json").read_text())

    def told(found: dict[str, Any] | None) -> str:
        return f"{found['median']:.0e}, {found['largest']:.0e}" if found else ""

    rows = [
        [
            feature.name,
            f"`{feature.mjcf}`",
            "yes" if feature.covered else f"no: {feature.remedy}",
            "no" if feature.on_mjx == "raises" or feature.refused("mjx") else "yes",
            feature.on_mjx,
            told(kept.get(feature.name)),
            feature.note,
        ]
        for feature in features.table()
    ]
    header = ("feature", "in MJCF", "covered", "by MJX", "MJX's stages", "J to C's differences", "why, or how")
    return "\n".join(["# Which models are covered\n", NOTE, (HERE / "models.txt").read_text(), _table(header, rows)])


def _dm_control() -> str:
    """What `benchmarks/dm_control_options.py` found: options of both suites' models, and how far apart steps are."""
    kept: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/dm_control_options.json").read_text())
    measured: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/environments.json").read_text())

    def both(row: dict[str, Any], of: Callable[[dict[str, Any]], str]) -> str:
        theirs, ours = of(row["dm_control"]), of(row["playground"])
        return theirs if theirs == ours else f"{theirs} / {ours}"

    cells = [
        [
            row["dm_control"]["name"],
            name,
            both(row, lambda of: f"{of['n_substeps']} x {1000 * of['timestep']:g}"),
            both(row, lambda of: of["integrator"]),
            both(row, lambda of: of["cone"] if of["contact"] else "no contact"),
            both(row, lambda of: f"{of['iterations']}, {of['ls_iterations']}"),
            both(row, lambda of: "on" if of["eulerdamp"] else "off"),
            ", ".join(f"{error:.0e}" for error in row["apart"]),
            *_both_sparsities(row["sparsity"], measured[name]),
        ]
        for name, row in kept.items()
    ]
    header = (
        "dm_control", "Playground", "substeps (ms)", "integrator", "cone", "iterations", "eulerdamp", "apart",
        "in contact", "zeros of J_s", "zeros of J_a",
    )  # fmt: skip
    return _table(header, cells)


def _both_sparsities(theirs: dict[str, float], ours: dict[str, Any]) -> list[str]:
    """What rows of both suites have: how many are in contact, and the shares of zeros, dm_control's first."""
    keys = {"in_contact": "contact_share", "zero_state": "zero_state_per_step", "zero_action": "zero_action_per_step"}
    return [f"{100 * theirs[key]:.1f} / {100 * ours[kept]:.1f} %" for key, kept in keys.items()]


def peers() -> str:
    """What other tools answered to `benchmarks/peers.py`."""
    kept: dict[str, dict[str, Any]] = json.loads((HERE.parent / "benchmarks/peers.json").read_text())
    parts = ["# What other tools give\n", NOTE, (HERE / "peers.txt").read_text()]
    header = (
        "tool",
        "version",
        "what it is",
        "error, no contact",
        "exact zeros",
        "error, contact",
        "exact zeros",
        "RK4",
        "activations",
    )
    rows = []
    for name, found in kept.items():
        both = [cell for model in ("smooth", "contact") for cell in _peer(found.get(model))]
        activations = found.get("activations")
        known = f"yes, {activations['shape'][0]} rows" if activations else "-"
        rows.append(
            [name, f"{found['package']} {found['version']}", PEERS[name], *both, _peer(found.get("rk4"))[0], known]
        )
    return "\n".join([*parts, _table(header, rows), *_peer_notes(kept), (HERE / "peers-cited.txt").read_text()])


def _peer(found: dict[str, Any] | None) -> tuple[str, str]:
    """How far a tool is off, and its zeros."""
    if not found:
        return "-", "-"
    if "raises" in found:
        return f"`{found['raises']}`", "-"
    others = f", others to {found['largest']:.0e}" if found["exact"] < found["structural"] else ""
    return f"{found['error']:.0e}", f"{found['exact']} of {found['structural']}{others}"


def _peer_notes(kept: dict[str, dict[str, Any]]) -> list[str]:
    """What a table has no column for."""
    tape = kept["MuJoCo Warp"]["tape"]["gradient"]
    return [
        f"- MJX in reverse mode, with contact: `{kept['MJX']['contact, reverse mode']['raises']}`.",
        f"- MuJoCo Warp: the gradient that a tape over its step gives for the sum of next velocities is {tape}: the"
        " derivative of no motion at all. Warp warns of each kernel that has no backward pass.",
        "- mjd_transitionFD takes differences of width 1e-6, centred. Bodies that no constraint couples are solved"
        " apart (islands): between the balls differences are exactly 0, between pendulums on one base roundoff.",
        "- Pinocchio differentiates the acceleration of bodies and joints: no contact, no limit, no friction, no step."
        f" Its {kept['Pinocchio']['functions'][0]} is for contacts that hold. The step here is semi-implicit Euler's."
        " Of an MJCF file it reads the first body on the world alone, takes no mass from a default class, and makes of"
        " an `axisangle` whose axis has no unit length a matrix that is no rotation, without a word"
        " (`findings/pinocchio_mjcf_*.sh`, pin 4.1.0): compare masses and positions first.",
        "- Drake's plant has contacts of its own (SAP solver); it ignores integrator and activations of an MJCF file,"
        " with a warning.",
        "- MJX alone computes batches, by `jax.vmap`.",
    ]


def _measured(found: dict[str, Any]) -> list[str]:
    def percent(share: float) -> str:
        return f"{100 * share:.3g} %"

    def whole(number: float) -> str:
        return "-" if math.isnan(number) else f"{number:.0f}"

    def errors(pair: list[float] | None) -> str:
        return ", ".join(f"{error:.0e}" for error in pair) if pair else "-"

    cells = [
        found["method"],
        whole(found["compile_s"]),
        whole(found["steps_per_s"]),
        percent(found["unconverged"]),
        percent(found["recomputed"]),
        percent(found["contact_share"]),
        percent(found["zero_state_per_step"]),
        percent(found["zero_action_per_step"]),
    ]
    if not found["compared"]:
        return [*cells, "-", "-", "-", "nothing to compare: all rows are computed again"]
    apart = f"; {found['fd_differs']} differ" if found["fd_differs"] else ""
    return [
        *cells,
        percent(found["same_pattern"]),
        errors(found["autodiff_error"]),
        f"{errors(found['fd_error'])} ({found['same_step']} of {found['compared']}{apart})",
        _verdict(found),
    ]


def _verdict(found: dict[str, Any]) -> str:
    """Who is right where autodiff differs: MJX's own step, differenced twice."""
    kinds = collections.Counter(
        "at a kink" if case["narrower_difference"] > STEADY
        else "autodiff wrong" if case["ours"] < SAME
        else "wrong"
        for case in found["disputed"]
    )  # fmt: skip
    return ("disagrees" if kinds["wrong"] else "agrees") + "".join(f"; {count} {kind}" for kind, count in kinds.items())


def reproduction() -> str:
    """What `make reference` found: in the paper's environments and PandaPickCube, then in all."""
    noise, together = _reference("noise"), _reference("all")
    both = [
        [env, f"{of['table1']['samples']:,}", *_zeros(of), report.verdict(env, of["table1"])]
        for env, of in together["environments"].items()
    ]
    everywhere = [
        [env, f"{of['table1']['d_state']}", f"{of['table1']['d_action']}", f"{of['table1']['samples']:,}", *_zeros(of),
         *(_share(of["mean_sparsity"][jacobian]) for jacobian in ("state", "action")), f"{of['patterns']}"]
        for env, of in noise["environments"].items()
    ]  # fmt: skip
    told = (
        (HERE / "reproduction.txt").read_text(),
        "## The paper's four questions\n",
        _table(("question", "answer", "where"), _questions(noise["environments"], together["environments"])),
        report.markdown(_only(noise, together["environments"])),
        "## Table 1 under noise and experts together\n",
        f"{_made_by(together)} All steps of four runs: noise, and the expert with coloured, white and no noise.\n",
        _table(("environment", "steps", "zeros of j_state", "of j_action", "paper's Table 1"), both),
        "## All environments under noise\n",
        f"{_made_by(noise)} {_so_far(noise)}Entries that are zero in every step, mean share of zeros, patterns.\n",
        _table(
            ("environment", "d_state", "d_action", "steps", "zeros of j_state", "of j_action", "j_state is zero",
             "j_action is zero", "patterns"),
            everywhere,
        ),
        "## Verified\n",
        _verified({(run["env"], run["run_id"]) for facts in (noise, together) for run in facts["runs"]}),
    )  # fmt: skip
    return "\n".join(["# The paper, reproduced\n", NOTE, *told])


def _verified(runs: set[tuple[str, str]]) -> str:
    """Return what `jacdb verify` found in these runs, environment by environment."""
    shown = pl.DataFrame(list(runs), schema=["env", "run_id"], orient="row")
    checks = pl.read_csv(HERE.parent / "datasets/reference/verified.csv").join(shown, on=shown.columns, how="semi")
    there = len(checks.select(shown.columns).unique())
    so_far = "" if there == len(runs) else f", {there} of {len(runs)} so far"

    def of(env: str) -> list[str]:
        own = checks.filter(env=env)
        of_checks = own.group_by("check").agg(pl.sum("checked"), pl.max("worst"))
        told = {check: (f"{checked:,}", f"{worst or 0:.0e}") for check, checked, worst in of_checks.iter_rows()}
        notes = own.filter(check="replay")["note"].str.extract_all(r"[\d,]+ deviate").explode()
        explained = notes.str.replace_all(r"\D", "").cast(int).sum()
        by_c, _ = told["C engine"]
        return [
            env, f"{own['run_id'].n_unique()}", f"{own['failed'].sum()}", told["shapes"][0], *told["replay"],
            f"{explained:,}", by_c, *told["jacobians"],
        ]  # fmt: skip

    open_ = " Findings are not explained yet." if checks["failed"].sum() else ""
    header = (
        "environment", "runs", "findings", "rows", "steps replayed", "worst", "of these explained", "steps by C",
        "Jacobians", "worst",
    )  # fmt: skip
    return (
        f"`jacdb verify` of the runs on this page{so_far} ([what it checks](verification.md)): all rows, and of each"
        f" run 16 steps with their Jacobians. A step that deviates by more than 1e-9 is *explained* where a rounding"
        f" decides which step MJX takes, and a finding elsewhere.{open_}\n\n"
        + _table(header, map(of, checks["env"].unique().sort()))
    )


def _questions(noise: dict[str, Any], together: dict[str, Any]) -> list[list[str]]:
    """Return the paper's questions, what the reference data say, and where it stands."""
    paper, equal = report.compared(together)
    none = sum(
        not any(together[env]["table1"][f"zero_{jacobian}"] for jacobian in ("state", "action")) for env in paper
    )
    patterns = sorted(noise[env]["patterns"] for env in paper)
    touch = {row["kind"]: row for row in noise["FingerTurnEasy"]["constraints"]}["contact"]
    spans = {
        env: [
            row["mean_duration"] for row in noise[env]["durations"] if (row["jacobian"], row["zero"]) == ("state", True)
        ]
        for env in paper
    }
    known = sorted(mean for [mean] in filter(None, spans.values()) if mean is not None)
    recall = [
        row["recall"] for env in paper for row in noise[env]["switches"] if row["kind"] == "any" and row["recall"]
    ]
    return [
        [
            "Q1: is the causal graph globally sparse?",
            f"Hardly: in {none} of {len(paper)} environments no entry is zero in every step, in the others those that a"
            f" symmetry makes zero. Table 1 is equal in {len(equal)} of {len(paper)}, noise and experts together",
            "[Table 1](#table-1-under-noise-and-experts-together)",
        ],
        [
            "Q2: does sparsity depend on the state?",
            f"Yes, and it takes few values: {patterns[0]} to {patterns[-1]} patterns in 20,000 steps. FingerTurnEasy"
            f" has {_share(touch['sparsity_state'])} zeros in j_state in contact,"
            f" {_share(touch['sparsity_state_else'])} otherwise",
            "[single steps](#how-sparse-single-steps-are-and-how-long-entries-stay-as-they-are)",
        ],
        [
            "Q3: does it change sparsely in time?",
            f"Yes: an entry of j_state stays zero for {known[0]:.1f} to {known[-1]:.1f} steps in the mean, and in"
            f" {_share(min(recall))} to {_share(max(recall))} of the steps in which the pattern changes, a contact,"
            " limit or clip changes, too",
            "[what switches](#what-switches-the-pattern)",
        ],
        [
            "Q4: does a plain MLP recover the sparsity?",
            "No, with none of the paper's losses; no other model comes near the truth, either",
            "[learning.md](learning.md)",
        ],
    ]


def _only(facts: dict[str, Any], envs: Iterable[str]) -> dict[str, Any]:
    """Return the facts of some environments."""
    chosen = {*envs}
    kept = {env: of for env, of in facts["environments"].items() if env in chosen}
    return {**facts, "environments": kept, "runs": [run for run in facts["runs"] if run["env"] in chosen]}


def _made_by(facts: dict[str, Any]) -> str:
    """Return what made the runs that facts are of, and when they were asked."""
    made = {(said["engine"], said["jacdb"], said["mujoco-mjx"], said["device"]) for said in _versions(facts)}
    told = " and ".join(
        f"engine {engine} (jacdb {own}, mujoco-mjx {mjx}, {device})" for engine, own, mjx, device in made
    )
    return f"`make reference`, {facts['date']}, {told}."


def _so_far(facts: dict[str, Any]) -> str:
    """Return how many environments are there, if some are missing: the command resumes."""
    there, planned = len(facts["environments"]), len(all_specs())
    return "" if there == planned else f"{there} of {planned} environments so far: the command goes on. "


def _versions(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(run["versions"]) for run in facts["runs"]]


def _zeros(of: dict[str, Any]) -> list[str]:
    return [f"{of['table1'][f'zero_{jacobian}']}" for jacobian in ("state", "action")]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def experts() -> str:
    """What the policies in datasets/policies reached, by their own headers, and what `make reference` saw of them."""
    noise, seen = (_reference(name)["environments"] for name in ("noise", "experts"))
    header = ("environment", "status", "return", "of noise", "best known", "steps", "minutes", "device", "command")
    rows = []
    for path in sorted((HERE.parent / "datasets/policies").glob(f"*{SUFFIX}")):
        about = Network.load(path).about
        env, best = about["env"], best_known(about["env"], all_specs()[about["env"]].suite)
        cells = [
            env,
            about["status"],
            f"{about['return']['mean']:.0f} ± {about['return']['std']:.0f}",
            ", ".join(_return(row) for row in noise[env]["returns"]),
            f"{best:.0f}" if best else "-",
            f"{about['num_timesteps'] / 1e6:.1f} M",
            f"{about['seconds'] / 60:.0f}",
            about["device"],
            f"`{about['command']}`",
        ]
        rows.append(cells)
    page = [
        "# Experts\n",
        NOTE,
        (HERE / "experts.txt").read_text(),
        _table(header, rows),
        "## What they reach in the reference data\n",
        f"{_made_by(_reference('all'))} Twenty episodes each, mean and standard deviation; and the share of success,"
        " where a rule says so (PandaPickCube: the last reward is 11 or more of 12.55: the cube is within 4.4 cm"
        " of its target).\n",
        _table(("environment", *MODES), [_by_mode(env, of) for env, of in _reference("all")["environments"].items()]),
        "## What they visit\n",
        (HERE / "experts-visit.txt").read_text(),
        _table(
            ("environment", "return", "zeros of j_state", "of j_action", "paper's Table 1", "patterns", "of noise"),
            [_table1(env, of, noise[env]) for env, of in seen.items()],
        ),
        "## How sparse their steps are\n",
        "Share of steps by the share of zeros in j_state, in tenths; under noise and under the expert.\n",
        _table(
            ("environment", "policy", *(f"{low} to {low + 10} %" for low in range(0, 100, 10))),
            [_bins(env, name, of[env]) for env in seen for name, of in (("noise", noise), ("expert", seen))],
        ),
    ]
    return "\n".join(page)


# Names of columns, and the policy and noise of each
MODES = {
    "noise, β = 0.5": ("noise", "beta = 0.5"),
    "expert, β = 0.5": ("expert", "beta = 0.5"),
    "expert, white": ("expert", "white"),
    "expert, no noise": ("expert", "none"),
}


def _by_mode(env: str, of: dict[str, Any]) -> list[str]:
    reached = {(row["policy"], row["noise"]): row for row in of["returns"]}
    return [env, *(_return(reached[mode]) for mode in MODES.values())]


def _return(row: dict[str, Any]) -> str:
    done = "" if row["success"] is None else f", {100 * row['success']:.0f} % success"
    return f"{row['mean']:.0f} ± {row['std']:.0f}{done}"


def _table1(env: str, of: dict[str, Any], of_noise: dict[str, Any]) -> list[str]:
    [reached] = of["returns"]
    patterns = (f"{one['patterns']}" for one in (of, of_noise))
    return [env, _return(reached), *_zeros(of), report.verdict(env, of["table1"]), *patterns]


def _bins(env: str, policy: str, of: dict[str, Any]) -> list[str]:
    return [env, policy, *(f"{100 * share:.1f} %" if share else "-" for share in of["bins"]["state"])]


def learning() -> str:
    """docs/learning.md, with the leaderboard of what `make learning` kept between two marks; nothing without it."""
    page, folder = (HERE / "learning.md").read_text(), HERE.parent / "datasets/reference/learning"
    before, _, rest = page.partition(BOARD_BEGINS)
    _, _, after = rest.partition(BOARD_ENDS)
    return f"{before}{BOARD_BEGINS}{learned(folder)}{BOARD_ENDS}{after}"


def learned(folder: Path) -> str:
    """The leaderboard of the results of learning in a folder; nothing if there are none."""
    if not folder.is_dir():
        return ""
    with Dataset(folder) as kept:
        board = [row for env in kept.learned_environments for row in leaderboard.rows(kept, env)]
    return f"\n{leaderboard.NOTE}\n\n{leaderboard.markdown(board)}\n\n"


def scale() -> str:
    """docs/scale.md, with what `benchmarks/planning.py` kept between two marks."""
    before, _, rest = (HERE / "scale.md").read_text().partition(PLAN_BEGINS)
    _, _, after = rest.partition(PLAN_ENDS)
    kept: dict[str, Any] = json.loads((HERE.parent / "benchmarks/planning.json").read_text())
    costs = [
        [env, f"{of['core_us']:g}", f"{of['core_hours']:.0f}", f"{of['bytes']}", f"{of['terabytes']:.2f}", of["source"]]
        for env, of in kept["environments"].items()
    ]
    files = [
        [env, *(_files(length, kept["hub_folder"], kept["hub_files"]) for length in of["lengths"])]
        for env, of in kept["environments"].items()
    ]
    lengths = [f"runs of {of['steps']:,} steps" for of in kept["environments"]["CheetahRun"]["lengths"]]
    queue = [
        [str(row["workers"]), f"{row['shards']:,}", f"{row['ideal']:.3f}"]
        + [f"{median:.3f}, {longest:.3f}" for median, longest in row["walls"]]
        for row in kept["queue"]
    ]
    failures = [f"{rate:g} failures an hour" for rate in kept["failures"]]
    parts = (
        _table(("environment", "core µs a step", "core-hours", "bytes a step", "TB", "rates from"), costs),
        _table(("environment", *lengths), files),
        _table(("workers", "shards", "no loss", *failures), queue),
    )
    return before + PLAN_BEGINS + "\n" + "\n".join(parts) + "\n" + PLAN_ENDS + after


def _files(length: dict[str, int], folder: int, repository: int) -> str:
    """How many files a dataset has, and whether the Hub takes them in one repository."""
    fits = length["runs"] <= folder and length["files"] <= repository
    return f"{length['runs']:,} runs, {length['files']:,} files{'' if fits else ': too many'}"


PAGES = {
    "cli.md": cli,
    "tables.md": tables,
    "environments.md": environments,
    "models.md": models,
    "peers.md": peers,
    "reproduction.md": reproduction,
    "experts.md": experts,
    "learning.md": learning,
    "scale.md": scale,
    "architecture.svg": imports.picture,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
