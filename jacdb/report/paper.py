"""Table 1 of the paper, and how a dataset compares with it."""

from collections.abc import Collection
from typing import Any

# Table 1 of Pandaram et al., Dynamic Sparsity (arXiv 2511.08086)
PAPER = {
    "BallInCup": {"d_state": 8, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "CartpoleBalance": {"d_state": 4, "d_action": 1, "zero_state": 0, "zero_action": 0},
    "CheetahRun": {"d_state": 18, "d_action": 6, "zero_state": 17, "zero_action": 0},
    "ReacherHard": {"d_state": 4, "d_action": 2, "zero_state": 3, "zero_action": 0},
    "FingerSpin": {"d_state": 6, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "FingerTurnEasy": {"d_state": 6, "d_action": 2, "zero_state": 0, "zero_action": 0},
    "WalkerRun": {"d_state": 18, "d_action": 6, "zero_state": 17, "zero_action": 0},
    "SwimmerSwimmer6": {"d_state": 16, "d_action": 5, "zero_state": 30, "zero_action": 0},
}
# Kinds of constraints that eight episodes of 1,000 steps of noise meet, which give Table 1: README
MET = {
    "BallInCup": ("contact", "ctrl_clip", "tendon_limit"),
    "CartpoleBalance": ("ctrl_clip", "joint_limit"),
    "CheetahRun": ("contact", "ctrl_clip", "joint_limit"),
    "ReacherHard": ("ctrl_clip", "joint_limit"),
    "FingerSpin": ("contact", "ctrl_clip", "friction_holds", "joint_limit"),
    "FingerTurnEasy": ("contact", "ctrl_clip", "friction_holds", "joint_limit"),
    "WalkerRun": ("contact", "ctrl_clip", "joint_limit"),
    "SwimmerSwimmer6": ("ctrl_clip", "joint_limit"),
}
ENOUGH = "--episodes 8 --steps 1000 --seed 0"


def verdict(env: str, table1: dict[str, Any]) -> str:
    """Return how an environment's row of Table 1 compares with the paper's.

    It is equal; or more entries are zero in every step than in the paper, as they are until the dataset visits what
    makes them non-zero; or it differs, and no further step can change that.
    """
    if env not in PAPER:
        return "not in the paper"
    told = [f"{key} {table1[key]} (paper {value})" for key, value in PAPER[env].items() if table1[key] != value]
    if not told:
        return "equal"
    visits_less = _may_visit_more(env, table1)
    return f"{'visits less' if visits_less else 'differs'}: {', '.join(told)}"


def _may_visit_more(env: str, table1: dict[str, Any]) -> bool:
    """Return whether steps yet to come could make the row equal: a zero can end, and never comes back."""
    same_size = all(table1[key] == PAPER[env][key] for key in ("d_state", "d_action"))
    return same_size and all(table1[key] >= PAPER[env][key] for key in ("zero_state", "zero_action"))


def missing(env: str, table1: dict[str, Any], kinds: Collection[str]) -> str | None:
    """Return what a dataset would have to visit for Table 1, and the command that visits it; None if nothing.

    Args:
        env: the environment.
        table1: its row of `global_sparsity`.
        kinds: the kinds of constraints that hold in some step of it.
    """
    if env not in PAPER or not _may_visit_more(env, table1):
        return None
    more = sum(table1[key] - PAPER[env][key] for key in ("zero_state", "zero_action"))
    if not more:
        return None
    never = [kind for kind in MET[env] if kind not in kinds]
    entries = f"{more} {'entry is' if more == 1 else 'entries are'} zero in all {table1['samples']:,} steps of {env}"
    so_far = f"none of them has a {' or a '.join(never)}" if never else "other states may end that"
    return f"{entries}, and not in the paper; {so_far}: jacdb ingest --env {env} {ENOUGH} visits enough"


def compared(environments: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the paper's environments that facts are of, and those of them that equal its Table 1 in every cell."""
    present = [env for env in PAPER if env in environments]
    return present, [env for env in present if verdict(env, environments[env]["table1"]) == "equal"]


def score(facts: dict[str, Any]) -> str:
    """Return a few words on Table 1: how many of the environments that the dataset has equal the paper's."""
    present, equal = compared(facts["environments"])
    if not present:
        return "none of the environments of the paper's Table 1 is in the dataset"
    return f"{len(equal)} of {len(present)} environments equal Table 1 of the paper in every cell"


def summary(facts: dict[str, Any]) -> str:
    """Return one line on Table 1: how many environments equal the paper's, and what the others have not visited."""
    environments = facts["environments"]
    present, equal = compared(environments)
    if not present:
        return "Table 1 of the paper: none of its environments is in the dataset"
    absent = sorted(PAPER.keys() - set(present))
    told = [f"Table 1 of the paper: {len(equal)} of {len(present)} environments equal in every cell"]
    for env in present:
        of = environments[env]
        unvisited = missing(env, of["table1"], [row["kind"] for row in of["constraints"]])
        told += [unvisited] if unvisited else []
    return "; ".join([*told, *([f"not in the dataset: {', '.join(absent)}"] if absent else [])])
