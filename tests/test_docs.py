"""What the documentation says is what happens."""

import ast
import json
import re
import runpy
import shlex
import subprocess
import sys

import polars
import pytest
from conftest import ROOT, call_jacdb

import jacdb
from jacdb.explorer.page import page_folder
from jacdb.ingest.sources.recordings import mapping

sys.path.insert(0, str(ROOT / "docs"))
PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
IMPORTS = runpy.run_path(str(ROOT / "docs" / "imports.py"))
PUBLIC = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def with_sample(tmp_path):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name):
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run: python docs/generate.py"


def test_verify_found_nothing_wrong_with_the_reference():
    """In any of its runs, each of which it was asked about."""
    reference = ROOT / "datasets" / "reference"
    facts = [json.loads((reference / name).read_text()) for name in ("noise.json", "all.json")]
    runs = {(run["env"], run["run_id"]) for of in facts for run in of["runs"]}
    checks = polars.read_csv(reference / "verified.csv")
    assert not {*checks.filter(polars.col("failed") > 0)["env"]}
    for check in ("shapes", "replay", "jacobians"):
        assert runs == {*checks.filter(check=check).select("env", "run_id").iter_rows()}, check


def page_is_built() -> bool:
    """Whether `make explorer` was run, which needs npm."""
    try:
        return page_folder().is_dir()
    except jacdb.UsageError:
        return False


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_every_command_and_all_code_of_a_page_runs(name, with_sample, monkeypatch):
    """The jacdb commands in order, then the Python, in one folder, as a newcomer who may write to OWNER/NAME would."""
    here = with_sample / ("tutorial" if name == "docs/tutorial.md" else ".")  # as it says, in the checkout
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv("JACDB_DATA", raising=False)
    page = (ROOT / name).read_text()
    lines = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("jacdb ")]
    assert len(lines) >= 6
    for line in lines:
        if "--explorer" in line and not page_is_built():
            continue
        ran = call_jacdb(*shlex.split(line, comments=True)[1:], token="hf_newcomer")
        assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
    python = "\n".join(blocks(page, "python"))
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True)
    assert ran.returncode == 0 and {"README.md": "CheetahRun", "docs/tutorial.md": "slider"}[name] in ran.stdout, (
        ran.stderr
    )


@pytest.mark.slow
def test_the_page_on_sql_runs(with_sample, monkeypatch):
    """Its commands and its Python, as it stands; each prints something."""
    monkeypatch.chdir(with_sample)
    page = (ROOT / "docs" / "sql.md").read_text()
    for line in [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("jacdb ")]:
        ran = call_jacdb(*shlex.split(line, comments=True)[1:])
        assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
    python = "\n".join(blocks(page, "python"))
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True)
    assert ran.returncode == 0 and "\n17\n" in ran.stdout, ran.stderr


