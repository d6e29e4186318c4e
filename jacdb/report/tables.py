"""The tables of the report: each turns facts into rows of cells. TABLES lists them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jacdb import schemas
from jacdb.output import markdown_cell
from jacdb.report.paper import PAPER, verdict

Facts = dict[str, Any]
Row = Sequence[str]


class Table(NamedTuple):
    """A table of the report.

    Attributes:
        header: the names of its columns; those that end in ``>`` hold numbers, and stand at the right.
        rows: the cells, from facts.
    """

    header: tuple[str, ...]
    rows: Callable[[Facts], Iterator[Row]]

    def markdown(self, facts: Facts) -> str:
        """Return the table as Markdown."""
        ruler = ["---:" if name.endswith(">") else "---" for name in self.header]
        names = [name.removesuffix(">") for name in self.header]
        # a new line is a space: the page as HTML has no tags but its own, such as that of a break
        rows = ([markdown_cell(" ".join(cell.split())) for cell in row] for row in self.rows(facts))
        return "\n".join(f"| {' | '.join(row)} |" for row in (names, ruler, *rows))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table1(facts: Facts) -> Iterator[Row]:
    for env, of in facts["environments"].items():
        row = of["table1"]
        paper = f"{PAPER[env]['zero_state']}, {PAPER[env]['zero_action']}" if env in PAPER else "-"
        yield (
            env,
            *(_number(row[name], 0) for name in ("d_state", "d_action", "zero_state")),
            _number(row["zero_state_pct"], 2),
            _number(row["zero_action"], 0),
            *(f"{row[name]:,}" for name in ("samples", "excluded")),
            paper,
            verdict(env, row),
        )


def _number(value: float | str | None, digits: int) -> str:
    if value is None or isinstance(value, str):  # 'infinite'
        return value or "-"
    return f"{value:.{digits}f}"


def _steps(facts: Facts) -> Iterator[Row]:
    for env, of in facts["environments"].items():
        means = {(row["jacobian"], row["zero"]): row["mean_duration"] for row in of["durations"]}
        durations = (means.get((jacobian, zero)) for jacobian in ("state", "action") for zero in (True, False))
        sparsity = (of["mean_sparsity"][jacobian] for jacobian in ("state", "action"))
        yield env, *map(_percent, sparsity), *(_number(mean, 1) for mean in durations), f"{of['patterns']}"


def _constraints(facts: Facts) -> Iterator[Row]:
    for env, of in facts["environments"].items():
        held = {row["kind"]: row for row in of["constraints"]}
        switched = {row["kind"]: row for row in of["switches"]}
        for kind in sorted(held.keys() | switched.keys(), key=lambda kind: (kind in ("nothing", "any"), kind)):
            while_it_holds = (
                held.get(kind, {}).get(name) for name in ("share", "sparsity_state", "sparsity_state_else")
            )
            explained = (switched.get(kind, {}).get(name) for name in ("recall", "precision"))
            yield env, kind, *map(_percent, while_it_holds), *map(_percent, explained)


def _returns(facts: Facts) -> Iterator[Row]:
    for env, of in facts["environments"].items():
        for row in of["returns"]:
            numbers = (_number(row["steps"], 0), _number(row["mean"], 1), _number(row["std"], 1))
            policy = " ".join(filter(None, (row["policy"], row.get("version"))))  # facts of before have none
            yield env, policy, row["noise"], f"{row['episodes']}", *numbers, _percent(row["success"])


def _runs(facts: Facts) -> Iterator[Row]:
    for run in facts["runs"]:
        numbers = (f"{run[name]:,}" for name in ("n_rows", "n_excluded", "n_recomputed"))
        plan = (f"{run[name]}" for name in ("seed", "episodes", "steps", "method"))
        yield run["env"], run["run_id"], f"`{run['policy_config']}`", *plan, *numbers


def _sources(facts: Facts) -> Iterator[Row]:
    for run in facts["runs"]:
        if run.get("suite", schemas.PLAYGROUND) == schemas.PLAYGROUND:  # facts that an earlier jacdb kept name none
            continue
        texts = (run[name] or "-" for name in ("source", "source_version", "licence"))
        tolerance, largest = (small(run[name]) for name in ("replay_tolerance", "replay_error"))
        yield run["env"], run["run_id"], run["suite"], *texts, tolerance, largest, f"{run['n_excluded']:,}"


def small(value: float | str | None) -> str:
    """Return a replay error or its tolerance as people read it: two digits, - where there is none."""
    return value if isinstance(value, str) else "-" if value is None else f"{value:.2g}"


TABLES = {
    "table1": Table(
        ("environment", "d_state>", "d_action>", "zeros of j_state>", "%>", "zeros of j_action>", "steps>",
         "excluded>", "paper>", "verdict"),
        _table1,
    ),
    "steps": Table(
        ("environment", "zeros of j_state>", "zeros of j_action>", "j_state zero for>", "non-zero for>",
         "j_action zero for>", "non-zero for>", "patterns>"),
        _steps,
    ),
    "constraints": Table(
        ("environment", "kind", "share of steps>", "zeros while it holds>", "zeros else>", "recall>", "precision>"),
        _constraints,
    ),
    "returns": Table(
        ("environment", "policy", "noise", "episodes>", "mean steps>", "return>", "deviation>", "success>"),
        _returns,
    ),
    "runs": Table(
        ("environment", "run", "policy", "seed>", "episodes>", "steps>", "method", "rows>", "excluded>",
         "computed again>"),
        _runs,
    ),
    "sources": Table(
        ("environment", "run", "suite", "source", "version", "licence", "tolerance>", "largest replay error>",
         "excluded>"),
        _sources,
    ),
}  # fmt: skip


def sweep(facts: Facts) -> str:
    """Return the table of thresholds as Markdown: a column for each that the facts have."""
    of_each = {env: of["sweep"]["state"] for env, of in facts["environments"].items()}
    thresholds = list(next(filter(None, of_each.values()), {}))

    def rows(facts: Facts) -> Iterator[Row]:
        for env, zeros in of_each.items():
            yield env, *(f"{zeros[threshold]}" if zeros else "-" for threshold in thresholds)

    return Table(("environment", *(f"{float(threshold):.0e}>" for threshold in thresholds)), rows).markdown(facts)
