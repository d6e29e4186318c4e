"""The report says what the views say, in files that stand alone."""

import datetime
import json
import re

import numpy as np
import polars as pl
import pytest
from conftest import ROOT, call_jacdb
from synthetic import dataset, episode

import jacdb
from jacdb import figures, report
from jacdb.report.paper import MET, PAPER
from jacdb.report.tables import Table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two environments of the paper, one as it is there and one not, and one without a finite step."""
    root, out = (tmp_path_factory.mktemp(name) for name in ("data", "report"))
    reacher = np.ones((6, 4, 6))
    reacher[:, 1:, 0] = 0
    dataset(root, "ReacherHard", [episode(0, reacher[..., :4], reacher[..., 4:])])
    ball = np.ones((6, 8, 10))
    ball[:, 3, 3] = ball[:3, 2, :] = 0
    dataset(root, "BallInCup", [episode(0, ball[..., :8], ball[..., 8:], active=[["joint_limit:a"]] * 3 + [[]] * 3)])
    dataset(root, "<b>Broken", [episode(0, np.full((3, 2, 2), np.nan), np.ones((3, 2, 1)))])
    with jacdb.open(root) as opened:
        return report.write(opened, out), out


@pytest.mark.slow
def test_table_1_has_a_verdict_per_row(written):
    facts, _ = written
    verdicts = {env: of["verdict"] for env, of in facts["environments"].items()}
    assert verdicts == {
        "ReacherHard": "equal",
        "BallInCup": "visits less: zero_state 1 (paper 0)",
        "<b>Broken": "not in the paper",
    }
    assert report.summary(facts).startswith("Table 1 of the paper: 1 of 2 environments equal")
    assert "not in the dataset: CartpoleBalance, CheetahRun" in report.summary(facts)


@pytest.mark.slow
def test_the_pages_stand_alone_and_kept_facts_give_the_same_page(written):
    facts, out = written
    page, text = (out / "index.html").read_text(), (out / "report.md").read_text()
    assert not re.search(r'(src|href)="(?!data:image/png|#)', page) and "<b>" not in page
    drawn = page.count('src="data:image/png')
    names = figures.FIGURES.keys() - figures.OF_RESULTS  # nothing was learned
    assert 2 * len(names) - 3 <= drawn <= 2 * len(names)
    assert all((out / link).is_file() for link in re.findall(r"!\[.*\]\((.*)\)", text))
    assert "No embedding: " in text
    for name in ("heatmap", "timeline"):
        [refused] = re.findall(rf"^No {name}: (.*)\.$", text, re.MULTILINE)
        assert refused.endswith("nothing to draw of <b>Broken: no step of it counts")
    assert (
        "| ReacherHard | 4 | 2 | 3 | 18.75 | 0 | 6 | 0 | 3, 0 | equal |" in text
        and "| <b>Broken | - | - | - | - | - | 0 | 3 | - |" in text
    )
    kept = json.loads((out / "facts.json").read_text())
    assert report.markdown(kept) == report.markdown(facts)


def tables(page: str) -> dict[str, list[list[str]]]:
    """Every table of a page, rows of cells below its header, by the heading above it."""
    found: dict[str, list[list[str]]] = {}
    for section in page.split("\n## ")[1:]:
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
        if rows:
            found[section.splitlines()[0]] = rows[2:]
    return found


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def expected(opened: jacdb.Dataset) -> dict[str, list[list[str]]]:
    """The same cells, from the views alone."""
    found: dict[str, list[list[str]]] = {}
    paper = {env: f"{row['zero_state']}, {row['zero_action']}" for env, row in PAPER.items()}
    found["Table 1: entries that are zero in every step"] = [
        [row["env"], *(f"{row[name]}" for name in ("d_state", "d_action", "zero_state")),
         number(row["zero_state_pct"], 2), f"{row['zero_action']}",
         *(f"{row[name]:,}" for name in ("samples", "excluded")), paper.get(row["env"], "-")]
        for row in opened.global_sparsity().to_dicts()
    ]  # fmt: skip
    shown = []
    for env in opened.environments:
        bins = opened.sparsity_histogram(env)
        means = [bins.filter(jacobian=name)["mean_sparsity"].to_list()[:1] or [None] for name in ("state", "action")]
        spans = opened.zero_durations(env)
        spans = [
            spans.filter(jacobian=name, zero=zero)["mean_duration"].to_list()[:1] or [None]
            for name in ("state", "action") for zero in (True, False)
        ]  # fmt: skip
        kinds = opened.patterns(env)["pattern_id"].n_unique()
        shown.append([env, *(percent(*one) for one in means), *(number(*one, 1) for one in spans), f"{kinds}"])
    found["How sparse single steps are, and how long entries stay as they are"] = shown
    held = opened.sparsity_by_constraint().filter(pl.col("name").is_null())
    held = held.select("env", "kind", "share", "sparsity_state", "sparsity_state_else")
    switched = opened.switch_explanations().select("env", "kind", "recall", "precision")
    both = held.join(switched, on=["env", "kind"], how="full", coalesce=True)
    found["What switches the pattern"] = [[env, kind, *map(percent, shares)] for env, kind, *shares in both.iter_rows()]
    sweep = opened.threshold_sweep().filter(jacobian="state").pivot("threshold", index="env", values="zero")
    found["What counts as zero"] = [[env, *map(str, zeros)] for env, *zeros in sweep.iter_rows()]
    returns = opened.sql(
        "select env, episodes.policy, if((policy_config ->> 'beta')::double = 0.5, 'beta = 0.5', '-') as noise,"
        " count(*), avg(n_steps), avg(total_reward), stddev_samp(total_reward)"
        " from episodes join runs using (env, run_id) group by all"
    ).fetchall()
    earned = opened.sql(
        "select avg((reward >= 11)::integer) from (select max_by(reward, step) as reward from steps"
        " where env = 'PandaPickCube' group by run_id, episode)"
    ).fetchall()[0]
    found["What the policies reached"] = [
        [env, policy, noise, f"{episodes}", number(steps, 0), number(mean, 1), number(deviation, 1),
         percent(*earned) if env == "PandaPickCube" else "-"]
        for env, policy, noise, episodes, steps, mean, deviation in returns
    ]  # fmt: skip
    found["Where it comes from"] = [
        [row["env"], row["run_id"], f"`{row['policy_config']}`", *(f"{row[name]}" for name in ("seed", "episodes")),
         f"{row['steps']}", row["method"], *(f"{row[name]:,}" for name in ("n_rows", "n_excluded", "n_recomputed"))]
        for row in opened.runs().to_dicts()
    ]  # fmt: skip
    return found


@pytest.mark.slow
def test_users_03_every_cell_of_every_table_is_its_view_s():
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        printed, views = tables(report.markdown(report.facts(opened))), expected(opened)
    assert printed.keys() == views.keys()
    verdicts = [row.pop() for row in printed["Table 1: entries that are zero in every step"]]
    assert set(verdicts) == {"equal", "not in the paper"}
    for title, rows in printed.items():
        assert sorted(rows) == sorted(views[title]), title
    of_panda = {kind: cells for env, kind, *cells in printed["What switches the pattern"] if env == "PandaPickCube"}
    assert of_panda["contact"][-2] != of_panda["any"][-2]


def test_users_03_a_kind_that_kept_facts_lack_has_no_numbers_of_another(written):
    facts, _ = written
    kept = json.loads(json.dumps(facts))
    kept["environments"]["BallInCup"]["switches"] = [{"kind": "any", "recall": 0.5, "precision": 0.25}]
    rows = tables(report.markdown(kept))["What switches the pattern"]
    assert [row[1:2] + row[-2:] for row in rows if row[0] == "BallInCup"] == [
        ["joint_limit", "-", "-"], ["any", "50.0 %", "25.0 %"], ["nothing", "-", "-"]
    ]  # fmt: skip


def test_users_04_what_was_not_visited_is_named_with_what_visits_it(written):
    facts, _ = written
    told = report.summary(facts)
    assert "1 entry is zero in all 6 steps of BallInCup, and not in the paper" in told
    assert "none of them has a contact or a ctrl_clip or a tendon_limit" in told
    assert "jacdb ingest --env BallInCup --episodes 8 --steps 1000 --seed 0 visits enough" in told
    table1 = facts["environments"]["BallInCup"]["table1"]
    assert "other states may end that" in report.missing("BallInCup", table1, MET["BallInCup"])
    fewer = {**facts["environments"]["ReacherHard"]["table1"], "zero_state": 2}  # further steps bring no zero back
    assert report.missing("ReacherHard", fewer, ()) is None
    assert report.verdict("ReacherHard", fewer) == "differs: zero_state 2 (paper 3)"


def test_users_04_the_reference_meets_what_is_said_to_visit_enough():
    reference = json.loads((ROOT / "datasets" / "reference" / "noise.json").read_text())["environments"]
    for env, kinds in MET.items():
        assert {*kinds} <= {row["kind"] for row in reference[env]["constraints"]}


def test_users_20_contents_lead_to_headings_and_the_page_says_of_what_and_when_it_is(written):
    facts, out = written
    page, text = (out / "index.html").read_text(), (out / "report.md").read_text()
    links, ids = re.findall(r'href="#([^"]+)"', page), re.findall(r'<h2 id="([^"]+)"', page)
    assert links == ids and "ballincup" in ids and len(ids) == len(set(ids)) == 9
    assert f"Dataset `{facts['dataset']}`, read by jacdb {jacdb.__version__} on {facts['date']}." in text
    assert datetime.date.fromisoformat(facts["date"])


@pytest.mark.parametrize("own", ["runs/mine.parquet", "index.html"])
def test_users_33_a_folder_that_is_no_report_is_left_as_it_is(own, tmp_path):
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("mine")
    ran = call_jacdb("report", "--out", tmp_path, "--data", ROOT / "datasets" / "sample")
    assert ran.returncode == 2 and "no report: give a new folder" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [own.partition("/")[0]]


def test_a_cell_with_a_bar_or_a_new_line_stays_one():
    table = Table(("a", "b>"), lambda _: iter([(r"x\|y", "1\r\n2")]))
    assert table.markdown({}).splitlines()[2:] == [r"| x&#92;\|y | 1 2 |"]


def test_users_20_numbers_stand_at_the_right(written):
    _, out = written
    page = (out / "index.html").read_text()
    right = re.findall(r'<td style="text-align:right">([^<]+)</td>', page)
    left = re.findall(r"<td>(.*?)</td>", page)
    assert len(right) > 50 and not [cell for cell in left if re.fullmatch(r"[\d.,]+( %)?", cell)]


@pytest.mark.slow
def test_users_20_one_environment_without_its_embedding(tmp_path):
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        facts = report.write(opened, tmp_path, environments=["CartpoleBalance"], embedding=False)
        with pytest.raises(jacdb.UsageError, match="did you mean CheetahRun"):
            report.write(opened, tmp_path / "no", environments=["CheetahRnu"])
    assert [*facts["environments"]] == ["CartpoleBalance"] == [run["env"] for run in facts["runs"]]
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {f"CartpoleBalance-{name}" for name in figures.FIGURES.keys() - {"embedding", *figures.OF_RESULTS}}
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_users_20_the_command_takes_environments_and_leaves_the_embedding_out(tmp_path):
    data = ROOT / "datasets" / "sample"
    words = ("--env", "ReacherHard", "--env", "CartpoleBalance", "--no-embedding", "--data", data)
    ran = call_jacdb("report", "--out", tmp_path, *words)
    assert ran.returncode == 0, ran.stderr
    path, _, told = ran.stdout.partition(": ")
    assert (path, told) == (f"{tmp_path}/index.html", "2 of 2 environments equal Table 1 of the paper in every cell\n")
    kept = json.loads((tmp_path / "facts.json").read_text())
    assert [*kept["environments"]] == ["CartpoleBalance", "ReacherHard"]
    assert not list((tmp_path / "figures").glob("*-embedding.png"))