@pytest.mark.slow
def test_the_page_on_recordings_runs(tmp_path):
    """Its first program, and its mapping file; the other program is a class for Minari's collector."""
    page = (ROOT / "docs" / "recordings.md").read_text()
    ran = subprocess.run(
        [sys.executable, "-c", blocks(page, "python")[0]], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "100 steps, 0 of them not repeated, error at most 0.0" in ran.stdout
    assert "'licence': 'CC-BY-4.0'" in ran.stdout
    [text] = blocks(page, "toml")
    (tmp_path / "map.toml").write_text(text)
    said = mapping.read(tmp_path / "map.toml")
    assert said.named == {"qpos", "qvel", "ctrl"}
    assert said.fields["ctrl"][0].scale * (75 + said.fields["ctrl"][0].offset) == pytest.approx(0.25)


@pytest.mark.thorough
def test_the_commands_of_the_page_on_recordings_run_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JACDB_DATA", raising=False)
    page = (ROOT / "docs" / "recordings.md").read_text()
    subprocess.run([sys.executable, "-c", blocks(page, "python")[0]], check=True, capture_output=True)
    for line in "".join(blocks(page, "sh")).splitlines():
        ran = call_jacdb(*shlex.split(line)[1:])
        assert ran.returncode == 0 and "pendulum" in ran.stdout, f"{line}: {ran.stderr}"


@pytest.mark.slow
def test_the_page_on_jacobians_runs(with_sample, monkeypatch):
    """It prints the shapes that its comment says."""
    monkeypatch.chdir(with_sample)
    page = (ROOT / "docs" / "jacobians.md").read_text()
    ran = subprocess.run([sys.executable, "-c", "".join(blocks(page, "python"))], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.startswith("(100, 2, 2) (100, 2, 1)\n"), ran.stderr


@pytest.mark.slow
def test_the_page_on_lyapunov_spectra_runs_and_says_what_is_found(with_sample, monkeypatch):
    monkeypatch.chdir(with_sample)
    page = (ROOT / "docs" / "lyapunov.md").read_text()
    for line in blocks(page, "sh")[0].splitlines():
        ran = call_jacdb(*shlex.split(line)[1:])
        assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
    names: dict = {}
    exec("\n".join(blocks(page, "python")), names)
    ranges = [(round(values.min()), round(values.max())) for values in names["whole"].select("largest", "total")]
    assert ranges == [(5, 8), (-290, -231)] and "5 to 8 /s" in page and "\N{MINUS SIGN}230 to" in page


@pytest.mark.thorough
def test_the_page_on_your_own_robot_runs(tmp_path, monkeypatch):
    """Its files are saved, its commands and programs run in order."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "your-robot.md").read_text()
    (tmp_path / "hopper_cart.xml").write_text(blocks(page, "xml")[0])
    policy, recording, linearized = blocks(page, "python")
    (tmp_path / "balance.py").write_text(policy)
    ran = subprocess.run([sys.executable, "-c", recording + "\n" + linearized], capture_output=True, text=True)
    assert ran.returncode == 0 and "(100, 6, 6) (100, 6, 2)" in ran.stdout, ran.stderr
    said = {}
    for line in filter(None, "\n".join(blocks(page, "sh")).splitlines()):
        ran = call_jacdb(*line.split()[1:])
        assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
        said[line.split()[1]] = ran.stdout
    assert said["annotate"].startswith("99 steps of hopper_cart in robot") and ", 0 excluded," in said["annotate"]
    with jacdb.open("robot") as opened:
        assert opened.runs().height == 3
        share = opened.entry_zero_fraction("hopper_cart")
        x = share.filter(polars.col("col_name") == "x", polars.col("row_name") != "x", jacobian="state")
        assert x["zero_fraction"].to_list() == [1.0] * 5, "where the cart is matters to x alone"


@pytest.mark.slow
def test_users_04_the_tutorial_shows_switches_and_what_they_end(capsys):
    """Its rows are the sample's: the same request, so no simulator is needed to see what it prints."""
    page = (ROOT / "docs" / "tutorial.md").read_text()
    assert "jacdb ingest --env CartpoleBalance --episodes 4 --steps 250\n" in page
    code = blocks(page.split("## When the graph changes\n")[1].split("\n## ")[0], "python")
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        [run] = opened.runs("CartpoleBalance").to_dicts()
        assert (run["episodes"], run["steps"], run["seed"], run["policy"]) == (4, 250, 0, "noise")
        one = opened.where("env = 'CartpoleBalance'")  # the tutorial's dataset has no other
        names = {"dataset": opened, "pl": polars}
        exec("\n".join(code[:-1]), names)
        explained = opened.switch_explanations("CartpoleBalance").select("kind", "precision", "recall").to_dicts()
        shares = {row["kind"]: (round(row["precision"], 2), row["recall"]) for row in explained}
        assert shares == {"any": (0.01, 0.625), "ctrl_clip": (0.01, 0.5), "joint_limit": (0.5, 0.25)}
        at_the_end = polars.col("began").list.contains("joint_limit:slider")
        assert names["switches"].filter(at_the_end)["episode"].to_list() == [2, 3]
        away = one.where("not list_contains(active, 'joint_limit:slider')")
        assert away.global_sparsity()["zero_state"].to_list() == [3]
        assert one.global_sparsity()["zero_state"].to_list() == [0]
        assert away.symmetries().filter(ignorable=True)["name"].to_list() == ["slider"]
    assert "shape: (8, 5)" in capsys.readouterr().out


@pytest.mark.slow
def test_users_15_the_page_on_tangents_runs(with_sample, monkeypatch):
    """It prints what its comments and its text say."""
    monkeypatch.chdir(with_sample)
    page = (ROOT / "docs" / "tangent.md").read_text()
    ran = subprocess.run([sys.executable, "-c", "\n".join(blocks(page, "python"))], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    prediction, *printed = ran.stdout.splitlines()
    [percent] = re.findall(r"It prints (\d+) %", page)
    assert f"leaves {percent}% of" in prediction
    assert printed == re.findall(r"^print\(.*\)  # (.+)$", page, re.MULTILINE)


def test_nothing_is_left_to_be_filled_in():
    for page in PUBLIC:
        assert not re.search(r"@[A-Z]+@|TODO|TBD", page.read_text()), page.name


def anchors(page):
    """What addresses the headings of a page, as GitHub and the site make it of their words."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_local_link_leads_somewhere():
    for page in PUBLIC:
        for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", page.read_text()):
            to = page.parent / link if link else page
            assert to.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(to), f"{page.name}: {link}#{anchor}"


def test_names_in_the_architecture_exist():
    """Every stop of its walks is a function, class or method; every path that it names is a file or a folder."""
    page, modules = (ROOT / "docs" / "architecture.md").read_text(), IMPORTS["modules"]()
    stops = re.findall(r"`([\w.]+):([\w.]+)`", page)
    assert len(stops) >= 12
    for module, name in stops:
        body = ast.parse(modules[module].read_text()).body
        for part in name.split("."):
            [node] = [node for node in body if getattr(node, "name", None) == part]
            body = getattr(node, "body", [])
    for path in re.findall(r"`((?:ingest|jacdb|queries|schemas|docs)/[\w/.]*)`", page):
        assert (ROOT / path).exists(), path


def test_the_readme_names_every_room():
    tree = (ROOT / "README.md").read_text().split("environment -> rollout -> Jacobians")[1].split("```")[0]
    _, ingest, _, jacdb_, _ = re.split(r"^(?:ingest|schemas|jacdb|datasets)/", tree, flags=re.MULTILINE)
    for named, folder in ((ingest, ROOT / "ingest"), (jacdb_, ROOT / "jacdb")):
        rooms = {path.parent.name for path in folder.glob("*/__init__.py") if not path.parent.is_symlink()}
        assert rooms == set(re.findall(r"(\w+)/", named)), folder


def test_a_walk_comes_back_to_no_room():
    walks = (ROOT / "docs" / "architecture.md").read_text().split("## A walk: ")[1:]
    assert len(walks) == 2
    for walk in walks:
        stops = [re.search(r"`([\w.]+):[\w.]+`", step)[1] for step in re.split(r"^\d\. ", walk, flags=re.MULTILINE)[1:]]
        rooms = [IMPORTS["room"](stop) for stop in stops]
        entered = [room for before, room in zip([None, *rooms], rooms, strict=False) if room != before]
        assert len(entered) == len(set(entered)), entered
