"""The paper, reproduced: docs/reproduction.md."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from jacdb import report
from pages.markdown import DOCS, NOTE, ROOT, markdown_table
from pages.reference import made_by, reference, share, so_far, zeros


def reproduction() -> str:
    """What `make reference` found: in the paper's environments and PandaPickCube, then in all."""
    noise, together = reference("noise"), reference("all")
    both = [
        [env, f"{of['table1']['samples']:,}", *zeros(of), report.verdict(env, of["table1"])]
        for env, of in together["environments"].items()
    ]
    everywhere = [
        [env, f"{of['table1']['d_state']}", f"{of['table1']['d_action']}", f"{of['table1']['samples']:,}", *zeros(of),
         *(share(of["mean_sparsity"][jacobian]) for jacobian in ("state", "action")), f"{of['patterns']}"]
        for env, of in noise["environments"].items()
    ]  # fmt: skip
    told = (
        (DOCS / "reproduction.txt").read_text(),
        "## The paper's four questions\n",
        markdown_table(("question", "answer", "where"), _questions(noise["environments"], together["environments"])),
        report.markdown(_only(noise, together["environments"])),
        "## Table 1 under noise and experts together\n",
        f"{made_by(together)} All steps of four runs: noise, and the expert with coloured, white and no noise.\n",
        markdown_table(("environment", "steps", "zeros of j_state", "of j_action", "paper's Table 1"), both),
        "## All environments under noise\n",
        f"{made_by(noise)} {so_far(noise)}Entries that are zero in every step, mean share of zeros, patterns.\n",
        markdown_table(
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
    checks = pl.read_csv(ROOT / "datasets/reference/verified.csv").join(shown, on=shown.columns, how="semi")
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
        + markdown_table(header, map(of, checks["env"].unique().sort()))
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
            f" has {share(touch['sparsity_state'])} zeros in j_state in contact,"
            f" {share(touch['sparsity_state_else'])} otherwise",
            "[single steps](#how-sparse-single-steps-are-and-how-long-entries-stay-as-they-are)",
        ],
        [
            "Q3: does it change sparsely in time?",
            f"Yes: an entry of j_state stays zero for {known[0]:.1f} to {known[-1]:.1f} steps in the mean, and in"
            f" {share(min(recall))} to {share(max(recall))} of the steps in which the pattern changes, a contact,"
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
