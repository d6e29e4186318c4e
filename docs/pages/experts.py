"""The experts that are included, and what they reach: docs/experts.md."""

from typing import Any

from jacdb import report
from jacdb.ingest.environments.registry import all_specs
from jacdb.ingest.policies.network import Network
from jacdb.ingest.policies.policy_file import SUFFIX
from jacdb.ingest.policies.rating import best_known
from pages.markdown import DOCS, NOTE, ROOT, markdown_table
from pages.reference import made_by, reference, zeros

# Names of columns, and the policy and noise of each
MODES = {
    "noise, β = 0.5": ("noise", "beta = 0.5"),
    "expert, β = 0.5": ("expert", "beta = 0.5"),
    "expert, white": ("expert", "white"),
    "expert, no noise": ("expert", "none"),
}


def experts() -> str:
    """What the policies in datasets/policies reached, by their own headers, and what `make reference` saw of them."""
    noise, seen = (reference(name)["environments"] for name in ("noise", "experts"))
    header = ("environment", "status", "return", "of noise", "best known", "steps", "minutes", "device", "command")
    rows = []
    for path in sorted((ROOT / "datasets/policies").glob(f"*{SUFFIX}")):
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
        (DOCS / "experts.txt").read_text(),
        markdown_table(header, rows),
        "## What they reach in the reference data\n",
        f"{made_by(reference('all'))} Twenty episodes each, mean and standard deviation; and the share of success,"
        " where a rule says so (PandaPickCube: the last reward is 11 or more of 12.55: the cube is within 4.4 cm"
        " of its target).\n",
        markdown_table(
            ("environment", *MODES), [_by_mode(env, of) for env, of in reference("all")["environments"].items()]
        ),
        "## What they visit\n",
        (DOCS / "experts-visit.txt").read_text(),
        markdown_table(
            ("environment", "return", "zeros of j_state", "of j_action", "paper's Table 1", "patterns", "of noise"),
            [_table1(env, of, noise[env]) for env, of in seen.items()],
        ),
        "## How sparse their steps are\n",
        "Share of steps by the share of zeros in j_state, in tenths; under noise and under the expert.\n",
        markdown_table(
            ("environment", "policy", *(f"{low} to {low + 10} %" for low in range(0, 100, 10))),
            [_bins(env, name, of[env]) for env in seen for name, of in (("noise", noise), ("expert", seen))],
        ),
    ]
    return "\n".join(page)


def _by_mode(env: str, of: dict[str, Any]) -> list[str]:
    reached = {(row["policy"], row["noise"]): row for row in of["returns"]}
    return [env, *(_return(reached[mode]) for mode in MODES.values())]


def _return(row: dict[str, Any]) -> str:
    done = "" if row["success"] is None else f", {100 * row['success']:.0f} % success"
    return f"{row['mean']:.0f} ± {row['std']:.0f}{done}"


def _table1(env: str, of: dict[str, Any], of_noise: dict[str, Any]) -> list[str]:
    [reached] = of["returns"]
    patterns = (f"{one['patterns']}" for one in (of, of_noise))
    return [env, _return(reached), *zeros(of), report.verdict(env, of["table1"]), *patterns]


def _bins(env: str, policy: str, of: dict[str, Any]) -> list[str]:
    return [env, policy, *(f"{100 * share:.1f} %" if share else "-" for share in of["bins"]["state"])]
