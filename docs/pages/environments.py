"""Every environment, held against oracles: docs/environments.md."""

import collections
import math
from collections.abc import Callable
from typing import Any

from jacdb.ingest.environments.registry import all_specs
from pages.markdown import DOCS, NOTE, markdown_table, of_benchmark

SAME, STEADY = 1e-4, 1e-4  # relative: a difference quotient's own error may come to so much where forces are stiff


def environments() -> str:
    """What `benchmarks/environments.py` measured of every environment."""
    kept = of_benchmark("environments")
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
            (DOCS / "environments.txt").read_text(),
            markdown_table(header, rows),
            *([f"Not measured yet: {', '.join(missing)}.\n"] if missing else []),
            "## dm_control's environments of the same name\n",
            (DOCS / "environments-dm-control.txt").read_text(),
            _dm_control(),
            "## Robots and environments by the C engine's step\n",
            (DOCS / "environments-robots.txt").read_text(),
            _robots(),
        ]
    )


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


def _dm_control() -> str:
    """What `benchmarks/dm_control_options.py` found: options of both suites' models, and how far apart steps are."""
    kept = of_benchmark("dm_control_options")
    measured = of_benchmark("environments")

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
    return markdown_table(header, cells)


def _both_sparsities(theirs: dict[str, float], ours: dict[str, Any]) -> list[str]:
    """What rows of both suites have: how many are in contact, and the shares of zeros, dm_control's first."""
    keys = {"in_contact": "contact_share", "zero_state": "zero_state_per_step", "zero_action": "zero_action_per_step"}
    return [f"{100 * theirs[key]:.1f} / {100 * ours[kept]:.1f} %" for key, kept in keys.items()]


def _robots() -> str:
    """What `benchmarks/robots.py` found."""
    kept = of_benchmark("robots")

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
    return markdown_table(header, rows)
